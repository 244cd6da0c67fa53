import type { Calls, Engine, Method } from './engine.ts';
import { toFewbitError } from './errors.ts';
import type { FromWorker, ToWorker } from './backend.ts';
import { buffersOf } from './tensors.ts';

const running = new Map<number, AbortController>();

const reply = (message: FromWorker, transfer: Transferable[] = []) =>
  (self as unknown as { postMessage(message: FromWorker, transfer: Transferable[]): void }).postMessage(message, transfer);

/** Answers the page's calls with `engine`. */
export function serve(engine: Engine): void {
  self.onmessage = async ({ data }: MessageEvent<ToWorker>) => {
    const { id } = data;
    if ('abort' in data) {
      running.get(id)?.abort();
      return;
    }
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const result = await engine.call(data.method as Method, data.params as Calls[Method]['params'], {
        signal: controller.signal,
        onProgress: (progress) => reply({ id, progress }),
      });
      const moved = data.method === 'run' ? buffersOf((result as Calls['run']['result']).outputs) : [];
      reply({ id, result }, moved);
    } catch (error) {
      const { code, message, cause } = toFewbitError(error);
      reply({ id, error: { code, message }, dead: cause instanceof WebAssembly.RuntimeError });
    } finally {
      running.delete(id);
    }
  };

  reply({ id: 0, result: 'ready' });
}
