//! One network of a student in evaluation mode, as nodes of the graph.
//!
//! A batch norm right behind a convolution is folded into its weight and bias: the stem's, and the second of each
//! block. The first of each block acts on a sum that others take as it is, and stays an operator.

use candle_core::{DType, Tensor};
use pipeline::error::{Error, OrFail, Result};

use super::graph::{GraphBuilder, float, int, ints, to};
use super::preprocess::INPUT;
use super::proto::AttributeProto;
use super::proto::element::FLOAT;
use crate::artifacts::student::Weights;
use crate::export::precision::{Precision, halves};
use crate::network::{Architecture, EPSILON};

/// Adds a network between [`INPUT`] and its logits (N, classes), and gives the latter's name.
///
/// # Errors
/// A weight that is missing or of another shape, or one that the precision cannot hold.
pub fn logits(
    graph: &mut GraphBuilder,
    architecture: &Architecture,
    (name, weights): (&str, &Weights),
    precision: Precision,
) -> Result<String> {
    let mut network = Part { graph, name, weights, precision };
    let a = architecture;
    let stem =
        network.convolution("stem.conv", [a.input_channels, a.width, 3, 1], Some("stem.norm"), INPUT)?;
    let mut x = network.relu(&stem); // (N, width, H, W)
    let mut channels = a.width;
    for (stage, &count) in a.blocks.iter().enumerate() {
        let wider = a.width << stage;
        for block in 0..count {
            let stride = match (stage, block) {
                (0, 0) => a.first_stride,
                (_, 0) => 2,
                _ => 1,
            };
            let part = |part: &str| format!("stages.{stage}.blocks.{block}.{part}");
            let active = network.norm(&part("norm1"), channels, &x)?;
            let active = network.relu(&active);
            let shortcut = if stride != 1 || channels != wider {
                network.convolution(&part("shortcut"), [channels, wider, 1, stride], None, &active)?
            } else {
                active.clone()
            };
            let (conv1, norm2) = (part("conv1"), part("norm2"));
            let hidden = network.convolution(&conv1, [channels, wider, 3, stride], Some(&norm2), &active)?;
            let hidden = network.relu(&hidden);
            let change = network.convolution(&part("conv2"), [wider, wider, 3, 1], None, &hidden)?;
            x = network.node("Add", &[&change, &shortcut], &part("sum"), vec![]);
            channels = wider;
        }
    }
    let pooled = network.node("GlobalAveragePool", &[&x], "pool", vec![]);
    let features = network.node("Flatten", &[&pooled], "features", vec![int("axis", 1)]);
    let weight = network.values("classifier.weight", &[a.classes, channels])?;
    let weight = network.weight("classifier.weight", &[a.classes, channels], &weight)?;
    let bias = network.values("classifier.bias", &[a.classes])?;
    let bias = network.constant("classifier.bias", &bias);
    Ok(network.node("Gemm", &[&features, &weight, &bias], "logits", vec![int("transB", 1)]))
}

/// A graph to which one network is added, whose name all of its values begin with.
struct Part<'a> {
    graph: &'a mut GraphBuilder,
    name: &'a str,
    weights: &'a Weights,
    precision: Precision,
}

impl Part<'_> {
    fn full(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        const HELP: &str = "student.json and student.safetensors are not of the same student";
        let full = self.full(name);
        let tensor: &Tensor = self
            .weights
            .get(name)
            .ok_or_else(|| Error::new(format!("the student's weights lack {full}")).help(HELP))?;
        if tensor.dims() != shape {
            let what = format!("{full} has the shape {:?}, not {shape:?}", tensor.dims());
            return Err(Error::new(what).help(HELP));
        }
        let values = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.flatten_all()?.to_vec1());
        values.or_fail(|| Error::new(format!("cannot read {full}")))
    }

    fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) -> String {
        let output = self.full(output);
        self.graph.node(operator, inputs, &output, attributes)
    }

    fn constant(&mut self, name: &str, values: &[f32]) -> String {
        let full = self.full(name);
        self.graph.floats(&full, &[values.len()], values)
    }

    /// A weight, stored in the precision that was chosen and computed with in f32.
    fn weight(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<String> {
        let full = self.full(name);
        Ok(match self.precision {
            Precision::F32 => self.graph.floats(&full, shape, values),
            Precision::F16 => {
                let stored = self.graph.halves(&full, shape, &halves(&full, values)?);
                self.graph.node("Cast", &[&stored], &format!("{full}.f32"), to(FLOAT))
            }
        })
    }

    fn relu(&mut self, x: &str) -> String {
        self.graph.node("Relu", &[x], &format!("{x}.relu"), vec![])
    }

    /// A convolution without bias of `[from, to, kernel, stride]`, and the batch norm behind it.
    fn convolution(
        &mut self,
        name: &str,
        [from, to, kernel, stride]: [usize; 4],
        norm: Option<&str>,
        x: &str,
    ) -> Result<String> {
        let (own, shape) = (format!("{name}.weight"), [to, from, kernel, kernel]);
        let mut weight = self.values(&own, &shape)?;
        let bias = match norm {
            Some(norm) => Some(self.statistics(norm, to)?.fold_into(&mut weight)),
            None => None,
        };
        let weight = self.weight(&own, &shape, &weight)?;
        let bias = bias.map(|bias| self.constant(&format!("{name}.bias"), &bias));
        let (side, step, padding) = (kernel as i64, stride as i64, (kernel / 2) as i64);
        let attributes =
            vec![ints("kernel_shape", &[side; 2]), ints("pads", &[padding; 4]), ints("strides", &[step; 2])];
        let mut inputs = vec![x, weight.as_str()];
        inputs.extend(bias.as_deref());
        Ok(self.node("Conv", &inputs, name, attributes))
    }

    /// A batch norm that is an operator of its own.
    fn norm(&mut self, name: &str, channels: usize, x: &str) -> Result<String> {
        let mut inputs = vec![x.to_owned()];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            let part = format!("{name}.{part}");
            let values = self.values(&part, &[channels])?;
            inputs.push(self.constant(&part, &values));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok(self.node("BatchNormalization", &inputs, name, vec![float("epsilon", EPSILON as f32)]))
    }

    fn statistics(&self, name: &str, channels: usize) -> Result<Norm> {
        let of = |part: &str| self.values(&format!("{name}.{part}"), &[channels]);
        Ok(Norm {
            weight: of("weight")?,
            bias: of("bias")?,
            mean: of("running_mean")?,
            var: of("running_var")?,
        })
    }
}

/// A batch norm's numbers, one a channel each.
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    mean: Vec<f32>,
    var: Vec<f32>,
}

impl Norm {
    /// Scales the rows of a convolution's weight, one an output channel, and gives the bias: together they do what the
    /// convolution and the norm behind it did.
    fn fold_into(&self, weight: &mut [f32]) -> Vec<f32> {
        let row = weight.len() / self.weight.len().max(1);
        let of_channels = self.weight.iter().zip(&self.bias).zip(self.mean.iter().zip(&self.var));
        let rows = weight.chunks_exact_mut(row.max(1));
        rows.zip(of_channels)
            .map(|(row, ((weight, bias), (mean, var)))| {
                let scale = f64::from(*weight) / (f64::from(*var) + EPSILON).sqrt();
                row.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
                (f64::from(*bias) - f64::from(*mean) * scale) as f32
            })
            .collect()
    }
}
