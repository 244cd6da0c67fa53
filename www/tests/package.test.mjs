// The npm package in Chromium: devices, errors, abort, cache, resume, integrity. The model here is a tiny one made on
// the spot, so that these tests say something about the package and not about kernels.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch, openPage, serveAll } from './harness.mjs';
import { reluModel } from './tiny.mjs';

const MODEL = reluModel(1 << 18);
/** Stored models are checked in blocks of this size: here ten whole ones and a part. */
const BLOCK = 1 << 19;
const LARGE = reluModel(5 << 18);

/** What the server does to the next requests for /relu.onnx, and what it has been asked. */
const asked = [];
let cutAfter = Infinity;
let version = '"1"';

function relu(request, response) {
  if (!request.url.startsWith('/relu.onnx')) return false;
  asked.push({ method: request.method, range: request.headers.range });
  const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const model = request.url.endsWith('large') ? LARGE : MODEL;
  const body = model.subarray(start);
  const headers = { 'content-length': body.length, etag: version, 'content-type': 'application/octet-stream' };
  if (start > 0) headers['content-range'] = `bytes ${start}-${model.length - 1}/${model.length}`;
  response.writeHead(start > 0 ? 206 : 200, headers);
  if (request.method === 'HEAD') response.end();
  else if (body.length <= cutAfter) response.end(body);
  else response.write(body.subarray(0, cutAfter), () => setTimeout(() => response.destroy(), 50));
  return true;
}

describe('npm package', () => {
  let browser, server, context, page;

  before(async () => {
    server = await serveAll({ before: relu });
    browser = await launch();
    context = await browser.newContext();
    page = await openPage(context, `${server.url}/empty`);
    await page.evaluate(() => {
      globalThis.attempt = async (work) => {
        try {
          return { value: await work(await import('/dist/index.js')) };
        } catch (error) {
          return { name: error.name, code: error.code, message: error.message };
        }
      };
    });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  test('lists devices, and prefers WebAssembly to a software adapter', async () => {
    const { value } = await page.evaluate(() => attempt(({ devices }) => devices()));
    assert.deepEqual(value.map((d) => [d.kind, d.software, d.preferred]), [
      ['wasm', false, true],
      ['webgpu', true, false],
    ]);
  });

  for (const worker of [true, false]) {
    test(`runs a model ${worker ? 'in a worker' : 'in the page'} and says where`, async () => {
      const { value, ...error } = await page.evaluate(
        (worker) =>
          attempt(async ({ load }) => {
            const stages = [];
            const model = await load('/relu.onnx', { worker, cache: 'none', onProgress: (p) => stages.push(p) });
            const { y } = await model.run({ x: { data: new Float32Array([-1, 0, 2.5]), dims: [3] } });
            return { y: [...y.data], dims: y.dims, type: y.type, info: model.info, stages };
          }),
        worker,
      );
      assert.deepEqual(error, {});
      assert.deepEqual([value.y, value.dims, value.type], [[0, 0, 2.5], [3], 'float32']);
      assert.equal(value.info.device, 'wasm');
      assert.match(value.info.reason, /software/);
      assert.deepEqual(value.info.operators, { Relu: 1 });
      assert.equal(value.info.bytes, MODEL.length);
      assert.equal(value.stages.at(-1).stage, 'ready');
      assert.ok(value.stages.some((p) => p.stage === 'download' && p.loaded === MODEL.length && p.total === MODEL.length));
    });
  }

  test('errors have codes', async () => {
    const codes = await page.evaluate(async () => {
      const code = async (work) => {
        const { name, code } = await attempt(work);
        return `${name} ${code}`;
      };
      return [
        await code(({ pipeline }) => pipeline('image-segmentation', '/relu.onnx')),
        await code(({ load }) => load('/missing.onnx')),
        await code(({ load }) => load('/style.css')),
        await code(({ load }) => load('/relu.onnx', { sha256: '00'.repeat(32) })),
        await code(({ load }) => load('/relu.onnx', { device: 'abacus' })),
        await code(({ load }) => load('/relu.onnx', { activations: 'int4' })),
        await code(async ({ load }) => (await load('/relu.onnx')).run({ z: { data: new Float32Array(1), dims: [1] } })),
        await code(async ({ load }) => (await load('/relu.onnx')).run({ x: { data: new Float32Array(1), dims: [2] } })),
        await code(({ pipeline }) => pipeline('image-classification', '/relu.onnx').then((c) => c('/samples/coffee.jpg'))),
      ];
    });
    assert.deepEqual(codes, [
      'FewbitError unsupported',
      'FewbitError network',
      'FewbitError bad-model',
      'FewbitError integrity',
      'FewbitError usage',
      'FewbitError usage',
      'FewbitError usage',
      'FewbitError usage',
      'FewbitError unsupported',
    ]);
  });

  test('an aborted call rejects at once, and the model stays usable', async () => {
    const { value } = await page.evaluate(() =>
      attempt(async ({ load }) => {
        const model = await load('/relu.onnx', { cache: 'none' });
        const controller = new AbortController();
        const x = { data: new Float32Array(1 << 20).fill(-1), dims: [1 << 20] };
        const call = model.run({ x }, { signal: controller.signal });
        controller.abort();
        const code = await call.then(() => 'none', (error) => error.code);
        const { y } = await model.run({ x: { data: new Float32Array([3]), dims: [1] } });
        await model.dispose();
        const disposed = await model.run({ x }).then(() => 'none', (error) => error.code);
        return { code, y: [...y.data], disposed };
      }),
    );
    assert.deepEqual(value, { code: 'aborted', y: [3], disposed: 'usage' });
  });

  test('an aborted download keeps what it has, and the next one goes on from there', async () => {
    version = '"resume"';
    cutAfter = 400_000;
    const code = await page.evaluate(async () => {
      const controller = new AbortController();
      const onProgress = ({ loaded }) => loaded > 200_000 && controller.abort();
      const { code } = await attempt(({ load }) => load('/relu.onnx?resume', { signal: controller.signal, onProgress }));
      return code;
    });
    assert.equal(code, 'aborted');
    cutAfter = Infinity;
    asked.length = 0;
    const { value } = await page.evaluate(() =>
      attempt(async ({ load }) => {
        const model = await load('/relu.onnx?resume');
        return model.info.bytes;
      }),
    );
    assert.equal(value, MODEL.length);
    assert.equal(asked.length, 1);
    assert.match(asked[0].range, /^bytes=[1-9]\d*-$/);
    // What came in two parts is whole in the cache.
    await page.evaluate(() => attempt(({ load }) => load('/relu.onnx?resume')));
    assert.deepEqual(asked.slice(1).map((a) => a.method), ['HEAD']);
  });

  test('a connection that breaks is taken up again', async () => {
    version = '"broken"';
    cutAfter = 500_000;
    asked.length = 0;
    const { value } = await page.evaluate(() =>
      attempt(async ({ load }) => {
        const model = await load('/relu.onnx?broken', { cache: 'none' });
        return model.info.bytes;
      }),
    );
    cutAfter = Infinity;
    assert.equal(value, MODEL.length);
    assert.ok(asked.length > 1 && asked.slice(1).every((a) => a.range));
  });

  test('a cached model loads offline, and is renewed when the server has another', async () => {
    version = '"first"';
    const loadOnce = () =>
      page.evaluate(() =>
        attempt(async ({ load }) => {
          const stages = new Set();
          const model = await load('/relu.onnx?cached', { onProgress: (p) => stages.add(p.stage) });
          return [...stages].join(' ') + ' ' + model.info.bytes;
        }),
      );
    assert.match((await loadOnce()).value, /^download /);
    // Shut off everything but the files of the package itself, which an application caches by its own means.
    await context.route(/relu\.onnx/, (route) => route.abort());
    assert.match((await loadOnce()).value, /^cache .* \d+$/);
    await context.unroute(/relu\.onnx/);
    version = '"second"';
    assert.match((await loadOnce()).value, /^download /);
  });

  test('every byte of a stored model is checked, and a damaged one is fetched again', async () => {
    version = '"large"';
    const load = () => page.evaluate(() => attempt(async ({ load }) => (await load('/relu.onnx?large')).info.bytes));
    const damage = (position) =>
      page.evaluate(async (position) => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('fewbit-models');
        for await (const [name, handle] of folder.entries()) {
          const file = await handle.getFile();
          if (!name.endsWith('.bin') || file.size <= position) continue;
          const [old] = new Uint8Array(await file.slice(position, position + 1).arrayBuffer());
          const sink = await handle.createWritable({ keepExistingData: true });
          await sink.write({ type: 'write', position, data: new Uint8Array([old ^ 1]) });
          await sink.close();
        }
      }, position);
    assert.equal((await load()).value, LARGE.length);
    // In the description and in weights of every block, where only the hash tells.
    for (const position of [100, BLOCK - 1, BLOCK, 9 * BLOCK + 5, LARGE.length - 200]) {
      asked.length = 0;
      assert.equal((await load()).value, LARGE.length);
      assert.deepEqual(asked.map((a) => a.method), ['HEAD'], 'whole, and from the cache');
      await damage(position);
      await context.route(/relu\.onnx/, (route) => route.abort());
      assert.equal((await load()).code, 'network', `damaged at ${position}, and no network`);
      await context.unroute(/relu\.onnx/);
      assert.equal((await load()).value, LARGE.length);
      assert.ok(asked.some((a) => a.method === 'GET'), `damaged at ${position}`);
    }
  });

  test('a lost GPU is opened again', async () => {
    const { value } = await page.evaluate(() =>
      attempt(async ({ load }) => {
        globalThis.onGpu = await load('/relu.onnx', { device: 'webgpu', cache: 'none' });
        const { y } = await onGpu.run({ x: { data: new Float32Array([-1, 2]), dims: [2] } });
        return [onGpu.info.device, onGpu.info.placement, ...y.data];
      }),
    );
    assert.deepEqual(value, ['webgpu', { gpu: 1 }, 0, 2]);
    const session = await browser.newBrowserCDPSession();
    await session.send('Browser.crashGpuProcess').catch(() => {});
    const after = await page.evaluate(async () => {
      const call = () =>
        attempt(async () => {
          const { y } = await onGpu.run({ x: { data: new Float32Array([-3, 4]), dims: [2] } });
          return [...y.data];
        });
      // The call in flight may reject, with this code and no other; the next one works.
      const first = await call();
      const second = first.value ? first : await call();
      await onGpu.dispose();
      return { first, second };
    });
    if (!after.first.value) assert.equal(after.first.code, 'device-lost');
    assert.deepEqual(after.second.value, [0, 4]);
  });

  test('no error reached the console', () => {
    // Responses that these tests provoke are logged by the browser itself.
    const own = page.problems.filter((text) => !/Failed to load resource|net::ERR|device was lost|GPU/i.test(text));
    assert.deepEqual(own, []);
  });
});
