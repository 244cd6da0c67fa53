// Tensors in .npy files, as `fewbit run` reads and writes them.

/** Of f32 values in C order. */
export function toNpy(dims, values) {
  const head = `{'descr': '<f4', 'fortran_order': False, 'shape': (${dims.map((dim) => `${dim},`).join('')}), }`;
  const padded = head.padEnd(Math.ceil((head.length + 11) / 64) * 64 - 11) + '\n';
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, padded.length & 255, padded.length >> 8]);
  return Buffer.concat([start, Buffer.from(padded), Buffer.from(Float32Array.from(values).buffer)]);
}

/** `{ dims, values }` of a file with f32 or i32 values. */
export function fromNpy(file) {
  const start = 10 + file.readUInt16LE(8);
  const head = file.toString('latin1', 10, start);
  const Class = { f4: Float32Array, i4: Int32Array }[/'descr': '<(\w+)'/.exec(head)[1]];
  const dims = /'shape': \(([^)]*)\)/.exec(head)[1].split(',').filter((dim) => dim.trim()).map(Number);
  return { dims, values: [...new Class(Uint8Array.from(file.subarray(start)).buffer)] };
}
