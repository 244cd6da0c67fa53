import type { Home } from './backend.ts';
import { callable, type Pipeline } from './callable.ts';
import type { ImageDescriber } from './describe.ts';
import { FewbitError } from './errors.ts';
import { sendable } from './image.ts';
import { loadAt, small, type Model, type ModelSource } from './model.ts';
import type { SpeechRecognizer } from './speech.ts';
import type { TextGenerator } from './text.ts';
import type { Classifications, ClassifyOptions, ImageSource, LoadOptions } from './types.ts';

/** Labels pictures: call it. */
export interface ImageClassifier extends Pipeline {
  (image: ImageSource, options?: ClassifyOptions): Promise<Classifications>;
}

/** Tasks by the names that transformers.js gave them. */
export interface Pipelines {
  'image-classification': ImageClassifier;
  'text-generation': TextGenerator;
  'automatic-speech-recognition': SpeechRecognizer;
  'image-to-text': ImageDescriber;
}

/** What makes a pipeline of a loaded model. */
export interface Kind<P> {
  home: Home;
  /** The model to take when none is named. */
  standard(): ModelSource;
  of(model: Model): P;
}

const KINDS: { [T in keyof Pipelines]: () => Kind<Pipelines[T]> | Promise<Kind<Pipelines[T]>> } = {
  'image-classification': () => ({ home: small, standard: defaultClassifier, of: classifier }),
  'text-generation': () => import('./text.ts'),
  'automatic-speech-recognition': () => import('./speech.ts'),
  'image-to-text': () => import('./describe.ts'),
};

/**
 * Loads a model for a task. Without an address, `image-classification` takes the classifier in this package.
 * `text-generation`, `automatic-speech-recognition` and `image-to-text` need one, and load a second WebAssembly module.
 *
 * @throws FewbitError with code `unsupported` for other tasks, and whatever {@link load} throws.
 */
export async function pipeline<T extends keyof Pipelines>(
  task: T,
  source?: ModelSource | null,
  options: LoadOptions = {},
): Promise<Pipelines[T]> {
  if (!Object.hasOwn(KINDS, task)) {
    const names = Object.keys(KINDS).map((name) => `\`${name}\``);
    throw new FewbitError('unsupported', `there is no pipeline \`${String(task)}\`; there are ${names.join(', ')}`);
  }
  if ((options.tokens ?? 'none') !== 'none' && task !== 'image-classification') {
    throw new FewbitError('unsupported', `option \`tokens\` is for \`image-classification\`, not for \`${task}\``);
  }
  const { home, standard, of }: Kind<unknown> = await KINDS[task]();
  const model = await loadAt(home, source ?? standard(), options);
  if (model.info.task !== null && model.info.task !== task) {
    await model.dispose();
    throw new FewbitError('unsupported', `this model is made for \`${model.info.task}\`, not for \`${task}\``);
  }
  return of(model) as Pipelines[T];
}

function defaultClassifier(): URL {
  return new URL('./efficientnet-lite0-4bit.fewbit', import.meta.url);
}

function classifier(model: Model): ImageClassifier {
  const classify = async (image: ImageSource, { topK = 5, signal }: ClassifyOptions = {}): Promise<Classifications> => {
    if (!Number.isInteger(topK) || topK < 1) throw new FewbitError('usage', `topK is ${topK}; it must be 1 or more`);
    const sent = await sendable(image);
    const call = { image: sent.image, topK };
    const { labels, tokenMap } = await model.call('classify', call, signal ? { signal } : {}, sent.transfer);
    return Object.assign(labels, tokenMap && { tokenMap });
  };
  return callable(classify, model);
}
