// Numbers in place of the hashes in the names of a module's imports: nobody reads them, and gzip cannot make them smaller than
// eight bytes, once in the module and once in the JavaScript around it. Saves 3 KB of the small build.
//
//   node imports.mjs MODULE.wasm GLUE.js
//
// Rewrites both as wasm-bindgen writes them. Names keep their lengths, so that nothing else in the module moves.
import { readFileSync, writeFileSync } from 'node:fs';

const files = process.argv.slice(2).map((path) => ({ path, text: readFileSync(path, 'latin1') }));
const glue = files[1].text;
const hashed = [...glue.matchAll(/^\s+(__wbg_\w+_)([0-9a-f]{16}): function/gm)];
if (hashed.length === 0) throw new Error(`${files[1].path} has no imports with hashes; wasm-bindgen must have changed`);
for (const file of files) {
  hashed.forEach(([, name, hash], i) => {
    file.text = file.text.replaceAll(name + hash, name + String(i).padStart(hash.length, '0'));
  });
  writeFileSync(file.path, file.text, 'latin1');
}
