//! ONNX files of one layer, written by hand: field numbers are those of onnx.proto.

use std::path::Path;

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

fn message(field: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![field << 3 | 2], varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A value `x` or `y` of f32 `[N, size]`.
fn value(name: &str, size: usize) -> Vec<u8> {
    let dims = [message(1, &message(2, b"N")), message(1, &number(1, size as u64))].concat();
    let tensor = [number(1, 1), message(2, &dims)].concat();
    [message(1, name.as_bytes()), message(2, &message(1, &tensor))].concat()
}

/// Writes `y = x · W`: as MatMul with `w` `[inputs, outputs]`, or as Gemm with transB and `w` `[outputs, inputs]`.
pub fn linear(path: &Path, gemm: bool, inputs: usize, outputs: usize, w: &[f32]) {
    let dims = if gemm { [outputs, inputs] } else { [inputs, outputs] };
    let data: Vec<u8> = w.iter().flat_map(|v| v.to_le_bytes()).collect();
    let dims = dims.map(|d| number(1, d as u64)).concat();
    let weight = [dims, number(2, 1), message(8, b"w"), message(9, &data)].concat();
    let mut node = [message(1, b"x"), message(1, b"w"), message(2, b"y"), message(3, b"layer")].concat();
    node.extend(message(4, if gemm { b"Gemm" } else { b"MatMul" }));
    if gemm {
        // An attribute of type INT.
        node.extend(message(5, &[message(1, b"transB"), number(3, 1), vec![0xa0, 0x01, 2]].concat()));
    }
    let graph = [
        message(1, &node),
        message(2, b"one"),
        message(5, &weight),
        message(11, &value("x", inputs)),
        message(12, &value("y", outputs)),
    ];
    let opset = message(8, &number(2, 17));
    std::fs::write(path, [number(1, 8), message(7, &graph.concat()), opset].concat()).unwrap();
}
