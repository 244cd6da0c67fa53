import type { Classifications, ImageClassifier, TokenReduction } from '../src/index.ts';

/** How a model did on a picture with some of its tokens. */
export interface Run {
  labels: Classifications;
  /** Median of the timed calls, milliseconds. */
  ms: number;
  multiplications: number;
  patches: Patches;
}

/** What became of each patch, row by row: its token's number, -1 for none. */
export interface Patches {
  row: number[];
  /** Patches of each token. */
  sizes: Map<number, number>;
}

/** Calls are timed until there are so many, or this time is over. */
const CALLS = 15;
const MOST_MS = 600;

/** Labels a picture with some of the tokens, often enough to say how long that takes. */
export async function measure(
  classify: ImageClassifier,
  tokens: TokenReduction,
  picture: ImageData,
  signal: AbortSignal,
): Promise<Run> {
  await classify.model.setTokens(tokens, { tokenMap: true, signal });
  // The first call also plans.
  const labels = await classify(picture, { topK: 5, signal });
  const times: number[] = [];
  for (const end = performance.now() + MOST_MS; times.length < CALLS && performance.now() < end; ) {
    const start = performance.now();
    await classify(picture, { topK: 5, signal });
    times.push(performance.now() - start);
  }
  const { multiplications = 0, tokens: all } = classify.info;
  return { labels, ms: median(times), multiplications, patches: patchesOf(labels, all?.pinned ?? 0) };
}

function patchesOf({ tokenMap }: Classifications, pinned: number): Patches {
  const row = Array.from((tokenMap?.data ?? []) as Int32Array).slice(pinned);
  const sizes = new Map<number, number>();
  for (const token of row) if (token >= 0) sizes.set(token, (sizes.get(token) ?? 0) + 1);
  return { row, sizes };
}

function median(times: number[]): number {
  return times.sort((a, b) => a - b)[times.length >> 1] ?? 0;
}
