/**
 * Models in the browser's private file system (OPFS), one data file and one note a model. Sync access handles write
 * through at once, so what a closed tab had received is there for the next visit to go on from; they exist in dedicated
 * workers only.
 */

/** What is written beside the bytes. */
export interface Note {
  url: string;
  /** How the server identifies this version: entity tag, else modification date, else empty. */
  version: string;
  /** Bytes of the whole file; 0 = unknown. */
  total: number;
  /** Set when the file is whole and was what it should be: its hash, and those of its blocks in order. */
  sha256?: string;
  blocks?: string[];
}

/** The part of the worker-only interface that is used here; the `dom` types leave it out. */
interface SyncHandle {
  read(into: Uint8Array, options: { at: number }): number;
  write(data: Uint8Array, options?: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}
type Handle = FileSystemFileHandle & { createSyncAccessHandle?: (options?: { mode: 'read-only' }) => Promise<SyncHandle> };

const FOLDER = 'fewbit-models';

/**
 * Bytes of a block. Blocks are hashed by the browser, on another thread and with instructions that WebAssembly has not; it
 * copies each, into memory that it has at hand for pieces below 1 MiB.
 */
const BLOCK = 1 << 19;
/** Bytes that are read at once. Where nothing is kept on disk each read asks another process. */
const PIECE = 8 * BLOCK;

/** SHA-256 in hexadecimal. Exists wherever a store does: both are for secure contexts only. */
async function hash(bytes: BufferSource): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest].map((b) => b.toString(16).padStart(2, '0')).join('');
}

/** Hashes the blocks of a file that comes in pieces. */
export function blockHashes() {
  const hashes: Promise<string>[] = [];
  const block = new Uint8Array(BLOCK);
  let filled = 0;
  const next = () => {
    // The browser takes a copy at once.
    hashes.push(hash(block.subarray(0, filled)));
    filled = 0;
  };
  return {
    add(chunk: Uint8Array<ArrayBuffer>): void {
      while (chunk.length > 0) {
        if (filled === 0 && chunk.length >= BLOCK) {
          hashes.push(hash(chunk.subarray(0, BLOCK)));
          chunk = chunk.subarray(BLOCK);
          continue;
        }
        const part = chunk.subarray(0, BLOCK - filled);
        block.set(part, filled);
        filled += part.length;
        chunk = chunk.subarray(part.length);
        if (filled === BLOCK) next();
      }
    },
    end(): Promise<string[]> {
      if (filled > 0) next();
      return Promise.all(hashes);
    },
  };
}

export class Store {
  private constructor(
    private readonly folder: FileSystemDirectoryHandle,
    private readonly name: string,
  ) {}

  /** The place of one model; `undefined` where this browser, or its private mode, has none. */
  static async open(url: string): Promise<Store | undefined> {
    try {
      if (!('createSyncAccessHandle' in FileSystemFileHandle.prototype)) return undefined;
      const root = await navigator.storage.getDirectory();
      const folder = await root.getDirectoryHandle(FOLDER, { create: true });
      return new Store(folder, (await hash(new TextEncoder().encode(url))).slice(0, 32));
    } catch {
      return undefined;
    }
  }

  /** The bytes that are there and their note; `undefined` if there are none or the note is not readable. */
  async read(): Promise<{ file: File; note: Note } | undefined> {
    try {
      const note = JSON.parse(await (await this.file('.json')).text()) as Note;
      return { file: await this.file('.bin'), note };
    } catch {
      return undefined;
    }
  }

  async writeNote(note: Note): Promise<void> {
    const sink = await this.sink('.json');
    try {
      sink.truncate(0);
      sink.write(new TextEncoder().encode(JSON.stringify(note)), { at: 0 });
      sink.flush();
    } finally {
      sink.close();
    }
  }

  /** Opens the data file for writing from byte `offset`; fails while another tab writes it. */
  async writer(offset: number): Promise<Writer> {
    const sink = await this.sink('.bin');
    sink.truncate(offset);
    return new Writer(sink, offset);
  }

  /**
   * Calls `take` with the data file's bytes in order, each piece to be used before `take` returns, until that rejects. Streams
   * of files take five times as long. `false`, before the first piece, while another tab has the file.
   */
  async pieces(take: (piece: Uint8Array<ArrayBuffer>) => Promise<void>): Promise<boolean> {
    const source = await this.sink('.bin', { mode: 'read-only' }).catch(() => undefined);
    if (!source) return false;
    try {
      const piece = new Uint8Array(PIECE);
      for (let at = 0, read: number; (read = source.read(piece, { at })) > 0; at += read) await take(piece.subarray(0, read));
      return true;
    } finally {
      source.close();
    }
  }

  async remove(): Promise<void> {
    for (const extension of ['.json', '.bin']) await this.folder.removeEntry(this.name + extension).catch(() => {});
  }

  private async file(extension: string): Promise<File> {
    return (await this.folder.getFileHandle(this.name + extension)).getFile();
  }

  private async sink(extension: string, options?: { mode: 'read-only' }): Promise<SyncHandle> {
    const handle: Handle = await this.folder.getFileHandle(this.name + extension, { create: true });
    if (!handle.createSyncAccessHandle) throw new Error('sync access handles exist in workers only');
    return handle.createSyncAccessHandle(options);
  }
}

export class Writer {
  private closed = false;

  constructor(
    private readonly sink: SyncHandle,
    private offset: number,
  ) {}

  write(chunk: Uint8Array): void {
    const written = this.sink.write(chunk, { at: this.offset });
    if (written !== chunk.length) throw new DOMException('the storage is full', 'QuotaExceededError');
    this.offset += written;
  }

  /** May be called again. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.sink.flush();
    this.sink.close();
  }
}
