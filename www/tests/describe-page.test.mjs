// The page that describes photos, used as a person would, with a small random model.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ROOT, launch, openPage, serveAll } from './harness.mjs';

const folder = process.env.FEWBIT_SEEING_MODELS ?? join(ROOT, 'target', 'browser', 'seeing');
const required = Boolean(process.env.FEWBIT_TEST_REQUIRE_DATA);
const skip = !existsSync(folder) && !required && 'run pkg-scripts/test-browser package';
const picture = (name) => join(ROOT, 'tests', 'data', 'vision_language', `${name}.png`);
const done = (page, times) => page.waitForFunction((n) => performance.getEntriesByName('described').length >= n, times);

describe('page that describes', { skip }, () => {
  let browser, server, page;
  before(async () => {
    server = await serveAll({ extra: { '/seeing/': folder } });
    browser = await launch({ gpu: false });
    page = await openPage(await browser.newContext(), `${server.url}/describe.html`);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  test('says what it needs, and describes when it has a photo and a model', async () => {
    assert.equal(await page.textContent('#missing'), 'Choose a photo and a model first.');
    await page.setInputFiles('#file', picture('wide'));
    assert.equal(await page.textContent('#missing'), 'Choose a model first.');
    await page.setInputFiles('#model-file', join(folder, 'smolvlm.fewbit'));
    await done(page, 1);
    assert.equal(await page.isVisible('#missing'), false);
    assert.ok((await page.textContent('#text')).length > 0);
    assert.match(await page.textContent('#time'), /^First word after \d+\.\d s$/);
    assert.match(await page.textContent('#speed'), /writes \d+\.\d, read \d+ at \d+\.\d tokens\/s/);
    assert.match(await page.textContent('#device'), /WebAssembly/);
    assert.match(await page.textContent('#model'), /^\d+\.\d+ MB/);
    assert.equal(await page.isVisible('#loading'), false);
  });

  test('answers a question, with the keyboard alone, as the package does', async () => {
    await page.focus('#prompt');
    await page.keyboard.type('What is it?');
    await page.keyboard.press('Enter');
    await done(page, 2);
    const { text } = await page.evaluate(async () => {
      const { pipeline } = await import('/dist/index.js');
      const see = await pipeline('image-to-text', '/seeing/smolvlm.fewbit', { cache: 'none' });
      const photo = await (await fetch(document.getElementById('preview').src)).blob();
      return see(photo, { prompt: 'What is it?', maxTokens: 200 });
    });
    assert.equal(await page.textContent('#text'), text);
  });

  test('takes a model’s address and a dropped photo', async () => {
    await page.fill('#address', './seeing/qwen2_vl.fewbit');
    await page.keyboard.press('Enter');
    await done(page, 3);
    await page.evaluate(async () => {
      const data = new DataTransfer();
      data.items.add(new File([await (await fetch('./samples/coffee.jpg')).blob()], 'coffee.jpg', { type: 'image/jpeg' }));
      document.getElementById('drop').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    });
    await done(page, 4);
    assert.ok((await page.textContent('#text')).length > 0);
  });

  test('Escape and the button stop it, and it goes on', async () => {
    const count = () => page.evaluate(() => performance.getEntriesByName('described').length);
    const times = await count();
    for (const how of ['Escape', 'button']) {
      // At once: so small a model is soon done.
      const shown = await page.evaluate((how) => {
        const [ask, stop] = ['ask', 'stop'].map((id) => document.getElementById(id));
        ask.click();
        const shown = ask.hidden && !stop.hidden;
        if (how === 'Escape') dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }));
        else stop.click();
        return shown;
      }, how);
      assert.ok(shown, 'the button to stop it is there while it answers');
      await page.waitForSelector('#stop', { state: 'hidden' });
      await page.waitForTimeout(300);
      assert.deepEqual([await count(), await page.isVisible('#error')], [times, false], how);
    }
    await page.click('#ask');
    await done(page, times + 1);
  });

  test('a model that cannot be had gets advice, and the next one works', async () => {
    await page.fill('#address', './seeing/none.fewbit');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#error', { state: 'visible' });
    assert.match(await page.textContent('#error-message'), /404/);
    assert.notEqual(await page.textContent('#error-advice'), '');
    const times = await page.evaluate(() => performance.getEntriesByName('described').length);
    await page.setInputFiles('#model-file', join(folder, 'smolvlm.fewbit'));
    await done(page, times + 1);
    assert.equal(await page.isVisible('#error'), false);
  });

  test('fits a phone', async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `the page is ${overflow} px wider than the screen`);
    assert.ok(await page.isVisible('#prompt'));
  });

  test('no error reached the console', () => assert.deepEqual(page.problems.filter((text) => !/404/.test(text)), []));
});
