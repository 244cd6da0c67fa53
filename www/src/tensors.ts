import { FewbitError } from './errors.ts';
import type { ElementType, Tensor, Tensors, TypedArray } from './types.ts';

/** A tensor on its way in or out of WebAssembly: name, element type, dims, little-endian bytes. */
export type Wire = [name: string, type: string, dims: Uint32Array, bytes: Uint8Array];

type ArrayClass = { new (buffer: ArrayBufferLike, offset: number, length: number): TypedArray; BYTES_PER_ELEMENT: number };

const ARRAYS: Record<ElementType, ArrayClass> = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
};

export function toWire(tensors: Tensors): Wire[] {
  return Object.entries(tensors).map(([name, tensor]) => [
    name,
    tensor.type ?? typeOf(name, tensor.data),
    dimsOf(name, tensor),
    new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength),
  ]);
}

export function fromWire(wires: unknown): Tensors {
  const tensors: Tensors = {};
  for (const [name, type, dims, bytes] of wires as Wire[]) {
    const Class = ARRAYS[type as ElementType];
    const data = new Class(bytes.buffer, bytes.byteOffset, bytes.byteLength / Class.BYTES_PER_ELEMENT);
    tensors[name] = { data, dims: [...dims], type: type as ElementType };
  }
  return tensors;
}

/** Buffers of the outputs, so that they move between worker and page instead of being copied. */
export function buffersOf(tensors: Tensors): ArrayBuffer[] {
  return Object.values(tensors).map((tensor) => tensor.data.buffer as ArrayBuffer);
}

function typeOf(name: string, data: TypedArray): ElementType {
  const found = (Object.keys(ARRAYS) as ElementType[]).find((type) => data instanceof ARRAYS[type] && type !== 'bfloat16');
  if (!found) throw new FewbitError('usage', `input \`${name}\`: its data must be a typed array`);
  // A Uint16Array without a type means integers.
  return found === 'float16' ? 'uint16' : found;
}

function dimsOf(name: string, tensor: Tensor): Uint32Array {
  const count = tensor.dims.reduce((product, dim) => product * dim, 1);
  if (tensor.dims.some((dim) => !Number.isInteger(dim) || dim < 0) || count !== tensor.data.length) {
    throw new FewbitError(
      'usage',
      `input \`${name}\`: dims [${tensor.dims.join(', ')}] need ${count} elements, data has ${tensor.data.length}`,
    );
  }
  return Uint32Array.from(tensor.dims);
}
