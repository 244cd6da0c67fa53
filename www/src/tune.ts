import { gpuName } from './devices.ts';
import { Store } from './store.ts';
import type { ModelInfo } from './types.ts';

/** Timed runs per variant, of which the fastest counts. */
const RUNS = 5;
/** Another variant must save this share of a whole run; less is noise. */
const LEAST_GAIN = 0.01;

interface Tunable {
  /** JSON of `ModelInfo`, whose `choices` are what the last run took. */
  info(): string;
  /** What the next runs take: lines of the same form. */
  choose(lines: string): void;
}

/**
 * Times whole runs with every variant of one product after the other, and takes the fastest. Browsers' timestamps of
 * single kernels are missing or too coarse.
 */
export async function tune(
  model: Tunable,
  run: () => Promise<unknown>,
  onTried: (products: number, of: number) => void,
): Promise<string[]> {
  const time = async () => {
    let least = Infinity;
    for (let i = 0; i < RUNS; i++) {
      const start = performance.now();
      await run();
      least = Math.min(least, performance.now() - start);
    }
    return least;
  };
  const taken = () => split((JSON.parse(model.info()) as ModelInfo).choices);
  await run();
  const lines = [...new Set(taken())];
  for (const [at, line] of lines.entries()) {
    onTried(at, lines.length);
    try {
      let least = await time();
      for (let variant = 0; ; variant++) {
        const other = variant + keyOf(line);
        if (other === line) continue;
        model.choose(other);
        // Builds the plan. A kernel without this variant takes its own.
        await run();
        if (!taken().includes(other)) break;
        const ms = await time();
        if (ms < least * (1 - LEAST_GAIN)) [least, lines[at]] = [ms, other];
      }
    } finally {
      model.choose(lines[at] as string);
    }
    await run();
  }
  onTried(lines.length, lines.length);
  return lines;
}

/** What was kept for this GPU. Its place exists in workers only. */
export async function kept(): Promise<string> {
  const found = await (await place())?.read();
  return (await found?.file.text()) ?? '';
}

/** Keeps choices for later visits, in place of those of equal keys. */
export async function keep(lines: string[]): Promise<void> {
  const all = [...split(await kept()), ...lines];
  const store = await place();
  const writer = await store?.writer(0);
  writer?.write(new TextEncoder().encode([...new Map(all.map((line) => [keyOf(line), line])).values()].join('\n')));
  writer?.close();
  await store?.writeNote({ url: '', version: '', total: 0 });
}

const place = async () => Store.open(`tuned ${await gpuName()}`);

/** The lines of a text. */
const split = (text: string | null) => (text ?? '').split('\n').filter(Boolean);

const keyOf = (line: string) => line.slice(line.indexOf(' '));
