// The page's side of speech to text: in the bundle of the build with text, loaded when the pipeline is asked for.
import { callable, type Pipeline } from './callable.ts';
import { FewbitError } from './index.ts';
import { checkWhole, home } from './language.ts';
import type { Model } from './model.ts';
import { sendable } from './sound.ts';
import { streamed } from './stream.ts';
import type { AudioSource, HearOptions, Segment, Transcript } from './types.ts';

/** Writes down what is said: call it. */
export interface SpeechRecognizer extends Pipeline {
  (audio: AudioSource, options?: HearOptions): Promise<Transcript>;
  /** The same, part by part as each is final; returns what the call resolves to. Ending the loop ends the computing. */
  stream(audio: AudioSource, options?: HearOptions): AsyncGenerator<Segment, Transcript, void>;
}

export { home };

export function standard(): never {
  throw new FewbitError('usage', 'name the address of a model of speech: none comes with the package');
}

export function of(model: Model): SpeechRecognizer {
  const hear = async (audio: AudioSource, options: HearOptions = {}, onPart: (part: Segment) => void = () => {}) => {
    const request = JSON.stringify(requestOf(options));
    const { sound, transfer } = sendable(audio);
    const { signal } = options;
    const onProgress = (part: Segment) => onPart(new Part(part));
    const { transcript } = await model.call('hear', { request, sound }, { onProgress, ...(signal && { signal }) }, transfer);
    return { ...transcript, segments: transcript.segments.map((part) => new Part(part)) };
  };
  return callable((audio: AudioSource, options?: HearOptions) => hear(audio, options), model, {
    stream: (audio: AudioSource, { signal, ...options }: HearOptions = {}) =>
      streamed(signal, (inner, onPart: (part: Segment) => void) => hear(audio, { ...options, signal: inner }, onPart)),
  });
}

/** Texts of streams are put together alike, whatever the pipeline: `text += piece`. */
class Part implements Segment {
  readonly start: number;
  readonly end: number;
  readonly text: string;

  constructor({ start, end, text }: Segment) {
    this.start = start;
    this.end = end;
    this.text = text;
  }

  toString(): string {
    return this.text;
  }
}

/** As `src/js/speech.rs` reads it. */
function requestOf({ timestamps = false, language, translate = false, seed = 0 }: HearOptions): unknown {
  checkWhole({ seed });
  if (language !== undefined && typeof language !== 'string') {
    throw new FewbitError('usage', `language is ${String(language)}; it must be a code such as \`de\``);
  }
  return { timestamps: Boolean(timestamps), language: language ?? null, translate: Boolean(translate), seed };
}
