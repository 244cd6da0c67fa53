// Fewer tokens in Chromium: what the native program computes, the map, mistakes, and that nobody else pays for it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ROOT, launch, openPage, serveAll } from './harness.mjs';
import { fromNpy, toNpy } from './npy.mjs';
import { reluModel } from './tiny.mjs';

const DATA = join(ROOT, 'tests', 'data', 'fashion');
/** pkg-scripts/test-browser builds it. */
const PROGRAM = process.env.FEWBIT_PROGRAM ?? join(ROOT, 'target', 'release', 'fewbit');
const SCHEDULE = JSON.parse(readFileSync(join(DATA, 'schedule.json'), 'utf8'));
/** As the manifest of `vit.fewbit` says; the pictures have the size that it takes. */
const [MEAN, STD, SIDE, TOKENS] = [72.93, 90.015, 28, 50];
const TOLERANCE = 1e-4;

const required = Boolean(process.env.FEWBIT_TEST_REQUIRE_DATA);
const skip = !existsSync(PROGRAM) && !required && `${PROGRAM} is missing: run pkg-scripts/test-browser package`;

describe('fewer tokens', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'fewbit-tokens-'));
  const fetched = [];
  let browser, server, page, pixels;

  before(async () => {
    const before = (request, response) => {
      fetched.push(request.url);
      if (request.url !== '/relu.onnx') return false;
      response.end(reluModel(8));
      return true;
    };
    server = await serveAll({ before, extra: { '/fashion/': DATA } });
    browser = await launch();
    page = await openPage(await browser.newContext(), `${server.url}/empty`);
    await page.evaluate(async () => {
      globalThis.fewbit = await import('/dist/index.js');
      globalThis.failure = (work) => work.then(() => 'nothing', ({ name, code, message }) => ({ name, code, message }));
      globalThis.plain = ({ data, dims, type }) => ({ values: [...data], dims, type });
    });
    pixels = await page.evaluate(async () => {
      const bitmap = await createImageBitmap(await (await fetch('/samples/fashion/sneaker.png')).blob());
      const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
      context.drawImage(bitmap, 0, 0);
      return [...context.getImageData(0, 0, bitmap.width, bitmap.height).data].filter((_, i) => i % 4 === 0);
    });
    assert.equal(pixels.length, SIDE * SIDE);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const input = () => [0, 1, 2].flatMap(() => pixels.map((value) => Math.fround((value - MEAN) / STD)));

  /** Logits and map of the native program. */
  function native(tokens) {
    writeFileSync(join(folder, 'in.npy'), toNpy([1, 3, SIDE, SIDE], input()));
    const arguments_ = ['run', join(DATA, 'vit.fewbit'), '--input', `pixel_values=${join(folder, 'in.npy')}`];
    execFileSync(PROGRAM, [...arguments_, '--tokens', tokens, '--device', 'cpu', '--output', folder], { stdio: 'pipe' });
    return ['logits', 'token_map'].map((name) => fromNpy(readFileSync(join(folder, `${name}.npy`))));
  }

  const ways = [
    ['topk:0.7', 'topk:0.7'],
    ['evit:0.6', 'evit:0.6'],
    ['tome:4', 'tome:4'],
    [`diffrate:${join(DATA, 'schedule.json')}`, 'diffrate:/fashion/schedule.json'],
    [`diffrate:${join(DATA, 'schedule.json')}`, SCHEDULE],
  ];
  for (const device of ['wasm', 'webgpu']) {
    test(`on ${device}: logits and maps are the native program’s`, async () => {
      for (const [there, here] of ways) {
        const found = await page.evaluate(
          async ([device, tokens, data]) => {
            const model = await fewbit.load('/fashion/vit.fewbit', { device, tokens, tokenMap: true });
            const outputs = await model.run({ pixel_values: { data: new Float32Array(data), dims: [1, 3, 28, 28] } });
            const { info } = model;
            await model.dispose();
            return { logits: plain(outputs.logits), map: plain(outputs.token_map), info };
          },
          [device, here, input()],
        );
        const [logits, map] = native(there);
        const worst = Math.max(...logits.values.map((value, i) => Math.abs(value - found.logits.values[i])));
        assert.ok(worst <= TOLERANCE, `${there}: logits are off by ${worst}`);
        assert.deepEqual(found.logits.dims, [1, 10]);
        assert.deepEqual(found.map, { ...map, dims: [1, TOKENS], type: 'int32' }, there);
        assert.ok(new Set(map.values).size < TOKENS, 'some patches went');
        assert.equal(found.info.device, device);
        assert.deepEqual(found.info.tokens, { layers: 6, count: TOKENS, pinned: 1 });
      }
    });
  }

  test('classifies with fewer tokens, says what that saves, and is told another way', async () => {
    const [all, pruned, merged, none] = await page.evaluate(async () => {
      const classify = await fewbit.pipeline('image-classification', '/fashion/vit.fewbit', { tokens: 'tome:0' });
      const label = async () => {
        const labels = await classify('/samples/fashion/sneaker.png', { topK: 3 });
        const { tokenMap } = labels;
        return { best: labels[0].label, count: labels.length, map: tokenMap && plain(tokenMap), work: classify.info.multiplications };
      };
      const all = [await label()];
      await classify.model.setTokens(new URL('/fashion/schedule.json', location.href), { tokenMap: true });
      all.push(await label());
      await classify.model.setTokens('tome:4', { tokenMap: true });
      all.push(await label());
      await classify.model.setTokens('none');
      all.push(await label());
      await classify.dispose();
      return all;
    });
    for (const { best, count } of [all, pruned, merged, none]) assert.deepEqual([best, count], ['sneaker', 3]);
    assert.equal(all.map, undefined);
    assert.equal(pruned.map.values.length, TOKENS);
    assert.ok(pruned.map.values.includes(-1));
    assert.ok(!merged.map.values.includes(-1));
    assert.equal(new Set(merged.map.values).size, TOKENS - 6 * 4);
    assert.ok(pruned.work < 0.6 * all.work, `${pruned.work} of ${all.work}`);
    assert.deepEqual(none, all);
  });

  test('only the module of language models is fetched, and only for this', async () => {
    assert.ok(fetched.some((url) => url.endsWith('fewbit_text_bg.wasm')));
    assert.ok(!fetched.some((url) => url.endsWith('/fewbit_bg.wasm')));
    fetched.length = 0;
    await page.evaluate(async () => (await fewbit.load('/relu.onnx', { cache: 'none', tokens: 'none', tokenMap: true })).dispose());
    assert.ok(fetched.some((url) => url.endsWith('/fewbit_bg.wasm')));
    assert.ok(!fetched.some((url) => url.includes('text')), fetched.join());
  });

  test('mistakes are errors, found before the model is fetched where that is possible', async () => {
    fetched.length = 0;
    const early = await page.evaluate(async () => {
      const open = (tokens, options) => failure(fewbit.load('/fashion/vit.fewbit', { cache: 'none', tokens, ...options }));
      return [
        [/no way to reduce tokens/, 'usage', await open('magic:3')],
        [/share above 0 and up to 1/, 'usage', await open('topk:1.5')],
        [/how many pairs/, 'usage', await open('tome:many', { worker: false })],
        [/the schedule.*`prune` must list/, 'usage', await open({ merge: [1] })],
        [/of 1 layers, `merge` of 2/, 'usage', await open({ prune: [3], merge: [3, 3] })],
        [/`prune` must list/, 'usage', await open(null)],
        [/404/, 'network', await open('diffrate:/fashion/none.json')],
        [/is no JSON/, 'usage', await open(new URL('/style.css', location.href))],
        [/for `image-classification`/, 'unsupported', await failure(fewbit.pipeline('image-to-text', '/fashion/vit.fewbit', { tokens: 'topk:0.5' }))],
      ].map(([said, ...rest]) => [said.source, ...rest]);
    });
    for (const [said, code, { name, code: got, message }] of early) {
      assert.deepEqual([name, got], ['FewbitError', code], message);
      assert.match(message, new RegExp(said));
    }
    assert.ok(!fetched.includes('/fashion/vit.fewbit'), fetched.join());
    const late = await page.evaluate(async () => {
      const classify = await fewbit.pipeline('image-classification', '/fashion/vit.fewbit', { tokens: { prune: [9], merge: [9] } });
      const label = () => classify('/samples/fashion/sneaker.png');
      const other = await failure(label());
      const bad = await failure(classify.model.setTokens('topk:0'));
      const again = await failure(label());
      await classify.model.setTokens('topk:0.5');
      const [{ label: best }] = await label();
      const small = await fewbit.load('/relu.onnx', { cache: 'none' });
      const refused = await failure(small.setTokens('topk:0.5'));
      const relu = await fewbit.load('/relu.onnx', { cache: 'none', tokens: 'topk:0.5' });
      const blocks = await failure(relu.run({ x: { data: new Float32Array(1), dims: [1] } }));
      return { failures: [other, bad, again, refused, blocks], best };
    });
    const said = [/schedule is of 1 layers, the model has 6/, /share above 0/, /schedule is of 1 layers/, /loaded with `tokens`/, /no blocks/];
    late.failures.forEach(({ name, code, message }, i) => {
      assert.deepEqual([name, code], ['FewbitError', 'usage'], message);
      assert.match(message, said[i]);
    });
    assert.equal(late.best, 'sneaker');
  });

  test('no error reached the console', () => assert.deepEqual(page.problems.filter((text) => !/404/.test(text)), []));
});
