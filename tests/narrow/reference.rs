//! A small interpreter of graphs in f64 that knows nothing of the library's kernels. Readers named in `masks` see some channels
//! of their input 0 as zeros.

use std::collections::{BTreeMap, HashMap};

use fewbit::graph::{Graph, Node, ValueId};

#[derive(Clone, Debug)]
pub struct Value {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Value {
    pub fn new(shape: &[usize], data: impl IntoIterator<Item = f64>) -> Self {
        let value = Value { shape: shape.to_vec(), data: data.into_iter().collect() };
        assert_eq!(value.data.len(), shape.iter().product::<usize>());
        value
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Value {
        Value::new(&self.shape, self.data.iter().map(|&v| f(v)))
    }
}

/// Which channels a reader sees, by the name of its node.
pub type Masks = BTreeMap<String, Vec<bool>>;

/// The first output for `x`, the only input. Channels of readers lie last, or second before convolutions.
pub fn run(graph: &Graph, x: Value, masks: &Masks) -> Value {
    let mut values: HashMap<ValueId, Value> = HashMap::new();
    for (id, weight) in &graph.weights {
        let dense = weight.dense().expect("dense");
        let data: Vec<f64> = match dense.to_f32() {
            Ok(data) => data.into_iter().map(f64::from).collect(),
            Err(_) => dense.to_i64().unwrap().into_iter().map(|v| v as f64).collect(),
        };
        values.insert(*id, Value::new(dense.shape(), data));
    }
    values.insert(graph.inputs[0], x);
    for node in &graph.nodes {
        let mut inputs: Vec<Option<Value>> = node.inputs.iter().map(|id| id.map(|id| values[&id].clone())).collect();
        if let (Some(mask), Some(Some(x))) = (masks.get(&node.name), inputs.first_mut()) {
            let inner = if node.op == "Conv" { x.shape[2..].iter().product() } else { 1 };
            x.data.iter_mut().enumerate().for_each(|(i, v)| *v *= f64::from(mask[i / inner % mask.len()]));
        }
        let outputs = step(node, &inputs);
        values.extend(node.outputs.iter().flatten().copied().zip(outputs));
    }
    values[&graph.outputs[0]].clone()
}

fn step(node: &Node, inputs: &[Option<Value>]) -> Vec<Value> {
    let arg = |i: usize| inputs[i].as_ref().unwrap();
    let bias = |y: Value| match inputs.get(2).and_then(Option::as_ref) {
        Some(bias) => binary(&y, bias, |a, b| a + b),
        None => y,
    };
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    vec![match node.op.as_str() {
        "MatMul" if arg(1).shape.len() > 2 => {
            let ([.., m, k], [.., n]) = (&arg(0).shape[..], &arg(1).shape[..]) else { panic!() };
            let matrices = arg(0).data.chunks(m * k).zip(arg(1).data.chunks(k * n));
            let each = matrices
                .map(|(a, b)| product(&Value::new(&[*m, *k], a.to_vec()), &Value::new(&[*k, *n], b.to_vec()), false));
            let shape = [&arg(0).shape[..arg(0).shape.len() - 1], &[*n]].concat();
            Value::new(&shape, each.flat_map(|y| y.data))
        }
        "MatMul" => product(arg(0), arg(1), false),
        "Softmax" => {
            let rows = arg(0).data.chunks(*arg(0).shape.last().unwrap());
            let one = |row: &[f64]| -> Vec<f64> {
                let all: f64 = row.iter().map(|v| v.exp()).sum();
                row.iter().map(|v| v.exp() / all).collect()
            };
            Value::new(&arg(0).shape, rows.flat_map(one))
        }
        "Shape" => Value::new(&[arg(0).shape.len()], arg(0).shape.iter().map(|&n| n as f64)),
        // Of a vector, one element; and that as a vector.
        "Gather" => Value::new(&[], [arg(0).data[arg(1).data[0] as usize]]),
        "Unsqueeze" => Value::new(&[1], arg(0).data.iter().copied()),
        "Concat" => {
            let all: Vec<f64> = inputs.iter().flatten().flat_map(|part| part.data.clone()).collect();
            Value::new(&[all.len()], all)
        }
        "Transpose" => transpose(arg(0), node.attrs.ints("perm").unwrap()),
        "Reshape" => {
            let mut shape: Vec<usize> = arg(1)
                .data
                .iter()
                .enumerate()
                .map(|(i, &n)| if n == 0.0 { arg(0).shape[i] } else { n.max(0.0) as usize })
                .collect();
            if let Some(free) = arg(1).data.iter().position(|&n| n < 0.0) {
                shape[free] = 1;
                shape[free] = arg(0).data.len() / shape.iter().product::<usize>();
            }
            Value::new(&shape, arg(0).data.iter().copied())
        }
        "fewbit.Linear" => bias(product(arg(0), arg(1), node.attrs.flag("transposed"))),
        "Gemm" => bias(product(arg(0), arg(1), node.attrs.flag("transB"))),
        "Add" => binary(arg(0), arg(1), |a, b| a + b),
        "Mul" => binary(arg(0), arg(1), |a, b| a * b),
        "Div" => binary(arg(0), arg(1), |a, b| a / b),
        "Greater" => binary(arg(0), arg(1), |a, b| f64::from(a > b)),
        "Cast" => arg(0).clone(),
        "Relu" => arg(0).map(|v| v.max(0.0)),
        "Sigmoid" => arg(0).map(sigmoid),
        "Swish" => arg(0).map(|v| v * sigmoid(v)),
        "Gelu" => arg(0).map(|v| v * 0.5 * (1.0 + erf(v / 2f64.sqrt()))),
        "Erf" => arg(0).map(erf),
        "Tanh" => arg(0).map(f64::tanh),
        "HardSigmoid" => arg(0).map(|v| (0.2 * v + 0.5).clamp(0.0, 1.0)),
        "Clip" => arg(0).map(|v| v.clamp(arg(1).data[0], arg(2).data[0])),
        "Conv" => conv(node, arg(0), arg(1), inputs.get(2).and_then(Option::as_ref)),
        "BatchNormalization" => {
            let inner: usize = arg(0).shape[2..].iter().product();
            let channels = arg(0).shape[1];
            let at = |i: usize, c: usize| arg(i).data[c];
            let one = |(i, v): (usize, &f64)| {
                let c = i / inner % channels;
                (v - at(3, c)) / (at(4, c) + 1e-5).sqrt() * at(1, c) + at(2, c)
            };
            Value::new(&arg(0).shape, arg(0).data.iter().enumerate().map(one))
        }
        "GlobalAveragePool" => {
            let [n, c] = [arg(0).shape[0], arg(0).shape[1]];
            let inner = arg(0).data.len() / (n * c);
            Value::new(&[n, c, 1, 1], arg(0).data.chunks(inner).map(|v| v.iter().sum::<f64>() / inner as f64))
        }
        "Flatten" => {
            let n = arg(0).shape[0];
            Value::new(&[n, arg(0).data.len() / n], arg(0).data.iter().copied())
        }
        "Split" => {
            let width = *arg(0).shape.last().unwrap() / node.outputs.len();
            let shape = [&arg(0).shape[..arg(0).shape.len() - 1], &[width]].concat();
            let part = |p: usize| {
                let rows = arg(0).data.chunks(width * node.outputs.len());
                Value::new(&shape, rows.flat_map(|row| row[p * width..][..width].to_vec()))
            };
            return (0..node.outputs.len()).map(part).collect();
        }
        "Attention" => attention(node, arg(0), arg(1), arg(2)),
        other => panic!("no reference for {other}"),
    }]
}

/// `2/√π · Σ (−1)ⁿ x²ⁿ⁺¹ / (n! (2n + 1))`.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut power, mut sum) = (x, 0.0);
    for n in 0..200 {
        sum += power / f64::from(2 * n + 1);
        power *= -x * x / f64::from(n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

/// Of broadcast shapes.
fn binary(a: &Value, b: &Value, f: impl Fn(f64, f64) -> f64) -> Value {
    let rank = a.shape.len().max(b.shape.len());
    let size = |v: &Value, axis: usize| (axis + v.shape.len()).checked_sub(rank).map_or(1, |axis| v.shape[axis]);
    let shape: Vec<usize> = (0..rank).map(|axis| size(a, axis).max(size(b, axis))).collect();
    let at = |v: &Value, mut i: usize| {
        let (mut place, mut step) = (0, 1);
        for axis in (0..rank).rev() {
            let own = size(v, axis);
            place += if own == 1 { 0 } else { i % shape[axis] * step };
            step *= own;
            i /= shape[axis];
        }
        v.data[place]
    };
    let count = shape.iter().product();
    Value::new(&shape.clone(), (0..count).map(|i| f(at(a, i), at(b, i))))
}

/// `x · W`, or `x · Wᵀ`.
fn product(x: &Value, w: &Value, transposed: bool) -> Value {
    let k = *x.shape.last().unwrap();
    let n = w.data.len() / k;
    let weight = |i: usize, o: usize| if transposed { w.data[o * k + i] } else { w.data[i * n + o] };
    let shape = [&x.shape[..x.shape.len() - 1], &[n]].concat();
    let rows = x.data.chunks(k);
    Value::new(
        &shape,
        rows.flat_map(|row| (0..n).map(|o| (0..k).map(|i| row[i] * weight(i, o)).sum()).collect::<Vec<f64>>()),
    )
}

fn transpose(x: &Value, perm: &[i64]) -> Value {
    let shape: Vec<usize> = perm.iter().map(|&axis| x.shape[axis as usize]).collect();
    let strides: Vec<usize> = (0..x.shape.len()).map(|axis| x.shape[axis + 1..].iter().product()).collect();
    let at = |mut i: usize| {
        let mut place = 0;
        for (&axis, size) in perm.iter().zip(&shape).rev() {
            place += i % size * strides[axis as usize];
            i /= size;
        }
        x.data[place]
    };
    Value::new(&shape, (0..x.data.len()).map(at))
}

/// Over two axes, with equal pads and strides on both.
fn conv(node: &Node, x: &Value, w: &Value, bias: Option<&Value>) -> Value {
    let [n, c, h, wide] = x.shape[..] else { panic!() };
    let [out, in_group, kernel, _] = w.shape[..] else { panic!() };
    let first = |name: &str, default: i64| node.attrs.ints(name).map_or(default, |v| v[0]);
    let (stride, pad) = (first("strides", 1), first("pads", 0));
    let out_group = out / node.attrs.int_or("group", 1) as usize;
    let sized = |input: usize| ((input as i64 + 2 * pad - kernel as i64) / stride + 1) as usize;
    let (rows, cols) = (sized(h), sized(wide));
    let mut y = Vec::new();
    for i in 0..n * out * rows * cols {
        let (b, o, r, q) = (i / (out * rows * cols), i / (rows * cols) % out, i / cols % rows, i % cols);
        let mut sum = bias.map_or(0.0, |bias| bias.data[o]);
        for j in 0..in_group * kernel * kernel {
            let (channel, dy, dx) = (j / (kernel * kernel), j / kernel % kernel, j % kernel);
            let (sy, sx) = (r as i64 * stride + dy as i64 - pad, q as i64 * stride + dx as i64 - pad);
            if (0..h as i64).contains(&sy) && (0..wide as i64).contains(&sx) {
                let plane = b * c + o / out_group * in_group + channel;
                sum +=
                    w.data[o * in_group * kernel * kernel + j] * x.data[(plane * h + sy as usize) * wide + sx as usize];
            }
        }
        y.push(sum);
    }
    Value::new(&[n, out, rows, cols], y)
}

/// Of `[batch, tokens, heads · size]`.
fn attention(node: &Node, q: &Value, k: &Value, v: &Value) -> Value {
    let (heads, kv_heads) =
        (node.attrs.int_or("q_num_heads", 1) as usize, node.attrs.int_or("kv_num_heads", 1) as usize);
    let [batch, tokens, width] = q.shape[..] else { panic!() };
    let size = width / heads;
    let kv_width = kv_heads * size;
    let mut y = vec![0.0; q.data.len()];
    for (b, head, t) in (0..batch * heads * tokens).map(|i| (i / (heads * tokens), i / tokens % heads, i % tokens)) {
        let own = head / (heads / kv_heads) * size;
        let row = |s: usize| (b * tokens + s) * kv_width + own;
        let query = &q.data[(b * tokens + t) * width + head * size..][..size];
        let score = |s: usize| (0..size).map(|i| query[i] * k.data[row(s) + i]).sum::<f64>() / (size as f64).sqrt();
        let weights: Vec<f64> = (0..tokens).map(|s| score(s).exp()).collect();
        let all: f64 = weights.iter().sum();
        for i in 0..size {
            y[(b * tokens + t) * width + head * size + i] =
                (0..tokens).map(|s| weights[s] / all * v.data[row(s) + i]).sum::<f64>();
        }
    }
    Value::new(&q.shape, y)
}
