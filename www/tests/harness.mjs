// What the browser tests share: a server, Chromium with and without WebGPU, and an empty page with a strict policy.
import { homedir } from 'node:os';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { serve } from '../serve.mjs';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const WWW = join(ROOT, 'www');
export const CACHE = process.env.FEWBIT_CACHE ?? join(homedir(), '.cache', 'fewbit');
export const FLOAT_ONNX = join(CACHE, 'models', 'efficientnet_lite0.onnx');
export const PHOTOS = join(CACHE, 'photos');

const BROWSER = process.env.CHROMIUM ?? '/usr/bin/chromium';
// A third crash of the GPU process would turn WebGPU off; tests crash it on purpose.
const QUIET = ['--disable-gpu-process-crash-limit', '--no-sandbox', '--disable-background-networking', '--disable-component-update'];
/** SwiftShader is a software adapter: `auto` must pass it by, and `webgpu` must compute rightly on it. */
const SOFTWARE_GPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
const NO_GPU = ['--disable-gpu', '--disable-features=WebGPU'];

export const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; " +
  "connect-src 'self' blob:; worker-src 'self'";

/** Starts Chromium. `gpu: false` gives one without WebGPU; `args` are further flags. */
export function launch(options) {
  return chromium.launch(howToLaunch(options));
}

/** The same with a profile on disk, as people have one, instead of one in memory: a context, and the folder is its owner's. */
export function launchWithProfile(folder, options) {
  return chromium.launchPersistentContext(folder, howToLaunch(options));
}

function howToLaunch({ gpu = true, args = [] } = {}) {
  if (!existsSync(BROWSER)) throw new Error(`${BROWSER} is missing: run pkg-scripts/setup, or set CHROMIUM`);
  return { executablePath: BROWSER, args: [...QUIET, ...(gpu ? SOFTWARE_GPU : NO_GPU), ...args] };
}

/**
 * Serves www/ at /, the cache's models at /models/ and photos at /photos/, and an empty page at /empty. `before` may
 * answer a request instead.
 */
export function serveAll({ before = () => false, extra = {} } = {}) {
  const folders = { '/models/': join(CACHE, 'models'), '/photos/': PHOTOS, ...extra, '/': WWW };
  const empty = (request, response) => {
    if (new URL(request.url, 'http://localhost').pathname !== '/empty') return before(request, response);
    response.writeHead(200, { 'content-type': 'text/html', 'content-security-policy': POLICY });
    response.end('<!doctype html><title>empty</title>');
    return true;
  };
  return serve(folders, { before: empty });
}

/** A page at `path` whose console errors and uncaught exceptions end up in `page.problems`. */
export async function openPage(context, url) {
  const page = await context.newPage();
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') page.problems.push(message.text());
  });
  await page.goto(url);
  return page;
}
