#!/usr/bin/env node
// Times text generation against llama.cpp on the CPU, on one thread and on two.
//
//   pkg-scripts/bench-text.mjs FEWBIT [--rounds 3] [--tokens 48] [--also LABEL=MODEL]… [--json]
//
// SmolLM2-135M, each round with another prompt of some 250 tokens, greedily; tokens per second as medians. The engines
// take turns, each with the machine to itself. `--also`: further files for fewbit, such as compressed ones. "int8" rounds
// activations to 8 bits, as llama.cpp always does. Needs pkg-scripts/setup peers and pkg-scripts/fetch smollm2.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    tokens: { type: 'string', default: '48' },
    also: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean' },
  },
});
const [FEWBIT] = positionals;
if (!FEWBIT) throw new Error('name the fewbit to time');
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const CACHE = process.env.FEWBIT_CACHE || join(homedir(), '.cache', 'fewbit');
const MODEL = join(CACHE, 'models', 'smollm2_135m_q4_1.gguf');
const MAX_TOKENS = Number(options.tokens);
/** Some 250 tokens. */
const PROMPT_CHARACTERS = 1000;
const text = readFileSync(join(ROOT, 'tests', 'data', 'generate', 'perplexity.txt'), 'utf8');
const prompts = Array.from({ length: Number(options.rounds) + 1 }, (_, i) => text.slice(i * PROMPT_CHARACTERS, (i + 1) * PROMPT_CHARACTERS));

function fewbit(model, activations, threads) {
  return async (prompt) => {
    const words = ['generate', model, '--prompt', prompt, '--max-tokens', MAX_TOKENS, '--temperature', 0];
    words.push('--device', 'cpu', '--threads', threads, '--activations', activations, '--json');
    const lines = execFileSync(FEWBIT, words.map(String), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const { tokens, prompt_tokens, prefill_ms, decode_ms } = JSON.parse(lines.trim().split('\n').at(-1));
    return { prefill: (1e3 * prompt_tokens) / prefill_ms, decode: (1e3 * (tokens - 1)) / decode_ms };
  };
}

const resolve = createRequire(join(CACHE, 'peers', 'node_modules', 'x')).resolve;
const { getLlama } = await import(pathToFileURL(resolve('node-llama-cpp')).href);
const llama = await getLlama({ gpu: false, build: 'never', progressLogs: false, logLevel: 'error' });
const peer = await llama.loadModel({ modelPath: MODEL, gpuLayers: 0 });

function llamaCpp(threads) {
  return async (prompt) => {
    const context = await peer.createContext({ contextSize: 1024, batchSize: 512, threads });
    const ids = peer.tokenize(prompt);
    const began = performance.now();
    let first;
    let count = 0;
    for await (const _ of context.getSequence().evaluate(ids, { temperature: 0 })) {
      first ??= performance.now();
      if (++count === MAX_TOKENS) break;
    }
    const ended = performance.now();
    // Its threads wait for work in a loop; the next engine shall have the machine.
    await context.dispose();
    return { prefill: (1e3 * ids.length) / (first - began), decode: (1e3 * (count - 1)) / (ended - first) };
  };
}

const files = [['Q4_1', MODEL], ...options.also.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])];
const results = [];
for (const threads of [1, 2]) {
  const engines = [['llama.cpp Q4_1', llamaCpp(threads)]];
  for (const [label, file] of files) {
    for (const activations of ['f32', 'int8']) {
      engines.push([`fewbit ${label}${activations === 'int8' ? ' int8' : ''}`, fewbit(file, activations, threads)]);
    }
  }
  const rows = engines.map(([engine]) => ({ engine, threads, prefill: [], decode: [] }));
  for (const [i, prompt] of prompts.entries()) {
    for (const [at, [, run]] of engines.entries()) {
      const speed = await run(prompt);
      // The first prompt warms caches.
      if (i > 0) for (const key of ['prefill', 'decode']) rows[at][key].push(speed[key]);
    }
  }
  for (const row of rows) for (const key of ['prefill', 'decode']) row[key] = median(row[key]);
  results.push(...rows.map((row) => ({ ...row, ofPrefill: row.prefill / rows[0].prefill, ofDecode: row.decode / rows[0].decode })));
}
if (options.json) {
  for (const row of results) console.log(JSON.stringify(row));
} else {
  console.log('| threads | engine | prefill, tokens/s | of llama.cpp | decode, tokens/s | of llama.cpp |\n|--:|---|--:|--:|--:|--:|');
  for (const { threads, engine, prefill, decode, ofPrefill, ofDecode } of results) {
    const cells = [threads, engine, prefill.toFixed(0), ofPrefill.toFixed(2), decode.toFixed(1), ofDecode.toFixed(2)];
    console.log(`| ${cells.join(' | ')} |`);
  }
}
process.exit(0);

function median(list) {
  return list.sort((a, b) => a - b)[list.length >> 1];
}
