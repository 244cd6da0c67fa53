// Pictures to text in Chromium, with small random models: the reference's ids, every form of picture, streams, abort,
// mistakes.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ROOT, launch, openPage, serveAll } from './harness.mjs';
import { reluModel } from './tiny.mjs';

const DATA = join(ROOT, 'tests', 'data', 'vision_language');
const MODELS = ['qwen2_vl', 'smolvlm', 'llava'];
/** What pkg-scripts/vision_language_cases.py asked, and how many tokens follow. */
const PROMPT = 'What is it?';
const MORE = 12;

/** The ids that transformers makes of a photo with a model. */
function expected(model, photo) {
  const file = readFileSync(join(DATA, model, 'expected.safetensors'));
  const start = 8 + Number(file.readBigUInt64LE());
  const { dtype, data_offsets: [from, to] } = JSON.parse(file.subarray(8, start))[`${photo}.greedy`];
  assert.equal(dtype, 'I64');
  return Array.from({ length: (to - from) / 8 }, (_, i) => Number(file.readBigInt64LE(start + from + 8 * i)));
}

const folder = process.env.FEWBIT_SEEING_MODELS ?? join(ROOT, 'target', 'browser', 'seeing');
const required = Boolean(process.env.FEWBIT_TEST_REQUIRE_DATA);
const skip = !existsSync(folder) && !required && 'run pkg-scripts/test-browser package';

describe('pictures to text', { skip }, () => {
  let browser, server, page;
  const fetched = [];

  before(async () => {
    const before = (request, response) => {
      fetched.push(request.url);
      if (request.url !== '/relu.onnx') return false;
      response.end(reluModel(8));
      return true;
    };
    server = await serveAll({ before, extra: { '/seeing/': folder, '/pictures/': DATA } });
    browser = await launch();
    page = await openPage(await browser.newContext(), `${server.url}/empty`);
    await page.evaluate(async () => {
      globalThis.fewbit = await import('/dist/index.js');
      globalThis.open = (name, options) => fewbit.pipeline('image-to-text', `/seeing/${name}.fewbit`, { device: 'wasm', ...options });
      globalThis.failure = (work) => work.then(() => 'nothing', ({ name, code, message }) => ({ name, code, message }));
      globalThis.blob = async (name) => (await fetch(`/pictures/${name}.png`)).blob();
    });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  for (const model of MODELS) {
    test(`${model}: the greedy ids are the reference’s`, async () => {
      const { answers, info } = await page.evaluate(
        async ([model, prompt, maxTokens]) => {
          const see = await open(model);
          const answers = {};
          for (const photo of ['wide', 'tall']) answers[photo] = await see(`/pictures/${photo}.png`, { prompt, maxTokens });
          const { info } = see;
          await see.dispose();
          return { answers, info };
        },
        [model, PROMPT, MORE],
      );
      for (const [photo, { ids, tokens, end, promptTokens }] of Object.entries(answers)) {
        assert.deepEqual(ids, expected(model, photo), photo);
        assert.deepEqual([tokens, end], [MORE, 'max-tokens']);
        assert.ok(promptTokens > PROMPT.length, `${promptTokens} tokens of photo and prompt`);
      }
      assert.equal(info.task, 'image-to-text');
      // The tower and the decoder both, on the processor.
      assert.deepEqual(Object.keys(info.placement), ['cpu']);
    });
  }

  test('a captioner that is asked no question searches with four beams, unless chance, a stop text or a count is wanted', async () => {
    const ids = await page.evaluate(async (maxTokens) => {
      const see = await open('maccap');
      const ids = {};
      const asked = { usual: {}, four: { beams: 4 }, greedy: { beams: 1 }, stopped: { stop: 'Q' }, cold: { temperature: 1e-6 } };
      for (const [name, options] of Object.entries(asked)) ids[name] = (await see('/pictures/wide.png', { maxTokens, ...options })).ids;
      await see.dispose();
      return ids;
    }, MORE);
    assert.deepEqual(ids.usual, ids.four);
    assert.notDeepEqual(ids.usual, ids.greedy);
    assert.deepEqual([ids.stopped, ids.cold], [ids.greedy, ids.greedy]);
  });

  test('only the module with text is fetched', () => {
    assert.ok(fetched.some((url) => url.endsWith('fewbit_text_bg.wasm')));
    assert.ok(!fetched.some((url) => url.endsWith('/fewbit_bg.wasm')));
  });

  test('every form of a picture gives the same', async () => {
    const all = await page.evaluate(
      async ([prompt, maxTokens]) => {
        globalThis.see = await open('smolvlm');
        const file = await blob('wide');
        const bitmap = await createImageBitmap(file);
        const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
        const context = canvas.getContext('2d');
        context.drawImage(bitmap, 0, 0);
        const image = new Image();
        image.src = '/pictures/wide.png';
        await image.decode();
        const element = document.createElement('canvas');
        [element.width, element.height] = [bitmap.width, bitmap.height];
        element.getContext('2d').drawImage(image, 0, 0);
        const data = context.getImageData(0, 0, bitmap.width, bitmap.height);
        const forms = { url: new URL('/pictures/wide.png', location.href), file, bitmap, data, canvas, image, element };
        const all = {};
        for (const [form, picture] of Object.entries(forms)) all[form] = (await see(picture, { prompt, maxTokens })).ids;
        // What the caller passed in is still the caller's.
        all.again = (await see(bitmap, { prompt, maxTokens })).ids;
        return all;
      },
      [PROMPT, MORE],
    );
    assert.equal(Object.keys(all).length, 8);
    for (const [form, ids] of Object.entries(all)) assert.deepEqual(ids, expected('smolvlm', 'wide'), form);
  });

  test('a stream gives the same text in pieces; without a prompt a description; chance with a seed', async () => {
    const { pieces, answer, plain, asked, warm, again } = await page.evaluate(async (prompt) => {
      const photo = await blob('tall');
      const pieces = [];
      const stream = see.stream(photo, { prompt, maxTokens: 20 });
      let next = await stream.next();
      for (; !next.done; next = await stream.next()) pieces.push(next.value);
      const plain = await see(photo, { maxTokens: 8 });
      const asked = await see(photo, { maxTokens: 8, prompt: 'Describe this image.' });
      const chance = { prompt, maxTokens: 16, temperature: 2, seed: 5 };
      return { pieces, answer: next.value, plain, asked, warm: await see(photo, chance), again: await see(photo, chance) };
    }, PROMPT);
    assert.equal(pieces.join(''), answer.text);
    assert.ok(pieces.length > 1 && answer.ids.length === 20);
    assert.deepEqual(answer.ids.slice(0, MORE), expected('smolvlm', 'tall'));
    assert.deepEqual([plain.ids, plain.promptTokens], [asked.ids, asked.promptTokens]);
    assert.notEqual(plain.promptTokens, answer.promptTokens);
    assert.deepEqual(warm.ids, again.ids);
    assert.notDeepEqual(warm.ids.slice(0, MORE), answer.ids.slice(0, MORE));
  });

  test('an abort ends the computing, and the pipeline goes on', async () => {
    const { failed, before, left, ids } = await page.evaluate(
      async ([prompt, maxTokens]) => {
        const photo = await blob('wide');
        const failed = [];
        let before = 0;
        // While the photo is looked at or sent, and in the middle of the text.
        for (const wait of [0, 2]) {
          const controller = new AbortController();
          setTimeout(() => controller.abort(), wait);
          failed.push(await failure(see(photo, { maxTokens: 5000, signal: controller.signal })));
        }
        const controller = new AbortController();
        const reading = (async () => {
          for await (const _ of see.stream(photo, { maxTokens: 5000, signal: controller.signal })) {
            if (++before === 2) controller.abort();
          }
        })();
        failed.push(await failure(reading));
        let left = 0;
        for await (const _ of see.stream(photo, { maxTokens: 5000 })) if (++left === 2) break;
        const { ids } = await see(photo, { prompt, maxTokens });
        return { failed, before, left, ids };
      },
      [PROMPT, MORE],
    );
    assert.deepEqual(failed.map(({ name, code }) => [name, code]), Array(3).fill(['FewbitError', 'aborted']));
    assert.ok(before >= 2 && left === 2);
    assert.deepEqual(ids, expected('smolvlm', 'wide'));
  });

  test('mistakes are errors, and the pipeline stays usable', async () => {
    const { failures, ids, here } = await page.evaluate(
      async ([prompt, maxTokens]) => {
        const photo = await blob('wide');
        const mistakes = [
          ['usage', /prompt is 3/, () => see(photo, { prompt: 3 })],
          ['usage', /maxTokens/, () => see(photo, { maxTokens: -1 })],
          ['usage', /temperature/, () => see(photo, { temperature: -1 })],
          ['usage', /2 times/, () => see(photo, { prompt: '<image> and <image>' })],
          ['usage', /context/, () => see(photo, { prompt: 'word '.repeat(2000) })],
          ['usage', /address/, () => see('http://[')],
          ['unsupported', /decoded/, () => see(undefined)],
          ['unsupported', /decoded/, () => see(new Blob(['no picture']))],
          ['network', /404/, () => see('/pictures/none.png')],
          ['usage', /address of a model/, () => fewbit.pipeline('image-to-text')],
          ['unsupported', /made for `image-classification`/, () => fewbit.pipeline('image-to-text', '/dist/efficientnet-lite0-4bit.fewbit', { cache: 'none' })],
          ['unsupported', /made for `image-to-text`/, () => fewbit.pipeline('text-generation', '/seeing/smolvlm.fewbit', { cache: 'none' })],
          ['unsupported', /does not see/, () => fewbit.pipeline('image-to-text', '/relu.onnx', { cache: 'none' }).then((other) => other(photo))],
        ];
        const failures = [];
        for (const [code, said, mistake] of mistakes) {
          const failed = await failure((async () => mistake())());
          failures.push({ wanted: `FewbitError ${code}`, got: `${failed.name} ${failed.code}`, said: said.test(failed.message), message: failed.message });
        }
        const { ids } = await see(photo, { prompt, maxTokens });
        // Without a worker too, where the code is in another bundle than the error's class.
        const inPage = await open('smolvlm', { worker: false });
        const isOwn = (error) => [error instanceof fewbit.FewbitError, error.code];
        const here = [await inPage(photo, { temperature: -1 }).catch(isOwn), await inPage(undefined).catch(isOwn)];
        await inPage.dispose();
        return { failures, ids, here };
      },
      [PROMPT, MORE],
    );
    for (const { wanted, got, said, message } of failures) {
      assert.equal(got, wanted, message);
      assert.ok(said, message);
    }
    assert.deepEqual(ids, expected('smolvlm', 'wide'));
    assert.deepEqual(here, [[true, 'usage'], [true, 'unsupported']]);
  });

  test('a stored model sees on WebGPU as well', async () => {
    const { ids, info, stages } = await page.evaluate(
      async ([prompt, maxTokens]) => {
        await see.dispose();
        const stages = [];
        const onGpu = await open('smolvlm', { device: 'webgpu', onProgress: ({ stage }) => stages.push(stage) });
        const { ids } = await onGpu('/pictures/wide.png', { prompt, maxTokens });
        const { info } = onGpu;
        await onGpu.dispose();
        return { ids, info, stages };
      },
      [PROMPT, MORE],
    );
    assert.deepEqual(ids, expected('smolvlm', 'wide'));
    assert.equal(info.device, 'webgpu');
    assert.ok(info.placement.gpu > 10, JSON.stringify(info.placement));
    assert.ok(stages.includes('cache') && !stages.includes('download'));
  });

  test('no error reached the console', () => assert.deepEqual(page.problems.filter((text) => !/404/.test(text)), []));
});
