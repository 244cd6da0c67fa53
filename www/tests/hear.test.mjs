// The page that listens, used as a person would, with a real model.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CACHE, ROOT, launch, openPage, serveAll } from './harness.mjs';

const required = Boolean(process.env.FEWBIT_TEST_REQUIRE_DATA);
const skip = !existsSync(join(CACHE, 'models', 'whisper_tiny_en.fewbit')) && !required && 'run pkg-scripts/fetch whisper_tiny_en, pkg-scripts/speech-model';
const clip = (name) => join(ROOT, 'tests', 'data', 'speech', name);
const lines = (page) => page.locator('#log li span').allTextContents();
const idle = (page) => page.waitForSelector('#hearing', { state: 'hidden' });

describe('page that listens', { skip }, () => {
  let browser, server, page;
  before(async () => {
    server = await serveAll();
    // A microphone that beeps, and nobody who is asked.
    const args = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];
    browser = await launch({ gpu: false, args });
    page = await openPage(await browser.newContext(), `${server.url}/hear.html`);
    page.setDefaultTimeout(120_000);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  test('writes down a chosen file with times, and says how fast', async () => {
    await page.setInputFiles('#file', clip('demo-echotest.mp3'));
    await page.waitForFunction(() => performance.getEntriesByName('heard').length === 1);
    const text = (await lines(page)).join(' ');
    assert.match(text, /enter an echo test.*hanging up or by pressing the pound key/i);
    const times = await page.locator('#log .at').allTextContents();
    assert.ok(times.length > 2 && times[0] === '0:00' && times.every((time) => /^0:\d\d$/.test(time)), times.join());
    assert.match(await page.textContent('#time'), /^2\d\.\d s of sound in \d+\.\d s$/);
    assert.match(await page.textContent('#speed'), /\d/);
    assert.match(await page.textContent('#device'), /WebAssembly/);
    assert.equal(await page.textContent('#name'), 'demo-echotest.mp3');
    await page.locator('#log .at').nth(1).click();
    await page.waitForFunction(() => document.getElementById('player').currentTime > 1);
    await page.evaluate(() => document.getElementById('player').pause());
  });

  test('Escape and the button stop it', async () => {
    for (const stop of [() => page.keyboard.press('Escape'), () => page.click('#stop')]) {
      await page.setInputFiles('#file', clip('demo-congrats.ogg'));
      await page.waitForSelector('#stop', { state: 'visible' });
      await stop();
      await idle(page);
      assert.deepEqual(await lines(page), []);
      assert.equal(await page.isVisible('#error'), false);
    }
  });

  test('what is no sound is an error in words, and the next file is heard', async () => {
    await page.setInputFiles('#file', { name: 'text.wav', mimeType: 'audio/wav', buffer: Buffer.from('no sound') });
    await page.waitForSelector('#error', { state: 'visible' });
    assert.match(await page.textContent('#error-message'), /text\.wav.*expected WAV, MP3, FLAC or Ogg/);
    await page.setInputFiles('#file', clip('tone.flac'));
    await page.waitForFunction(() => performance.getEntriesByName('heard').length === 2);
    assert.equal(await page.isVisible('#error'), false);
  });

  test('records, and hears the recording, which the browser decodes', async () => {
    await page.focus('#record');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#record[aria-pressed=true]');
    await page.waitForFunction(() => document.getElementById('time').textContent === 'Recording: 0:01');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => performance.getEntriesByName('heard').length === 3);
    assert.equal(await page.textContent('#name'), 'Your recording');
    assert.match(await page.textContent('#time'), /^[1-9]\.\d s of sound/);
    assert.equal(await page.getAttribute('#record', 'aria-pressed'), 'false');
    // Escape throws a recording away.
    await page.click('#record');
    await page.waitForSelector('#record[aria-pressed=true]');
    await page.keyboard.press('Escape');
    await page.waitForSelector('#record[aria-pressed=false]');
    assert.equal(await page.isVisible('#hearing'), false);
  });

  test('fits a phone', async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `the page is ${overflow} px wider than the screen`);
    assert.ok(await page.isVisible('#record'));
  });

  test('no error reached the console', () => assert.deepEqual(page.problems, []));
});
