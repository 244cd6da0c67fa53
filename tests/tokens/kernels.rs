//! Each operator on ragged shapes, against its sentence in `ops/tokens.rs` written out in f64.

use fewbit::graph::{Attr, Attrs, Graph, Model, Node, ValueId};
use fewbit::runtime::Session;
use fewbit::tensor::{DType, Tensor};

/// A linear congruential generator: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next() as f32 / (1u64 << 30) as f32 - 1.0).collect()
    }
}

/// One node's outputs.
fn run(op: &str, attrs: &[(&str, Attr)], inputs: &[Option<&Tensor>], outputs: usize) -> Vec<Tensor> {
    let mut graph = Graph::default();
    let mut given = Vec::new();
    let ids: Vec<Option<ValueId>> = inputs
        .iter()
        .enumerate()
        .map(|(i, tensor)| {
            let tensor = (*tensor)?;
            let dims = tensor.shape().iter().map(|&n| fewbit::graph::Dim::Known(n)).collect();
            given.push((format!("in{i}"), tensor));
            Some(graph.add_input(format!("in{i}"), tensor.dtype(), dims))
        })
        .collect();
    let outputs: Vec<ValueId> = (0..outputs).map(|i| graph.add_value(format!("out{i}"))).collect();
    let mut all = Attrs::default();
    attrs.iter().for_each(|(name, value)| all.set(name, value.clone()));
    let outputs_of = outputs.iter().copied().map(Some).collect();
    graph.nodes.push(Node { name: "node".into(), op: op.into(), inputs: ids, outputs: outputs_of, attrs: all });
    graph.outputs = outputs;
    let model = Model { graph, ..Model::default() };
    let mut session = Session::new(&model, &super::device()).unwrap();
    let given: Vec<(&str, &Tensor)> = given.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
    // The second run finds what the first left in its buffers.
    session.run(&given).unwrap();
    let found = session.run(&given).unwrap();
    let report = session.report().unwrap();
    assert!(!super::on_gpu() || report.nodes.iter().all(|node| node.place == "gpu"), "{:#?}", report.nodes);
    found.into_iter().map(|(_, tensor)| tensor).collect()
}

fn ints(list: &[(&'static str, usize)]) -> Vec<(&'static str, Attr)> {
    list.iter().map(|&(name, value)| (name, Attr::Int(value as i64))).collect()
}

fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::new(shape, values).unwrap()
}

fn i32s(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::new(shape, &values.iter().map(|&v| v as i32).collect::<Vec<_>>()).unwrap()
}

#[track_caller]
fn close(got: &Tensor, wanted: &[f64]) {
    let got = got.to_f32().unwrap();
    assert_eq!(got.len(), wanted.len());
    for (i, (&g, &w)) in got.iter().zip(wanted).enumerate() {
        let near =
            (f64::from(g) - w).abs() <= 1e-5 * (1.0 + w.abs()) || (g == f32::NEG_INFINITY && w == f64::NEG_INFINITY);
        assert!(near, "element {i} is {g}, not {w}");
    }
}

/// Places of a row of scores sorted by falling score behind the pinned.
fn ranks(scores: &[f64], pinned: usize) -> Vec<i64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order[pinned..].sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap());
    let mut ranks = vec![0; scores.len()];
    order.iter().enumerate().for_each(|(rank, &token)| ranks[token] = rank as i64);
    ranks
}

#[test]
fn class_attention() {
    let mut random = Random(1);
    for (batch, tokens, heads, shared, width) in
        [(1, 1, 1, 1, 1), (2, 37, 3, 1, 7), (1, 300, 4, 2, 16), (3, 129, 1, 1, 64)]
    {
        for interleaved in [true, false] {
            for sized in [false, true] {
                let kv = heads / shared;
                let shape = |heads: usize| match interleaved {
                    true => vec![batch, tokens, heads * width],
                    false => vec![batch, heads, tokens, width],
                };
                let (q, k) =
                    (random.floats(batch * tokens * heads * width), random.floats(batch * tokens * kv * width));
                let sizes = random.floats(batch * tokens);
                let at = |heads: usize, b: usize, h: usize, t: usize| match interleaved {
                    true => ((b * tokens + t) * heads + h) * width,
                    false => ((b * heads + h) * tokens + t) * width,
                };
                let mut wanted = vec![0f64; batch * tokens];
                for (b, h) in (0..batch).flat_map(|b| (0..heads).map(move |h| (b, h))) {
                    let logit = |t: usize| {
                        let (q, k) = (&q[at(heads, b, h, 0)..][..width], &k[at(kv, b, h / shared, t)..][..width]);
                        let dot: f64 = q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
                        3.0 * dot + if sized { f64::from(sizes[b * tokens + t]) } else { 0.0 }
                    };
                    let sum: f64 = (0..tokens).map(|t| logit(t).exp()).sum();
                    (0..tokens).for_each(|t| wanted[b * tokens + t] += logit(t).exp() / sum / heads as f64);
                }
                let mut attrs = ints(&[("q_num_heads", heads), ("kv_num_heads", kv)]);
                attrs.push(("scale", Attr::Float(3.0)));
                let (q, k) = (f32s(&shape(heads), &q), f32s(&shape(kv), &k));
                let sizes = f32s(&[batch, 1, 1, tokens], &sizes);
                let inputs = [Some(&q), Some(&k), sized.then_some(&sizes)];
                close(&run("fewbit.ClassAttention", &attrs, &inputs, 1)[0], &wanted);
            }
        }
    }
}

#[test]
fn ranks_of_scores() {
    let mut random = Random(2);
    for (batch, tokens, pinned) in [(1, 1, 1), (2, 65, 0), (3, 200, 1), (1, 1000, 5)] {
        let mut scores = random.floats(batch * tokens);
        // Equals, both zeros, infinities.
        for special in [0.25, 0.25, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE / 4.0] {
            scores[random.below(batch * tokens)] = special;
        }
        let rows = scores.chunks(tokens);
        let wanted: Vec<i64> =
            rows.flat_map(|row| ranks(&row.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), pinned)).collect();
        let scores = f32s(&[batch, tokens], &scores);
        let got = run("fewbit.RankTokens", &ints(&[("pinned", pinned)]), &[Some(&scores)], 1);
        assert_eq!(got[0].to_i64().unwrap(), wanted);
    }
    let scores = f32s(&[1, 4], &[f32::NAN, 1.0, f32::NAN, 2.0]);
    assert_eq!(run("fewbit.RankTokens", &[], &[Some(&scores)], 1)[0].to_i64().unwrap(), [2, 1, 3, 0]);
}

#[test]
fn partners() {
    let mut random = Random(3);
    for (batch, tokens, heads, width, pinned) in
        [(1, 2, 1, 1, 0), (2, 37, 3, 7, 1), (1, 150, 2, 33, 3), (2, 64, 1, 384, 1)]
    {
        for split in [false, true] {
            let x = random.floats(batch * tokens * heads * width);
            let at = |b: usize, h: usize, t: usize| match split {
                true => ((b * heads + h) * tokens + t) * width,
                false => ((b * tokens + t) * heads + h) * width,
            };
            let direction = |b: usize, t: usize| -> Vec<f64> {
                let sum = |i: usize| (0..heads).map(|h| f64::from(x[at(b, h, t) + i])).sum();
                let mean: Vec<f64> = (0..width).map(sum).collect();
                let length = mean.iter().map(|v| v * v).sum::<f64>().sqrt();
                mean.iter().map(|v| v / length).collect()
            };
            let (keep, seen) = (pinned + (tokens - pinned) / 2, tokens - (tokens - pinned) / 4);
            let order: Vec<i64> = (0..batch)
                .flat_map(|_| ranks(&random.floats(tokens).iter().map(|&v| v.into()).collect::<Vec<_>>(), pinned))
                .collect();
            for ranked in [false, true] {
                let rank = |b: usize, t: usize| order[b * tokens + t] as usize;
                let seeks = |b: usize, t: usize| match ranked {
                    true => (keep..seen).contains(&rank(b, t)),
                    false => t >= pinned && t.is_multiple_of(2),
                };
                let sought = |b: usize, t: usize| match ranked {
                    true => (pinned..keep).contains(&rank(b, t)),
                    false => t >= pinned && !t.is_multiple_of(2),
                };
                let shape = if split { vec![batch, heads, tokens, width] } else { vec![batch, tokens, heads * width] };
                let (x, order) = (f32s(&shape, &x), i32s(&[batch, tokens], &order));
                let attrs = ints(&[("heads", heads), ("pinned", pinned), ("keep", keep), ("seen", seen)]);
                let got = run("fewbit.MatchTokens", &attrs, &[Some(&x), ranked.then_some(&order)], 2);
                let (partner, likeness) = (got[0].to_i64().unwrap(), got[1].to_f32().unwrap());
                for (b, t) in (0..batch).flat_map(|b| (0..tokens).map(move |t| (b, t))) {
                    let i = b * tokens + t;
                    if !seeks(b, t) {
                        assert_eq!((partner[i], likeness[i]), (-1, f32::NEG_INFINITY));
                        continue;
                    }
                    let own = direction(b, t);
                    let cosine = |u: usize| own.iter().zip(direction(b, u)).map(|(a, b)| a * b).sum::<f64>();
                    let best = (0..tokens).filter(|&u| sought(b, u)).map(cosine).fold(f64::NEG_INFINITY, f64::max);
                    // Two that are equally like may be told apart by rounding.
                    let found = usize::try_from(partner[i]).unwrap();
                    assert!(sought(b, found) && cosine(found) >= best - 1e-6, "{found} of {best}");
                    assert!((f64::from(likeness[i]) - best).abs() <= 1e-5);
                }
            }
        }
    }
}

#[test]
fn places() {
    let mut random = Random(4);
    for (batch, tokens, pinned) in [(1, 3, 1), (2, 36, 0), (2, 77, 1), (1, 300, 5)] {
        let free = tokens - pinned;
        let order: Vec<Vec<i64>> = (0..batch)
            .map(|_| ranks(&random.floats(tokens).iter().map(|&v| v.into()).collect::<Vec<_>>(), pinned))
            .collect();
        let all: Vec<i64> = order.concat();
        let (keep, seen) = (pinned + free / 3, pinned + free / 2);
        let partner: Vec<i64> = (0..batch * tokens).map(|_| random.below(tokens) as i64).collect();
        let tensors = (i32s(&[batch, tokens], &all), i32s(&[batch, tokens], &partner));
        for fuse in [0, 1] {
            let attrs = ints(&[("keep", keep), ("seen", seen), ("fuse", fuse)]);
            let got = run("fewbit.PlaceTokens", &attrs, &[Some(&tensors.0), Some(&tensors.1)], 1);
            let place = |i: usize| match all[i] {
                rank if rank < keep as i64 => rank,
                rank if rank < seen as i64 => all[i / tokens * tokens + partner[i] as usize],
                _ if fuse == 1 => keep as i64,
                _ => -1,
            };
            assert_eq!(got[0].to_i64().unwrap(), (0..batch * tokens).map(place).collect::<Vec<_>>());
        }
        // Seekers first: only they may have low ranks.
        let seeks = |t: usize| t >= pinned && t.is_multiple_of(2);
        let seekers: Vec<usize> = (0..tokens).filter(|&t| seeks(t)).collect();
        let sought: Vec<usize> = (pinned..tokens).filter(|&t| !seeks(t)).collect();
        let merge = seekers.len().min(sought.len()) / 2;
        let (mut given, mut partner, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..batch {
            let scores: Vec<f64> =
                (0..tokens).map(|t| if seeks(t) { random.floats(1)[0].into() } else { f64::NEG_INFINITY }).collect();
            let rank = ranks(&scores, 0);
            let pair: Vec<i64> =
                (0..tokens).map(|t| if seeks(t) { sought[random.below(sought.len())] as i64 } else { -1 }).collect();
            let merged = |t: usize| seeks(t) && rank[t] < merge as i64;
            let rows: Vec<usize> = (0..pinned)
                .chain(seekers.iter().copied().filter(|&t| !merged(t)))
                .chain(sought.iter().copied())
                .collect();
            let row = |t: usize| rows.iter().position(|&u| u == t).unwrap() as i64;
            wanted.extend((0..tokens).map(|t| row(if merged(t) { pair[t] as usize } else { t })));
            given.extend(rank);
            partner.extend(pair);
        }
        let tensors = (i32s(&[batch, tokens], &given), i32s(&[batch, tokens], &partner));
        let attrs = ints(&[("merge", merge), ("pinned", pinned)]);
        let got = run("fewbit.PlaceTokens", &attrs, &[Some(&tensors.0), Some(&tensors.1)], 1);
        assert_eq!(got[0].to_i64().unwrap(), wanted);
    }
}

#[test]
fn rows_and_back() {
    let mut random = Random(5);
    for (batch, tokens, rows, width) in [(1, 1, 1, 1), (2, 37, 12, 5), (1, 257, 200, 384), (3, 1000, 31, 70)] {
        let x = random.floats(batch * tokens * width);
        let sizes: Vec<f32> = random.floats(batch * tokens).iter().map(|v| v + 1.5).collect();
        let mut factors = random.floats(batch * tokens);
        factors.iter_mut().step_by(3).for_each(|f| *f = f32::NEG_INFINITY);
        // Every row has a token; the others go anywhere, some nowhere.
        let into: Vec<i64> = (0..batch * tokens)
            .map(|i| match i % tokens {
                t if t < rows => t as i64,
                _ => random.below(rows + 1) as i64 - 1,
            })
            .collect();
        for mode in ["mean", "sizes", "fuse"] {
            let last = |row: usize| mode == "fuse" && row + 1 == rows;
            let weights: Vec<f32> = factors.iter().map(|f| if f.is_finite() { *f } else { 0.5 }).collect();
            let factor = match mode {
                "mean" => Some(f32s(&[batch, tokens], &factors)),
                "fuse" => Some(f32s(&[batch, tokens], &weights)),
                _ => None,
            };
            let (mut y, mut size, mut share) =
                (vec![0f64; batch * rows * width], vec![0f64; batch * rows], vec![0f64; batch * rows]);
            for (i, &row) in into.iter().enumerate().filter(|(_, row)| **row >= 0) {
                let at = i / tokens * rows + row as usize;
                let own = f64::from(sizes[i]);
                let part = match mode {
                    "sizes" => own,
                    _ if last(row as usize) => weights[i].into(),
                    _ => 1.0,
                };
                let gain = if mode == "mean" && factors[i].is_finite() { factors[i].into() } else { 1.0 };
                size[at] += own * gain;
                share[at] += part;
                (0..width).for_each(|c| y[at * width + c] += part * f64::from(x[i * width + c]));
            }
            let of = |at: usize| if last(at % rows) { 1.0 } else { share[at] };
            y.iter_mut().enumerate().for_each(|(i, y)| *y /= of(i / width));
            let (xs, places) = (f32s(&[batch, tokens, width], &x), i32s(&[batch, tokens], &into));
            let sizes = f32s(&[batch, tokens], &sizes);
            let mut attrs = ints(&[("rows", rows)]);
            attrs.push(("mode", Attr::String(mode.into())));
            let got = run("fewbit.PoolTokens", &attrs, &[Some(&xs), Some(&places), Some(&sizes), factor.as_ref()], 3);
            close(&got[0], &y);
            close(&got[1], &size);
            close(&got[2], &size.iter().map(|s| s.max(1e-6).ln()).collect::<Vec<_>>());
            assert_eq!(got[2].shape(), [batch, 1, 1, rows]);

            let dropped = if mode == "fuse" { rows as i64 - 1 } else { -1 };
            let back = run(
                "fewbit.UnpoolTokens",
                &[("dropped", Attr::Int(dropped))],
                &[Some(&got[0]), Some(&places), Some(&xs)],
                1,
            );
            let rowed = got[0].to_f32().unwrap();
            let state = |i: usize| match into[i / width] {
                row if row < 0 || row == dropped => x[i],
                row => rowed[(i / width / tokens * rows + row as usize) * width + i % width],
            };
            assert_eq!(back[0].to_f32().unwrap(), (0..x.len()).map(state).collect::<Vec<_>>());
        }
    }
}

#[test]
fn inputs_are_followed() {
    let mut random = Random(6);
    for (batch, inputs, tokens) in [(1, 1, 1), (3, 70, 33)] {
        let map: Vec<i64> = (0..batch * inputs).map(|_| random.below(tokens + 1) as i64 - 1).collect();
        let into: Vec<i64> = (0..batch * tokens).map(|_| random.below(9) as i64 - 1).collect();
        let next = |(i, &at): (usize, &i64)| if at < 0 { -1 } else { into[i / inputs * tokens + at as usize] };
        let wanted: Vec<i64> = map.iter().enumerate().map(next).collect();
        let tensors = (i32s(&[batch, inputs], &map), i32s(&[batch, tokens], &into));
        let got = run("fewbit.FollowTokens", &[], &[Some(&tensors.0), Some(&tensors.1)], 1);
        assert_eq!(got[0].to_i64().unwrap(), wanted);
        assert_eq!(got[0].dtype(), DType::I32);
    }
}
