export { devices, type DeviceInfo } from './devices.ts';
export { FewbitError, type FewbitErrorCode } from './errors.ts';
export { load, type Model, type ModelSource } from './model.ts';
export { pipeline, type ImageClassifier, type Pipelines } from './pipeline.ts';
export type { TextGenerator } from './text.ts';
export type {
  CallOptions,
  Classification,
  ClassifyOptions,
  Device,
  ElementType,
  GenerateOptions,
  Generated,
  ImageSource,
  LoadOptions,
  Message,
  ModelInfo,
  Progress,
  Tensor,
  TensorInfo,
  Tensors,
  TuneOptions,
  TypedArray,
} from './types.ts';
