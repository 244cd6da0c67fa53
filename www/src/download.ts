import { FewbitError, aborted, throwIfAborted, toFewbitError } from './errors.ts';
import { Store, blockHashes, type Note, type Writer } from './store.ts';
import { macrotask } from './turn.ts';
import type { Progress } from './types.ts';

/** Receives the file in order. Its hash covers what was pushed with `hashed`. */
export interface Sink {
  push(chunk: Uint8Array, hashed: boolean): void;
  sha256(): string;
}

export interface Source {
  /** Address, and name in messages and progress. */
  url: string;
  cache: 'opfs' | 'none';
  sha256: string | undefined;
  signal: AbortSignal | undefined;
  onProgress: (progress: Progress) => void;
}

/** A broken connection is taken up again this often, after a pause that doubles. */
const RETRIES = 3;
const FIRST_PAUSE_MS = 250;
/** Progress is told at most this often, and at the end. */
const PROGRESS_MS = 50;
/** How long the server has to say whether a cached model is still the current one. */
const FRESH_MS = 4000;

/**
 * Brings a model into a sink: from the cache if it is there, whole and current, else from the network, going on where
 * an earlier download stopped. `newSink` is called again when what came first turns out to be of no use; the cache is looked
 * through before it is awaited.
 */
export async function download<S extends Sink>(source: Source, newSink: () => Promise<S>): Promise<S> {
  const store = source.cache === 'opfs' ? await Store.open(source.url) : undefined;
  const cached = await store?.read();
  throwIfAborted(source.signal);
  if (store && cached?.note.blocks) {
    const sink = await fromCache(source, store, cached.file, cached.note, newSink);
    if (sink) return sink;
    await store.remove();
  }
  // Without a version nobody can say that the rest on the server belongs to the part that is here.
  let partial = cached && !cached.note.sha256 && cached.note.version ? cached : undefined;
  for (let starts = 0; starts <= RETRIES; starts++) {
    const sink = await newSink();
    if (await attempt(source, sink, store, partial)) return sink;
    // The server has another version than the part that was here: from the start.
    partial = undefined;
  }
  throw new FewbitError('network', `${source.url}: the file on the server changes while it is downloaded`);
}

/** A file that the user picked. */
export async function readBlob<S extends Sink>(blob: Blob, source: Omit<Source, 'url' | 'cache'>, sink: S): Promise<S> {
  const file = blob instanceof File ? blob.name : 'model';
  const progress = reporter({ url: file, onProgress: source.onProgress }, 'cache', blob.size);
  const take = (chunk: Uint8Array<ArrayBuffer>) => sink.push(chunk, source.sha256 !== undefined);
  await pipe(blob.stream(), take, progress, source.signal);
  progress.end();
  checkHash(file, source.sha256, sink.sha256());
  return sink;
}

/** The cached file, unless the server has a newer one or the bytes are damaged. Works offline. */
async function fromCache<S extends Sink>(
  source: Source,
  store: Store,
  file: File,
  note: Note,
  newSink: () => Promise<S>,
): Promise<S | undefined> {
  if (source.sha256 && note.sha256 !== source.sha256.toLowerCase()) return undefined;
  if (await isStale(source, note)) return undefined;
  const sink = await newSink();
  const blocks = blockHashes();
  const take = (chunk: Uint8Array<ArrayBuffer>) => {
    blocks.add(chunk);
    sink.push(chunk, false);
  };
  const progress = reporter(source, 'cache', file.size);
  const piece = async (chunk: Uint8Array<ArrayBuffer>) => {
    take(chunk);
    progress.add(chunk.length);
    await macrotask();
    throwIfAborted(source.signal);
  };
  try {
    if (!(await store.pieces(piece))) await pipe(file.stream(), take, progress, source.signal);
  } catch {
    // Bytes that no loader takes are damaged bytes.
    throwIfAborted(source.signal);
    return undefined;
  }
  progress.end();
  return String(await blocks.end()) === String(note.blocks) ? sink : undefined;
}

async function isStale(source: Source, note: Note): Promise<boolean> {
  // A file named by its hash cannot change.
  if (source.sha256 || !note.version) return false;
  const limit = AbortSignal.timeout(FRESH_MS);
  const signal = source.signal ? AbortSignal.any([source.signal, limit]) : limit;
  try {
    const response = await fetch(source.url, { method: 'HEAD', signal });
    return response.ok && versionOf(response) !== '' && versionOf(response) !== note.version;
  } catch {
    throwIfAborted(source.signal);
    return false;
  }
}

/** Downloads into the sink; `false` if the stored part belongs to another version. */
async function attempt(
  source: Source,
  sink: Sink,
  store: Store | undefined,
  partial: { file: File; note: Note } | undefined,
): Promise<boolean> {
  const state = { received: 0, total: 0, version: '' };
  const progress = reporter(source, 'download', 0);
  const blocks = store && blockHashes();
  const take = (chunk: Uint8Array<ArrayBuffer>) => {
    sink.push(chunk, true);
    blocks?.add(chunk);
  };
  let writer: Writer | undefined;
  if (partial) {
    Object.assign(state, { total: partial.note.total, version: partial.note.version });
    try {
      await pipe(partial.file.stream(), take, progress, source.signal);
    } catch {
      throwIfAborted(source.signal);
      return false;
    }
    state.received = partial.file.size;
  }
  try {
    for (let tries = 0, pause = FIRST_PAUSE_MS; ; tries++, pause *= 2) {
      try {
        if (state.total > 0 && state.received === state.total) break;
        const response = await request(source, state.received);
        const version = versionOf(response);
        const resumed = state.received > 0;
        if (resumed && (response.status !== 206 || version !== state.version)) {
          await response.body?.cancel();
          return false;
        }
        state.total = totalOf(response, state.received);
        state.version = version;
        progress.total = state.total;
        if (!writer && store) writer = await openWriter(store, source.url, state);
        const keep = (chunk: Uint8Array<ArrayBuffer>) => {
          take(chunk);
          try {
            writer?.write(chunk);
          } catch {
            // No room: go on without the cache.
            writer?.close();
            writer = undefined;
            void store?.remove();
          }
          state.received += chunk.length;
        };
        if (response.body) await pipe(response.body, keep, progress, source.signal);
        if (state.received < state.total) throw new TypeError(`the connection closed after ${state.received} bytes`);
        break;
      } catch (error) {
        if (source.signal?.aborted) throw aborted();
        // What the loader refuses must not be the beginning of the next attempt.
        if (toFewbitError(error, 'network').code !== 'network' && state.received > 0) await discard(store, writer);
        // `fetch` and its streams report every network trouble as a TypeError.
        if (!(error instanceof TypeError) || tries === RETRIES || (state.received > 0 && state.version === '')) {
          throw error instanceof TypeError ? networkError(source.url, error) : error;
        }
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  } finally {
    writer?.close();
  }
  progress.end();
  const sha256 = sink.sha256();
  try {
    checkHash(source.url, source.sha256, sha256);
  } catch (error) {
    await store?.remove();
    throw error;
  }
  if (writer && store && blocks) {
    const note = { url: source.url, version: state.version, total: state.received, sha256, blocks: await blocks.end() };
    await store.writeNote(note).catch(() => {});
  }
  return true;
}

async function discard(store: Store | undefined, writer: Writer | undefined): Promise<void> {
  writer?.close();
  await store?.remove();
}

async function openWriter(
  store: Store,
  url: string,
  state: { received: number; total: number; version: string },
): Promise<Writer | undefined> {
  try {
    if (state.received === 0) await store.writeNote({ url, version: state.version, total: state.total });
    return await store.writer(state.received);
  } catch {
    // Another tab is writing the same model, or the storage is closed to us.
    return undefined;
  }
}

async function request(source: Source, from: number): Promise<Response> {
  const init: RequestInit = { ...(source.signal && { signal: source.signal }) };
  if (from > 0) {
    init.headers = { Range: `bytes=${from}-` };
    // The browser's own cache may hold a part too, and would ask for another range than this.
    init.cache = 'no-store';
  }
  const response = await fetch(source.url, init);
  // 416: the file is shorter than what is there, so it is another file.
  if (!response.ok && !(from > 0 && response.status === 416)) {
    throw new FewbitError('network', `${source.url}: HTTP status ${response.status}; check the address`);
  }
  return response;
}

async function pipe(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (chunk: Uint8Array<ArrayBuffer>) => void,
  progress: Reporter,
  signal: AbortSignal | undefined,
): Promise<void> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      throwIfAborted(signal);
      if (done) return;
      take(value);
      progress.add(value.length);
    }
  } catch (error) {
    await reader.cancel().catch(() => {});
    throw error;
  }
}

/** Bytes of the whole file; 0 when unknown, which includes every compressed transfer. */
function totalOf(response: Response, from: number): number {
  const encoding = response.headers.get('content-encoding');
  if (encoding && encoding !== 'identity') return 0;
  return from + Number(response.headers.get('content-length') ?? -from);
}

function versionOf(response: Response): string {
  return response.headers.get('etag') ?? response.headers.get('last-modified') ?? '';
}

function checkHash(file: string, expected: string | undefined, found: string): void {
  if (!expected || expected.toLowerCase() === found) return;
  throw new FewbitError('integrity', `${file}: its SHA-256 is ${found}, expected ${expected.toLowerCase()}`);
}

function networkError(url: string, cause: unknown): FewbitError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new FewbitError('network', `${url}: the download failed (${why}); check the address and the connection`, {
    cause,
  });
}

interface Reporter {
  total: number;
  add(bytes: number): void;
  end(): void;
}

function reporter(source: Pick<Source, 'url' | 'onProgress'>, stage: 'download' | 'cache', total: number): Reporter {
  let loaded = 0;
  let last = 0;
  const tell = () => source.onProgress({ stage, loaded, total: self.total, file: source.url });
  const self: Reporter = {
    total,
    add(bytes) {
      loaded += bytes;
      const now = performance.now();
      if (now - last < PROGRESS_MS) return;
      last = now;
      tell();
    },
    end() {
      if (self.total === 0) self.total = loaded;
      tell();
    },
  };
  return self;
}
