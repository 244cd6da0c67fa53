//! Chat templates: Jinja, set up as Hugging Face's `transformers` does it.

use std::fmt::Display;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Environment, ErrorKind, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;

use crate::formats::gguf::Metadata;
use crate::{Error, Result};

/// One turn: who (`system`, `user`, `assistant`) said what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub role: String,
    pub content: String,
}

/// How a model wants a conversation written.
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

/// Bounds time and memory of a template, which comes from outside: about this many instructions, and this many plus the
/// messages' bytes of text.
const FUEL: u64 = 2_000_000;

const NAME: &str = "chat";

impl ChatTemplate {
    /// A template that may use `bos_token` and `eos_token`. Fails if it is no valid Jinja.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self> {
        let mut environment = Environment::new();
        environment
            .set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|e| error(&e))?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", to_json);
        environment.add_template_owned(NAME, without_generation(source)).map_err(|e| error(&e))?;
        Ok(ChatTemplate { environment, bos: bos.into(), eos: eos.into() })
    }

    /// The template in a GGUF file (`tokenizer.chat_template`), if it has one.
    pub fn from_gguf(metadata: &Metadata) -> Result<Option<Self>> {
        let Some(source) = metadata.text("tokenizer.chat_template") else { return Ok(None) };
        let tokens = match metadata.array("tokenizer.ggml.tokens") {
            Some(tokens) => tokens.texts()?,
            None => Vec::new(),
        };
        let token = |key| metadata.size(key).and_then(|id| tokens.get(id)).map_or("", String::as_str);
        let (bos, eos) = (token("tokenizer.ggml.bos_token_id"), token("tokenizer.ggml.eos_token_id"));
        Self::new(source, bos, eos).map(Some)
    }

    /// The template of a Hugging Face folder: `jinja` is its `chat_template.jinja`, if there is one, else it is taken from
    /// `config`, the `tokenizer_config.json`, which names the tokens too. `None` if neither has one.
    pub fn from_config(config: &[u8], jinja: Option<&str>) -> Result<Option<Self>> {
        let config: serde_json::Value =
            serde_json::from_slice(config).map_err(|e| Error::format("tokenizer_config.json", e.to_string()))?;
        let field = &config["chat_template"];
        // Several templates have names; the one to take is `default`.
        let named = || field.as_array()?.iter().find(|t| t["name"] == "default")?["template"].as_str();
        let Some(source) = jinja.or_else(|| field.as_str()).or_else(named) else { return Ok(None) };
        let token = |key: &str| config[key].as_str().or(config[key]["content"].as_str()).unwrap_or("");
        Self::new(source, token("bos_token"), token("eos_token")).map(Some)
    }

    /// The conversation as text, with `open` up to where the assistant's answer begins (`add_generation_prompt`). Its
    /// special tokens are written out: encode it with `special`, and without the tokenizer's prefix.
    ///
    /// Fails where the template does, which may refuse a role or an order of turns, and if it takes too long.
    pub fn render(&self, messages: &[Message], open: bool) -> Result<String> {
        self.rendered(messages, messages.iter().map(|m| m.role.len() + m.content.len()).sum(), open)
    }

    /// The same of one message of the user, a picture and what is said about it, in parts as templates of models that see
    /// want them. What stands for the picture in the text is the model's token for it.
    pub fn render_picture(&self, text: &str, open: bool) -> Result<String> {
        let content = serde_json::json!([{"type": "image"}, {"type": "text", "text": text}]);
        self.rendered(&[serde_json::json!({"role": "user", "content": content})], text.len(), open)
    }

    /// `bytes`: of text in the messages.
    fn rendered(&self, messages: &[impl Serialize], bytes: usize, open: bool) -> Result<String> {
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(FUEL.saturating_add(bytes as u64)));
        let template = environment.get_template(NAME).map_err(|e| error(&e))?;
        let text = template.render(context! {
            messages => Value::from(Serde(messages)),
            add_generation_prompt => open,
            bos_token => &self.bos,
            eos_token => &self.eos,
            tools => (),
            documents => (),
        });
        text.map_err(|e| error(&e))
    }
}

/// `{% generation %}` and its end, with which some templates mark what the model said, as a condition that always holds.
fn without_generation(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag)) = rest.split_once("{%") {
        let Some((tag, after)) = tag.split_once("%}") else { break };
        let tag = match tag.trim_matches(['-', '+']).trim() {
            "generation" => tag.replace("generation", "if true"),
            "endgeneration" => tag.replace("endgeneration", "endif"),
            _ => tag.to_string(),
        };
        text += &format!("{before}{{%{tag}%}}");
        rest = after;
    }
    text + rest
}

/// With the causes, of which the first may say little.
fn error(e: &minijinja::Error) -> Error {
    let mut what = e.to_string();
    let mut cause = std::error::Error::source(e);
    while let Some(e) = cause {
        what += &format!(": {e}");
        cause = e.source();
    }
    Error::format("chat template", what)
}

fn invalid(e: impl Display) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, e.to_string())
}

fn raise_exception(message: String) -> Result<Value, minijinja::Error> {
    Err(invalid(message))
}

/// The time in UTC: a model is told the day, and the local zone is not known everywhere.
fn strftime_now(format: String) -> Result<String, minijinja::Error> {
    let now = jiff::Timestamp::from_second(crate::clock::unix_seconds()).map_err(invalid)?;
    jiff::fmt::strtime::format(format, now).map_err(invalid)
}

/// Like Python's `json.dumps(value, ensure_ascii=False, indent=indent)`: nothing is escaped for HTML.
fn to_json(value: Value, options: Kwargs) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let mut bytes = Vec::new();
    match indent.map(|n| " ".repeat(n.min(16))) {
        Some(indent) => {
            let pretty = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, pretty)).map_err(invalid)?;
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Spaced)).map_err(invalid)?,
    }
    String::from_utf8(bytes).map_err(invalid)
}

/// A space after commas and colons.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
