//! The grammar of `ENCODING`.
//!
//! `f32`, `f16`, `palette:BITS[:rows=R][:dim=D][:scale | :group=G]`, `affine:BITS:group=G[:sym]`, `nf4:group=G`,
//! `fp4:group=G`, `mxfp4`, `codebook:MxB:group=G`, `dual:group=G`, `sparse:2of4[+ENCODING]`,
//! `elastic`, `sparse:FRACTION[+ENCODING]`, `sparse:block=RxC:FRACTION[+ENCODING]`, `lowrank:FRACTION[+ENCODING]`,
//! `lowrank:threshold=T[+ENCODING]`,
//! `auto:BITS`.
//!
//! FRACTION is the share of each row that is left out; with `block=RxC`, of the blocks of R rows and C columns in each
//! row of blocks.

use std::fmt;
use std::str::FromStr;

use super::options::Options;
use crate::{Error, Result};

/// How to store a weight.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    F32,
    F16,
    Palette {
        bits: u32,
        /// Rows that share a table; `None` = one table for the tensor.
        rows: Option<usize>,
        /// Neighbouring rows that share a code.
        dim: usize,
        factors: Factors,
    },
    Affine {
        bits: u32,
        /// Weights along a row that share scale and zero point.
        group: usize,
        symmetric: bool,
    },
    /// A table that a format fixes, and a scale per group.
    Table {
        table: Table,
        group: usize,
    },
    Codebook {
        /// Codebooks whose entries are added.
        books: usize,
        bits: u32,
        /// Weights of an entry.
        group: usize,
    },
    Dual {
        group: usize,
    },
    /// Served at 2 to 8 bits.
    Elastic,
    Sparse {
        pattern: Pattern,
        values: Box<Spec>,
    },
    /// Of blocks of `size` rows and columns, `share` of each row of blocks goes.
    Blocks {
        size: [usize; 2],
        share: f64,
        values: Box<Spec>,
    },
    LowRank {
        rank: Rank,
        factors: Box<Spec>,
    },
    /// The encoding of each weight is chosen so that all together need this many bits per weight.
    Auto {
        bits: f64,
    },
}

/// Factors beside a palette.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Factors {
    None,
    PerRow,
    /// One for so many weights along a row.
    PerGroup(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Table {
    Nf4,
    Fp4,
    /// With scales that are powers of two.
    Mxfp4,
}

/// Which weights are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// Two of every four along a row stay.
    TwoOfFour,
    /// This share of each row goes.
    Share(f64),
}

/// How thin two layers in the place of one are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rank {
    /// A share of the smaller side.
    Share(f64),
    /// As many as there are singular values of at least this share of the largest, each layer its own number (WeLore, Jaiswal
    /// et al. 2024).
    Threshold(f64),
}

/// Weights that share a scale in MXFP4 (OCP Microscaling Formats v1.0, 5.2).
const MX_GROUP: usize = 32;

const FORMS: &str = "f32, f16, palette:BITS[:rows=R][:dim=D], affine:BITS:group=G[:sym], nf4:group=G, fp4:group=G, mxfp4, \
                     codebook:MxB:group=G, dual:group=G, elastic, sparse:2of4[+ENCODING], sparse:FRACTION[+ENCODING], \
                     sparse:block=RxC:FRACTION[+ENCODING], \
                     lowrank:FRACTION[+ENCODING], lowrank:threshold=T[+ENCODING], auto:BITS";

impl FromStr for Spec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (outer, inner) = match text.split_once('+') {
            Some((outer, inner)) => (outer, Some(inner)),
            None => (text, None),
        };
        let (kind, mut options) = Options::parse(text, outer);
        let spec = match kind {
            "f32" => Spec::F32,
            "f16" => Spec::F16,
            "palette" => palette(&mut options)?,
            "affine" => Spec::Affine {
                bits: options.bits(&[2, 3, 4, 5, 6, 8])?,
                group: options.group(None)?,
                symmetric: options.flag("sym"),
            },
            "nf4" => Spec::Table { table: Table::Nf4, group: options.group(None)? },
            "fp4" => Spec::Table { table: Table::Fp4, group: options.group(None)? },
            "mxfp4" => Spec::Table { table: Table::Mxfp4, group: options.group(Some(MX_GROUP))? },
            "codebook" => codebook(&mut options)?,
            "dual" => Spec::Dual { group: options.group(None)? },
            "elastic" => Spec::Elastic,
            "sparse" => sparse(&mut options, inner)?,
            "lowrank" => low_rank(&mut options, inner)?,
            "auto" => Spec::Auto { bits: options.number("BITS, e.g. `auto:3.5`", 1.0, 16.0)? },
            _ => return Err(options.error(&format!("is not an encoding; there are {FORMS}"))),
        };
        options.finish()?;
        if inner.is_some() && !matches!(spec, Spec::Sparse { .. } | Spec::Blocks { .. } | Spec::LowRank { .. }) {
            return Err(options.error("has a `+`, which only `sparse` and `lowrank` take"));
        }
        Ok(spec)
    }
}

fn palette(options: &mut Options) -> Result<Spec> {
    let bits = options.bits(&[1, 2, 3, 4, 6, 8])?;
    let (rows, dim) = (options.take("rows")?, options.take("dim")?.unwrap_or(1));
    if ![1, 2, 4].contains(&dim) {
        return Err(options.error("needs `dim=1`, `dim=2` or `dim=4`"));
    }
    if rows.is_some_and(|r| !r.is_multiple_of(dim)) {
        return Err(options.error("needs `rows` to be a multiple of `dim`"));
    }
    let factors = match (options.flag("scale"), options.take("group")?) {
        (true, Some(_)) => return Err(options.error("has `scale` and `group=G`; one of them")),
        (true, None) => Factors::PerRow,
        (false, Some(group)) => Factors::PerGroup(group),
        (false, None) => Factors::None,
    };
    Ok(Spec::Palette { bits, rows, dim, factors })
}

fn codebook(options: &mut Options) -> Result<Spec> {
    let sizes =
        options.word().and_then(|w| w.split_once('x')).and_then(|(m, b)| Some((m.parse().ok()?, b.parse().ok()?)));
    let (books, bits) = match sizes {
        Some((books, bits)) if (1..=8).contains(&books) && (1..=16).contains(&bits) => (books, bits),
        _ => return Err(options.error("needs MxB: 1 to 8 codebooks of 1 to 16 bits, e.g. `codebook:2x8:group=8`")),
    };
    let group = options.group(None)?;
    match group {
        4 | 8 | 16 => Ok(Spec::Codebook { books, bits, group }),
        _ => Err(options.error("needs `group=4`, `group=8` or `group=16`")),
    }
}

fn sparse(options: &mut Options, inner: Option<&str>) -> Result<Spec> {
    let (two_of_four, size) = (options.flag("2of4"), options.take_pair("block")?);
    let what = "`2of4`, or the share of weights to leave out, e.g. `sparse:0.75` or `sparse:block=16x16:0.75`";
    let share = if two_of_four { 0.5 } else { options.number(what, 0.0, 1.0)? };
    let values = inner.unwrap_or("f16").parse()?;
    let values = match values {
        Spec::F32
        | Spec::Elastic
        | Spec::Sparse { .. }
        | Spec::Blocks { .. }
        | Spec::LowRank { .. }
        | Spec::Auto { .. }
        | Spec::Palette { dim: 2.., .. } => {
            let few = "f16, palette, affine, nf4, codebook or dual can";
            return Err(options.error(&format!("cannot keep its values as `{values}`; {few}")));
        }
        values => Box::new(values),
    };
    match (two_of_four, size) {
        (true, Some(_)) => Err(options.error("has `2of4` and `block=RxC`; one of them")),
        (true, None) => Ok(Spec::Sparse { pattern: Pattern::TwoOfFour, values }),
        (false, None) => Ok(Spec::Sparse { pattern: Pattern::Share(share), values }),
        (false, Some(size)) => Ok(Spec::Blocks { size, share, values }),
    }
}

fn low_rank(options: &mut Options, inner: Option<&str>) -> Result<Spec> {
    let rank = match options.take_share("threshold")? {
        Some(least) => Rank::Threshold(least),
        None => {
            let what = "the rank's share of the smaller side, e.g. `lowrank:0.25`, or `threshold=T`";
            Rank::Share(options.number(what, 0.0, 1.0)?)
        }
    };
    let factors = inner.unwrap_or("f16").parse()?;
    match factors {
        Spec::LowRank { .. } | Spec::Auto { .. } => {
            Err(options.error(&format!("cannot store its factors as `{factors}`")))
        }
        factors => Ok(Spec::LowRank { rank, factors: Box::new(factors) }),
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spec::F32 => write!(f, "f32"),
            Spec::F16 => write!(f, "f16"),
            Spec::Palette { bits, rows, dim, factors } => {
                write!(f, "palette:{bits}")?;
                if let Some(rows) = rows {
                    write!(f, ":rows={rows}")?;
                }
                if *dim > 1 {
                    write!(f, ":dim={dim}")?;
                }
                match factors {
                    Factors::None => Ok(()),
                    Factors::PerRow => write!(f, ":scale"),
                    Factors::PerGroup(group) => write!(f, ":group={group}"),
                }
            }
            Spec::Affine { bits, group, symmetric } => {
                write!(f, "affine:{bits}:group={group}{}", if *symmetric { ":sym" } else { "" })
            }
            Spec::Table { table: Table::Nf4, group } => write!(f, "nf4:group={group}"),
            Spec::Table { table: Table::Fp4, group } => write!(f, "fp4:group={group}"),
            Spec::Table { table: Table::Mxfp4, group: MX_GROUP } => write!(f, "mxfp4"),
            Spec::Table { table: Table::Mxfp4, group } => write!(f, "mxfp4:group={group}"),
            Spec::Codebook { books, bits, group } => write!(f, "codebook:{books}x{bits}:group={group}"),
            Spec::Dual { group } => write!(f, "dual:group={group}"),
            Spec::Elastic => write!(f, "elastic"),
            Spec::Sparse { pattern: Pattern::TwoOfFour, values } => write!(f, "sparse:2of4+{values}"),
            Spec::Sparse { pattern: Pattern::Share(share), values } => write!(f, "sparse:{share}+{values}"),
            Spec::Blocks { size: [rows, cols], share, values } => {
                write!(f, "sparse:block={rows}x{cols}:{share}+{values}")
            }
            Spec::LowRank { rank: Rank::Share(share), factors } => write!(f, "lowrank:{share}+{factors}"),
            Spec::LowRank { rank: Rank::Threshold(least), factors } => write!(f, "lowrank:threshold={least}+{factors}"),
            Spec::Auto { bits } => write!(f, "auto:{bits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_round_trips() {
        for text in [
            "f32",
            "f16",
            "palette:4",
            "palette:3:rows=16:scale",
            "palette:6:rows=16:dim=4",
            "palette:2:group=64",
            "affine:4:group=64",
            "affine:2:group=32:sym",
            "nf4:group=64",
            "fp4:group=16",
            "mxfp4",
            "codebook:2x8:group=8",
            "dual:group=128",
            "elastic",
            "sparse:2of4+f16",
            "sparse:0.75+affine:4:group=32",
            "sparse:block=1x16:0.75+palette:4",
            "lowrank:0.25+sparse:0.5+f16",
            "lowrank:threshold=0.175+f16",
            "auto:3.5",
        ] {
            assert_eq!(text.parse::<Spec>().unwrap().to_string(), text);
        }
        assert_eq!("sparse:2of4".parse::<Spec>().unwrap().to_string(), "sparse:2of4+f16");
        assert_eq!("lowrank:0.5".parse::<Spec>().unwrap().to_string(), "lowrank:0.5+f16");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, says) in [
            ("", "is not an encoding"),
            ("int4", "palette:BITS"),
            ("palette", "number of bits"),
            ("palette:5", "[1, 2, 3, 4, 6, 8]"),
            ("palette:4:4", "unknown option `4`"),
            ("palette:4:rows=x", "rows=x"),
            ("palette:4:sym", "unknown option `sym`"),
            ("palette:4:dim=3", "dim=2"),
            ("palette:4:dim=2:rows=3", "multiple"),
            ("affine:4", "group=G"),
            ("affine:7:group=32", "number of bits"),
            ("affine:4:group=0", "group=0"),
            ("affine:4:group=8:group=8", "unknown option `group`"),
            ("f16:2", "unknown option `2`"),
            ("nf4", "group=G"),
            ("codebook:2:group=8", "codebook:2x8:group=8"),
            ("codebook:2x17:group=8", "1 to 16 bits"),
            ("codebook:2x8:group=7", "group=8"),
            ("dual", "group=G"),
            ("sparse", "2of4"),
            ("sparse:1.5", "between 0 and 1"),
            ("sparse:block=16:0.5", "block=16x16"),
            ("sparse:block=0x16:0.5", "block=16x16"),
            ("sparse:block=4x4", "between 0 and 1"),
            ("sparse:2of4:block=4x4", "one of them"),
            ("sparse:0.5+f32", "f16"),
            ("sparse:0.5+elastic", "cannot keep its values"),
            ("elastic:4", "unknown option `4`"),
            ("sparse:0.5+", "is not an encoding"),
            ("lowrank:0.5+auto:4", "factors"),
            ("lowrank:threshold=2", "between 0 and 1"),
            ("auto", "auto:3.5"),
            ("f16+f16", "`+`"),
        ] {
            match text.parse::<Spec>() {
                Err(Error::Usage(what)) => assert!(what.contains(says), "{text}: {what}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
