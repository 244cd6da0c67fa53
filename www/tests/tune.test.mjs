// Variants of GPU kernels in Chromium: tried, kept, and taken over by the next load.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch, openPage, serveAll } from './harness.mjs';
import { productsModel } from './tiny.mjs';

const [M, K, N] = [33, 70, 150];
const number = (i) => ((i * 7919) % 1009) / 504 - 1;
const W = Float32Array.from({ length: K * N }, (_, i) => number(i));
const X = Float32Array.from({ length: M * K }, (_, i) => number(3 * i));
const MODEL = productsModel(K, N, [['w', W]]);

/** In f64. */
const expected = Array.from({ length: M * N }, (_, i) => {
  let sum = 0;
  for (let k = 0; k < K; k++) sum += X[Math.floor(i / N) * K + k] * W[k * N + (i % N)];
  return sum;
});

function product(request, response) {
  if (!request.url.startsWith('/product.onnx')) return false;
  response.writeHead(200, { 'content-length': MODEL.length, etag: '"1"', 'content-type': 'application/octet-stream' });
  response.end(request.method === 'HEAD' ? undefined : MODEL);
  return true;
}

describe('tuning', () => {
  let browser, server, page;

  before(async () => {
    server = await serveAll({ before: product });
    browser = await launch();
    page = await openPage(await browser.newContext(), `${server.url}/empty`);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  /** Loads anew, tunes if asked, runs; the output is checked. */
  async function attempt(options, tune = false) {
    await page.reload();
    const { y, ...rest } = await page.evaluate(
      async ([options, tune, data, dims]) => {
        const { load } = await import('/dist/index.js');
        const model = await load('/product.onnx', { device: 'webgpu', ...options });
        const x = { data: Float32Array.from(data), dims };
        const progress = [];
        const onProgress = ({ stage, loaded, total }) => progress.push(`${stage} ${loaded}/${total}`);
        const tuned = tune ? await model.tune({ x }, { onProgress }) : undefined;
        const { y_w: y } = await model.run({ x });
        return { y: [...y.data], choices: model.info.choices.trim().split('\n'), tuned, progress };
      },
      [options, tune, [...X], [M, K]],
    );
    const largest = Math.max(...expected.map(Math.abs));
    const error = Math.max(...expected.map((want, i) => Math.abs(want - y[i])));
    assert.ok(y.length === M * N && error <= 1e-5 * largest, `${error} of ${largest}`);
    return rest;
  }

  /** What was kept, with another content if one is given. */
  const stored = (text) =>
    page.evaluate(async (text) => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('fewbit-models');
      for await (const [name, handle] of folder.entries()) {
        const old = name.endsWith('.bin') && (await (await handle.getFile()).text());
        if (!old || !/^\d \S+ 0 /.test(old)) continue;
        if (text === undefined) return old;
        const sink = await handle.createWritable();
        await sink.write(text);
        await sink.close();
      }
      return text;
    }, text);

  test('keeps the fastest variants, and later loads take them over', async () => {
    const first = await attempt({});
    assert.equal(first.choices.length, 1);
    const key = first.choices[0].replace(/^\d+/, '');
    assert.match(key, new RegExp(` 0 .*${K}`));

    const tuned = await attempt({}, true);
    assert.equal(tuned.tuned, 1);
    assert.deepEqual(tuned.progress, ['tune 0/1', 'tune 1/1']);
    assert.equal(await stored(), tuned.choices.join('\n'));
    assert.deepEqual((await attempt({})).choices, tuned.choices);

    // Whatever was fastest: every variant that is kept is the one that runs.
    for (const variant of [0, 1, 2, 3]) {
      await stored(variant + key);
      assert.deepEqual((await attempt({})).choices, [variant + key]);
      assert.deepEqual((await attempt({ tuned: false })).choices, first.choices);
    }
    await stored(`nonsense\n99${key}`);
    assert.deepEqual((await attempt({})).choices, first.choices);
  });

  test('stops when asked, and has nothing to tune in WebAssembly', async () => {
    const codes = await page.evaluate(
      async ([data, dims]) => {
        const { load } = await import('/dist/index.js');
        const inputs = { x: { data: Float32Array.from(data), dims } };
        const model = await load('/product.onnx', { device: 'webgpu', cache: 'none' });
        const controller = new AbortController();
        const options = { signal: controller.signal, onProgress: () => controller.abort() };
        const code = (work) => work.then(() => 'none', (error) => error.code);
        const stopped = await code(model.tune(inputs, options));
        const { y_w: y } = await model.run(inputs);
        const wasm = await load('/product.onnx', { device: 'wasm', cache: 'none' });
        return [stopped, y.data.length, await code(wasm.tune(inputs))];
      },
      [[...X], [M, K]],
    );
    assert.deepEqual(codes, ['aborted', M * N, 'unsupported']);
    // The empty page has no icon.
    assert.deepEqual(page.problems.filter((text) => !/404/.test(text)), []);
  });
});
