// The page's side of pictures to text: in the bundle of the build with text, loaded when the pipeline is asked for.
import { callable, type Pipeline } from './callable.ts';
import { sendable } from './image.ts';
import { FewbitError } from './index.ts';
import { home, howOf } from './language.ts';
import type { Model } from './model.ts';
import { streamed } from './stream.ts';
import type { DescribeOptions, Generated, ImageSource } from './types.ts';

/** Describes a picture, or answers a question about it: call it. */
export interface ImageDescriber extends Pipeline {
  (image: ImageSource, options?: DescribeOptions): Promise<Generated>;
  /** The same, piece by piece as text comes; returns what the call resolves to. Ending the loop ends the computing. */
  stream(image: ImageSource, options?: DescribeOptions): AsyncGenerator<string, Generated, void>;
}

export { home };

export function standard(): never {
  throw new FewbitError('usage', 'name the address of a model that sees: none comes with the package');
}

export function of(model: Model): ImageDescriber {
  const see = async (image: ImageSource, options: DescribeOptions = {}, onProgress: (piece: string) => void = () => {}) => {
    const request = JSON.stringify(requestOf(options));
    const sent = await sendable(image).catch((error: FewbitError | TypeError) => {
      // This bundle has another class of errors than the page knows. One without a code is of `URL`.
      const [code, message] = 'code' in error ? [error.code, error.message] : ['usage' as const, `${String(image)} is not an address`];
      throw new FewbitError(code, message, { cause: error });
    });
    const { signal } = options;
    const call = { request, image: sent.image };
    return (await model.call('describe', call, { onProgress, ...(signal && { signal }) }, sent.transfer)).generated;
  };
  return callable((image: ImageSource, options?: DescribeOptions) => see(image, options), model, {
    stream: (image: ImageSource, { signal, ...options }: DescribeOptions = {}) =>
      streamed(signal, (inner, onPiece: (piece: string) => void) => see(image, { ...options, signal: inner }, onPiece)),
  });
}

/** As `src/js/describe.rs` reads it. */
function requestOf({ prompt, ...options }: DescribeOptions): unknown {
  if (prompt !== undefined && typeof prompt !== 'string') {
    throw new FewbitError('usage', `prompt is ${String(prompt)}; it must be a text`);
  }
  return { prompt: prompt ?? null, how: howOf(options) };
}
