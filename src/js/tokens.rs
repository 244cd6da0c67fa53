//! Fewer tokens of a vision transformer, as JavaScript asks for them.

use wasm_bindgen::prelude::*;

use super::error::to_js;
use super::model::JsModel;
use super::values;
use crate::Error;
use crate::runtime::tokens::Method;
use crate::runtime::{TOKEN_MAP, Tokens};

/// A way to reduce tokens that is known to be one before the model is there.
#[wasm_bindgen]
pub struct Reduction(Option<Tokens>);

#[wasm_bindgen]
impl Reduction {
    /// `method` is written as on the command line; `schedule` is the text of the file that it may name. `map` asks for the map
    /// of tokens too.
    #[wasm_bindgen(constructor)]
    pub fn new(method: &str, schedule: String, map: bool) -> Result<Reduction, JsValue> {
        // A damaged schedule is no damaged model.
        let usage = |error: Error| to_js(Error::Usage(error.to_string()));
        let method = Method::asked(method, |_| Ok(schedule)).map_err(usage)?;
        Ok(Reduction(method.map(|method| Tokens { method, map })))
    }
}

#[wasm_bindgen(js_class = Model)]
impl JsModel {
    /// Reduces tokens in this way from the next run on.
    #[wasm_bindgen(js_name = setTokens)]
    pub fn set_tokens(&self, reduction: &Reduction) {
        let tokens = &reduction.0;
        self.session.borrow_mut().iter_mut().for_each(|session| session.set_tokens(tokens.clone()));
        self.classifier.borrow_mut().iter_mut().for_each(|classifier| classifier.set_tokens(tokens.clone()));
        *self.tokens.borrow_mut() = tokens.clone();
    }

    /// What became of the tokens of the photo that was classified last, as `run` gives it, in an array of one or none.
    #[wasm_bindgen(js_name = tokenMap)]
    pub fn token_map(&self) -> JsValue {
        let classifier = self.classifier.borrow();
        let map = classifier.as_ref().and_then(|classifier| classifier.token_map());
        let named: Vec<_> = map.map(|map| (TOKEN_MAP.to_string(), map.clone())).into_iter().collect();
        values::to_js(&named)
    }
}
