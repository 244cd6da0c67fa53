//! The shared operator cases in a browser: WebAssembly SIMD, and WebGPU through the browser's own stack.
//!
//! `pkg-scripts/test-browser` runs this file with `wasm-bindgen-test-runner` in headless Chromium.
#![cfg(all(target_arch = "wasm32", feature = "js"))]
#![allow(clippy::unwrap_used)]

mod ops;

use fewbit::cpu::Threads;
use fewbit::graph::{Dim, Graph, Model, Node, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::Tensor;
use ops::Case;
use wasm_bindgen::JsValue;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

/// A graph of the case's node: the first input is given at run time, the others are weights.
fn model(case: &Case) -> (Model, Tensor) {
    let mut graph = Graph { name: case.name.clone(), ..Graph::default() };
    let mut given = None;
    let inputs = case.inputs.iter().enumerate().map(|(i, input)| match input {
        Some(Weight::Dense(tensor)) if i == 0 => {
            given = Some(tensor.clone());
            let dims = tensor.shape().iter().map(|&d| Dim::Known(d)).collect();
            Some(graph.add_input("x", tensor.dtype(), dims))
        }
        Some(weight) => Some(graph.add_weight(format!("weight {i}"), weight.clone())),
        None => None,
    });
    let inputs = inputs.collect();
    let output = graph.add_value("y");
    graph.outputs.push(output);
    let (name, op, attrs) = (case.name.clone(), case.op.into(), case.attrs.clone());
    graph.nodes.push(Node { name, op, inputs, outputs: vec![Some(output)], attrs });
    (Model { graph, ..Model::default() }, given.unwrap())
}

/// Lets the page answer: the driver of the browser gives up on one that has not for half a minute.
async fn breathe() {
    let later = |resolve: js_sys::Function, _| {
        let timeout = js_sys::Reflect::get(&js_sys::global(), &"setTimeout".into()).unwrap();
        js_sys::Function::from(timeout).call1(&JsValue::NULL, &resolve).unwrap();
    };
    wasm_bindgen_futures::JsFuture::from(js_sys::Promise::new(&mut { later })).await.unwrap();
}

async fn check(device: &Device, how: &str, place: &str, cases: &[Case]) {
    assert!(!cases.is_empty());
    for case in cases {
        breathe().await;
        let (model, given) = model(case);
        let mut session = Session::new(&model, device).unwrap();
        // What a kernel leaves out of the next run shows what this one has left behind.
        let poison = Tensor::new(given.shape(), &vec![1e30f32; given.len()]).unwrap();
        session.run_async(&[("x", &poison)]).await.unwrap();
        let outputs = session.run_async(&[("x", &given)]).await.unwrap();
        case.check(how, &outputs[0].1.to_f32().unwrap());
        for node in session.report().unwrap().nodes {
            assert_eq!(node.place, place, "{}: {} `{}`", case.name, node.op, node.name);
        }
    }
}

/// Every `step`-th case of all families: a software adapter compiles each pipeline for half a second. Every form of an
/// encoding is among them.
fn families(step: usize) -> Vec<(&'static str, Vec<Case>)> {
    let thin = |cases: Vec<Case>| cases.into_iter().step_by(step).collect();
    vec![
        ("attention", thin(ops::attention::cases())),
        ("conv: dense_cases", thin(ops::conv::dense_cases())),
        ("conv: encoded_cases", thin(ops::conv::encoded_cases())),
        ("conv: fused_cases", thin(ops::conv::fused_cases())),
        ("conv_transpose", thin(ops::conv_transpose::cases())),
        ("linear dense", thin(ops::linear::dense_cases())),
        ("linear few-bit", thin(ops::linear::encoded_cases())),
        ("linear every form", ops::linear::form_cases()),
        ("linear fused", thin(ops::linear::fused_cases())),
        ("matmul", thin(ops::matmul::cases())),
    ]
}

#[wasm_bindgen_test]
async fn products_on_wasm_simd() {
    let device = Device::cpu(1).unwrap();
    for (family, cases) in families(1) {
        check(&device, &format!("wasm, {family}"), "cpu", &cases).await;
    }
    check(&device, "wasm, linear odd", "cpu", &ops::linear::odd_cases()).await;
}

/// All encodings and widths of codes, and sizes around the steps of kernels, with few rows.
#[wasm_bindgen_test]
async fn few_bit_products_on_wasm_simd() {
    use ops::few_bit::{check, integers, palettes};
    for (n, k) in [(37, 33), (9, 1100)] {
        for weight in palettes(n, k).into_iter().chain(integers(n, k)) {
            breathe().await;
            for m in [1, 3, 5] {
                check(&weight, m, &[1]);
            }
        }
    }
    for k in [1, 7, 31, 32, 63, 64, 65, 127, 128, 129, 511, 513] {
        for (i, n) in [1, 2, 16, 17].into_iter().enumerate() {
            breathe().await;
            for bits in [2, 3, 4, 6] {
                let seed = (k + i) as u64;
                check(&ops::encodings::palette(n, k, bits, n, true, seed), 1, &[1]);
                check(&ops::encodings::affine(n, k, bits, 32, true, seed), 2, &[1]);
            }
        }
    }
}

/// Convolutions that only the planner makes.
#[wasm_bindgen_test]
async fn channels_last_on_wasm_simd() {
    for case in ops::conv::last_cases() {
        breathe().await;
        for prepared in [false, true] {
            case.check("wasm", &ops::direct::run(&case, &Threads::single(), prepared));
        }
    }
}

/// Not in the small build.
#[cfg(feature = "full")]
#[wasm_bindgen_test]
async fn gated_few_bit_products_on_webgpu() {
    let device = Device::gpu_async().await.expect("WebGPU; webdriver.json turns a software adapter on");
    let dense = ops::gated_conv::dense_cases().into_iter().step_by(23);
    let encoded = ops::gated_conv::encoded_cases().into_iter().step_by(5);
    check(&device, "webgpu, conv gated", "gpu", &dense.chain(encoded).collect::<Vec<_>>()).await;
}

#[wasm_bindgen_test]
async fn products_on_webgpu() {
    let device = Device::gpu_async().await.expect("WebGPU; webdriver.json turns a software adapter on");
    for (family, cases) in families(13) {
        check(&device, &format!("webgpu, {family}"), "gpu", &cases).await;
    }
}
