import { pipeline, type Device, type LoadOptions, type Pipelines } from '../src/index.ts';
import { element, showError, showInfo, showProgress } from './view.ts';

/** A pipeline that is loaded when it is first needed, again after a failure, and anew for another device or model. */
export class Opener<T extends keyof Pipelines> {
  private opening: Promise<Pipelines[T]> | undefined;
  private loading: AbortController | undefined;

  constructor(
    private readonly task: T,
    private source: string | Blob | undefined,
    private readonly fail: (error: unknown) => void,
    private readonly options: LoadOptions = {},
  ) {}

  /** Whether there is a model to load. */
  get chosen(): boolean {
    return this.source !== undefined;
  }

  open(): Promise<Pipelines[T]> {
    if (this.opening) return this.opening;
    this.loading = new AbortController();
    const { signal } = this.loading;
    showError(undefined);
    showProgress({ stage: 'compile', loaded: 0, total: 0, file: '' });
    const onProgress = (progress: Parameters<typeof showProgress>[0]) => {
      if (!signal.aborted) showProgress(progress);
    };
    const mine = pipeline(this.task, this.source, { ...this.options, device: selectedDevice(), signal, onProgress });
    mine.then(
      (ready) => showInfo(ready.info),
      (error: unknown) => {
        if (!signal.aborted) this.fail(error);
        // The next call tries again.
        if (this.opening === mine) this.opening = undefined;
      },
    );
    return (this.opening = mine);
  }

  /** Loads on the device that is selected now, and from another source if one is given. */
  reopen(source = this.source): void {
    this.source = source;
    this.loading?.abort();
    void this.opening?.then((old) => old.dispose()).catch(() => {});
    this.opening = undefined;
    void this.open().catch(() => {});
  }
}

/** What the page's address selects: `?device=wasm`. */
export function selectDevice(name: string | null): void {
  const chosen = document.querySelector<HTMLInputElement>(`input[name=device][value="${name ?? 'auto'}"]`);
  if (chosen) chosen.checked = true;
}

function selectedDevice(): Device {
  return (document.querySelector<HTMLInputElement>('input[name=device]:checked')?.value ?? 'auto') as Device;
}

/** Calls `take` with the file that is chosen, which may be the same again. */
export function onFile(id: string, take: (file: File) => void): void {
  const input = element<HTMLInputElement>(id);
  input.addEventListener('change', () => {
    const chosen = input.files?.[0];
    if (chosen) take(chosen);
    input.value = '';
  });
}
