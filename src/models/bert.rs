//! Text encoders of the BERT family (Devlin et al. 2019): BERT, RoBERTa (Liu et al. 2019), DistilBERT (Sanh et al. 2019).
//!
//! Inputs `input_ids` and `attention_mask` (0 for tokens that only fill up a batch), i64 `[batch, tokens]`, and where the
//! model tells kinds of tokens apart `token_type_ids` alike. Outputs `last_hidden_state` f32 `[batch, tokens, width]` and,
//! if the file has a pooler, `pooler_output` f32 `[batch, width]`.
//!
//! Parts in `Names`, beside those of blocks: `words`, `positions`, `kinds`, `embedding_norm`, `pooler`.

use std::collections::BTreeMap;

use super::encoder::{self, Config};
use super::net::{Names, Net, symbol};
use crate::Result;
use crate::graph::{Attr, Dim, Graph, ValueId, Weight};
use crate::tensor::DType;

/// ONNX's numbers of types.
const FLOAT: i64 = 1;
const INT32: i64 = 6;
const INT64: i64 = 7;

/// What a file says beside its tensors.
#[derive(Clone, Debug)]
pub struct Bert {
    /// Names the file in messages.
    pub file: String,
    pub encoder: Config,
    pub names: Names,
    pub positions: Positions,
}

/// Which row of the table of positions a token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Its number, from 0.
    Counted,
    /// Its number among tokens that are not this one, which fills up a batch, after it; that one has its own number.
    AfterPadding(i32),
}

/// The graph of a file.
pub fn build(config: &Bert, weights: BTreeMap<String, Weight>) -> Result<Graph> {
    let mut net = Net::new(&config.file, "bert", weights);
    let (names, epsilon) = (&config.names, config.encoder.epsilon);
    let [_, width] = net.shape(&weight(names, "words"))?;
    let tokens = [symbol("batch"), symbol("tokens")];
    let ids = net.graph.add_input("input_ids", DType::I64, tokens.to_vec());
    let given = net.graph.add_input("attention_mask", DType::I64, tokens.to_vec());

    let mut x = lookup(&mut net, names, "words", ids)?;
    let kinds = weight(names, "kinds");
    if net.find(&kinds).is_some() {
        let kind = match net.shape(&kinds)? {
            [1, _] => net.vector("kind", &[0i64])?,
            [_, _] => net.graph.add_input("token_type_ids", DType::I64, tokens.to_vec()),
        };
        let rows = lookup(&mut net, names, "kinds", kind)?;
        x = net.plain("Add", "embeddings.kinds", &[x, rows]);
    }
    let rows = match config.positions {
        Positions::Counted => counted(&mut net, &weight(names, "positions"), ids)?,
        Positions::AfterPadding(padding) => {
            let numbers = after_padding(&mut net, padding, ids)?;
            lookup(&mut net, names, "positions", numbers)?
        }
    };
    x = net.plain("Add", "embeddings.positions", &[x, rows]);
    x = net.norm(&names.of(None, "embedding_norm"), epsilon, x)?;
    let mask = encoder::mask(&mut net, "mask", given)?;
    x = encoder::blocks(&mut net, &config.encoder, names, width, x, Some(mask))?;

    let pooler = names.of(None, "pooler");
    let pooled = match net.find(&format!("{pooler}.weight")) {
        Some(_) => {
            let first = net.pick("first", x, 1, 0);
            let pooled = net.linear(&pooler, first)?;
            Some(net.plain("Tanh", &format!("{pooler}.act"), &[pooled]))
        }
        None => None,
    };
    let [batch, tokens] = tokens;
    net.output("last_hidden_state", x, &[batch.clone(), tokens, Dim::Known(width)]);
    if let Some(pooled) = pooled {
        net.output("pooler_output", pooled, &[batch, Dim::Known(width)]);
    }
    net.finish()
}

fn weight(names: &Names, part: &str) -> String {
    format!("{}.weight", names.of(None, part))
}

fn lookup(net: &mut Net, names: &Names, part: &str, ids: ValueId) -> Result<ValueId> {
    let table = net.need(&weight(names, part))?;
    Ok(net.plain("Gather", &names.of(None, part), &[table, ids]))
}

/// The first rows of a table of positions, one for each of the tokens `ids` `[batch, tokens]`.
pub fn counted(net: &mut Net, table: &str, ids: ValueId) -> Result<ValueId> {
    let rows = net.dense(table)?;
    let count = net.size(&format!("{table}.tokens"), ids, 1);
    net.part(&format!("{table}.first"), rows, 0, 0, count)
}

/// i64 `[batch, tokens]`. Counted in f32, which is exact up to 2²⁴ and what every device has kernels for.
fn after_padding(net: &mut Net, padding: i32, ids: ValueId) -> Result<ValueId> {
    let narrow = net.with("Cast", "positions.ids", &[ids], "to", Attr::Int(INT32));
    let filler = net.scalar("positions.filler", padding);
    let filled = net.plain("Equal", "positions.filled", &[narrow, filler]);
    let real = net.plain("Not", "positions.real", &[filled]);
    let ones = net.with("Cast", "positions.ones", &[real], "to", Attr::Int(FLOAT));
    let axis = net.scalar("positions.axis", 1i64);
    let counts = net.plain("CumSum", "positions.counts", &[ones, axis]);
    let counts = net.plain("Mul", "positions.counted", &[counts, ones]);
    let start = net.scalar("positions.start", padding as f32);
    let numbers = net.plain("Add", "positions.numbers", &[counts, start]);
    Ok(net.with("Cast", "positions.indices", &[numbers], "to", Attr::Int(INT64)))
}
