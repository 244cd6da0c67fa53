//! A model and its session, as JavaScript drives them.

use std::cell::RefCell;

use js_sys::{Array, Object, Reflect};
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

use super::error::to_js;
use super::values;
use crate::graph::{Dim, Model, ValueId};
#[cfg(feature = "full")]
use crate::runtime::Tokens;
#[cfg(feature = "full")]
use crate::runtime::tokens::Sizes;
use crate::runtime::{Device, Report, Session};
#[cfg(feature = "audio")]
use crate::tasks::Transcriber;
use crate::tasks::{Classifier, Prediction};
#[cfg(feature = "text")]
use crate::tasks::{Describer, Generator};
use crate::tensor::Tensor;
use crate::vision::Photo;
use crate::{Error, Result};

/// A model in host memory, its device, and what runs it, built at the first call of its kind.
///
/// A call takes its runner out while it runs: calls must not overlap (`engine.ts` queues them).
#[wasm_bindgen(js_name = Model)]
pub struct JsModel {
    model: Model,
    file_bytes: u64,
    device: RefCell<Option<Device>>,
    pub(super) session: RefCell<Option<Session>>,
    pub(super) classifier: RefCell<Option<Classifier>>,
    #[cfg(feature = "full")]
    pub(super) tokens: RefCell<Option<Tokens>>,
    #[cfg(feature = "text")]
    pub(super) generator: RefCell<Option<Generator>>,
    #[cfg(feature = "text")]
    pub(super) describer: RefCell<Option<Describer>>,
    #[cfg(feature = "audio")]
    pub(super) transcriber: RefCell<Option<Transcriber>>,
}

impl JsModel {
    pub(super) fn new(model: Model, file_bytes: u64) -> Self {
        JsModel {
            model,
            file_bytes,
            device: RefCell::new(None),
            session: RefCell::new(None),
            classifier: RefCell::new(None),
            #[cfg(feature = "full")]
            tokens: RefCell::new(None),
            #[cfg(feature = "text")]
            generator: RefCell::new(None),
            #[cfg(feature = "text")]
            describer: RefCell::new(None),
            #[cfg(feature = "audio")]
            transcriber: RefCell::new(None),
        }
    }

    #[cfg(feature = "text")]
    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    pub(super) fn device(&self) -> Result<Device> {
        self.device.borrow().clone().ok_or_else(|| Error::Usage("no device is attached".into()))
    }

    async fn run_tensors(&self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        let taken = self.session.borrow_mut().take();
        let mut session = taken.map_or_else(|| self.new_session(), Ok)?;
        let result = session.run_async(inputs).await;
        *self.session.borrow_mut() = Some(session);
        result
    }

    #[cfg_attr(not(feature = "full"), allow(unused_mut))]
    fn new_session(&self) -> Result<Session> {
        let mut session = Session::new(&self.model, &self.device()?)?;
        #[cfg(feature = "full")]
        session.set_tokens(self.tokens.borrow().clone());
        Ok(session)
    }

    #[cfg_attr(not(feature = "full"), allow(unused_mut))]
    fn new_classifier(&self) -> Result<Classifier> {
        let mut classifier = Classifier::new(&self.model, &self.device()?)?;
        #[cfg(feature = "full")]
        classifier.set_tokens(self.tokens.borrow().clone());
        Ok(classifier)
    }

    async fn label(&self, photo: &Photo, top_k: usize) -> Result<Vec<Prediction>> {
        let taken = self.classifier.borrow_mut().take();
        let mut classifier = taken.map_or_else(|| self.new_classifier(), Ok)?;
        let result = classifier.classify_async(photo, top_k).await;
        *self.classifier.borrow_mut() = Some(classifier);
        result
    }

    /// What runs the model for a task is built anew at the next call.
    fn forget_tasks(&self) {
        self.classifier.borrow_mut().take();
        #[cfg(feature = "text")]
        self.generator.borrow_mut().take();
        #[cfg(feature = "text")]
        self.describer.borrow_mut().take();
        #[cfg(feature = "audio")]
        self.transcriber.borrow_mut().take();
    }

    fn report(&self) -> Report {
        #[cfg(feature = "text")]
        if let Some(report) = self.generator.borrow_mut().as_mut().and_then(|g| g.decoder().session().report()) {
            return report;
        }
        #[cfg(feature = "text")]
        if let Some(describer) = &mut *self.describer.borrow_mut() {
            return together(&describer.sessions());
        }
        #[cfg(feature = "audio")]
        if let Some(transcriber) = &*self.transcriber.borrow() {
            return together(&transcriber.sessions());
        }
        let of_session = self.session.borrow().as_ref().and_then(Session::report);
        of_session.or_else(|| self.classifier.borrow().as_ref()?.session().report()).unwrap_or_default()
    }

    fn describe(&self) -> Value {
        let report = self.report();
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
        #[cfg_attr(not(feature = "full"), allow(unused_mut))]
        let mut about = json!({
            "deviceName": self.device.borrow().as_ref().map(Device::describe),
            "task": self.model.manifest.task,
            "bytes": self.file_bytes,
            "parameters": parameters,
            "bitsPerWeight": 8.0 * weight_bytes as f64 / parameters.max(1) as f64,
            "inputs": self.describe_values(&graph.inputs),
            "outputs": self.describe_values(&graph.outputs),
            "operators": operators,
            "arenaBytes": report.arena_bytes,
            "placement": placement,
            "choices": self.session.borrow().as_ref().map(Session::choices),
            "license": self.model.manifest.license,
            "provenance": self.model.manifest.provenance,
        });
        #[cfg(feature = "full")]
        {
            about["multiplications"] = report.macs.into();
            if let Some(Sizes { layers, tokens, pinned }) = report.tokens {
                about["tokens"] = json!({ "layers": layers, "count": tokens, "pinned": pinned });
            }
        }
        about
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
            self.forget_tasks();
            let device = match device.as_str() {
                #[cfg(feature = "gpu")]
                "webgpu" => Device::gpu_async().await?,
                "wasm" => Device::cpu(1)?,
                other => return Err(Error::Unsupported(format!("there is no device `{other}`"))),
            };
            *self.device.borrow_mut() = Some(device);
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

    /// Labels a photo; `rgba`: `[height, width, 4]`. Resolves to an array of `{ label, index, score }`, best first.
    pub async fn classify(&self, rgba: &[u8], width: usize, height: usize, top_k: usize) -> Result<JsValue, JsValue> {
        let photo = Photo::from_rgba(width, height, rgba).map_err(to_js)?;
        let predictions = self.label(&photo, top_k).await.map_err(to_js)?;
        Ok(predictions.iter().map(prediction_to_js).collect::<Array>().into())
    }

    /// Takes these variants of GPU kernels from the next run on, lines as in the JSON's `choices`.
    #[cfg(feature = "gpu")]
    pub fn choose(&self, lines: &str) {
        self.forget_tasks();
        self.session.borrow_mut().iter_mut().for_each(Session::forget_plans);
        if let Some(Device::Gpu(gpu, _)) = &*self.device.borrow() {
            gpu.choices().read(lines);
        }
    }

    /// What the model is and where it runs, as JSON (`ModelInfo` in `types.ts`, less what the caller knows).
    pub fn info(&self) -> String {
        self.describe().to_string()
    }
}

/// What the sessions of one task report.
#[cfg(feature = "text")]
fn together(sessions: &[&Session]) -> Report {
    let reports = sessions.iter().filter_map(|session| session.report());
    reports.reduce(Report::and).unwrap_or_default()
}

fn prediction_to_js(prediction: &Prediction) -> Object {
    let object = Object::new();
    let fields = [
        ("label", JsValue::from(&prediction.label)),
        ("index", JsValue::from(prediction.index as u32)),
        ("score", JsValue::from(prediction.score)),
    ];
    for (key, value) in fields {
        // Setting a property of a fresh plain object cannot fail.
        let _ = Reflect::set(&object, &key.into(), &value);
    }
    object
}
