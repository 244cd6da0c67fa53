// The demo page, used as a person would, in Chromium with WebGPU (a software adapter) and without.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ROOT, launch, openPage, serveAll } from './harness.mjs';

const CHELSEA = join(ROOT, 'tests', 'data', 'chelsea.png');
/** Classes of ImageNet that a cat like Chelsea is. */
const CATS = /cat|tabby|lynx/i;

const labels = (page) => page.locator('#labels li span:first-child').allTextContents();
const answered = (page) => page.waitForFunction(() => document.querySelectorAll('#labels li').length === 5 && document.querySelector('#labels').ariaBusy === 'false');

for (const gpu of [true, false]) {
  describe(`demo page, Chromium ${gpu ? 'with WebGPU' : 'without WebGPU'}`, () => {
    let browser, server, context, page;
    before(async () => {
      server = await serveAll();
      browser = await launch({ gpu });
      context = await browser.newContext();
      page = await openPage(context, `${server.url}/`);
    });
    after(async () => {
      await browser?.close();
      await server?.close();
    });

    test('opens with a labelled sample, and says which device and why', async () => {
      await answered(page);
      assert.match((await labels(page))[0], CATS);
      assert.match(await page.textContent('#device'), /WebAssembly/);
      assert.match(await page.textContent('#reason'), gpu ? /software/ : /no WebGPU|no usable GPU/);
      assert.match(await page.textContent('#model'), /^\d+\.\d+ MB/);
      assert.match(await page.textContent('#weights'), /bits each$/);
      assert.match(await page.textContent('#time'), /\d+ ms$/);
      assert.equal(await page.isVisible('#loading'), false);
    });

    test('labels a dropped photo', async () => {
      await page.evaluate(() => document.getElementById('labels').replaceChildren());
      const bytes = [...(await readFile(CHELSEA))];
      await page.evaluate((bytes) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], 'chelsea.png', { type: 'image/png' }));
        document.getElementById('drop').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
      }, bytes);
      await answered(page);
      assert.match((await labels(page))[0], CATS);
    });

    test('works with the keyboard alone', async () => {
      await page.evaluate(() => document.getElementById('labels').replaceChildren());
      await page.focus('#file');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Sample: a cup of coffee');
      await page.keyboard.press('Enter');
      await answered(page);
      assert.match((await labels(page)).join(), /espresso|cup|coffee/i);
    });

    test('a file that is not a picture gets advice, and the next photo works', async () => {
      await page.setInputFiles('#file', { name: 'broken.png', mimeType: 'image/png', buffer: Buffer.from('nothing') });
      await page.waitForSelector('#error:not([hidden])');
      assert.match(await page.textContent('#error-message'), /decoded/);
      assert.notEqual(await page.textContent('#error-advice'), '');
      await page.evaluate(() => document.getElementById('labels').replaceChildren());
      await page.setInputFiles('#file', CHELSEA);
      await answered(page);
      assert.equal(await page.isVisible('#error'), false);
    });

    test('the device can be switched', async () => {
      await page.evaluate(() => document.getElementById('labels').replaceChildren());
      await page.check('input[value=webgpu]');
      if (gpu) {
        await answered(page);
        assert.match(await page.textContent('#device'), /WebGPU/);
        assert.match((await labels(page))[0], CATS);
      } else {
        await page.waitForSelector('#error:not([hidden])');
        assert.match(await page.textContent('#error-advice'), /Best here/);
        await page.check('input[value=auto]');
        await answered(page);
      }
    });

    test('fits a phone', async () => {
      await page.setViewportSize({ width: 360, height: 740 });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `the page is ${overflow} px wider than the screen`);
    });

    test('no error reached the console', () => assert.deepEqual(page.problems, []));
  });
}

test('the download shows its progress, and a failed one offers another try', async () => {
  let fail = true;
  const server = await serveAll({
    before(request, response) {
      if (!fail || !request.url.endsWith('.fewbit')) return false;
      response.writeHead(503).end();
      return true;
    },
  });
  const browser = await launch({ gpu: false });
  try {
    const page = await openPage(await browser.newContext(), `${server.url}/`);
    await page.waitForSelector('#error:not([hidden])');
    assert.match(await page.textContent('#error-message'), /503/);
    fail = false;
    await page.evaluate(() => {
      globalThis.seen = [];
      const stage = document.getElementById('stage');
      new MutationObserver(() => seen.push(stage.textContent)).observe(stage, { childList: true });
    });
    await page.click('#retry');
    await answered(page);
    const seen = await page.evaluate(() => globalThis.seen);
    assert.ok(seen.some((text) => /^Downloading the model: .* MB of .* MB$/.test(text)), seen.join(' | '));
  } finally {
    await browser.close();
    await server.close();
  }
});
