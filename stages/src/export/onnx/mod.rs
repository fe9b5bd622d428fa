//! A student as an ONNX file: bytes of images of any size go in, probabilities come out.
//!
//! `proto.rs` has the format's messages, `graph.rs` the way a graph is built of them, `preprocess.rs` what happens to
//! an image before a network sees it, `network.rs` one network, `metadata.rs` what else the file says.

mod graph;
mod metadata;
mod network;
mod preprocess;
mod proto;
#[cfg(test)]
mod tests;

use pipeline::error::{Error, Result};
use prost::Message;

use self::graph::{GraphBuilder, Side, int, value};
use self::proto::{ModelProto, OperatorSetIdProto, element};
use crate::artifacts::student::Student;
use crate::export::precision::Precision;

/// The version of the file format, and that of the operators: those of ONNX 1.13 of December 2022, the first whose
/// `Resize` is Pillow's.
const IR_VERSION: i64 = 8;
const OPERATORS: i64 = 18;

/// A student's file: from `images`, bytes (N, H, W, 3), to `probabilities` and `logits`, f32 (N, classes). The networks
/// predict together, by the sum of their logits (method §10). Images whose shorter side has more than `shrink` pixels
/// are made smaller first, unless that is 0. The same student always gives the same bytes.
///
/// # Errors
/// A student without networks, weights that do not fit its architecture or the precision, or more than a file can hold.
pub(super) fn file(student: &Student, shrink: usize, precision: Precision) -> Result<Vec<u8>> {
    let model = model(student, shrink, precision)?;
    // A protocol buffer says its lengths in 31 bits.
    if model.encoded_len() > i32::MAX as usize {
        return Err(Error::new("the student is too large for an ONNX file, which ends at 2 GB")
            .help("export with --precision f16, one --network alone, or --format safetensors"));
    }
    Ok(model.encode_to_vec())
}

fn model(student: &Student, shrink: usize, precision: Precision) -> Result<ModelProto> {
    let mut graph = GraphBuilder::default();
    preprocess::preprocess(&mut graph, &student.input, shrink);
    let mut parts = Vec::with_capacity(student.networks.len());
    for (name, weights) in &student.networks {
        let network = (name.as_str(), weights);
        parts.push(network::logits(&mut graph, &student.architecture, network, precision)?);
    }
    if parts.is_empty() {
        return Err(Error::new("the student has no network"));
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let logits = graph.node("Sum", &parts, "logits", vec![]);
    let probabilities = graph.node("Softmax", &[&logits], "probabilities", vec![int("axis", 1)]);

    let [any, height, width] = ["N", "H", "W"].map(Side::Named);
    let images = value(preprocess::IMAGES, element::UINT8, &[any, height, width, Side::Fixed(3)]);
    let classes = [any, Side::Fixed(student.classes.len())];
    let outputs = [&probabilities, &logits].map(|name| value(name, element::FLOAT, &classes));
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: metadata::PRODUCER.to_owned(),
        producer_version: metadata::VERSION.to_owned(),
        doc_string: format!("An image classifier of {} classes.", student.classes.len()),
        graph: Some(graph.finish("student", vec![images], outputs.into())),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: OPERATORS }],
        metadata_props: metadata::metadata(student)?,
    })
}
