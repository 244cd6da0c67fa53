import { FewbitError } from '../src/index.ts';
import { Opener, onFile, selectDevice } from './opener.ts';
import { onPhoto } from './photo.ts';
import { element, showError, showInfo, showPhoto, showSpeed } from './view.ts';

// `?model=ADDRESS` asks a model at once, `?device=wasm` starts on another device.
const query = new URLSearchParams(location.search);
const MOST_TOKENS = 200;

const text = element('text');
const prompt = element<HTMLInputElement>('prompt');
const address = element<HTMLInputElement>('address');
const model = new Opener('image-to-text', query.get('model') ?? undefined, fail);

let photo: Blob | string | undefined;
let photoUrl = '';
/** The answer that is being written. */
let answering: AbortController | undefined;

/** Describes the photo, or answers what is asked about it. */
async function answer(): Promise<void> {
  answering?.abort();
  showMissing();
  if (!model.chosen || !photo) return;
  const mine = (answering = new AbortController());
  const { signal } = mine;
  showError(undefined);
  showAnswering(true);
  text.replaceChildren();
  element('time').textContent = '';
  try {
    const see = await model.open();
    const began = performance.now();
    const question = prompt.value.trim();
    const stream = see.stream(photo, { maxTokens: MOST_TOKENS, signal, ...(question && { prompt: question }) });
    let next = await stream.next();
    const first = performance.now() - began;
    for (; !next.done; next = await stream.next()) text.append(next.value);
    if (!next.value.text) text.textContent = 'The model says nothing.';
    showSpeed(next.value, first);
    showInfo(see.info);
    performance.mark('described');
  } catch (error) {
    if (!signal.aborted) fail(error);
  } finally {
    // What was written until someone stopped it stays.
    if (answering === mine) {
      answering = undefined;
      showAnswering(false);
    }
  }
}

/** What is needed first. */
function showMissing(): void {
  const missing = [!photo && 'a photo', !model.chosen && 'a model'].filter(Boolean);
  element('missing').hidden = missing.length === 0;
  element('missing').textContent = `Choose ${missing.join(' and ')} first.`;
}

function showAnswering(is: boolean): void {
  text.ariaBusy = String(is);
  element('ask').hidden = is;
  element('stop').hidden = !is;
}

function fail(error: unknown): void {
  showError(error instanceof FewbitError ? error : { code: '', message: String(error) });
}

function take(image: Blob | string): void {
  photo = image;
  URL.revokeObjectURL(photoUrl);
  photoUrl = typeof image === 'string' ? image : URL.createObjectURL(image);
  showPhoto(photoUrl);
  void answer();
}

/** Another device or model; without a source it stays the same. */
function reopen(source?: string | Blob): void {
  answering?.abort();
  if (source === undefined && !model.chosen) return;
  model.reopen(source);
  void answer();
}

onPhoto(take);
element('question').addEventListener('submit', (event) => {
  event.preventDefault();
  void answer();
});
element('stop').addEventListener('click', () => {
  answering?.abort();
  prompt.focus();
});
addEventListener('keydown', (event) => {
  if (event.key === 'Escape') answering?.abort();
});
element('devices').addEventListener('change', () => reopen());
element('retry').addEventListener('click', () => reopen());
element('from').addEventListener('submit', (event) => {
  event.preventDefault();
  if (address.value.trim()) reopen(address.value.trim());
});
onFile('model-file', reopen);

address.value = query.get('model') ?? '';
selectDevice(query.get('device'));
showMissing();
