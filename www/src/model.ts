import { resolve } from './address.ts';
import { newBackend, type Backend, type Home } from './backend.ts';
import type { Calls, Method, News, OpenParams } from './engine.ts';
import { FewbitError, throwIfAborted, toFewbitError } from './errors.ts';
import { sent } from './reduction.ts';
import type { CallOptions, LoadOptions, ModelInfo, Tensors, TokenReduction, TokensOptions, TuneOptions } from './types.ts';

/** Where a model comes from: an address, or a file that the user picked. */
export type ModelSource = string | URL | Blob;

/** @internal The build for all tasks but text. */
export const small: Home = {
  newWorker: () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module' }),
  newEngine: async () => (await import('./small.ts')).newEngine(),
};

/**
 * Loads a `.fewbit` or ONNX model.
 *
 * @throws FewbitError with code `network`, `integrity`, `bad-model`, `unsupported`, `out-of-memory` or `aborted`.
 */
export function load(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  return loadAt(small, source, options);
}

/** @internal Like {@link load}, with a build's engines. Those of the other build reduce tokens. */
export async function loadAt(home: Home, source: ModelSource, options: LoadOptions): Promise<Model> {
  const { tokens = 'none', tokenMap = false } = options;
  const { signal, onProgress = () => {}, worker = true, cache = 'opfs', device = 'auto', sha256, activations = 'f32', tuned = true } = options;
  check('device', device, ['auto', 'webgpu', 'wasm']);
  check('cache', cache, ['opfs', 'none']);
  check('activations', activations, ['f32', 'int8']);
  throwIfAborted(signal);
  const address = source instanceof Blob ? source : resolve(source);
  const params: OpenParams = { source: address, device, cache, sha256, tuned };
  if (tokens !== 'none') {
    params.tokens = sent(tokens, Boolean(tokenMap));
    const built = await import('./text.ts').catch((error: unknown) => Promise.reject(toFewbitError(error, 'network')));
    home = built.home;
  }
  const start = (context: OpenContext) => open(params, worker, home, context);
  return Model.open(start, params, { signal, onProgress: onProgress as (news: News) => void });
}

interface OpenContext {
  signal: AbortSignal | undefined;
  onProgress: (news: News) => void;
}

type Start = (context: OpenContext) => Promise<{ backend: Backend; info: ModelInfo }>;

/** A loaded model. Calls are carried out in order; each may be aborted, and the model stays usable. */
export class Model {
  /** What the model is and where it runs; renewed with every call. */
  info: ModelInfo;

  private constructor(
    private backend: Backend | undefined,
    private readonly start: Start,
    private readonly params: OpenParams,
    info: ModelInfo,
  ) {
    this.info = info;
  }

  /** @internal */
  static async open(start: Start, params: OpenParams, context: OpenContext): Promise<Model> {
    const { backend, info } = await start(context);
    return new Model(backend, start, params, info);
  }

  /**
   * Runs the graph on named inputs.
   *
   * @throws FewbitError with code `usage` when names, types or sizes do not fit the model.
   */
  async run(inputs: Tensors, options: CallOptions = {}): Promise<Tensors> {
    return (await this.call('run', { inputs }, options)).outputs;
  }

  /**
   * Times the variants of every GPU kernel on these inputs and takes the fastest from then on, for these sizes: some
   * dozens of runs per product. With the worker and the cache, later loads on this GPU take them over. Other variants add
   * in another order: results differ in the last bits. Resolves to how many products had a choice.
   *
   * @throws FewbitError with code `unsupported` in WebAssembly, and whatever {@link run} throws.
   */
  async tune(inputs: Tensors, options: TuneOptions = {}): Promise<number> {
    return (await this.call('tune', { inputs }, options)).tuned;
  }

  /**
   * Reduces tokens in another way from the next call on. For models that were loaded with `tokens`; `tome:0` reduces nothing.
   *
   * @throws FewbitError with code `usage` for other models, and for what is no way to reduce tokens.
   */
  async setTokens(tokens: TokenReduction, { tokenMap = false, ...options }: TokensOptions = {}): Promise<void> {
    if (!this.params.tokens) throw new FewbitError('usage', 'tokens can be reduced in a model that was loaded with `tokens`');
    const params = sent(tokens, Boolean(tokenMap));
    await this.call('reduce', params, options);
    // A new engine begins with it.
    this.params.tokens = params;
  }

  /** @internal Also starts a new engine if the old one broke down. */
  async call<M extends Exclude<Method, 'open'>>(
    method: M,
    params: Calls[M]['params'],
    { signal, onProgress = () => {} }: CallOptions & { onProgress?: (news: never) => void },
    transfer: Transferable[] = [],
  ): Promise<Calls[M]['result']> {
    if (!this.backend) throw new FewbitError('usage', 'the model was disposed of');
    throwIfAborted(signal);
    if (this.backend.dead) {
      const context = { signal, onProgress: () => {} };
      this.backend = (await this.start(context)).backend;
    }
    const result = await this.backend.call(method, params, { signal, onProgress: onProgress as (news: News) => void }, transfer);
    this.info = result.info;
    return result;
  }

  /** Frees the memory on all sides. Calls in flight reject. */
  async dispose(): Promise<void> {
    this.backend?.close();
    this.backend = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

async function open(
  params: OpenParams,
  worker: boolean,
  home: Home,
  context: OpenContext,
): Promise<{ backend: Backend; info: ModelInfo }> {
  const backend = await newBackend(worker, home);
  try {
    const cache = backend.canCache ? params.cache : 'none';
    return { backend, info: await backend.call('open', { ...params, cache }, context) };
  } catch (error) {
    backend.close();
    throw toFewbitError(error);
  }
}

function check(name: string, value: string, allowed: string[]): void {
  if (allowed.includes(value)) return;
  throw new FewbitError('usage', `option \`${name}\` is ${value}; it may be ${allowed.join(', ')}`);
}
