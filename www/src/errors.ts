/** What went wrong, in words that do not change between versions. */
export type FewbitErrorCode =
  | 'unsupported'
  | 'bad-model'
  | 'network'
  | 'integrity'
  | 'out-of-memory'
  | 'device-lost'
  | 'aborted'
  | 'usage';

/** Every rejection of this package. `code` is for programs, `message` for people. */
export class FewbitError extends Error {
  readonly code: FewbitErrorCode;

  constructor(code: FewbitErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'FewbitError';
    this.code = code;
  }
}

/** The form an error takes between worker and page: class instances do not survive structured cloning. */
export interface PlainError {
  code: FewbitErrorCode;
  message: string;
}

/** An error of any origin as a `FewbitError`; `fallback` is the code for errors that carry none. */
export function toFewbitError(error: unknown, fallback: FewbitErrorCode = 'unsupported'): FewbitError {
  if (error instanceof FewbitError) return error;
  // Another bundle of this package has a class of its own.
  if (error instanceof Error && error.name === 'FewbitError') {
    return new FewbitError((error as FewbitError).code, error.message, { cause: error.cause });
  }
  if (isPlain(error)) return new FewbitError(error.code, error.message);
  if (error instanceof Error) {
    if (error.name === 'AbortError') return aborted();
    if (error instanceof RangeError) {
      return new FewbitError('out-of-memory', `out of memory: ${error.message}`, { cause: error });
    }
    return new FewbitError(fallback, error.message, { cause: error });
  }
  return new FewbitError(fallback, String(error));
}

export function aborted(): FewbitError {
  return new FewbitError('aborted', 'aborted by the caller');
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted();
}

/** Settles like `work`, or rejects with `aborted` as soon as the signal fires, whichever comes first. */
export function withSignal<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const stop = () => reject(aborted());
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

function isPlain(error: unknown): error is PlainError {
  return (
    typeof error === 'object' &&
    error !== null &&
    typeof (error as PlainError).code === 'string' &&
    typeof (error as PlainError).message === 'string' &&
    // A DOMException has both fields too, but its code is a number.
    !(error instanceof Error)
  );
}
