// Serves folders over HTTP on this machine, with byte ranges and validators, so that downloads resume as they do on a
// real server. Used by pkg-scripts/serve and by the browser tests.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.jpg': 'image/jpeg',
  '.png': 'image/png',
  '.wasm': 'application/wasm',
};

/**
 * Starts a server. `folders` maps a path prefix to a folder, the longest prefix first. `before(request, response)` may
 * answer instead (tests use it to break connections); it returns true if it did.
 *
 * @returns {Promise<{url: string, close: () => Promise<void>}>}
 */
export async function serve(folders, { port = 0, before = () => false } = {}) {
  const server = createServer(async (request, response) => {
    if (before(request, response)) return;
    try {
      await answer(folders, request, response);
    } catch {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('not found');
    }
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  const close = () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  return { url: `http://localhost:${server.address().port}`, close };
}

async function answer(folders, request, response) {
  const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
  const prefix = Object.keys(folders).find((prefix) => path.startsWith(prefix));
  const file = locate(folders[prefix], path.slice(prefix.length));
  const { size, mtimeMs } = await stat(file);
  const etag = `"${size.toString(36)}-${Math.round(mtimeMs).toString(36)}"`;
  const headers = {
    'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
    'accept-ranges': 'bytes',
    'cache-control': 'no-cache',
    etag,
  };
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, headers).end();
    return;
  }
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const start = range ? Number(range[1]) : 0;
  const end = range?.[2] ? Math.min(Number(range[2]), size - 1) : size - 1;
  if (range && start > end) {
    response.writeHead(416, { ...headers, 'content-range': `bytes */${size}` }).end();
    return;
  }
  headers['content-length'] = end - start + 1;
  if (range) headers['content-range'] = `bytes ${start}-${end}/${size}`;
  response.writeHead(range ? 206 : 200, headers);
  if (request.method === 'HEAD' || size === 0) response.end();
  else createReadStream(file, { start, end }).on('error', () => response.destroy()).pipe(response);
}

/** The file of a path inside a folder; nothing outside it can be named. */
function locate(folder, path) {
  const file = normalize(join(folder, path.endsWith('/') || path === '' ? `${path}index.html` : path));
  if (!file.startsWith(normalize(folder + sep)) || file.includes('\0')) throw new Error('outside');
  return file;
}
