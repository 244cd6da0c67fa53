export type { ImageDescriber } from './describe.ts';
export { devices, type DeviceInfo } from './devices.ts';
export { FewbitError, type FewbitErrorCode } from './errors.ts';
export { load, type Model, type ModelSource } from './model.ts';
export { pipeline, type ImageClassifier, type Pipelines } from './pipeline.ts';
export type { SpeechRecognizer } from './speech.ts';
export type { TextGenerator } from './text.ts';
export type {
  AudioSource,
  CallOptions,
  Classification,
  Classifications,
  ClassifyOptions,
  DescribeOptions,
  Device,
  ElementType,
  GenerateOptions,
  Generated,
  HearOptions,
  ImageSource,
  LoadOptions,
  Message,
  ModelInfo,
  Progress,
  Segment,
  Tensor,
  TensorInfo,
  Tensors,
  TokenReduction,
  TokenSchedule,
  TokensOptions,
  Transcript,
  TuneOptions,
  TypedArray,
} from './types.ts';
