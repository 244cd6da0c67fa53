// The labelled photos through the npm package, against the reference: same preprocessing, same five labels.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PHOTOS, ROOT, WWW, launch, openPage, serveAll } from './harness.mjs';

const GOLDEN = JSON.parse(readFileSync(join(ROOT, 'tests', 'data', 'efficientnet_lite0_golden.json'), 'utf8'));
// pkg-scripts/test-browser makes it.
const FLOAT = process.env.FEWBIT_FLOAT_CLASSIFIER ?? join(ROOT, 'target', 'browser', 'efficientnet-lite0-f32.fewbit');
const DIST = join(WWW, 'dist');
const FOUR_BIT = 'efficientnet-lite0-4bit.fewbit';
/** A probability may differ from the reference's by this much: f32 sums in another order, JPEG decoders that differ by one. */
const TOLERANCE = 0.01;

describe('labelled photos', () => {
  let browser, server, page;
  before(async () => {
    for (const file of [FLOAT, join(DIST, FOUR_BIT), join(PHOTOS, GOLDEN.images[0].file)]) {
      assert.ok(existsSync(file), `${file} is missing: run pkg-scripts/fetch, then pkg-scripts/test-browser`);
    }
    server = await serveAll({ extra: { '/float/': join(FLOAT, '..') } });
    browser = await launch();
    page = await openPage(await browser.newContext(), `${server.url}/empty`);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const classifyAll = (url, device) =>
    page.evaluate(
      async ({ url, device, files }) => {
        const { pipeline } = await import('/dist/index.js');
        const classify = await pipeline('image-classification', url, { device, cache: 'none' });
        const answers = [];
        for (const file of files) answers.push(await classify(`/photos/${file}`, { topK: 5 }));
        const { info } = classify;
        await classify.dispose();
        return { answers, info };
      },
      { url, device, files: GOLDEN.images.map((image) => image.file) },
    );

  for (const device of ['wasm', 'webgpu']) {
    test(`float weights on ${device}: the reference's labels and probabilities`, async () => {
      const { answers, info } = await classifyAll(`/float/${FLOAT.split('/').at(-1)}`, device);
      assert.equal(info.device, device);
      GOLDEN.images.forEach((image, i) => {
        answers[i].forEach(({ index, score }, rank) => {
          const wanted = image.top5_prob[rank];
          assert.ok(Math.abs(score - wanted) < TOLERANCE, `${image.file}, rank ${rank}: ${score}, reference ${wanted}`);
          // Classes that are equally likely may swap.
          const close = image.top5.some((c, r) => c === index && Math.abs(image.top5_prob[r] - wanted) < TOLERANCE);
          const tail = image.top5_prob[4] > wanted - TOLERANCE;
          assert.ok(close || tail, `${image.file}, rank ${rank}: class ${index}, reference ${image.top5}`);
        });
      });
    });

    test(`four-bit weights on ${device}: the right label among five`, async () => {
      const { answers } = await classifyAll(`/dist/${FOUR_BIT}`, device);
      const top1 = answers.filter((answer, i) => answer[0].index === GOLDEN.images[i].label).length;
      const top5 = answers.filter((answer, i) => answer.some(({ index }) => index === GOLDEN.images[i].label)).length;
      console.log(`${device}: ${top1} of ${answers.length} first, ${top5} among five`);
      // The float model has 18 and 19.
      assert.ok(top1 >= 17 && top5 >= 18, `${top1} first, ${top5} among five`);
    });
  }
});
