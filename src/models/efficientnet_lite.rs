//! EfficientNet-Lite0 (Tan & Le 2019, without squeeze-excite and with ReLU6), from the state dictionary of its PyTorch
//! port. Input `image` `[batch, 3, 224, 224]`, output `logits` `[batch, 1000]`.

use std::collections::BTreeMap;

use crate::graph::{Attr, Attrs, Dim, Graph, ImageInput, Model, ValueId, Weight};
use crate::tensor::{DType, Tensor};
use crate::{Error, Result};

const BLOCKS: usize = 16;

/// Blocks that halve the image; the stem does too.
const STRIDE_2: [usize; 4] = [1, 3, 5, 11];

const SIDE: usize = 224;

/// Of the batch normalisations, as trained.
const EPSILON: f64 = 1e-3;

/// Whether a state dictionary is this network's: by a few names and shapes that no other width or depth has.
pub fn matches(weights: &BTreeMap<String, Tensor>) -> bool {
    let shape = |name: &str| weights.get(name).map(Tensor::shape);
    shape("_conv_stem.weight") == Some(&[32, 3, 3, 3])
        && shape("_blocks.15._project_conv.weight") == Some(&[320, 1152, 1, 1])
        && shape("_blocks.16._project_conv.weight").is_none()
        && shape("_blocks.0._se_reduce.weight").is_none()
        && shape("_conv_head.weight") == Some(&[1280, 320, 1, 1])
}

/// The graph, every batch normalisation folded into the convolution before it. Labels are the caller's to add.
pub fn build(weights: &BTreeMap<String, Tensor>) -> Result<Model> {
    let mut graph = Graph { name: "efficientnet_lite0".into(), ..Graph::default() };
    let dims = [Dim::Symbol("batch".into()), Dim::Known(3), Dim::Known(SIDE), Dim::Known(SIDE)];
    let image = graph.add_input("image", DType::F32, dims.to_vec());
    let low = graph.add_weight("zero", Weight::Dense(Tensor::scalar(0f32)));
    let high = graph.add_weight("six", Weight::Dense(Tensor::scalar(6f32)));
    let mut net = Builder { weights, graph, clip: [low, high] };

    let mut x = net.convolution("_conv_stem", "_bn0", image, 2)?;
    x = net.relu6("_conv_stem", x);
    for i in 0..BLOCKS {
        let block = format!("_blocks.{i}");
        let shortcut = x;
        // The first block has nothing to expand.
        if i > 0 {
            let name = format!("{block}._expand_conv");
            x = net.convolution(&name, &format!("{block}._bn0"), x, 1)?;
            x = net.relu6(&name, x);
        }
        let stride = if STRIDE_2.contains(&i) { 2 } else { 1 };
        let name = format!("{block}._depthwise_conv");
        x = net.convolution(&name, &format!("{block}._bn1"), x, stride)?;
        x = net.relu6(&name, x);
        let name = format!("{block}._project_conv");
        x = net.convolution(&name, &format!("{block}._bn2"), x, 1)?;
        if stride == 1 && net.keeps_width(&block)? {
            x = net.graph.add_node("Add", &format!("{block}.add"), &[x, shortcut], Attrs::default());
        }
    }
    x = net.convolution("_conv_head", "_bn1", x, 1)?;
    x = net.relu6("_conv_head", x);
    x = net.graph.add_node("GlobalAveragePool", "pool", &[x], Attrs::default());
    x = net.graph.add_node("Flatten", "features", &[x], Attrs::from([("axis", Attr::Int(1))]));
    let classes = net.tensor("_fc.weight")?.shape().first().copied().unwrap_or(0);
    let weight = net.dense("_fc.weight")?;
    let bias = net.dense("_fc.bias")?;
    let logits = net.graph.add_node("Gemm", "logits", &[x, weight, bias], Attrs::from([("transB", Attr::Int(1))]));
    let mut graph = net.graph;
    let declared = &mut graph.values[logits.0 as usize];
    declared.dtype = Some(DType::F32);
    declared.dims = Some(vec![Dim::Symbol("batch".into()), Dim::Known(classes)]);
    graph.outputs.push(logits);
    graph.validate()?;

    let mut model = Model { graph, ..Model::default() };
    model.manifest.task = Some("image-classification".into());
    let (mean, std) = ([127.0; 3], [128.0; 3]);
    model.manifest.image = Some(ImageInput { width: SIDE, height: SIDE, crop: 0.875, mean, std, resize: None });
    model.manifest.provenance = Some("EfficientNet-Lite0, batch normalisation folded into the convolutions".into());
    Ok(model)
}

struct Builder<'a> {
    weights: &'a BTreeMap<String, Tensor>,
    graph: Graph,
    /// Bounds of ReLU6.
    clip: [ValueId; 2],
}

impl<'a> Builder<'a> {
    fn tensor(&self, name: &str) -> Result<&'a Tensor> {
        let found = self.weights.get(name);
        found.ok_or_else(|| Error::format("EfficientNet-Lite0", format!("tensor `{name}` is missing")))
    }

    fn dense(&mut self, name: &str) -> Result<ValueId> {
        let tensor = self.tensor(name)?.clone();
        Ok(self.graph.add_weight(name, Weight::Dense(tensor)))
    }

    /// Convolution and the normalisation after it. TensorFlow's padding: an odd remainder goes right and below.
    fn convolution(&mut self, conv: &str, norm: &str, x: ValueId, stride: i64) -> Result<ValueId> {
        let name = format!("{conv}.weight");
        let (weight, bias) = self.fold(&name, norm)?;
        let &[outputs, inputs, height, width] = weight.shape() else {
            return Err(Error::format("EfficientNet-Lite0", format!("tensor `{name}` has no 4 dimensions")));
        };
        // One input channel per filter is what a depthwise convolution has; no other here is so narrow.
        let group = if inputs == 1 { outputs as i64 } else { 1 };
        let weight = self.graph.add_weight(name, Weight::Dense(weight));
        let bias = self.graph.add_weight(format!("{conv}.bias"), Weight::Dense(bias));
        let attrs = Attrs::from([
            ("auto_pad", Attr::String("SAME_UPPER".into())),
            ("group", Attr::Int(group)),
            ("kernel_shape", Attr::Ints(vec![height as i64, width as i64])),
            ("strides", Attr::Ints(vec![stride; 2])),
        ]);
        Ok(self.graph.add_node("Conv", conv, &[x, weight, bias], attrs))
    }

    /// `(w · γ/√(σ²+ε), β − μ · γ/√(σ²+ε))` per filter, computed in f64.
    fn fold(&self, weight: &str, norm: &str) -> Result<(Tensor, Tensor)> {
        let weight = self.tensor(weight)?;
        let part = |part: &str| self.tensor(&format!("{norm}.{part}"))?.slice::<f32>();
        let (gamma, beta) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let filters = weight.shape().first().copied().unwrap_or(0);
        if [gamma, beta, mean, variance].iter().any(|p| p.len() != filters) {
            return Err(Error::format("EfficientNet-Lite0", format!("`{norm}` has not {filters} channels")));
        }
        let scale = |i: usize| f64::from(gamma[i]) / (f64::from(variance[i]) + EPSILON).sqrt();
        let bias = (0..filters).map(|i| (f64::from(beta[i]) - f64::from(mean[i]) * scale(i)) as f32);
        let bias: Vec<f32> = bias.collect();
        let mut folded = weight.clone();
        let each = weight.len() / filters.max(1);
        for (i, filter) in folded.slice_mut::<f32>()?.chunks_exact_mut(each.max(1)).enumerate() {
            let scale = scale(i);
            filter.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
        }
        Ok((folded, Tensor::new([filters], &bias)?))
    }

    fn relu6(&mut self, after: &str, x: ValueId) -> ValueId {
        let [low, high] = self.clip;
        self.graph.add_node("Clip", &format!("{after}.relu6"), &[x, low, high], Attrs::default())
    }

    /// Whether a block has as many output as input channels, so that the shortcut can be added.
    fn keeps_width(&self, block: &str) -> Result<bool> {
        let outputs = self.tensor(&format!("{block}._project_conv.weight"))?.shape().first().copied();
        let inputs = match self.weights.get(&format!("{block}._expand_conv.weight")) {
            Some(expand) => expand.shape().get(1).copied(),
            None => self.tensor(&format!("{block}._depthwise_conv.weight"))?.shape().first().copied(),
        };
        Ok(outputs == inputs)
    }
}
