#!/usr/bin/env node
// Times text generation against wllama (llama.cpp in WebAssembly) in the same Chromium, both on one thread and in a worker.
//
//   pkg-scripts/bench-browser-text.mjs [--native FEWBIT] [--runs 3] [--tokens 48] [--json]
//
// SmolLM2-135M, each run with another prompt of some 250 tokens, greedily; tokens per second as each engine counts them,
// medians. The engines take turns. "first" is from asking for the pipeline to the first piece of text, the model stored in
// the browser's profile already, in pages that have not been used; of a native program from its start to its end.
// Needs pkg-scripts/setup peers and pkg-scripts/fetch smollm2.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CACHE, ROOT, launchWithProfile, openPage, serveAll } from '../www/tests/harness.mjs';

const { values: options } = parseArgs({
  options: {
    native: { type: 'string' },
    runs: { type: 'string', default: '3' },
    tokens: { type: 'string', default: '48' },
    json: { type: 'boolean' },
  },
});
const RUNS = Number(options.runs);
const MAX_TOKENS = Number(options.tokens);
const MODEL = '/models/smollm2_135m_q4_1.gguf';
/** Some 250 tokens. */
const PROMPT_CHARACTERS = 1000;
const text = readFileSync(join(ROOT, 'tests', 'data', 'generate', 'perplexity.txt'), 'utf8');
const prompts = Array.from({ length: RUNS + 1 }, (_, i) => text.slice(i * PROMPT_CHARACTERS, (i + 1) * PROMPT_CHARACTERS));

/** Run in a page: each gives a function that continues a prompt, and says how fast. */
async function openFewbit(model) {
  const { pipeline } = await import('/dist/index.js');
  const began = performance.now();
  const chat = await pipeline('text-generation', model, { device: 'wasm' });
  const first = await chat.stream('Hello', { maxTokens: 1 }).next();
  globalThis.first_ms = first.value && performance.now() - began;
  globalThis.complete = async (prompt, maxTokens) => {
    const { tokens, promptTokens, prefillMs, decodeMs } = await chat(prompt, { maxTokens });
    return { prompt_tokens: promptTokens, prefill: (1e3 * promptTokens) / prefillMs, decode: (1e3 * (tokens - 1)) / decodeMs };
  };
  return globalThis.first_ms;
}
async function openWllama(model) {
  const folder = '/peers/@wllama/wllama/esm/';
  const { Wllama } = await import(`${folder}index.js`);
  const began = performance.now();
  const wllama = new Wllama({ default: `${folder}wasm/wllama.wasm` }, { suppressNativeLog: true });
  await wllama.loadModelFromUrl(new URL(model, location.href).href, { n_threads: 1, n_ctx: 2048, n_gpu_layers: 0 });
  const complete = (prompt, max_tokens) => wllama.createCompletion({ prompt, max_tokens, temperature: 0 });
  await complete('Hello', 1);
  globalThis.first_ms = performance.now() - began;
  globalThis.complete = async (prompt, maxTokens) => {
    const { timings } = await complete(prompt, maxTokens);
    return { prompt_tokens: timings.prompt_n, prefill: timings.prompt_per_second, decode: timings.predicted_per_second };
  };
  return globalThis.first_ms;
}
const ENGINES = { fewbit: openFewbit, wllama: openWllama };

/** Of the native program, also on one thread. */
function firstOfNative(program) {
  const words = ['generate', join(CACHE, 'models', 'smollm2_135m_q4_1.gguf'), '--prompt', 'Hello', '--max-tokens', '1'];
  const began = performance.now();
  execFileSync(program, [...words, '--device', 'cpu', '--threads', '1'], { stdio: 'ignore' });
  return performance.now() - began;
}

// wllama's memory is shared even on one thread, and its workers come from blobs.
const ISOLATED = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };
const server = await serveAll({
  extra: { '/peers/': join(CACHE, 'peers', 'node_modules') },
  before(request, response) {
    for (const [name, value] of Object.entries(ISOLATED)) response.setHeader(name, value);
    if (request.url !== '/isolated') return false;
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>isolated</title>');
    return true;
  },
});
const profile = mkdtempSync(join(tmpdir(), 'fewbit-'));
const context = await launchWithProfile(profile, { gpu: false });
const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
try {
  const results = {};
  const pages = {};
  for (const [engine, open] of Object.entries(ENGINES)) {
    // The first visit stores the model.
    await (await openPage(context, `${server.url}/isolated`)).evaluate(open, MODEL);
    const firsts = [];
    for (let i = 0; i < RUNS; i++) {
      await pages[engine]?.close();
      pages[engine] = await openPage(context, `${server.url}/isolated`);
      firsts.push(await pages[engine].evaluate(open, MODEL));
    }
    results[engine] = { engine, first_ms: median(firsts), prefill: [], decode: [] };
  }
  for (const [i, prompt] of prompts.entries()) {
    for (const [engine, page] of Object.entries(pages)) {
      const run = ([prompt, maxTokens]) => globalThis.complete(prompt, maxTokens);
      const { prompt_tokens, prefill, decode } = await page.evaluate(run, [prompt, MAX_TOKENS]);
      // The first prompt warms up.
      if (i === 0) continue;
      results[engine].prompt_tokens = prompt_tokens;
      results[engine].prefill.push(prefill);
      results[engine].decode.push(decode);
    }
  }
  for (const result of Object.values(results)) {
    result.prefill = median(result.prefill);
    result.decode = median(result.decode);
    if (options.json) console.log(JSON.stringify(result));
  }
  const native = options.native && median(Array.from({ length: RUNS }, () => firstOfNative(options.native)));
  if (options.json && native) console.log(JSON.stringify({ engine: 'fewbit, native', first_ms: native }));
  if (!options.json) {
    const [ours, peer] = Object.values(results);
    const row = (...cells) => console.log(cells.map((cell) => String(cell).padEnd(18)).join(''));
    row('', 'fewbit', 'wllama', 'ratio');
    row('prefill tokens/s', ours.prefill.toFixed(1), peer.prefill.toFixed(1), (ours.prefill / peer.prefill).toFixed(2));
    row('decode tokens/s', ours.decode.toFixed(1), peer.decode.toFixed(1), (ours.decode / peer.decode).toFixed(2));
    row('first ms', ours.first_ms.toFixed(0), peer.first_ms.toFixed(0), (ours.first_ms / peer.first_ms).toFixed(2));
    if (native) row('first ms, native', native.toFixed(0), '', `browser ${(ours.first_ms / native).toFixed(2)}`);
  }
} finally {
  await context.close();
  await server.close();
  rmSync(profile, { recursive: true, force: true });
}
