// The page that talks, used as a person would, with a real model.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CACHE, launch, openPage, serveAll } from './harness.mjs';

const required = Boolean(process.env.FEWBIT_TEST_REQUIRE_DATA);
const skip = !existsSync(join(CACHE, 'models', 'smollm2_135m_q4_1.gguf')) && !required && 'run pkg-scripts/fetch smollm2';
const answers = (page) => page.locator('#log .assistant').allTextContents();
const idle = (page) => page.waitForSelector('#stop', { state: 'hidden' });

describe('chat page', { skip }, () => {
  let browser, server, page;
  before(async () => {
    server = await serveAll();
    browser = await launch({ gpu: false });
    page = await openPage(await browser.newContext(), `${server.url}/chat.html`);
    page.setDefaultTimeout(60_000);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  test('answers what is typed, and says how fast', async () => {
    await page.focus('#words');
    await page.keyboard.type('What is the capital of France?');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#log .assistant:not(:empty)');
    await page.waitForFunction(() => performance.getEntriesByName('answered').length === 1);
    assert.match((await answers(page))[0], /Paris/);
    assert.deepEqual(await page.locator('#log .user').allTextContents(), ['What is the capital of France?']);
    assert.match(await page.textContent('#speed'), /writes \d+\.\d, read \d+ at \d+\.\d tokens\/s/);
    assert.match(await page.textContent('#model'), /^\d+\.\d MB/);
    assert.match(await page.textContent('#device'), /WebAssembly/);
    assert.equal(await page.inputValue('#words'), '');
  });

  test('Escape and the button stop an answer, and what was written stays', async () => {
    for (const stop of [() => page.keyboard.press('Escape'), () => page.click('#stop')]) {
      const before = (await answers(page)).length;
      await page.fill('#words', 'Write a very long story about a ship.');
      await page.click('#send');
      await page.waitForFunction((n) => document.querySelectorAll('#log .assistant:not(:empty)').length > n, before);
      await stop();
      await idle(page);
      const text = (await answers(page)).at(-1);
      assert.ok(text.length > 0);
      await page.waitForTimeout(300);
      assert.equal((await answers(page)).at(-1), text);
    }
    await page.click('#anew');
    assert.deepEqual(await answers(page), []);
  });

  test('fits a phone', async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `the page is ${overflow} px wider than the screen`);
    const { y, height } = await page.locator('#words').boundingBox();
    assert.ok(y + height <= 740, 'the field is in sight');
  });

  test('no error reached the console', () => assert.deepEqual(page.problems, []));
});
