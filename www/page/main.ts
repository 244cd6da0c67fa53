import { FewbitError, pipeline, type Device, type ImageClassifier } from '../src/index.ts';
import { onPhoto } from './photo.ts';
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

function restart(): void {
  void classifier?.then((old) => old.dispose()).catch(() => {});
  classifier = undefined;
  void label();
}

onPhoto(take);
element('devices').addEventListener('change', restart);
element('retry').addEventListener('click', restart);

const first = document.querySelector<HTMLInputElement>(`input[name=device][value="${query.get('device') ?? 'auto'}"]`);
if (first) first.checked = true;
take(FIRST_PHOTO);
