import { FewbitError, type ImageClassifier, type TokenReduction } from '../src/index.ts';
import { Opener, selectDevice } from './opener.ts';
import { draw, inWords, squareOf } from './patches.ts';
import { onPhoto } from './photo.ts';
import { measure, type Run } from './reduced.ts';
import { element, showBusy, showError, showInfo, showLabels } from './view.ts';

// `?model=ADDRESS` shows another vision transformer that classifies squares, `?device=wasm` starts on another device.
const query = new URLSearchParams(location.search);
const MODEL = './dist/page/fashion-vit.fewbit';
const SCHEDULE = './dist/page/fashion-schedule.json';
const FIRST_PICTURE = './samples/fashion/ankle-boot.png';

/** What the slider says for each way to reduce tokens. */
interface Way {
  min: number;
  max: number;
  step: number;
  value: number;
  tokens(value: number): TokenReduction;
  words(value: number): string;
}

const share = (value: number) => `${Math.round(100 * value)} %`;
const WAYS: Record<string, Way> = {
  topk: {
    min: 0.2,
    max: 1,
    step: 0.05,
    value: 0.7,
    tokens: (value) => `topk:${value}`,
    words: (value) => `Three times only ${share(value)} of the patches go on: those that the class token looks at`,
  },
  evit: {
    min: 0.2,
    max: 1,
    step: 0.05,
    value: 0.7,
    tokens: (value) => `evit:${value}`,
    words: (value) => `Three times ${share(value)} of the patches go on, and one token for all the others`,
  },
  tome: {
    min: 0,
    max: 8,
    step: 1,
    value: 4,
    tokens: (value) => `tome:${value}`,
    words: (value) => `Every layer merges ${value} pairs of patches that are alike`,
  },
  diffrate: {
    min: 0,
    max: 1,
    step: 1,
    value: 1,
    tokens: () => `diffrate:${SCHEDULE}`,
    words: () => 'What each layer can do without was searched for 60 % of the multiplications',
  },
};

const canvas = element<HTMLCanvasElement>('picture');
const amount = element<HTMLInputElement>('amount');
const model = new Opener('image-classification', query.get('model') ?? MODEL, fail, { tokens: 'tome:0', tokenMap: true });

let picture: Promise<ImageData>;
/** The newest: an older one that is still under way is called off. */
let showing: AbortController | undefined;
/** With all tokens; of the picture and the model on its device. */
let dense: { picture: ImageData; classify: ImageClassifier; run: Run } | undefined;

function way(): Way {
  const chosen = document.querySelector<HTMLInputElement>('input[name=way]:checked')?.value ?? 'topk';
  return WAYS[chosen] as Way;
}

/** Classifies the picture with all tokens and with fewer. */
async function show(): Promise<void> {
  showing?.abort();
  const mine = (showing = new AbortController());
  const { signal } = mine;
  showError(undefined);
  showBusy(true);
  element('amount-words').textContent = way().words(amount.valueAsNumber);
  try {
    const square = await picture.catch((error: unknown) => {
      throw new FewbitError('unsupported', 'this image cannot be decoded; use a JPEG, PNG, WebP, GIF or AVIF', { cause: error });
    });
    const classify = await model.open();
    if (dense?.picture !== square || dense.classify !== classify) {
      dense = { picture: square, classify, run: await measure(classify, 'tome:0', square, signal) };
    }
    const fewer = await measure(classify, way().tokens(amount.valueAsNumber), square, signal);
    signal.throwIfAborted();
    showRuns(square, dense.run, fewer);
    showInfo(classify.info);
    performance.mark('reduced');
  } catch (error) {
    if (!signal.aborted) fail(error);
  } finally {
    if (showing === mine) showBusy(false);
  }
}

function showRuns(square: ImageData, all: Run, fewer: Run): void {
  draw(canvas, square, fewer.patches);
  const words = inWords(fewer.patches);
  canvas.ariaLabel = `The picture. ${words}`;
  element('patches').textContent = words;
  showLabels(fewer.labels, fewer.ms);
  for (const [column, run] of [['all', all], ['fewer', fewer]] as const) {
    const [best] = run.labels;
    element(`${column}-answer`).textContent = best ? `${best.label}, ${(100 * best.score).toFixed(1)} %` : '–';
    const part = (100 * run.multiplications) / all.multiplications;
    const millions = `${(run.multiplications / 1e6).toFixed(2)} million`;
    element(`${column}-work`).textContent = run === all ? millions : `${millions} (${part.toFixed(0)} %)`;
    element(`${column}-time`).textContent = `${run.ms.toFixed(1)} ms`;
  }
  element('fewer-answer').classList.toggle('differs', all.labels[0]?.index !== fewer.labels[0]?.index);
}

function fail(error: unknown): void {
  showError(error instanceof FewbitError ? error : { code: '', message: String(error) });
}

function take(image: Blob | string): void {
  picture = squareOf(image);
  picture.catch(() => {});
  void show();
}

/** Another way to reduce tokens has another slider. */
function setSlider(): void {
  const { min, max, step, value } = way();
  Object.assign(amount, { min, max, step, value });
  amount.disabled = element<HTMLInputElement>('schedule').checked;
}

onPhoto(take);
amount.addEventListener('input', () => void show());
element('ways').addEventListener('change', () => {
  setSlider();
  void show();
});
for (const id of ['devices', 'retry']) {
  element(id).addEventListener(id === 'retry' ? 'click' : 'change', () => {
    model.reopen();
    void show();
  });
}

selectDevice(query.get('device'));
setSlider();
take(FIRST_PICTURE);
