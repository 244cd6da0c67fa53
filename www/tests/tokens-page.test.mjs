// The page that leaves patches out, used as a person would.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ROOT, launch, openPage, serveAll } from './harness.mjs';

describe('page with fewer patches', () => {
  let browser, server, page;
  before(async () => {
    server = await serveAll();
    browser = await launch({ gpu: false });
    page = await openPage(await browser.newContext(), `${server.url}/tokens.html`);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  /** What the page says once it has computed `times` times in all. */
  async function seen(times) {
    await page.waitForFunction((times) => performance.getEntriesByName('reduced').length >= times, times);
    const text = (id) => page.textContent(`#${id}`);
    const [, work, part] = /^([\d.]+) million \((\d+) %\)$/.exec(await text('fewer-work'));
    return {
      answers: [await text('all-answer'), await text('fewer-answer')],
      work: Number(work),
      part: Number(part),
      patches: await text('patches'),
    };
  }
  const count = () => page.evaluate(() => performance.getEntriesByName('reduced').length);
  /** Colours of the drawing, in the middle of each patch. */
  const middles = () =>
    page.evaluate(() => {
      const canvas = document.getElementById('picture');
      const { data, width } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const at = (i) => Math.floor(((i + 0.5) * width) / 7);
      return Array.from({ length: 49 }, (_, i) => data.slice(...[0, 4].map((k) => 4 * (at(Math.floor(i / 7)) * width + at(i % 7)) + k)).join());
    });

  test('opens with a sample, all patches and fewer side by side', async () => {
    const { answers, part, patches } = await seen(1);
    for (const answer of answers) assert.match(answer, /^ankle boot, \d+\.\d %$/);
    // 70 % three times over: of each layer's work 100, 70, 49 and 35 % in turns, less what attention saves beyond.
    assert.ok(part > 50 && part < 80, `${part} %`);
    assert.match(patches, /^Of 49 patches: \d+ on their own, \d+ gone\.$/);
    assert.match(await page.textContent('#fewer-time'), /^\d+\.\d ms$/);
    assert.match(await page.textContent('#device'), /WebAssembly/);
    assert.equal(await page.locator('#labels li').count(), 5);
    assert.match(await page.getAttribute('#picture', 'aria-label'), /gone/);
  });

  test('the slider works with the keyboard, and the drawing follows', async () => {
    const before = await seen(1);
    const colours = await middles();
    await page.focus('#amount');
    const times = await count();
    await page.keyboard.press('Home');
    const after = await seen(times + 1);
    assert.ok(after.work < before.work, `${after.work} and ${before.work} million`);
    assert.match(await page.textContent('#amount-words'), /20 %/);
    const [, alone, gone] = /(\d+) on their own, (\d+) gone/.exec(after.patches);
    assert.equal(Number(alone) + Number(gone), 49);
    const now = await middles();
    assert.ok(now.filter((colour, i) => colour !== colours[i]).length > 5, 'patches were dimmed');
    await page.keyboard.press('End');
    const all = await seen(times + 2);
    assert.deepEqual([all.part, all.patches], [100, 'Of 49 patches: 49 on their own.']);
    assert.equal(all.answers[0], all.answers[1]);
  });

  test('the other ways', async () => {
    for (const [way, said] of [['evit', /merged into \d+\.$/], ['tome', /merged into \d+\.$/], ['diffrate', /gone/]]) {
      const times = await count();
      await page.check(`input[value=${way}]`);
      const { part, patches, answers } = await seen(times + 1);
      assert.match(patches, said, way);
      assert.ok(part < 90, `${way}: ${part} %`);
      assert.match(answers[1], /ankle boot/);
    }
    assert.ok(await page.isDisabled('#amount'));
  });

  test('takes samples and photos, and advises on what is none', async () => {
    let times = await count();
    await page.click('[data-sample$="bag.png"]');
    assert.match((await seen(times + 1)).answers[0], /^bag/);
    times = await count();
    await page.setInputFiles('#file', { name: 'broken.png', mimeType: 'image/png', buffer: Buffer.from('nothing') });
    await page.waitForSelector('#error', { state: 'visible' });
    assert.match(await page.textContent('#error-message'), /decoded/);
    const buffer = await readFile(join(ROOT, 'tests', 'data', 'chelsea.png'));
    await page.setInputFiles('#file', { name: 'chelsea.png', mimeType: 'image/png', buffer });
    await seen(times + 1);
    assert.equal(await page.isVisible('#error'), false);
  });

  test('fits a phone', async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `the page is ${overflow} px wider than the screen`);
    assert.ok(await page.isVisible('#amount'));
  });

  test('no error reached the console', () => assert.deepEqual(page.problems, []));
});
