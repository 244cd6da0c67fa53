/** Where a model may be asked to run. `auto` takes a hardware GPU if there is one, else WebAssembly. */
export type Device = 'auto' | 'webgpu' | 'wasm';

export interface Progress {
  /**
   * `download`: from the network; `cache`: from the browser's own storage; `compile`: building the plan; `ready`;
   * `tune`: trying variants, counted in products instead of bytes.
   */
  stage: 'download' | 'cache' | 'compile' | 'ready' | 'tune';
  /** Bytes so far. */
  loaded: number;
  /** Bytes in all; 0 when the server does not say. */
  total: number;
  /** Address of the model. */
  file: string;
}

export interface LoadOptions {
  device?: Device;
  /** Compute in a module worker, so that the page stays responsive. Default true. */
  worker?: boolean;
  /** Stops the download and the preparation. */
  signal?: AbortSignal;
  /** `opfs` keeps the model in the browser's private file system. Needs the worker. Default `opfs`. */
  cache?: 'opfs' | 'none';
  /** Expected SHA-256 of the file, in hexadecimal; another file is refused with `integrity`. */
  sha256?: string;
  /** As on the command line. Browsers have no kernels for `int8` so far: they compute in `f32`. Default `f32`. */
  activations?: 'f32' | 'int8';
  /** Takes over what {@link Model.tune} kept for this GPU. Needs the worker and the cache. Default true. */
  tuned?: boolean;
  /**
   * Which tokens of a vision transformer are pruned or merged. Anything but `none` loads the module of language models instead
   * of the small one. Default `none`.
   */
  tokens?: TokenReduction;
  /** With `tokens`: runs give an output `token_map` too, classifications a `tokenMap`. Default false. */
  tokenMap?: boolean;
  onProgress?: (progress: Progress) => void;
}

/**
 * As on the command line: `topk:SHARE` keeps this share of the patches, those the class token attends to, after a quarter, half
 * and three quarters of the layers; `evit:SHARE` makes one token of the others; `tome:PAIRS` merges so many pairs of like ones in
 * every layer; a schedule, `diffrate:ADDRESS` or the `URL` of one says it for each layer.
 */
export type TokenReduction =
  | 'none'
  | `topk:${number}`
  | `evit:${number}`
  | `tome:${number}`
  | `diffrate:${string}`
  | URL
  | TokenSchedule;

/** For each layer: tokens, class token included, that stay after pruning, and of these after merging. */
export interface TokenSchedule {
  prune: readonly number[];
  merge: readonly number[];
  /** Pairs of like tokens that a layer merges; it then does nothing else. */
  pairs?: readonly number[];
}

export interface CallOptions {
  signal?: AbortSignal;
}

export interface TuneOptions extends CallOptions {
  onProgress?: (progress: Progress) => void;
}

export interface TokensOptions extends CallOptions {
  /** See {@link LoadOptions.tokenMap}. */
  tokenMap?: boolean;
}

export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

/** Element types, named as in numpy. */
export type ElementType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'bool';

/** A dense row-major tensor. */
export interface Tensor {
  data: TypedArray;
  dims: readonly number[];
  /** Says what `data` cannot: `float16` and `bfloat16` come as `Uint16Array`, `bool` as `Uint8Array`. */
  type?: ElementType;
}

export type Tensors = Record<string, Tensor>;

export interface TensorInfo {
  name: string;
  type: ElementType;
  /** A string is a size that the caller chooses. */
  dims: (number | string)[];
}

/** What a loaded model is and where it runs. */
export interface ModelInfo {
  device: 'webgpu' | 'wasm';
  /** Name of the adapter, or of the instruction set. */
  deviceName: string;
  /** Why this device, in a sentence. */
  reason: string;
  task: string | null;
  /** Size of the file in bytes. */
  bytes: number;
  /** Weights in the model. */
  parameters: number;
  bitsPerWeight: number;
  inputs: TensorInfo[];
  outputs: TensorInfo[];
  /** How often each operator occurs in the graph. */
  operators: Record<string, number>;
  /** Peak memory of activations in bytes; 0 before the first run. */
  arenaBytes: number;
  /** Executed steps per place, after the first run: `{ cpu: 3, gpu: 71 }`. */
  placement: Record<string, number>;
  /** Which variants of GPU kernels the last `run` took, where there are several: a line `NUMBER KEY` each. */
  choices: string | null;
  license: string | null;
  provenance: string | null;
  /** Of the last run: products, convolutions and attention. In the module of language models only, as the next. */
  multiplications?: number;
  /** What there is without the reduction that was asked for; `pinned` tokens in front are no patches. */
  tokens?: { layers: number; count: number; pinned: number };
}

/** A picture in any form a page may hold one. A string is an address. */
export type ImageSource =
  | string
  | URL
  | Blob
  | ImageBitmap
  | ImageData
  | HTMLImageElement
  | HTMLCanvasElement
  | HTMLVideoElement
  | OffscreenCanvas
  | VideoFrame;

export interface Classification {
  label: string;
  index: number;
  /** Probability, 0 to 1. */
  score: number;
}

/** Best first. */
export type Classifications = Classification[] & {
  /**
   * If asked for: int32 `[1, tokens]`, the row that each token ended in, -1 for none; tokens with the same row became one. Class
   * token and the like come first, then patches row by row.
   */
  tokenMap?: Tensor;
};

export interface ClassifyOptions extends CallOptions {
  /** How many labels; default 5. */
  topK?: number;
}

/** A turn of a conversation. */
export interface Message {
  /** `system`, `user` or `assistant`; a model's template may know others. */
  role: string;
  content: string;
}

/** How a text is continued, and where that ends. Steps of sampling come in the order of the fields. */
export interface GenerateOptions extends CallOptions {
  /** Default 256. */
  maxTokens?: number;
  /** Logits of tokens in the context are divided by this if positive, else multiplied. Default 1. */
  repetitionPenalty?: number;
  /** 0, the default: the likeliest token each time. */
  temperature?: number;
  /** So many of the likeliest tokens stay. Default 0: all. */
  topK?: number;
  /** The fewest likeliest tokens with this probability together stay. Default 1: all. */
  topP?: number;
  /** Tokens with this part of the likeliest one's probability stay. Default 0: all. */
  minP?: number;
  /** The same seed gives the same text. Default 0. */
  seed?: number;
  /** Texts before which the generated one ends. */
  stop?: string | readonly string[];
  /** So many texts grow side by side, and the likeliest is taken; it comes as one piece, without temperature, stop texts or
   * schema. Default 1: none; of captioners that are asked no question (MacCap) 4. */
  beams?: number;
  /** With beams: log-probabilities are divided by the number of tokens to this power. Default 1; above 0 longer texts gain. */
  lengthPenalty?: number;
  /** A JSON schema: the text is JSON that satisfies it, within `maxTokens`. */
  jsonSchema?: unknown;
}

export interface Generated {
  text: string;
  /** How many tokens the text has, with the one that ended it, and which. */
  tokens: number;
  ids: number[];
  promptTokens: number;
  /** Until the prompt was read; then until the end. */
  prefillMs: number;
  decodeMs: number;
  /** What the schema took of them; 0 without one. */
  constraintMs: number;
  /** By a token or text that ends texts, or because the schema admits nothing more; `context`: no more tokens fit the model. */
  end: 'stop' | 'max-tokens' | 'context';
}

/** What is asked about a picture, and how the answer is written. */
export interface DescribeOptions extends GenerateOptions {
  /** A question or task; written into the model's chat template, unless it has the model's own token for pictures. Default: to
   * describe the picture. */
  prompt?: string;
}

/**
 * Sound in any form a page may hold it. A string is an address; files are WAV, MP3, FLAC or Ogg Vorbis; `samples` are of one
 * channel, `rate` of them a second.
 */
export type AudioSource = string | URL | Blob | AudioBuffer | { samples: Float32Array; rate: number };

export interface HearOptions extends CallOptions {
  /** Says from when to when each part is spoken, also where one window of 30 s is enough. Default false. */
  timestamps?: boolean;
  /** The code of the language that is spoken, such as `de`; without, models of several languages find out. */
  language?: string;
  /** To English instead of the language that is spoken. Default false. */
  translate?: boolean;
  /** The same seed gives the same text. Default 0. */
  seed?: number;
}

/** A part of what is said. Written as a string it is its text. */
export interface Segment {
  /** Seconds from the beginning. */
  start: number;
  end: number;
  text: string;
}

export interface Transcript {
  text: string;
  /** The whole text in parts. Sound of one window without `timestamps` has one. */
  segments: Segment[];
  /** The text's tokens. */
  ids: number[];
  /** Seconds of sound that were heard. */
  seconds: number;
}
