// The tarball in an application of its own: packed, installed, type-checked, bundled by Vite, run under a strict policy.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { POLICY, WWW, launch, openPage } from './harness.mjs';
import { serve } from '../serve.mjs';
import { reluModel } from './tiny.mjs';

const APP = `
import { devices, load, FewbitError, pipeline, type LoadOptions, type Tensors, type TextGenerator } from 'fewbit';

export const less = (share: number): LoadOptions[] => [{ tokens: \`topk:\${share}\`, tokenMap: true }, { tokens: { prune: [1], merge: [1] } }];

const show = (text: string) => document.body.append(text + ';');
try {
  const model = await load('./relu.onnx', { onProgress: ({ stage }) => show(stage) });
  const inputs: Tensors = { x: { data: new Float32Array([-1, 2]), dims: [2] } };
  const { y } = await model.run(inputs);
  show('y=' + y?.data.join());
  await model.dispose();
  show('devices=' + (await devices()).length);
  await pipeline('image-classification', './relu.onnx');
  show('loaded');
  const chat: TextGenerator = await pipeline('text-generation', './relu.onnx');
  for await (const piece of chat.stream([{ role: 'user', content: 'Hello' }], { maxTokens: 1 })) show(piece);
} catch (error) {
  show(error instanceof FewbitError ? error.code + ': ' + error.message : String(error));
}
document.title = 'done';
`;

describe('a fresh application', () => {
  const folder = mkdtempSync(join(tmpdir(), 'fewbit-app-'));
  const bin = (name) => join(WWW, 'node_modules', '.bin', name);
  const quiet = { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' };
  let browser, server;

  before(() => {
    execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { ...quiet, cwd: WWW });
    writeFileSync(join(folder, 'package.json'), '{ "name": "app", "private": true, "type": "module" }');
    const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'));
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--silent', `./${tarball}`], quiet);
    writeFileSync(join(folder, 'index.html'), '<!doctype html><link rel="icon" href="data:,"><body><script type="module" src="./app.ts"></script></body>');
    writeFileSync(join(folder, 'app.ts'), APP);
    mkdirSync(join(folder, 'public'));
    writeFileSync(join(folder, 'public', 'relu.onnx'), reluModel(10));
  });
  after(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test('its types are found and fit', () => {
    const options = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'esnext', '--moduleResolution', 'bundler'];
    execFileSync(bin('tsc'), [...options, '--lib', 'es2023,esnext.disposable,dom', 'app.ts'], quiet);
  });

  test('Vite bundles it, and the bundle runs with worker and WebAssembly', async () => {
    execFileSync(bin('vite'), ['build', '--logLevel', 'warn'], quiet);
    server = await serve({ '/': join(folder, 'dist') }, {
      before: (_, response) => {
        response.setHeader('content-security-policy', POLICY);
        return false;
      },
    });
    browser = await launch();
    const page = await openPage(await browser.newContext(), `${server.url}/`);
    await page.waitForFunction(() => document.title === 'done');
    const text = await page.textContent('body');
    assert.match(text, /ready;y=0,2;devices=2;loaded;unsupported: .*the model has no decoder/);
    assert.deepEqual(page.problems, []);
    const assets = readdirSync(join(folder, 'dist', 'assets'));
    assert.equal(assets.filter((name) => name.endsWith('.wasm')).length, 2, assets.join());
    assert.ok(assets.some((name) => name.includes('worker')), assets.join());
  });
});
