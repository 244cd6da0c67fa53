import { FewbitError, pipeline, type Device, type ImageClassifier } from '../src/index.ts';
import { element, showBusy, showError, showInfo, showLabels, showPhoto, showProgress } from './view.ts';

// `?model=ADDRESS` shows another classifier, `?device=wasm` starts on another device.
const query = new URLSearchParams(location.search);
const FIRST_PHOTO = './samples/chelsea.jpg';

/** The newest of each: an older one that is still under way is called off. */
let loading: AbortController | undefined;
let labelling: AbortController | undefined;
let classifier: Promise<ImageClassifier> | undefined;
let photo: Blob | string = FIRST_PHOTO;
let photoUrl = '';

function open(device: Device): Promise<ImageClassifier> {
  loading?.abort();
  loading = new AbortController();
  const { signal } = loading;
  showProgress({ stage: 'compile', loaded: 0, total: 0, file: '' });
  const onProgress = (progress: Parameters<typeof showProgress>[0]) => {
    if (!signal.aborted) showProgress(progress);
  };
  const opening = pipeline('image-classification', query.get('model'), { device, signal, onProgress });
  opening.then(
    (ready) => showInfo(ready.info),
    // The next photo tries again.
    () => classifier === opening && (classifier = undefined),
  );
  return opening;
}

async function label(): Promise<void> {
  labelling?.abort();
  labelling = new AbortController();
  const { signal } = labelling;
  showError(undefined);
  showBusy(true);
  try {
    const classify = await (classifier ??= open(selectedDevice()));
    if (signal.aborted) return;
    const start = performance.now();
    const labels = await classify(photo, { topK: 5, signal });
    showLabels(labels, performance.now() - start);
    showInfo(classify.info);
    performance.mark('labelled');
    showBusy(false);
  } catch (error) {
    if (signal.aborted) return;
    showBusy(false);
    showError(error instanceof FewbitError ? error : { code: '', message: String(error) });
  }
}

function selectedDevice(): Device {
  return (document.querySelector<HTMLInputElement>('input[name=device]:checked')?.value ?? 'auto') as Device;
}

function take(image: Blob | string): void {
  photo = image;
  URL.revokeObjectURL(photoUrl);
  photoUrl = typeof image === 'string' ? image : URL.createObjectURL(image);
  showPhoto(photoUrl);
  void label();
}

/** The first picture among dropped or pasted things. */
function pictureIn(data: DataTransfer | null): File | undefined {
  return [...(data?.files ?? [])].find((file) => file.type.startsWith('image/'));
}

function restart(): void {
  void classifier?.then((old) => old.dispose()).catch(() => {});
  classifier = undefined;
  void label();
}

const file = element<HTMLInputElement>('file');
file.addEventListener('change', () => {
  const chosen = file.files?.[0];
  if (chosen) take(chosen);
  // The same file may be chosen again.
  file.value = '';
});

// The whole page takes drops: a photo that misses the frame must not replace the page.
const drop = element('drop');
addEventListener('dragover', (event) => {
  event.preventDefault();
  drop.classList.add('over');
});
addEventListener('dragleave', () => drop.classList.remove('over'));
addEventListener('drop', (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  const picture = pictureIn(event.dataTransfer);
  if (picture) take(picture);
  else showError({ code: 'unsupported', message: 'That was not a picture.' });
});
addEventListener('paste', (event) => {
  const picture = pictureIn(event.clipboardData);
  if (picture) take(picture);
});

for (const button of document.querySelectorAll<HTMLButtonElement>('[data-sample]')) {
  button.addEventListener('click', () => take(button.dataset.sample ?? FIRST_PHOTO));
}
element('devices').addEventListener('change', restart);
element('retry').addEventListener('click', restart);

const first = document.querySelector<HTMLInputElement>(`input[name=device][value="${query.get('device') ?? 'auto'}"]`);
if (first) first.checked = true;
take(FIRST_PHOTO);
