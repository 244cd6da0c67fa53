//! Attention in both layouts, with grouped heads, masks, causality and more queries than a block.

use super::*;

struct Sizes {
    batch: usize,
    q_heads: usize,
    kv_heads: usize,
    q_len: usize,
    kv_len: usize,
    head: usize,
    v_head: usize,
}

const SIZES: &[Sizes] = &[
    Sizes { batch: 1, q_heads: 1, kv_heads: 1, q_len: 1, kv_len: 1, head: 1, v_head: 1 },
    Sizes { batch: 2, q_heads: 6, kv_heads: 2, q_len: 5, kv_len: 9, head: 8, v_head: 10 },
    Sizes { batch: 1, q_heads: 3, kv_heads: 3, q_len: 257, kv_len: 257, head: 64, v_head: 64 },
    Sizes { batch: 1, q_heads: 2, kv_heads: 1, q_len: 70, kv_len: 1100, head: 20, v_head: 12 },
    Sizes { batch: 1, q_heads: 2, kv_heads: 2, q_len: 0, kv_len: 7, head: 4, v_head: 4 },
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, s) in SIZES.iter().enumerate() {
        for (mask, causal, interleaved) in
            [("", 0, false), ("", 0, true), ("float", 0, false), ("bool", 0, false), ("", 1, false), ("float", 1, true)]
        {
            cases.push(case(seed as u64, s, mask, causal, interleaved));
        }
    }
    cases
}

fn case(seed: u64, s: &Sizes, mask_kind: &str, causal: i64, interleaved: bool) -> Case {
    let mut random = Random::new(seed);
    let shape = |heads: usize, len: usize, head: usize| {
        if interleaved { vec![s.batch, len, heads * head] } else { vec![s.batch, heads, len, head] }
    };
    let q = random.tensor(&shape(s.q_heads, s.q_len, s.head));
    let k = random.tensor(&shape(s.kv_heads, s.kv_len, s.head));
    let v = random.tensor(&shape(s.kv_heads, s.kv_len, s.v_head));
    let (float, boolean) = (random.tensor(&[s.q_len, s.kv_len]), {
        let allowed: Vec<u8> = (0..s.q_len * s.kv_len).map(|i| u8::from(i % 3 != 1)).collect();
        let ty = fewbit::tensor::TensorType::new(DType::Bool, [s.q_len, s.kv_len]);
        Tensor::from_bytes(ty, &allowed).unwrap()
    });
    let at = |heads: usize, len: usize, head: usize, b: usize, h: usize, p: usize| {
        if interleaved { ((b * len + p) * heads + h) * head } else { ((b * heads + h) * len + p) * head }
    };
    let (wq, wk, wv, added) = (wide(&q), wide(&k), wide(&v), wide(&float));
    let mut expected = vec![0.0; s.batch * s.q_heads * s.q_len * s.v_head];
    for (b, h, i) in
        (0..s.batch * s.q_heads * s.q_len).map(|n| (n / (s.q_heads * s.q_len), n / s.q_len % s.q_heads, n % s.q_len))
    {
        let kv = h / (s.q_heads / s.kv_heads);
        let query = &wq[at(s.q_heads, s.q_len, s.head, b, h, i)..][..s.head];
        let score = |j: usize| {
            let key = &wk[at(s.kv_heads, s.kv_len, s.head, b, kv, j)..][..s.head];
            let dot: f64 = query.iter().zip(key).map(|(a, b)| a * b).sum();
            let masked = match mask_kind {
                "float" => added[i * s.kv_len + j],
                "bool" if (i * s.kv_len + j) % 3 == 1 => f64::NEG_INFINITY,
                _ => 0.0,
            };
            if causal == 1 && j > i { f64::NEG_INFINITY } else { dot / (s.head as f64).sqrt() + masked }
        };
        let scores: Vec<f64> = (0..s.kv_len).map(score).collect();
        let max = scores.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(v));
        let weights: Vec<f64> =
            scores.iter().map(|v| if max == f64::NEG_INFINITY { 0.0 } else { (v - max).exp() }).collect();
        let sum: f64 = weights.iter().sum();
        let out = &mut expected[at(s.q_heads, s.q_len, s.v_head, b, h, i)..][..s.v_head];
        for (j, weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            let value = &wv[at(s.kv_heads, s.kv_len, s.v_head, b, kv, j)..][..s.v_head];
            out.iter_mut().zip(value).for_each(|(o, v)| *o += weight / sum * v);
        }
    }
    let mut attrs = attrs(&[("is_causal", Attr::Int(causal))]);
    if interleaved {
        attrs.set("q_num_heads", Attr::Int(s.q_heads as i64));
        attrs.set("kv_num_heads", Attr::Int(s.kv_heads as i64));
    }
    let mask = match mask_kind {
        "float" => dense(&float),
        "bool" => dense(&boolean),
        _ => None,
    };
    let inputs = vec![dense(&q), dense(&k), dense(&v), mask];
    let name = format!(
        "attention {}×{}×{}×{} {mask_kind} causal={causal} 3d={interleaved}",
        s.q_heads, s.q_len, s.kv_len, s.head
    );
    Case { name, op: "Attention", attrs, inputs, expected }
}
