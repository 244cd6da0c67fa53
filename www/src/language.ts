import type { Home } from './backend.ts';
import { FewbitError } from './index.ts';

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
