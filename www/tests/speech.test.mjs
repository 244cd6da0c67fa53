// Speech to text in Chromium with a real model: the reference's ids, every form of sound, streams, abort, mistakes.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CACHE, ROOT, launch, openPage, serveAll } from './harness.mjs';

const MODEL = 'whisper_tiny_en.fewbit';
const SPEECH = join(ROOT, 'tests', 'data', 'speech');
/** What an independent forward in f32 makes of two clips; of the longer one of its first 30 s. */
const [ECHO, CONGRATS] = JSON.parse(readFileSync(join(SPEECH, 'whisper_greedy.json')));
const required = Boolean(process.env.FEWBIT_TEST_REQUIRE_DATA);
const skip = !existsSync(join(CACHE, 'models', MODEL)) && !required && 'run pkg-scripts/fetch whisper_tiny_en, pkg-scripts/speech-model';

describe('speech to text', { skip }, () => {
  let browser, server, page;
  const fetched = [];

  before(async () => {
    server = await serveAll({ before: (request) => void fetched.push(request.url), extra: { '/speech/': SPEECH } });
    browser = await launch();
    page = await openPage(await browser.newContext(), `${server.url}/empty`);
    page.setDefaultTimeout(0);
    await page.evaluate(async (address) => {
      globalThis.fewbit = await import('/dist/index.js');
      globalThis.open = (options) => fewbit.pipeline('automatic-speech-recognition', address, { device: 'wasm', ...options });
      globalThis.failure = (work) => work.then(() => 'nothing', ({ name, code, message }) => ({ name, code, message }));
      globalThis.blob = async (name) => (await fetch(`/speech/${name}`)).blob();
      /** What the browser itself decodes, at some rate. */
      globalThis.decoded = async (name, rate) =>
        new OfflineAudioContext(1, 1, rate).decodeAudioData(await (await blob(name)).arrayBuffer());
    }, `/models/${MODEL}`);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  test('the greedy ids are the reference’s, of a file’s address and of samples', async () => {
    const { echo, congrats, info } = await page.evaluate(async () => {
      globalThis.hear = await open();
      const echo = await hear('/speech/demo-echotest.mp3');
      const buffer = await decoded('demo-congrats.ogg', 16_000);
      const congrats = await hear({ samples: buffer.getChannelData(0).subarray(0, 30 * 16_000), rate: 16_000 });
      return { echo, congrats, info: hear.info };
    });
    for (const [heard, want] of [[echo, ECHO], [congrats, CONGRATS]]) {
      assert.deepEqual(heard.ids, want.tokens);
      assert.equal(heard.text, want.text);
      assert.deepEqual(heard.segments.map(({ text }) => text), [want.text]);
    }
    assert.ok(Math.abs(echo.seconds - 22) < 0.1 && congrats.seconds === 30, `${echo.seconds} s, ${congrats.seconds} s`);
    assert.equal(info.task, 'automatic-speech-recognition');
    assert.ok(Object.keys(info.placement).every((place) => place === 'cpu') && info.placement.cpu > 50);
    assert.ok(fetched.some((url) => url.endsWith('fewbit_text_bg.wasm')));
    assert.ok(!fetched.some((url) => url.endsWith('/fewbit_bg.wasm')));
  });

  test('a stream gives the parts with their times; a file longer than a window', async () => {
    const { parts, joined, heard } = await page.evaluate(async () => {
      const parts = [];
      let joined = '';
      const stream = hear.stream(await blob('demo-congrats.ogg'), { timestamps: true });
      let next = await stream.next();
      for (; !next.done; next = await stream.next()) {
        parts.push(next.value);
        joined += next.value;
      }
      return { parts, joined, heard: next.value };
    });
    assert.deepEqual(parts, heard.segments);
    assert.equal(joined, heard.text);
    assert.ok(parts.length > 3 && Math.abs(heard.seconds - 30.3) < 0.1, `${parts.length} parts of ${heard.seconds} s`);
    let last = 0;
    for (const { start, end, text } of parts) {
      assert.ok(start >= last && end > start && text.trim(), JSON.stringify(parts));
      last = end;
    }
    assert.match(heard.text, /Congratulations.*asterisk.*configuration files.*console channel driver/is);
  });

  test('an AudioBuffer of another rate says the same', async () => {
    const text = await page.evaluate(async () => (await hear(await decoded('demo-echotest.mp3', 44_100))).text);
    assert.equal(text, ECHO.text);
  });

  test('an abort ends the computing, and the pipeline goes on', async () => {
    const { failed, left, ms, silence } = await page.evaluate(async () => {
      const sound = await blob('demo-congrats.ogg');
      await hear({ samples: new Float32Array(16_000), rate: 16_000 });
      const began = performance.now();
      const failed = [];
      for (const wait of [0, 200, 600]) {
        const controller = new AbortController();
        setTimeout(() => controller.abort(), wait);
        failed.push(await failure(hear(sound, { signal: controller.signal })));
      }
      let left = 0;
      for await (const _ of hear.stream(sound, { timestamps: true })) if (++left === 2) break;
      const ms = performance.now() - began;
      const silence = await hear({ samples: new Float32Array(8_000), rate: 8_000 });
      return { failed, left, ms, silence };
    });
    assert.deepEqual(failed.map(({ name, code }) => [name, code]), Array(3).fill(['FewbitError', 'aborted']));
    assert.equal(left, 2);
    assert.ok(silence.seconds === 1 && silence.text.length < 20, JSON.stringify(silence));
    console.log(`three aborted calls and one left early: ${ms.toFixed(0)} ms`);
  });

  test('mistakes are errors, and the pipeline stays usable', async () => {
    const { failures, after, page: inPage } = await page.evaluate(async () => {
      const samples = new Float32Array(20_000);
      const mistakes = [
        () => hear({ samples: new Float32Array(0), rate: 16_000 }),
        () => hear({ samples, rate: 0 }),
        () => hear({ samples, rate: 16_000.5 }),
        () => hear({ samples: [0, 1], rate: 16_000 }),
        () => hear(undefined),
        () => hear({ samples: samples.map(() => NaN), rate: 16_000 }),
        () => hear({ samples, rate: 16_000 }, { seed: -1 }),
        () => hear({ samples, rate: 16_000 }, { language: 'de' }),
        () => hear(new Blob([])),
        () => hear(new Blob(['no sound at all, but text that goes on for a while'])),
        async () => hear((await blob('demo-echotest.mp3')).slice(0, 40_000)),
        () => hear('/speech/none.wav'),
        () => fewbit.pipeline('automatic-speech-recognition', '/dist/efficientnet-lite0-4bit.fewbit', { cache: 'none' }),
        () => fewbit.pipeline('automatic-speech-recognition'),
        () => open().then((model) => fewbit.pipeline('text-generation', '/models/whisper_tiny_en.fewbit').finally(() => model.dispose())),
      ];
      const failures = [];
      for (const mistake of mistakes) failures.push(await failure(mistake()));
      const after = await hear({ samples, rate: 16_000 });
      // Without a worker too, where the code is in another bundle than the error's class.
      const here = await open({ worker: false });
      const page = await here({ samples: new Float32Array(0), rate: 16_000 }).catch((error) => [error instanceof fewbit.FewbitError, error.code]);
      await here.dispose();
      return { failures, after, page };
    });
    for (const failed of failures) assert.equal(failed.name, 'FewbitError', JSON.stringify(failures));
    assert.deepEqual(
      failures.map(({ code }) => code),
      [...Array(8).fill('usage'), 'unsupported', 'unsupported', 'unsupported', 'network', 'unsupported', 'usage', 'unsupported'],
      JSON.stringify(failures),
    );
    assert.equal(after.seconds, 1.25);
    assert.deepEqual(inPage, [true, 'usage']);
  });

  test('a stored model loads without the network, and hears on WebGPU', async () => {
    const before = fetched.length;
    const { heard, info, stages } = await page.evaluate(async () => {
      await hear.dispose();
      const stages = [];
      const onGpu = await open({ device: 'webgpu', onProgress: ({ stage }) => stages.push(stage) });
      const sound = await decoded('demo-echotest.mp3', 16_000);
      // A GPU that computes on the CPU takes a second for some tokens.
      const heard = await onGpu({ samples: sound.getChannelData(0).subarray(0, 3 * 16_000), rate: 16_000 });
      const { info } = onGpu;
      await onGpu.dispose();
      return { heard, info, stages };
    });
    assert.match(heard.text, /enter an echo test/i);
    assert.equal(info.device, 'webgpu');
    assert.ok(stages.includes('cache') && !stages.includes('download'));
    assert.ok(fetched.slice(before).filter((url) => url.endsWith(MODEL)).length <= 1, 'asked at most whether it is current');
  });

  test('no error reached the console', () => assert.deepEqual(page.problems.filter((text) => !/404/.test(text)), []));
});
