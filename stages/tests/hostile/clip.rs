//! The files of a CLIP.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use stages::clip::{ClipFiles, ImageEncoder, TextEncoder};

use crate::{Trial, corrupt, tries};

/// Puts something else in the place of one value of a JSON text.
fn corrupt_json(text: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let Ok(mut root) = serde_json::from_slice::<Value>(text) else { return text.to_vec() };
    let mut deep = json!(1);
    (0..100).for_each(|_| deep = json!([deep]));
    let other = [
        Value::Null,
        json!(-1),
        json!(0),
        json!(1),
        json!(u64::MAX),
        json!(1_u64 << 33),
        json!(1e308),
        json!(0.5),
        json!(""),
        json!("../../../etc/passwd"),
        json!("\u{0}\u{202e}…"),
        json!([]),
        json!({}),
        json!(true),
        deep,
    ];
    let mut place = &mut root;
    loop {
        let inner = match place {
            Value::Object(map) if !map.is_empty() => map.len(),
            Value::Array(list) if !list.is_empty() => list.len(),
            _ => 0,
        };
        if inner == 0 || random.random_ratio(1, 6) {
            break;
        }
        let n = random.random_range(0..inner);
        place = match place {
            Value::Object(map) => map.values_mut().nth(n).unwrap(),
            Value::Array(list) => &mut list[n],
            _ => break,
        };
    }
    *place = other[random.random_range(0..other.len())].clone();
    serde_json::to_vec(&root).unwrap()
}

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clip/golden/quick").join(file)
}

/// The files of the tiny CLIP in open_clip's format.
const OPEN_CLIP: [&str; 4] =
    ["open_clip_config.json", "open_clip_model.safetensors", "vocab.json", "merges.txt"];

/// Corrupts one file of a CLIP, and reads and uses the CLIP.
fn clip(file: &'static str, as_json: bool) {
    let folder = tempfile::tempdir().unwrap();
    if OPEN_CLIP.contains(&file) {
        for file in OPEN_CLIP {
            fs::copy(golden("../open_clip").join(file), folder.path().join(file)).unwrap();
        }
    } else {
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            fs::copy(golden(file), folder.path().join(file)).unwrap();
        }
    }
    let preprocessor = json!({
        "crop_size": {"height": 20, "width": 20}, "do_center_crop": true, "do_convert_rgb": true, "do_normalize": true,
        "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.2, 0.2, 0.2],
        "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 20}
    });
    let path = folder.path().join(file);
    if file == "preprocessor_config.json" {
        fs::write(&path, preprocessor.to_string()).unwrap();
    }
    if file == "processor_config.json" {
        fs::write(
            &path,
            json!({"image_processor": preprocessor, "processor_class": "CLIPProcessor"}).to_string(),
        )
        .unwrap();
    }
    let whole = fs::read(&path).unwrap();
    let image = image::RgbImage::from_pixel(31, 22, image::Rgb([7, 8, 9]));
    let mut trial = Trial::new(file);
    for n in 0..tries() {
        let bytes = match as_json && n % 3 > 0 {
            true => corrupt_json(&whole, &mut trial.random),
            false => corrupt(&whole, &mut trial.random),
        };
        fs::write(&path, bytes).unwrap();
        trial.of(|| {
            let found = ClipFiles::found_in(folder.path()).ok()?;
            let _ = found.notes();
            let files = found.files;
            files.check().ok()?;
            let _ = files.logit_scale();
            let images = ImageEncoder::load(&files, &Device::Cpu, DType::F32).ok()?;
            images.encode(&images.batch(std::slice::from_ref(&image)).ok()?).ok()?;
            let texts = TextEncoder::load(&files, &Device::Cpu, DType::F32).ok()?;
            texts.encode(&["a photo of a cat", "", "\u{202e}…"]).ok()
        });
    }
}

#[test]
fn a_config_of_a_clip() {
    clip("config.json", true);
}

#[test]
fn a_tokenizer_of_a_clip() {
    clip("tokenizer.json", true);
}

#[test]
fn a_preprocessor_of_a_clip() {
    clip("preprocessor_config.json", true);
}

#[test]
fn a_processor_of_a_clip() {
    clip("processor_config.json", true);
}

#[test]
fn a_config_in_open_clips_format() {
    clip("open_clip_config.json", true);
}

#[test]
fn weights_in_open_clips_format() {
    clip("open_clip_model.safetensors", false);
}

#[test]
fn a_vocabulary_of_a_clip() {
    clip("vocab.json", true);
}

#[test]
fn the_merges_of_a_clip() {
    clip("merges.txt", false);
}

#[test]
fn the_weights_of_a_clip() {
    clip("model.safetensors", false);
}

#[test]
fn the_header_of_the_weights_of_a_clip() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(golden(file), folder.path().join(file)).unwrap();
    }
    let whole = fs::read(golden("model.safetensors")).unwrap();
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut trial = Trial::new("safetensors header");
    for n in 0..tries() {
        // The first as it is, to know that it would be read.
        let good = &whole[8..8 + header];
        let corrupted = if n == 0 { good.to_vec() } else { corrupt_json(good, &mut trial.random) };
        let bytes = [&(corrupted.len() as u64).to_le_bytes()[..], &corrupted, &whole[8 + header..]].concat();
        fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        trial.of(|| {
            let files = ClipFiles::in_folder(folder.path()).ok()?;
            files.check().ok()?;
            ImageEncoder::load(&files, &Device::Cpu, DType::F32).ok()
        });
    }
    assert!(trial.accepted > 0);
}
