// Text generation in Chromium with a real model: the reference's ids, streams, abort, the cache, schemas.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CACHE, ROOT, launch, openPage, serveAll } from './harness.mjs';

const MODEL = 'smollm2_135m_q4_1.gguf';
/** Prompts with llama.cpp's ids on the model's weights in f32. */
const CASES = JSON.parse(readFileSync(join(ROOT, 'tests', 'data', 'generate', 'smollm2_greedy.json')));
const required = Boolean(process.env.FEWBIT_TEST_REQUIRE_DATA);
const skip = !existsSync(join(CACHE, 'models', MODEL)) && !required && 'run pkg-scripts/fetch smollm2';

describe('text generation', { skip }, () => {
  let browser, server, page;
  const fetched = [];

  before(async () => {
    const before = (request) => void fetched.push(request.url);
    server = await serveAll({ before });
    browser = await launch();
    page = await openPage(await browser.newContext(), `${server.url}/empty`);
    page.setDefaultTimeout(0);
    await page.evaluate(async (address) => {
      globalThis.fewbit = await import('/dist/index.js');
      globalThis.open = (options) => fewbit.pipeline('text-generation', address, options);
      globalThis.failure = (work) => work.then(() => 'nothing', ({ name, code, message }) => ({ name, code, message }));
    }, `/models/${MODEL}`);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  test('the greedy ids are the reference’s, in WebAssembly', async () => {
    const { results, info, stages } = await page.evaluate(async (cases) => {
      const stages = [];
      globalThis.chat = await open({ device: 'wasm', onProgress: (p) => stages.push(p) });
      const results = [];
      for (const { prompt, ids } of cases) results.push(await chat(prompt, { maxTokens: ids.length }));
      return { results, info: chat.info, stages };
    }, CASES);
    for (const [i, { prompt, prompt_ids, ids, text }] of CASES.entries()) {
      assert.deepEqual(results[i].ids, ids, prompt);
      assert.equal(results[i].text, text);
      assert.equal(results[i].promptTokens, prompt_ids.length);
      assert.equal(results[i].tokens, ids.length);
    }
    assert.equal(info.task, 'text-generation');
    assert.equal(stages.at(-1).stage, 'ready');
    assert.ok(stages.some((p) => p.stage === 'download' && p.loaded === p.total));
    // The small module is not fetched for it.
    assert.ok(fetched.some((url) => url.endsWith('fewbit_text_bg.wasm')));
    assert.ok(!fetched.some((url) => url.endsWith('/fewbit_bg.wasm')));
  });

  test('a stream gives the same text in pieces, whole characters each', async () => {
    const { pieces, generated, plain } = await page.evaluate(async () => {
      const prompt = 'Three emoji: 🙂🙂';
      const options = { maxTokens: 24, temperature: 0.9, topK: 50, seed: 7 };
      const pieces = [];
      const stream = chat.stream(prompt, options);
      let next = await stream.next();
      for (; !next.done; next = await stream.next()) pieces.push(next.value);
      return { pieces, generated: next.value, plain: await chat(prompt, options) };
    });
    assert.equal(pieces.join(''), generated.text);
    assert.deepEqual(generated.ids, plain.ids);
    assert.ok(pieces.length > 1 && pieces.every((piece) => piece.length > 0 && piece.isWellFormed()));
  });

  test('an abort ends a stream, and the pipeline goes on', async () => {
    const { failed, ms, left, again } = await page.evaluate(async () => {
      const controller = new AbortController();
      const stream = chat.stream('Once upon a time', { maxTokens: 500, signal: controller.signal });
      await stream.next();
      controller.abort();
      const began = performance.now();
      const failed = await failure((async () => { for await (const _ of stream); })());
      // Also one that is left early.
      let left = 0;
      for await (const _ of chat.stream('Once upon a time', { maxTokens: 500 })) if (++left === 2) break;
      const again = await chat('The capital of France is', { maxTokens: 2 });
      return { failed, ms: performance.now() - began, left, again };
    });
    assert.deepEqual([failed.name, failed.code], ['FewbitError', 'aborted']);
    assert.equal(left, 2);
    assert.equal(again.text, ' Paris.');
    assert.ok(ms < 20_000, `500 tokens were computed: ${ms} ms`);
  });

  test('a conversation, a stop text and a schema', async () => {
    const { chatted, stopped, json } = await page.evaluate(async () => {
      const chatted = await chat([{ role: 'user', content: 'What is the capital of France?' }], { maxTokens: 12 });
      const stopped = await chat('1, 2, 3, 4, 5,', { maxTokens: 20, stop: ' 8' });
      const jsonSchema = { type: 'object', properties: { city: { type: 'string', maxLength: 12 }, people: { type: 'integer' } }, required: ['city', 'people'], additionalProperties: false };
      const json = await chat('Paris as JSON:', { maxTokens: 40, jsonSchema });
      return { chatted, stopped, json };
    });
    assert.match(chatted.text, /Paris/);
    assert.equal(chatted.end, 'stop');
    assert.equal(stopped.text, ' 6, 7,');
    const value = JSON.parse(json.text);
    assert.deepEqual(Object.keys(value).sort(), ['city', 'people']);
    assert.ok(typeof value.city === 'string' && Number.isInteger(value.people));
  });

  test('mistakes are errors', async () => {
    const failures = await page.evaluate(() =>
      Promise.all([
        failure(chat('')),
        failure(chat('a', { temperature: -1 })),
        failure(chat('a', { topK: 1.5 })),
        failure(chat('a', { jsonSchema: { type: 'nonsense' } })),
        failure(chat([{ role: 'user' }])),
        failure(chat('a '.repeat(9000))),
        failure(fewbit.pipeline('text-generation', '/dist/efficientnet-lite0-4bit.fewbit', { cache: 'none' })),
        failure(fewbit.pipeline('text-generation')),
      ]),
    );
    for (const failed of failures) assert.equal(failed.name, 'FewbitError', JSON.stringify(failures));
    const codes = failures.map(({ code }) => code);
    assert.deepEqual(codes, ['usage', 'usage', 'usage', 'unsupported', 'usage', 'usage', 'unsupported', 'usage']);
  });

  test('a stored model loads without the network, and runs on WebGPU with the same ids', async () => {
    const before = fetched.length;
    const { ids, info, stages } = await page.evaluate(async () => {
      await chat.dispose();
      const stages = [];
      const onGpu = await open({ device: 'webgpu', onProgress: ({ stage }) => stages.push(stage) });
      const { ids } = await onGpu('The capital of France is', { maxTokens: 4 });
      const { info } = onGpu;
      await onGpu.dispose();
      return { ids, info, stages };
    });
    assert.deepEqual(ids, CASES[0].ids.slice(0, 4));
    assert.equal(info.device, 'webgpu');
    assert.ok(stages.includes('cache') && !stages.includes('download'));
    assert.ok(fetched.slice(before).filter((url) => url.endsWith(MODEL)).length <= 1, 'asked at most whether it is current');
  });
});
