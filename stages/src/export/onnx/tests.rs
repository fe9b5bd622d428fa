//! The file's graph: its form, and its networks against the student's own, computed by candle node by node.
//! `tests/exports/check_onnx.py` runs whole files in onnxruntime.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};
use half::f16;
use pipeline::random;
use rand::Rng;

use super::preprocess::INPUT;
use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use super::*;
use crate::export::tests::drawn;
use crate::network::{Network, Pass};

/// What the students of these tests are like: channels, stride of the first stage, networks.
const STUDENTS: [(usize, usize, &[&str]); 3] =
    [(3, 2, &["network1", "network2"]), (3, 1, &["network"]), (1, 1, &["network1", "network2"])];

#[test]
fn a_file_reads_back_as_the_model_it_was_made_of() {
    let student = drawn(3, 2, &["network1", "network2"]);
    let bytes = file(&student, 512, Precision::F32).unwrap();
    let read = ModelProto::decode(&bytes[..]).unwrap();
    assert!(read == model(&student, 512, Precision::F32).unwrap());
    let graph = read.graph.unwrap();
    assert_eq!(graph.input.len(), 1);
    let outputs: Vec<&str> = graph.output.iter().map(|value| value.name.as_str()).collect();
    assert_eq!(outputs, ["probabilities", "logits"]);
}

/// Goes through a graph in order, with the values that are known where it begins.
fn walk(
    graph: &GraphProto,
    known: &BTreeSet<String>,
    made: &mut BTreeSet<String>,
    used: &mut BTreeSet<String>,
) {
    let mut known = known.clone();
    for node in &graph.node {
        for input in node.input.iter().filter(|input| !input.is_empty()) {
            assert!(known.contains(input), "{} takes {input}, which is not there yet", node.name);
            used.insert(input.clone());
        }
        for inner in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            walk(inner, &known, made, used);
        }
        for output in &node.output {
            assert!(made.insert(output.clone()), "{output} is made twice");
            known.insert(output.clone());
        }
    }
    for output in &graph.output {
        assert!(known.contains(&output.name), "{} gives {}, which nothing makes", graph.name, output.name);
        used.insert(output.name.clone());
    }
}

#[test]
fn every_value_is_made_once_before_it_is_used_and_each_is_used() {
    for (channels, stride, networks) in STUDENTS {
        for shrink in [0, 512] {
            let model = model(&drawn(channels, stride, networks), shrink, Precision::F16).unwrap();
            let graph = model.graph.unwrap();
            let constants = graph.initializer.iter().map(|constant| constant.name.clone());
            let known: BTreeSet<String> =
                constants.chain(graph.input.iter().map(|value| value.name.clone())).collect();
            assert_eq!(known.len(), graph.initializer.len() + graph.input.len());
            let (mut made, mut used) = (BTreeSet::new(), BTreeSet::new());
            walk(&graph, &known, &mut made, &mut used);
            let idle: Vec<&String> = known.union(&made).filter(|name| !used.contains(*name)).collect();
            assert!(idle.is_empty(), "{idle:?} are not used");
        }
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> &'a AttributeProto {
    node.attribute.iter().find(|attribute| attribute.name == name).unwrap()
}

/// A constant as f32.
fn constant(tensor: &TensorProto) -> Option<Tensor> {
    let raw = &tensor.raw_data;
    let values: Vec<f32> = match tensor.data_type {
        element::FLOAT => raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        element::FLOAT16 => {
            raw.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect()
        }
        _ => return None,
    };
    let shape: Vec<usize> = tensor.dims.iter().map(|&side| side as usize).collect();
    Some(Tensor::from_vec(values, shape, &Device::Cpu).unwrap())
}

/// The value of one node of a network.
fn compute(node: &NodeProto, inputs: &[&Tensor]) -> candle_core::Result<Tensor> {
    let channelwise = |x: &Tensor| x.reshape((1, x.elem_count(), 1, 1));
    match (node.op_type.as_str(), inputs) {
        ("Conv", [x, weight, bias @ ..]) => {
            let ints = |name| attribute(node, name).ints.iter().map(|&i| i as usize).collect::<Vec<_>>();
            assert_eq!(ints("kernel_shape"), weight.dims()[2..]);
            let y = x.conv2d(weight, ints("pads")[0], ints("strides")[0], 1, 1)?;
            bias.iter().try_fold(y, |y, bias| y.broadcast_add(&channelwise(bias)?))
        }
        ("BatchNormalization", [x, weight, bias, mean, var]) => {
            let epsilon = f64::from(attribute(node, "epsilon").f.unwrap());
            let scale = (*weight / (*var + epsilon)?.sqrt()?)?;
            let centred = x.broadcast_sub(&channelwise(mean)?)?;
            centred.broadcast_mul(&channelwise(&scale)?)?.broadcast_add(&channelwise(bias)?)
        }
        ("Gemm", [x, weight, bias]) => x.matmul(&weight.t()?)?.broadcast_add(bias),
        ("Relu", [x]) => x.relu(),
        ("Add", [x, y]) => *x + *y,
        ("GlobalAveragePool", [x]) => x.mean_keepdim((2, 3)),
        ("Flatten", [x]) => x.flatten_from(1),
        ("Cast", [x]) => Ok((*x).clone()),
        ("Sum", [first, rest @ ..]) => rest.iter().try_fold((*first).clone(), |sum, x| sum + *x),
        ("Softmax", [x]) => candle_nn::ops::softmax(x, 1),
        (other, inputs) => panic!("{other} of {} inputs", inputs.len()),
    }
}

/// What the networks of a graph give for an input (N, C, H, W) that is prepared already.
fn given(graph: &GraphProto, input: &Tensor) -> BTreeMap<String, Tensor> {
    let constants = graph.initializer.iter();
    let mut known: BTreeMap<String, Tensor> =
        constants.filter_map(|tensor| Some((tensor.name.clone(), constant(tensor)?))).collect();
    known.insert(INPUT.to_owned(), input.clone());
    let after = graph.node.iter().position(|node| node.output == [INPUT]).unwrap() + 1;
    for node in &graph.node[after..] {
        let inputs: Vec<&Tensor> = node.input.iter().map(|name| &known[name]).collect();
        let output = compute(node, &inputs).unwrap();
        known.insert(node.output[0].clone(), output);
    }
    known
}

/// How far apart two tensors are at most, beside the largest number of the second.
fn apart(found: &Tensor, wanted: &Tensor) -> f32 {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (found, wanted) = (flat(found), flat(wanted));
    assert_eq!(found.len(), wanted.len());
    let scale = wanted.iter().fold(0f32, |most, value| most.max(value.abs()));
    found.iter().zip(&wanted).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / scale
}

#[test]
fn networks_with_folded_norms_say_what_the_student_says() {
    for (channels, stride, networks) in STUDENTS {
        let student = drawn(channels, stride, networks);
        let mut rng = random::stream(3, "images");
        let values: Vec<f32> =
            (0..3 * 16 * 16 * channels).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).collect();
        let images = Tensor::from_vec(values, (3, 16, 16, channels), &Device::Cpu).unwrap();
        let mut logits: Option<Tensor> = None;
        for (_, weights) in &student.networks {
            let mut rng = random::stream(4, "overwritten");
            let network = Network::new(&student.architecture, &mut rng, &Device::Cpu).unwrap();
            network.load_state(&weights.clone().into_iter().collect()).unwrap();
            let own = network.forward(&images, Pass::Eval).unwrap().logits;
            logits = Some(match logits {
                None => own,
                Some(sum) => (sum + own).unwrap(),
            });
        }
        let logits = logits.unwrap();
        let probabilities = candle_nn::ops::softmax(&logits, 1).unwrap();
        let input = images.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        for (precision, allowed) in [(Precision::F32, 1e-4), (Precision::F16, 1e-2)] {
            let graph = model(&student, 512, precision).unwrap().graph.unwrap();
            let found = given(&graph, &input);
            let (l, p) = (apart(&found["logits"], &logits), apart(&found["probabilities"], &probabilities));
            assert!(l < allowed && p < allowed, "{channels} channels, {precision:?}: {l} and {p}");
        }
    }
}
