//! A model and its session, as JavaScript drives them.

use std::cell::RefCell;

use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

use super::error::to_js;
use super::values;
use crate::graph::{Dim, Model, ValueId};
use crate::runtime::{Device, Session};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// A model in host memory, and a session once a device is attached.
///
/// A call takes the session out while it runs: calls must not overlap (`engine.ts` queues them).
#[wasm_bindgen(js_name = Model)]
pub struct JsModel {
    model: Model,
    file_bytes: u64,
    session: RefCell<Option<Session>>,
}

impl JsModel {
    pub(super) fn new(model: Model, file_bytes: u64) -> Self {
        JsModel { model, file_bytes, session: RefCell::new(None) }
    }

    async fn run_tensors(&self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        let taken = self.session.borrow_mut().take();
        let mut session = taken.ok_or_else(|| Error::Usage("no device is attached, or a call is in flight".into()))?;
        let result = session.run_async(inputs).await;
        *self.session.borrow_mut() = Some(session);
        result
    }

    fn describe(&self) -> Value {
        let session = self.session.borrow();
        let report = session.as_ref().and_then(Session::report).unwrap_or_default();
        let mut placement = serde_json::Map::new();
        for node in &report.nodes {
            let count = placement.get(&node.place).and_then(Value::as_u64).unwrap_or(0);
            placement.insert(node.place.clone(), (count + 1).into());
        }
        let graph = &self.model.graph;
        let mut operators = serde_json::Map::new();
        for node in &graph.nodes {
            let count = operators.get(&node.op).and_then(Value::as_u64).unwrap_or(0);
            operators.insert(node.op.clone(), (count + 1).into());
        }
        let weights = graph.weights.values();
        let parameters: usize = weights.clone().map(|w| w.ty().len()).sum();
        let weight_bytes: usize = weights.map(|w| w.bytes()).sum();
        json!({
            "deviceName": session.as_ref().map(|s| s.device().describe()),
            "task": self.model.manifest.task,
            "bytes": self.file_bytes,
            "parameters": parameters,
            "bitsPerWeight": 8.0 * weight_bytes as f64 / parameters.max(1) as f64,
            "inputs": self.describe_values(&graph.inputs),
            "outputs": self.describe_values(&graph.outputs),
            "operators": operators,
            "arenaBytes": report.arena_bytes,
            "placement": placement,
            "license": self.model.manifest.license,
            "provenance": self.model.manifest.provenance,
        })
    }

    fn describe_values(&self, ids: &[ValueId]) -> Vec<Value> {
        let describe = |&id: &ValueId| {
            let value = self.model.graph.value(id);
            let dims = value.dims.iter().flatten().map(|dim| match dim {
                Dim::Known(n) => json!(n),
                Dim::Symbol(name) => json!(name),
            });
            json!({ "name": value.name, "type": value.dtype.map(|d| d.name()), "dims": dims.collect::<Vec<_>>() })
        };
        ids.iter().map(describe).collect()
    }
}

#[wasm_bindgen(js_class = Model)]
impl JsModel {
    /// Puts the model on a device: `webgpu` or `wasm`. Replaces an earlier one, a lost one too.
    pub async fn attach(&self, device: String) -> Result<(), JsValue> {
        let attach = async {
            self.session.borrow_mut().take();
            let device = match device.as_str() {
                #[cfg(feature = "gpu")]
                "webgpu" => Device::gpu_async().await?,
                "wasm" => Device::cpu(1)?,
                other => return Err(Error::Unsupported(format!("there is no device `{other}`"))),
            };
            let session = Session::new(&self.model, &device)?;
            *self.session.borrow_mut() = Some(session);
            Ok(())
        };
        attach.await.map_err(to_js)
    }

    /// Runs the graph on an array of `[name, type, dims, bytes]`; resolves to the like.
    pub async fn run(&self, inputs: JsValue) -> Result<JsValue, JsValue> {
        let run = async {
            let inputs = values::from_js(&inputs)?;
            let named: Vec<(&str, &Tensor)> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
            Ok(values::to_js(&self.run_tensors(&named).await?))
        };
        run.await.map_err(to_js)
    }

    /// What the model is and where it runs, as JSON (`ModelInfo` in `types.ts`, less what the caller knows).
    pub fn info(&self) -> String {
        self.describe().to_string()
    }
}
