// Writes a small ONNX file by hand, so that the tests need no converter.

const varint = (n) => {
  const bytes = [];
  for (; n > 127; n = Math.floor(n / 128)) bytes.push((n % 128) | 128);
  return Buffer.from([...bytes, n]);
};
const number = (field, n) => Buffer.concat([varint(field << 3), varint(n)]);
const bytes = (field, data) => {
  const body = Buffer.isBuffer(data) ? data : Buffer.from(data);
  return Buffer.concat([varint((field << 3) | 2), varint(body.length), body]);
};
const message = (...fields) => Buffer.concat(fields);

/** Type and name of a float tensor of rank 1 with a free size. */
const floats = (name) =>
  message(
    bytes(1, name),
    bytes(2, bytes(1, message(number(1, 1), bytes(2, bytes(1, bytes(2, 'n')))))),
  );

/** `y = relu(x)` of opset 17, made `padding` × 4 bytes larger by a weight that nothing uses. */
export function reluModel(padding) {
  const weight = message(
    number(1, padding),
    number(2, 1),
    bytes(8, 'unused'),
    bytes(9, Buffer.alloc(4 * padding)),
  );
  const node = message(bytes(1, 'x'), bytes(2, 'y'), bytes(3, 'relu'), bytes(4, 'Relu'));
  const graph = message(
    bytes(1, node),
    bytes(2, 'tiny'),
    bytes(5, weight),
    bytes(11, floats('x')),
    bytes(12, floats('y')),
  );
  return message(number(1, 8), bytes(7, graph), bytes(8, message(bytes(1, ''), number(2, 17))));
}
