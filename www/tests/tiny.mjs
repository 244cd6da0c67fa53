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

/** Type and name of a float tensor; a size that is a name is free. */
const floats = (name, ...dims) => {
  const sizes = dims.map((dim) => bytes(1, typeof dim === 'string' ? bytes(2, dim) : number(1, dim)));
  return message(bytes(1, name), bytes(2, bytes(1, message(number(1, 1), bytes(2, message(...sizes))))));
};

/** A float weight. */
const weight = (name, dims, data) =>
  message(...dims.map((dim) => number(1, dim)), number(2, 1), bytes(8, name), bytes(9, Buffer.from(data.buffer)));

/** A model of opset 17; a node is `[operator, inputs, output]`, a weight is of `weight`. */
function model(nodes, weights, inputs, outputs) {
  const node = ([op, from, to]) =>
    bytes(1, message(...from.map((input) => bytes(1, input)), bytes(2, to), bytes(3, to), bytes(4, op)));
  const values = [...inputs.map((value) => bytes(11, value)), ...outputs.map((value) => bytes(12, value))];
  const graph = message(...nodes.map(node), bytes(2, 'tiny'), ...weights.map((w) => bytes(5, w)), ...values);
  return message(number(1, 8), bytes(7, graph), bytes(8, message(bytes(1, ''), number(2, 17))));
}

/** `y = relu(x)`, made `padding` × 4 bytes larger by a weight that nothing uses. */
export function reluModel(padding) {
  const unused = weight('unused', [padding], new Float32Array(padding));
  return model([['Relu', ['x'], 'y']], [unused], [floats('x', 'n')], [floats('y', 'n')]);
}

/** `y_NAME = x · NAME` for weights `[NAME, data]` of `[k, n]`, row-major. */
export function productsModel(k, n, weights) {
  const nodes = weights.map(([name]) => ['MatMul', ['x', name], `y_${name}`]);
  const outputs = weights.map(([name]) => floats(`y_${name}`, 'm', n));
  return model(nodes, weights.map(([name, data]) => weight(name, [k, n], data)), [floats('x', 'm', k)], outputs);
}
