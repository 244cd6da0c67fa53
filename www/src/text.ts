// The page's side of text generation: in the bundle of the build with text, loaded when the pipeline is asked for.
import { callable, type Pipeline } from './callable.ts';
import { FewbitError } from './index.ts';
import { home, howOf } from './language.ts';
import type { Model } from './model.ts';
import { streamed } from './stream.ts';
import type { GenerateOptions, Generated, Message } from './types.ts';

/** Continues a text, or answers the last message of a conversation: call it. */
export interface TextGenerator extends Pipeline {
  (prompt: string | readonly Message[], options?: GenerateOptions): Promise<Generated>;
  /** The same, piece by piece as text comes; returns what the call resolves to. Ending the loop ends the computing. */
  stream(prompt: string | readonly Message[], options?: GenerateOptions): AsyncGenerator<string, Generated, void>;
}

export { home };

export function standard(): never {
  throw new FewbitError('usage', 'name the address of a language model: none comes with the package');
}

export function of(model: Model): TextGenerator {
  const generate = async (
    prompt: string | readonly Message[],
    options: GenerateOptions = {},
    onProgress: (piece: string) => void = () => {},
  ) => {
    const request = JSON.stringify(requestOf(prompt, options));
    const { signal } = options;
    return (await model.call('generate', { request }, { onProgress, ...(signal && { signal }) })).generated;
  };
  return callable((prompt: string | readonly Message[], options?: GenerateOptions) => generate(prompt, options), model, {
    stream: (prompt: string | readonly Message[], { signal, ...options }: GenerateOptions = {}) =>
      streamed(signal, (inner, onPiece: (piece: string) => void) => generate(prompt, { ...options, signal: inner }, onPiece)),
  });
}

const isMessage = (turn: Message | null) => typeof turn?.role === 'string' && typeof turn.content === 'string';

/** As `src/js/text.rs` reads it. */
function requestOf(prompt: string | readonly Message[], options: GenerateOptions): unknown {
  if (typeof prompt !== 'string' && !(Array.isArray(prompt) && prompt.every(isMessage))) {
    throw new FewbitError('usage', 'a prompt must be a text or a list of { role, content }');
  }
  return { prompt, how: howOf(options) };
}
