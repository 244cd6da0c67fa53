import type * as Glue from '../pkg/fewbit.js';
import { chooseDevice, type Choice } from './devices.ts';
import { download, readBlob } from './download.ts';
import { FewbitError, throwIfAborted, toFewbitError, type FewbitErrorCode } from './errors.ts';
import { toPixels, type SentImage } from './image.ts';
import type { SentReduction } from './reduction.ts';
import type { SentSound } from './sound.ts';
import { askForSubgroups } from './subgroups.ts';
import { fromWire, toWire } from './tensors.ts';
import { keep, kept, tune } from './tune.ts';
import { macrotask } from './turn.ts';
import type { Classification, Device, Generated, ModelInfo, Progress, Segment, Tensor, Tensors, Transcript } from './types.ts';

/** The calls an engine answers, as they cross to a worker. */
export interface Calls {
  open: { params: OpenParams; result: ModelInfo };
  run: { params: { inputs: Tensors }; result: { outputs: Tensors; info: ModelInfo } };
  tune: { params: { inputs: Tensors }; result: { tuned: number; info: ModelInfo } };
  /** `tokenMap`: of the build with text and speech only. */
  classify: {
    params: { image: SentImage; topK: number };
    result: { labels: Classification[]; info: ModelInfo; tokenMap?: Tensor | undefined };
  };
  /** The same. */
  reduce: { params: SentReduction; result: { info: ModelInfo } };
  /** The same. `request`: JSON as `src/js/text.rs` reads it. */
  generate: { params: { request: string }; result: { generated: Generated; info: ModelInfo } };
  /** The same; as `src/js/describe.rs` reads it. */
  describe: { params: { request: string; image: SentImage }; result: { generated: Generated; info: ModelInfo } };
  /** The same; as `src/js/speech.rs` reads it. */
  hear: { params: { request: string; sound: SentSound }; result: { transcript: Transcript; info: ModelInfo } };
}
export type Method = keyof Calls;

export interface OpenParams {
  source: string | Blob;
  device: Device;
  cache: 'opfs' | 'none';
  sha256: string | undefined;
  tuned: boolean;
  /** Of the build with text and speech only. */
  tokens?: SentReduction;
}

/** What a call tells before it ends: how far it is, or a piece of a text. */
export type News = Progress | string | Segment;

export interface Context {
  signal: AbortSignal | undefined;
  onProgress: (news: News) => void;
}

type Model = Glue.Model;

/** A build of the crate. Its WebAssembly is loaded once. */
export interface Build {
  /** @internal The package has no types of its WebAssembly. */
  glue: Pick<typeof Glue, 'default' | 'Loader' | 'lastPanic' | 'setBreath' | 'setSubgroups'>;
  address: URL;
  loading?: Promise<unknown> | undefined;
}

/** Loads the module. A failure is not kept: the next call tries again. */
export function ready(build: Build): Promise<unknown> {
  const { glue, address } = build;
  build.loading ??= glue.default({ module_or_path: address }).then(
    () => {
      glue.setBreath(breathe);
      askForSubgroups(glue.setSubgroups);
    },
    (error: unknown) => {
      build.loading = undefined;
      throw toFewbitError(error, error instanceof TypeError ? 'network' : 'unsupported');
    },
  );
  return build.loading;
}

/** Settles when the last call that computes has ended, and the signal of the one that does. */
let turns: Promise<unknown> = Promise.resolve();
let computing: AbortSignal | undefined;

/** Awaited by the module every few milliseconds: lets messages in, an abort among them. */
async function breathe(): Promise<void> {
  const signal = computing;
  await macrotask();
  throwIfAborted(signal);
}

/** One model and its device. Lives in a worker, or in the page when no worker is wanted. */
export class Engine {
  private model: Model | undefined;
  private params: OpenParams | undefined;
  private file = '';
  private choice: Choice = { kind: 'wasm', reason: '' };
  /** Calls run one after the other: a session has one arena. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(protected readonly build: Build) {}

  call<M extends Method>(method: M, params: Calls[M]['params'], context: Context): Promise<Calls[M]['result']> {
    const work = this.last.then(async () => {
      throwIfAborted(context.signal);
      try {
        return await this.answer(method, params, context);
      } catch (error) {
        throw this.fromWasm(error);
      }
    });
    this.last = work.catch(() => {});
    return work as Promise<Calls[M]['result']>;
  }

  protected answer(method: Method, params: unknown, context: Context): Promise<unknown> {
    switch (method) {
      case 'open':
        return this.open(params as OpenParams, context);
      case 'run':
        return this.run(params as Calls['run']['params'], context);
      case 'tune':
        return this.tune(params as Calls['tune']['params'], context);
      default:
        return this.classify(params as Calls['classify']['params'], context);
    }
  }

  dispose(): void {
    this.model?.free();
    this.model = undefined;
  }

  protected async open(params: OpenParams, context: Context): Promise<ModelInfo> {
    const { source, device, cache, sha256 } = params;
    // The module, the device and the model come at the same time.
    const choosing = chooseDevice(device);
    const compiled = ready(this.build);
    compiled.catch(() => {});
    const request = { sha256, signal: context.signal, onProgress: context.onProgress };
    const file = typeof source === 'string' ? source : source instanceof File ? source.name : 'model';
    const newLoader = async () => {
      await compiled;
      return new this.build.glue.Loader(file);
    };
    const loader =
      typeof source === 'string'
        ? await download({ url: source, cache, ...request }, newLoader)
        : await readBlob(source, request, await newLoader());
    throwIfAborted(context.signal);
    this.dispose();
    this.params = params;
    this.file = file;
    this.choice = await choosing;
    const bytes = loader.bytes();
    context.onProgress({ stage: 'compile', loaded: 0, total: bytes, file });
    this.model = loader.finish();
    await this.attach();
    context.onProgress({ stage: 'ready', loaded: bytes, total: bytes, file });
    return this.info();
  }

  /** Puts the model on the chosen device. `auto` falls back to WebAssembly, and says so. */
  private async attach(): Promise<void> {
    const model = this.opened();
    try {
      await model.attach(this.choice.kind);
    } catch (error) {
      const plain = this.fromWasm(error);
      if (this.choice.kind === 'wasm' || this.params?.device !== 'auto') {
        throw this.choice.kind === 'wasm' ? plain : new FewbitError('unsupported', plain.message, { cause: plain });
      }
      this.choice = { kind: 'wasm', reason: `WebGPU failed here: ${plain.message}` };
      await model.attach('wasm');
    }
    if (this.params?.tuned && this.keeps()) model.choose(await kept());
  }

  private async run(params: Calls['run']['params'], context: Context): Promise<Calls['run']['result']> {
    const outputs = await this.computing(context, (model) => model.run(toWire(params.inputs)));
    return { outputs: fromWire(outputs), info: this.info() };
  }

  private async tune({ inputs }: Calls['tune']['params'], context: Context): Promise<Calls['tune']['result']> {
    if (this.choice.kind === 'wasm') throw new FewbitError('unsupported', 'only the kernels of a GPU can be tuned');
    const run = () => this.computing(context, (model) => model.run(toWire(inputs)));
    const onTried = (loaded: number, total: number) => context.onProgress({ stage: 'tune', loaded, total, file: this.file });
    const lines = await tune(this.opened(), run, onTried);
    if (this.keeps()) await keep(lines);
    return { tuned: lines.length, info: this.info() };
  }

  /** Whether choices outlive this engine. */
  private keeps(): boolean {
    return this.choice.kind === 'webgpu' && this.params?.cache === 'opfs';
  }

  protected async classify(params: Calls['classify']['params'], context: Context): Promise<Calls['classify']['result']> {
    const { rgba, width, height } = await toPixels(params.image, context.signal);
    const labels = await this.computing(context, (model) => model.classify(rgba, width, height, params.topK));
    return { labels: labels as Classification[], info: this.info() };
  }

  /** @internal Computes; a device that was lost and could not be opened again is replaced, and the call repeated once. */
  protected async computing<T>(context: Context, work: (model: Model) => Promise<T>): Promise<T> {
    try {
      return await this.turn(context, work);
    } catch (error) {
      if (this.fromWasm(error).code !== 'device-lost') throw error;
      throwIfAborted(context.signal);
      await this.attach();
      return this.turn(context, work);
    }
  }

  /** One call inside the module, alone: the engines of a page share it. */
  private turn<T>(context: Context, work: (model: Model) => Promise<T>): Promise<T> {
    const mine = turns.then(() => {
      throwIfAborted(context.signal);
      computing = context.signal;
      return work(this.opened());
    });
    turns = mine.catch(() => {}).then(() => (computing = undefined));
    return mine;
  }

  /** @internal The package has no types of its WebAssembly. */
  protected opened(): Model {
    if (!this.model) throw new FewbitError('usage', 'the model was disposed of, or never loaded');
    return this.model;
  }

  protected info(): ModelInfo {
    const info = JSON.parse(this.opened().info()) as ModelInfo;
    return { ...info, device: this.choice.kind, reason: this.choice.reason };
  }

  /** An error from the module. A trap is a panic, whose message was kept, or an allocation that failed. */
  private fromWasm(error: unknown): FewbitError {
    if (!(error instanceof WebAssembly.RuntimeError)) return toFewbitError(error);
    const panic = this.build.glue.lastPanic();
    const code: FewbitErrorCode = panic ? 'bad-model' : 'out-of-memory';
    return new FewbitError(code, panic ?? 'WebAssembly ran out of memory', { cause: error });
  }
}
