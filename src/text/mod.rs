//! Floor 8: between text and token ids. Tokenizers of GGUF files and of `tokenizer.json`, text as it streams, chat
//! templates, the choice of the next token, JSON schemas.

mod byte_level;
mod chat;
mod closing;
mod json;
mod pieces;
mod random;
mod sampler;
mod schema;
mod sentence_piece;
mod special;
mod stream;
mod tokenizer;
mod vocabulary;

pub use chat::{ChatTemplate, Message};
pub(crate) use random::Random;
pub use sampler::{Sampler, Sampling};
pub use schema::{Constraint, Schemas};
pub use stream::TextStream;
pub use tokenizer::Tokenizer;
pub use vocabulary::{Kind, Role, Vocabulary};
