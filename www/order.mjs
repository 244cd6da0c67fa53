// Puts functions that resemble each other side by side, so that gzip, which looks back 32 KB, finds what they share.
//
//   node order.mjs IN.wasm OUT.wasm
//
// It only names every function by its place: `wasm-opt --reorder-functions-by-name` then moves them and what refers to
// them. The order changes no behaviour and no speed.
import { readFileSync, writeFileSync } from 'node:fs';

/** Bytes of a piece: gzip's shortest match is 3, but pieces so short are everywhere. */
const PIECE = 6;
/** gzip's window, less what the functions being compared take of it. */
const WINDOW = 28_000;
/** Pieces in more functions than this are common to all code and tell nothing. */
const COMMON = 40;
/** Added to each function's size, so that short functions, alike by chance, do not go first. */
const BIAS = 500;

/** A reader of LEB128 numbers. */
class Reader {
  constructor(bytes, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }
  number() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  }
  /** What a number of bytes in front of it delimits. */
  block() {
    const size = this.number();
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }
}

function leb(value) {
  const bytes = [];
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
  return [...bytes, value];
}

/** `[id, body, from, to]` of each section; `from` and `to` include its head. */
function sections(file) {
  const reader = new Reader(file, 8);
  const found = [];
  while (reader.at < file.length) {
    const from = reader.at;
    const id = file[reader.at++];
    found.push([id, reader.block(), from, reader.at]);
  }
  return found;
}

function importedFunctions(body) {
  const reader = new Reader(body);
  let functions = 0;
  for (let left = reader.number(); left > 0; left--) {
    reader.block();
    reader.block();
    const kind = body[reader.at++];
    if (kind === 0) functions++;
    if (kind === 1 || kind === 3) reader.at++;
    if (kind === 0) reader.number();
    else if (kind === 3) reader.at++;
    else if (reader.number() & 1) reader.number() + reader.number();
    else reader.number();
  }
  return functions;
}

/** The numbers of the functions' pieces that at least two and at most `COMMON` functions have. */
function sharedPieces(bodies) {
  const owners = new Map();
  bodies.forEach((body, index) => {
    for (let i = 0; i + PIECE <= body.length; i++) {
      let piece = 0;
      for (let k = 0; k < PIECE; k++) piece = piece * 256 + body[i + k];
      const list = owners.get(piece);
      if (!list) owners.set(piece, [index]);
      else if (list.at(-1) !== index) list.push(index);
    }
  });
  const shared = [...owners.values()].filter((list) => list.length > 1 && list.length <= COMMON);
  const pieces = bodies.map(() => []);
  shared.forEach((list, piece) => list.forEach((index) => pieces[index].push(piece)));
  return { shared, pieces };
}

/** Greedy: next comes the function of which the window already holds most. */
function order(bodies) {
  const { shared, pieces } = sharedPieces(bodies);
  const known = new Uint32Array(bodies.length);
  const copies = new Uint32Array(shared.length);
  const left = new Set(bodies.keys());
  const window = [];
  const result = [];
  let bytes = 0;
  for (let next = 0; left.size > 0; ) {
    left.delete(next);
    result.push(next);
    window.push(next);
    bytes += bodies[next].length;
    for (const piece of pieces[next]) {
      if (copies[piece]++ === 0) for (const index of shared[piece]) known[index]++;
    }
    while (bytes > WINDOW && window.length > 1) {
      const gone = window.shift();
      bytes -= bodies[gone].length;
      for (const piece of pieces[gone]) {
        if (--copies[piece] === 0) for (const index of shared[piece]) known[index]--;
      }
    }
    let best = -1;
    for (const index of left) {
      const share = known[index] / (bodies[index].length + BIAS);
      if (share > best) [best, next] = [share, index];
    }
  }
  return result;
}

/** A name section that names the functions by their places; all numbers have as many digits. */
function nameSection(places, imported) {
  const text = (string) => [string.length, ...Buffer.from(string)];
  const names = [...leb(places.length)];
  places.forEach((place, index) => names.push(...leb(imported + index), ...text(`f${String(place).padStart(6, '0')}`)));
  const body = [...text('name'), 1, ...leb(names.length), ...names];
  return Uint8Array.from([0, ...leb(body.length), ...body]);
}

const [input, output] = process.argv.slice(2);
const file = new Uint8Array(readFileSync(input));
const parts = sections(file);
const section = (id) => parts.find((part) => part[0] === id)?.[1] ?? new Uint8Array([0]);
const code = new Reader(section(10));
const bodies = Array.from({ length: code.number() }, () => code.block());
const places = [];
order(bodies).forEach((index, place) => (places[index] = place));
const kept = parts.filter(([id]) => id !== 0).map(([, , from, to]) => file.subarray(from, to));
const names = nameSection(places, importedFunctions(section(2)));
writeFileSync(output, Buffer.concat([file.subarray(0, 8), ...kept, names]));
