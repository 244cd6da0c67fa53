import type { Classification, Generated, ModelInfo, Progress } from '../src/index.ts';

/** An element of the page; a missing one is a mistake in it. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element with id ${id}`);
  return found as T;
}

const STAGES: Record<Progress['stage'], string> = {
  download: 'Downloading the model',
  cache: 'Reading the stored model',
  compile: 'Preparing the model',
  ready: 'Ready',
  tune: 'Trying GPU kernels',
};

/** What to do about an error, by its code. */
const ADVICE: Record<string, string> = {
  network: 'Check the connection. A download that broke off goes on where it stopped.',
  integrity: 'The file was changed on its way or on the server. Try again.',
  unsupported: 'Choose “Best here” as the device, or another file.',
  'bad-model': 'The model file is damaged or made by a newer version.',
  'out-of-memory': 'Close other tabs, or use a smaller file.',
  'device-lost': 'The graphics driver restarted. Try again, or compute on WebAssembly.',
};

export function showProgress({ stage, loaded, total }: Progress): void {
  const bar = element<HTMLProgressElement>('progress');
  const known = total > 0 && (stage === 'download' || stage === 'cache');
  if (known) bar.value = loaded / total;
  else bar.removeAttribute('value');
  element('stage').textContent = known ? `${STAGES[stage]}: ${megabytes(loaded)} of ${megabytes(total)}` : STAGES[stage];
  element('loading').hidden = stage === 'ready';
}

export function showError(error: { code: string; message: string } | undefined): void {
  element('error').hidden = !error;
  if (!error) return;
  element('loading').hidden = true;
  element('error-message').textContent = error.message;
  element('error-advice').textContent = ADVICE[error.code] ?? '';
}

export function showLabels(labels: Classification[], ms: number): void {
  const items = labels.map(({ label, score }) => {
    const item = document.createElement('li');
    item.style.setProperty('--share', String(score));
    const [name, percent] = [document.createElement('span'), document.createElement('span')];
    // WordNet lists synonyms: the first is enough here, the rest is one hover away.
    name.textContent = label.split(', ')[0] ?? label;
    item.title = label;
    percent.className = 'score';
    percent.textContent = score < 0.001 ? '< 0.1 %' : `${(100 * score).toFixed(1)} %`;
    item.append(name, percent);
    return item;
  });
  element('labels').replaceChildren(...items);
  element('time').textContent = `Labelled in ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

export function showBusy(busy: boolean): void {
  element('labels').setAttribute('aria-busy', String(busy));
}

export function showInfo(info: ModelInfo): void {
  const kind = info.device === 'webgpu' ? 'WebGPU' : 'WebAssembly SIMD';
  element('device').textContent = info.device === 'webgpu' ? `${kind} (${info.deviceName})` : kind;
  element('reason').textContent = info.reason;
  element('model').textContent = `${megabytes(info.bytes)}${info.license ? `, ${info.license}` : ''}`;
  element('weights').textContent =
    `${(info.parameters / 1e6).toFixed(2)} million, ${info.bitsPerWeight.toFixed(2)} bits each`;
}

/** How fast an answer came, whose first word came after so many milliseconds. */
export function showSpeed({ tokens, promptTokens, prefillMs, decodeMs }: Generated, first: number): void {
  const rate = (count: number, ms: number) => (ms > 0 ? (1e3 * count) / ms : 0).toFixed(1);
  element('time').textContent = `First word after ${(first / 1e3).toFixed(1)} s`;
  element('speed').textContent = `writes ${rate(tokens - 1, decodeMs)}, read ${promptTokens} at ${rate(promptTokens, prefillMs)} tokens/s`;
}

export function showPhoto(url: string): void {
  const preview = element<HTMLImageElement>('preview');
  preview.src = url;
  preview.hidden = false;
  preview.alt = 'Your photo';
  element('drop').classList.add('filled');
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 1)} MB`;
}
