//! The one error type: what was wrong, where, and what to do about it.

use thiserror::Error;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every failure of this crate. `code` gives the stable name that the JS face reports.
#[derive(Debug, Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },

    /// The bytes of a file are not what its format promises.
    #[error("{file}: {what}")]
    Format { file: String, what: String },

    /// The bytes of a file are not the ones that were written: a hash differs.
    #[error("{file}: {what}")]
    Integrity { file: String, what: String },

    /// A node of the graph is malformed or its inputs do not fit.
    #[error("operator {operator} `{node}`: {what}")]
    Node { operator: String, node: String, what: String },

    /// The operator, type or option exists, but nothing here implements it.
    #[error("unsupported: {0}")]
    Unsupported(String),

    /// An operator has no implementation; `conformance` lists these.
    #[error("operator {0} is not implemented")]
    UnknownOperator(String),

    /// Shape inference needs the value of input `input` of this node before it can go on.
    /// The planner catches this and binds the graph inputs behind it by value.
    #[error("operator {operator}: the value of input {input} decides the output's shape, and it is not known")]
    NeedsValue { operator: String, input: usize },

    /// The caller's arguments are wrong.
    #[error("{0}")]
    Usage(String),

    /// The device cannot be used, was lost, or refused the work.
    #[error("device: {0}")]
    Device(String),

    /// The work asks for more memory than allowed.
    #[error("out of memory: {0}")]
    OutOfMemory(String),

    /// The caller cancelled the work.
    #[error("aborted")]
    Aborted,
}

impl Error {
    pub fn io(path: impl Into<String>, source: std::io::Error) -> Self {
        Error::Io { path: path.into(), source }
    }

    pub fn format(file: impl Into<String>, what: impl Into<String>) -> Self {
        Error::Format { file: file.into(), what: what.into() }
    }

    /// Stable machine-readable name (`FewbitError.code` in JS).
    pub fn code(&self) -> &'static str {
        match self {
            Error::Io { .. } => "network",
            Error::Integrity { .. } => "integrity",
            Error::Format { .. } | Error::Node { .. } => "bad-model",
            Error::Unsupported(_) | Error::UnknownOperator(_) | Error::NeedsValue { .. } => "unsupported",
            Error::Usage(_) => "usage",
            Error::Device(_) => "device-lost",
            Error::OutOfMemory(_) => "out-of-memory",
            Error::Aborted => "aborted",
        }
    }
}
