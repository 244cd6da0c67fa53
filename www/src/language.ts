import type { Home } from './backend.ts';
import { FewbitError } from './index.ts';
import type { GenerateOptions } from './types.ts';

/** The build with text and speech. */
export const home: Home = {
  newWorker: () => new Worker(new URL('./text-worker.js', import.meta.url), { type: 'module' }),
  newEngine: async () => (await import('./text-engine.ts')).newEngine(),
};

/** Whole numbers that Rust reads as such. */
export function checkWhole(numbers: Record<string, number>): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new FewbitError('usage', `${name} is ${value}; it must be a whole number, 0 or more`);
    }
  }
}

/** How a text is continued, as `src/js/text.rs` reads it. Ranges are checked there. */
export function howOf(options: GenerateOptions): unknown {
  const { maxTokens = 256, repetitionPenalty = 1, temperature = 0, topK = 0, topP = 1, minP = 0, seed = 0, stop = [] } = options;
  const { beams = null, lengthPenalty = 1 } = options;
  checkWhole({ maxTokens, topK, seed, beams: beams ?? 1 });
  for (const [name, value] of Object.entries({ repetitionPenalty, temperature, topP, minP, lengthPenalty })) {
    // JSON has no other numbers.
    if (!Number.isFinite(value)) throw new FewbitError('usage', `${name} is ${value}; it must be a finite number`);
  }
  return {
    max_tokens: maxTokens,
    sampling: { repetition_penalty: repetitionPenalty, temperature, top_k: topK, top_p: topP, min_p: minP, seed },
    stop: typeof stop === 'string' ? [stop] : stop,
    schema: options.jsonSchema ?? null,
    beams,
    length_penalty: lengthPenalty,
  };
}
