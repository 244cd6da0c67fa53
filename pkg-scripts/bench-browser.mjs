#!/usr/bin/env node
// Times fewbit against onnxruntime-web in the same Chromium: one thread of WebAssembly, and WebGPU on the same adapter.
//
//   pkg-scripts/bench-browser.mjs [--runs 20] [--json] [--only PART-OF-A-NAME] [--engine PART-OF-A-NAME]
//
// Batch 1, random input, everything in the page's own thread, median after a warm-up. "cold" is from opening a page to
// the first label, weights from this machine, nothing cached: with the same float model and code around both engines, and
// fewbit's own page with its own model, against the former. Without a
// hardware GPU, WebGPU runs on SwiftShader: its ratios tell something, its times nothing.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CACHE, WWW, launch, openPage, serveAll } from '../www/tests/harness.mjs';

const { values: options } = parseArgs({
  options: { runs: { type: 'string', default: '20' }, json: { type: 'boolean' }, only: { type: 'string', default: '' }, engine: { type: 'string', default: '' } },
});
const RUNS = Number(options.runs);
/** A slow backend gets fewer runs, at least one: about this long in all. */
const BUDGET_MS = 20_000;

const IMAGE = [1, 3, 224, 224];
/** `ours` and `theirs` are addresses; one without `theirs` is compared with the peer of the row named `against`. */
const NETWORKS = [
  { name: 'EfficientNet-Lite0 f32', ours: '/models/efficientnet_lite0.onnx', theirs: '/models/efficientnet_lite0.onnx', dims: IMAGE },
  { name: 'ViT-S/14 saliency f32', ours: '/models/vit_s14_saliency.onnx', theirs: '/models/vit_s14_saliency.onnx', dims: IMAGE },
  { name: 'EfficientNet-Lite0 4-bit', ours: '/dist/efficientnet-lite0-4bit.fewbit', dims: IMAGE, against: 'EfficientNet-Lite0 f32' },
];

/** One product y[M, 2048] = x[M, 2048]·Wᵀ: `bench_matmul.py --models` writes the files. The peer has 2 and 4 bits. */
const PRODUCTS = [1, 256].flatMap((m) => {
  const named = (name) => `M=${m} ${name}`;
  const product = (ours, theirs, against) => ({
    name: named(ours ?? theirs),
    dims: [m, 2048],
    ours: ours && `/matmul/${ours.replaceAll(':', '-')}.fewbit`,
    theirs: theirs && `/matmul/${theirs}.onnx`,
    against: against && named(against),
  });
  return [
    product('f32', 'f32'),
    product(undefined, '4bit-acc0'),
    product(undefined, '4bit-acc4'),
    product(undefined, '2bit-acc4'),
    product('f16', undefined, 'f32'),
    product('palette:4', undefined, '4bit-acc4'),
    product('affine:4:group=32', undefined, '4bit-acc4'),
    product('palette:3', undefined, '4bit-acc4'),
    product('palette:2', undefined, '2bit-acc4'),
    product('affine:2:group=32', undefined, '2bit-acc4'),
  ];
});
const MODELS = [...NETWORKS, ...PRODUCTS];
const BACKENDS = ['wasm', 'webgpu'];

/** Runs in the page: times a model on one engine. */
async function time({ engine, backend, url, dims, runs, budget }) {
  let state = 1;
  const random = () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 31 - 1);
  const data = Float32Array.from({ length: dims.reduce((a, b) => a * b) }, random);
  const start = performance.now();
  let run;
  if (engine === 'fewbit') {
    const { load } = await import('/dist/index.js');
    const model = await load(url, { device: backend, worker: false, cache: 'none' });
    const input = model.info.inputs[0].name;
    run = () => model.run({ [input]: { data, dims } });
  } else {
    const folder = '/node_modules/onnxruntime-web/dist/';
    const ort = await import(`${folder}${backend === 'wasm' ? 'ort.wasm.min.mjs' : 'ort.webgpu.min.mjs'}`);
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = folder;
    const session = await ort.InferenceSession.create(url, { executionProviders: [backend] });
    run = async () => {
      const outputs = await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', data, dims) });
      // Reading the data is part of an answer; on WebGPU it waits for the GPU.
      for (const name of session.outputNames) await outputs[name].getData();
    };
  }
  await run();
  const ready = performance.now() - start;
  const times = [];
  for (let i = 0, began = performance.now(); i < runs && (i === 0 || performance.now() - began < budget); i++) {
    const before = performance.now();
    await run();
    times.push(performance.now() - before);
  }
  times.sort((a, b) => a - b);
  return { median_ms: times[times.length >> 1], min_ms: times[0], runs: times.length, ready_ms: ready };
}

/** A page that opens the float model with an engine and labels a photo: the same code around `engine`. */
const coldPage = (name, engine) => `<!doctype html><title>${name}</title><script type="module">
${engine}
const blob = await (await fetch('/samples/chelsea.jpg')).blob();
const bitmap = await createImageBitmap(blob);
const side = Math.floor(0.875 * Math.min(bitmap.width, bitmap.height));
const canvas = new OffscreenCanvas(224, 224).getContext('2d');
canvas.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, 224, 224);
const { data } = canvas.getImageData(0, 0, 224, 224);
const input = new Float32Array(3 * 224 * 224);
for (let i = 0; i < 224 * 224; i++) for (let c = 0; c < 3; c++) input[c * 224 * 224 + i] = (data[4 * i + c] - 127) / 128;
const logits = await run(input, [1, 3, 224, 224]);
document.body.textContent = String(logits.indexOf(Math.max(...logits)));
performance.mark('labelled');
</script>`;

const PAGES = {
  '/cold/onnxruntime': coldPage('onnxruntime-web', `
import * as ort from '/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs';
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = '/node_modules/onnxruntime-web/dist/';
const opening = ort.InferenceSession.create('/models/efficientnet_lite0.onnx', { executionProviders: ['wasm'] });
const run = async (data, dims) => {
  const session = await opening;
  const outputs = await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', data, dims) });
  return outputs[session.outputNames[0]].data;
};`),
  '/cold/fewbit': coldPage('fewbit', `
import { load } from '/dist/index.js';
const opening = load('/models/efficientnet_lite0.onnx', { device: 'wasm', worker: false, cache: 'none' });
const run = async (data, dims) => {
  const model = await opening;
  const outputs = await model.run({ [model.info.inputs[0].name]: { data, dims } });
  return Object.values(outputs)[0].data;
};`),
};

/** Opens a page in a fresh profile; milliseconds until it marks its first label. */
async function cold(browser, url) {
  const times = [];
  for (let i = 0; i < 5; i++) {
    const context = await browser.newContext();
    const page = await openPage(context, url);
    const handle = await page.waitForFunction(() => performance.getEntriesByName('labelled')[0]?.startTime, null, { timeout: 120_000 });
    times.push(await handle.jsonValue());
    await context.close();
  }
  return times.sort((a, b) => a - b)[times.length >> 1];
}

const server = await serveAll({
  extra: { '/matmul/': join(CACHE, 'matmul') },
  before(request, response) {
    const page = PAGES[request.url];
    if (page) response.writeHead(200, { 'content-type': 'text/html' }).end(page);
    return Boolean(page);
  },
});
const browser = await launch();
const fileOf = (url) => join(url.startsWith('/dist/') ? WWW : CACHE, url);
const results = [];
const note = (result) => {
  results.push(result);
  if (options.json) console.log(JSON.stringify(result));
};

try {
  for (const model of MODELS) {
    const missing = [model.ours, model.theirs].filter(Boolean).map(fileOf).find((file) => !existsSync(file));
    if (missing) {
      console.error(`bench-browser: ${missing} is missing, left out`);
      continue;
    }
    for (const backend of BACKENDS) {
      if (!`${model.name} ${backend}`.includes(options.only)) continue;
      for (const [engine, url] of [['fewbit', model.ours], ['onnxruntime-web', model.theirs]]) {
        if (!url || !engine.includes(options.engine)) continue;
        const context = await browser.newContext();
        const page = await openPage(context, `${server.url}/empty`);
        page.setDefaultTimeout(0);
        const task = { engine, backend, url, dims: model.dims, runs: RUNS, budget: BUDGET_MS };
        try {
          note({ model: model.name, against: model.against ?? model.name, backend, engine, ...(await page.evaluate(time, task)) });
        } catch (error) {
          note({ model: model.name, against: model.against ?? model.name, backend, engine, error: String(error).split('\n')[0] });
        }
        await context.close();
      }
    }
  }
  if ('cold'.includes(options.only)) {
    const timed = async (model, engine, path) =>
      note({ model, against: 'cold, float model', backend: 'wasm', engine, median_ms: await cold(browser, server.url + path) });
    await timed('cold, float model', 'fewbit', '/cold/fewbit');
    await timed('cold, float model', 'onnxruntime-web', '/cold/onnxruntime');
    await timed('cold, page and 4-bit model', 'fewbit', '/?device=wasm');
  }
} finally {
  await browser.close();
  await server.close();
}

if (!options.json) {
  const row = (...cells) => console.log(cells.map((cell, i) => (i < 2 ? String(cell).padEnd(26) : String(cell).padStart(17))).join(''));
  const ms = (r) => (r?.error ? 'failed' : r ? r.median_ms.toFixed(2) : '–');
  row('model', 'backend', 'fewbit ms', 'onnxruntime ms', 'ratio');
  for (const ours of results.filter((r) => r.engine === 'fewbit')) {
    const peer = results.find((r) => r.engine !== 'fewbit' && r.model === ours.against && r.backend === ours.backend);
    const ratio = ours.median_ms && peer?.median_ms ? (ours.median_ms / peer.median_ms).toFixed(2) : '–';
    row(ours.model, ours.backend, ms(ours), ms(peer), ratio);
    for (const r of [ours, peer]) if (r?.error) console.log(`  ${r.engine}: ${r.error}`);
  }
  // Rows of the peer that no row of ours is compared with.
  for (const peer of results.filter((r) => r.engine !== 'fewbit')) {
    if (results.some((r) => r.engine === 'fewbit' && r.against === peer.model && r.backend === peer.backend)) continue;
    row(peer.model, peer.backend, '–', ms(peer), '–');
  }
}
