import type { Calls, Context, Engine, Method, News } from './engine.ts';
import { FewbitError, throwIfAborted, toFewbitError, withSignal, type PlainError } from './errors.ts';

export type ToWorker = { id: number; method: Method; params: unknown } | { id: number; abort: true };
export type FromWorker =
  | { id: number; result: unknown }
  | { id: number; progress: News }
  /** `dead`: the module trapped, and its memory can no longer be trusted. */
  | { id: number; error: PlainError; dead: boolean };

/** Where an engine lives. `close` ends everything in flight; after `dead` a new backend is needed. */
export interface Backend {
  readonly dead: boolean;
  /** Whether it may keep models: the file access this needs exists in workers only. */
  readonly canCache: boolean;
  call<M extends Method>(
    method: M,
    params: Calls[M]['params'],
    context: Context,
    transfer?: Transferable[],
  ): Promise<Calls[M]['result']>;
  close(): void;
}

/** Where a build's engines come from. Bundlers look for the literal addresses in these functions. */
export interface Home {
  newWorker(): Worker;
  newEngine(): Promise<Engine>;
}

/** An engine in a worker of its own, or in the page where workers are not wanted or not allowed. */
export async function newBackend(worker: boolean, home: Home): Promise<Backend> {
  if (worker && typeof Worker !== 'undefined') {
    const backend = await WorkerBackend.start(home);
    if (backend) return backend;
  }
  return new PageBackend(await home.newEngine());
}

class PageBackend implements Backend {
  dead = false;
  readonly canCache = false;

  constructor(private readonly engine: Engine) {}

  async call<M extends Method>(method: M, params: Calls[M]['params'], context: Context): Promise<Calls[M]['result']> {
    try {
      return await withSignal(this.engine.call(method, params, context), context.signal);
    } catch (error) {
      const known = toFewbitError(error);
      if (known.cause instanceof WebAssembly.RuntimeError) this.dead = true;
      throw known;
    }
  }

  close(): void {
    this.dead = true;
    this.engine.dispose();
  }
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: FewbitError): void;
  onProgress(news: News): void;
}

class WorkerBackend implements Backend {
  dead = false;
  readonly canCache = true;
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;

  private constructor(private readonly worker: Worker) {
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(data);
    worker.onerror = (event) => this.fail(new FewbitError('bad-model', event.message || 'the worker stopped'));
  }

  /** `undefined` if the browser or the page's security policy refuses the worker. */
  static start(home: Home): Promise<WorkerBackend | undefined> {
    return new Promise((resolve) => {
      let worker: Worker;
      try {
        worker = home.newWorker();
      } catch {
        resolve(undefined);
        return;
      }
      worker.onmessage = () => resolve(new WorkerBackend(worker));
      worker.onerror = () => {
        worker.terminate();
        resolve(undefined);
      };
    });
  }

  call<M extends Method>(
    method: M,
    params: Calls[M]['params'],
    context: Context,
    transfer: Transferable[] = [],
  ): Promise<Calls[M]['result']> {
    const { signal } = context;
    const id = this.nextId++;
    const work = new Promise<unknown>((resolve, reject) => {
      throwIfAborted(signal);
      this.pending.set(id, { resolve, reject, onProgress: context.onProgress });
      this.worker.postMessage({ id, method, params } satisfies ToWorker, transfer);
    });
    const stop = () => this.worker.postMessage({ id, abort: true } satisfies ToWorker);
    signal?.addEventListener('abort', stop, { once: true });
    const settled = work.finally(() => {
      this.pending.delete(id);
      signal?.removeEventListener('abort', stop);
    });
    return withSignal(settled, signal) as Promise<Calls[M]['result']>;
  }

  close(): void {
    this.fail(new FewbitError('usage', 'the model was disposed of'));
  }

  private receive(message: FromWorker): void {
    const call = this.pending.get(message.id);
    if (!call) return;
    if ('progress' in message) call.onProgress(message.progress);
    else if ('result' in message) call.resolve(message.result);
    else {
      call.reject(toFewbitError(message.error));
      if (message.dead) this.fail(toFewbitError(message.error));
    }
  }

  private fail(error: FewbitError): void {
    this.dead = true;
    this.worker.terminate();
    for (const call of this.pending.values()) call.reject(error);
  }
}
