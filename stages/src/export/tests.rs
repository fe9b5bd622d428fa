//! Whole exports of small students whose numbers are drawn, batch-norm statistics included.
#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{Device, Tensor};
use pipeline::random;
use rand::Rng;

use super::*;
use crate::artifacts::student::{InputFormat, Provenance, Weights};
use crate::network::{Architecture, Network};

/// A student with these channels, stride of the first stage, and networks, for images of 16 pixels and five classes.
pub fn drawn(channels: usize, first_stride: usize, networks: &[&str]) -> Student {
    let architecture = Architecture {
        input_channels: channels,
        input_size: 16,
        width: 8,
        blocks: [2, 1, 1, 1],
        first_stride,
        classes: 5,
        embedding: 4,
    };
    let networks = networks.iter().map(|name| ((*name).to_owned(), weights(&architecture, name))).collect();
    Student {
        method: "co-reg".to_owned(),
        classes: ["cat", "bird's nest", "猫", "a\\b", "`x`"].map(str::to_owned).to_vec(),
        input: InputFormat {
            size: 16,
            channels,
            mean: if channels == 1 { vec![0.1307] } else { vec![0.4914, 0.4822, 0.4465] },
            std: vec![0.3081],
        },
        architecture,
        networks,
        provenance: Provenance {
            training_images: 12,
            annotators: ["one", "two", "three", "four"].map(str::to_owned).to_vec(),
            ..Provenance::default()
        },
    }
}

fn weights(architecture: &Architecture, name: &str) -> Weights {
    let network = Network::new(architecture, &mut random::stream(1, name), &Device::Cpu).unwrap();
    let mut rng = random::stream(2, name);
    let mut between =
        |least: f64, most: f64| least + (most - least) * f64::from(rng.next_u32()) / f64::from(u32::MAX);
    let drawn = network.state().unwrap().into_iter().map(|(name, tensor)| {
        let (least, most) = match name.rsplit('.').next().unwrap() {
            "running_var" => (0.001, 2.0),
            "running_mean" => (-0.5, 0.5),
            "weight" if name.contains("norm") => (0.5, 1.5),
            "bias" if name.contains("norm") => (-0.5, 0.5),
            _ => return (name, tensor),
        };
        let values: Vec<f32> = (0..tensor.elem_count()).map(|_| between(least, most) as f32).collect();
        (name, Tensor::from_vec(values, tensor.dims(), &Device::Cpu).unwrap())
    });
    drawn.collect()
}

fn all() -> Options {
    Options { shrink: 512, ..Options::default() }
}

#[test]
fn the_same_student_gives_the_same_bytes() {
    let student = drawn(3, 2, &["network1", "network2"]);
    let export = |student: &Student| files(student, "demo", all()).unwrap();
    assert!(export(&student) == export(&student.clone()));
    let other = chosen(&student, Some(2)).unwrap();
    assert!(export(&student) != export(&other));
}

#[test]
fn an_export_has_what_was_asked_for() {
    let student = drawn(1, 1, &["network"]);
    let names = |contents| -> Vec<&str> {
        let files = files(&student, "demo", Options { contents, ..all() }).unwrap();
        files.iter().map(|(name, _)| *name).collect()
    };
    assert_eq!(names(Contents::Folder), [ONNX, WEIGHTS, CONFIG, MODEL, README]);
    assert_eq!(names(Contents::Onnx), [ONNX, README]);
    assert_eq!(names(Contents::Safetensors), [WEIGHTS, CONFIG, MODEL, README]);

    let readme = |contents| readme::readme(&student, "demo", Options { contents, ..all() });
    let whole = readme(Contents::Folder);
    assert!(whole.starts_with(readme::MARK) && whole.contains("onnxruntime"), "{whole}");
    assert!(whole.contains("`bird's nest`") && whole.contains("`` `x` ``"), "{whole}");
    assert!(whole.contains("exif_transpose") && whole.contains("more than 512 pixels"), "{whole}");
    assert!(whole.contains("Its network is `network`; weights are stored as float32."), "{whole}");
    assert!(whole.contains("`three` and 1 more") && whole.contains("12 images"), "{whole}");
    assert!(!readme(Contents::Safetensors).contains("onnxruntime"));
    assert!(!readme(Contents::Onnx).contains(WEIGHTS));
}

#[test]
fn one_network_alone_is_half_of_the_export() {
    let student = drawn(3, 1, &["network1", "network2"]);
    let size = |network| {
        let options = Options { network, contents: Contents::Onnx, ..all() };
        files(&student, "demo", options).unwrap()[0].1.len()
    };
    let (both, one) = (size(None), size(Some(2)));
    assert!(one * 10 < both * 6, "{one} of {both}");
    for number in [0, 3] {
        let error = files(&student, "demo", Options { network: Some(number), ..all() }).unwrap_err();
        assert!(error.to_string().contains("it has 2"), "{error}");
    }
}

#[test]
fn weights_of_float16_take_half_and_read_back() {
    let student = drawn(3, 1, &["network"]);
    let of = |precision| files(&student, "demo", Options { precision, ..all() }).unwrap();
    let (whole, half) = (of(Precision::F32), of(Precision::F16));
    for file in [0, 1] {
        let (whole, half) = (whole[file].1.len(), half[file].1.len());
        assert!(half * 10 < whole * 6, "{half} of {whole}");
    }
    let read = |file: &[u8]| candle_core::safetensors::load_buffer(file, &Device::Cpu).unwrap();
    let (whole, half) = (read(&whole[1].1), read(&half[1].1));
    assert_eq!(whole.len(), half.len());
    for (name, whole) in whole {
        let half = half[&name].to_dtype(whole.dtype()).unwrap();
        let apart = (&whole - half).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(apart.to_scalar::<f32>().unwrap() < 1e-3, "{name}");
    }
}

#[test]
fn the_configuration_says_how_an_image_is_prepared() {
    let config = |student: &Student| -> serde_json::Value {
        serde_json::from_slice(&timm::config(student, 512).unwrap()).unwrap()
    };
    let grey = &config(&drawn(1, 1, &["network"]))["pretrained_cfg"]["grey"];
    assert!(grey.as_str().unwrap().contains("601-2"), "{grey}");
    let config = config(&drawn(3, 2, &["network1", "network2"]));
    let prepared = &config["pretrained_cfg"];
    assert_eq!(prepared["input_size"], serde_json::json!([3, 16, 16]));
    assert_eq!(prepared["std"], serde_json::json!([0.3081, 0.3081, 0.3081]));
    assert_eq!(prepared["crop_mode"], "squash");
    assert!(prepared["grey"].is_null());
    assert_eq!(config["network"]["stage_strides"], serde_json::json!([2, 2, 2, 2]));
    assert_eq!(config["network"]["stage_channels"], serde_json::json!([8, 16, 32, 64]));
    assert_eq!(config["network"]["norm_eps"], 1e-5);
    assert_eq!(config["label_names"][2], "猫");
    assert_eq!(config["networks"], serde_json::json!(["network1", "network2"]));
    assert_eq!(config["model_args"]["blocks"], serde_json::json!([2, 1, 1, 1]));
}

#[test]
fn a_student_that_contradicts_itself_is_refused() {
    let whole = drawn(3, 1, &["network"]);
    let refused = |change: fn(&mut Student)| {
        let mut student = whole.clone();
        change(&mut student);
        files(&student, "demo", all()).unwrap_err().to_string()
    };
    assert!(refused(|student| student.classes.truncate(4)).contains("student.json"));
    assert!(refused(|student| student.input.size = 32).contains("student.json"));
    assert!(refused(|student| student.input.std = vec![0.0]).contains("deviation"));
    let lacks = refused(|student| drop(student.networks[0].1.remove("stem.norm.bias")));
    assert!(lacks.contains("network.stem.norm.bias"), "{lacks}");
    let wider = refused(|student| student.architecture.width = 16);
    assert!(wider.contains("shape"), "{wider}");
}

#[test]
fn a_written_export_is_what_was_made() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("demo");
    let made = drawn(1, 2, &["network1", "network2"]);
    let written = student(&made, "demo", all(), &folder, false).unwrap().files;
    for (name, bytes) in files(&made, "demo", all()).unwrap() {
        assert_eq!(std::fs::read(folder.join(name)).unwrap(), bytes);
        assert!(written.contains(&(name, bytes.len() as u64)));
    }
}
