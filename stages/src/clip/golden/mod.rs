//! The room as a whole against `transformers`: goldens made by `make.py` beside this file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;

mod files;
mod open_clip;
mod shapes;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clip/golden").join(name)
}

fn golden(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder(name)).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

/// `picture` of make.py.
fn picture(size: &Value) -> RgbImage {
    let [width, height] = [0, 1].map(|i| size[i].as_u64().unwrap() as u32);
    RgbImage::from_fn(width, height, |x, y| {
        let checks = (x / 5 + y / 3) % 2 * 90;
        image::Rgb([0, 1, 2].map(|c| ((x * 7 + y * 13 + c * 50 + (x * y) % 31 + checks) % 256) as u8))
    })
}

/// Largest difference of two features. Stricter than their cosine, which is quadratic in it.
fn gap(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn image_features(files: &ClipFiles, golden: &Value) -> Vec<Vec<f32>> {
    let encoder = ImageEncoder::load(files, &Device::Cpu, DType::F32).unwrap();
    let images: Vec<RgbImage> =
        golden["images"].as_array().unwrap().iter().map(|i| picture(&i["size"])).collect();
    encoder.encode(&encoder.batch(&images).unwrap()).unwrap().to_vec2().unwrap()
}

fn texts(golden: &Value) -> Vec<&str> {
    golden["texts"].as_array().unwrap().iter().map(|t| t["text"].as_str().unwrap()).collect()
}

#[test]
fn image_features_are_those_of_transformers() {
    for name in ["quick", "gelu"] {
        let golden = golden(&format!("{name}/golden.json"));
        let files = ClipFiles::in_folder(&folder(name)).unwrap();
        for (found, wanted) in
            image_features(&files, &golden).iter().zip(golden["images"].as_array().unwrap())
        {
            let gap = gap(found, &floats(&wanted["feature"]));
            assert!(gap < 1e-5, "{name}, image of {}: {gap}", wanted["size"]);
        }
    }
}

#[test]
fn text_features_are_those_of_transformers() {
    for name in ["quick", "gelu"] {
        let golden = golden(&format!("{name}/golden.json"));
        let files = ClipFiles::in_folder(&folder(name)).unwrap();
        let encoder = TextEncoder::load(&files, &Device::Cpu, DType::F32).unwrap();
        let found: Vec<Vec<f32>> = encoder.encode(&texts(&golden)).unwrap().to_vec2().unwrap();
        for (found, wanted) in found.iter().zip(golden["texts"].as_array().unwrap()) {
            let gap = gap(found, &floats(&wanted["feature"]));
            assert!(gap < 1e-5, "{name}, {}: {gap}", wanted["text"]);
        }
    }
}

#[test]
fn token_ids_are_those_of_transformers() {
    for name in ["quick", "gelu"] {
        let golden = golden(&format!("{name}/golden.json"));
        let config = Config::read(&folder(name).join("config.json").into()).unwrap();
        let tokenizer = Tokenizer::read(&folder(name).join("tokenizer.json").into(), &config.text).unwrap();
        let found = tokenizer.tokenize(&texts(&golden)).unwrap();
        for (found, wanted) in found.iter().zip(golden["texts"].as_array().unwrap()) {
            let ids: Vec<u32> =
                wanted["ids"].as_array().unwrap().iter().map(|i| i.as_u64().unwrap() as u32).collect();
            assert_eq!(found.ids, ids, "{}", wanted["text"]);
        }
    }
}

#[test]
fn an_over_long_text_keeps_its_end_mark() {
    let config = Config::read(&folder("quick/config.json").into()).unwrap();
    let tokenizer = Tokenizer::read(&folder("quick/tokenizer.json").into(), &config.text).unwrap();
    let found = &tokenizer.tokenize(&["cat ".repeat(100)]).unwrap()[0];
    assert_eq!(found.ids.len(), config.text.positions);
    assert_eq!((found.ids[23], found.pooled), (525, 23));
}

/// Encodes 64 images and 150 texts together, alone, by threes, and on other numbers of threads.
fn features_are_the_same_in_any_company(files: &ClipFiles) {
    let images = ImageEncoder::load(files, &Device::Cpu, DType::F32).unwrap();
    let texts = TextEncoder::load(files, &Device::Cpu, DType::F32).unwrap();
    let pictures: Vec<RgbImage> =
        (0..64).map(|i| picture(&serde_json::json!([20 + i % 7 * 9, 31 + i]))).collect();
    let words: Vec<String> = (0..150).map(|i| format!("{} {i}", "cat ".repeat(i * 7 % 20))).collect();
    let on = |threads: usize, images_at: std::ops::Range<usize>, texts_at: std::ops::Range<usize>| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let batch = images.batch(&pictures[images_at.clone()]).unwrap();
            let images: Vec<Vec<f32>> = images.encode(&batch).unwrap().to_vec2().unwrap();
            let texts: Vec<Vec<f32>> = texts.encode(&words[texts_at.clone()]).unwrap().to_vec2().unwrap();
            (images, texts)
        })
    };
    let (all_images, all_texts) = on(2, 0..64, 0..150);
    for (threads, images_at, texts_at) in
        [(2, 0..1, 0..1), (1, 17..18, 7..8), (3, 63..64, 149..150), (1, 20..23, 31..34), (3, 61..64, 90..93)]
    {
        let (images, texts) = on(threads, images_at.clone(), texts_at.clone());
        assert!(images == all_images[images_at.clone()], "images {images_at:?} on {threads} threads");
        assert!(texts == all_texts[texts_at.clone()], "texts {texts_at:?} on {threads} threads");
    }
    let once_more = on(1, 0..64, 0..150);
    assert!(once_more == (all_images, all_texts), "all on one thread");
}

#[test]
fn the_company_of_an_image_or_a_text_does_not_change_its_feature() {
    for name in ["quick", "gelu"] {
        features_are_the_same_in_any_company(&ClipFiles::in_folder(&folder(name)).unwrap());
    }
}

fn preprocess_from(json: &str, side: usize) -> Preprocess {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preprocessor_config.json");
    std::fs::write(&path, json).unwrap();
    Preprocess::read(&path.into(), side).unwrap()
}

#[test]
fn preprocessed_pixels_are_those_of_transformers() {
    for case in golden("preprocess.json").as_array().unwrap() {
        let side = case["side"].as_u64().unwrap() as usize;
        let step = case["step"].as_u64().unwrap() as usize;
        let preprocess = preprocess_from(&case["settings"].to_string(), side);
        let mut found = vec![0.0; preprocess.floats()];
        preprocess.apply(&picture(&case["size"]), &mut found).unwrap();
        for (i, wanted) in floats(&case["values"]).iter().enumerate() {
            assert!(
                (found[i * step] - wanted).abs() < 1e-5,
                "{case}: value {i}: {} not {wanted}",
                found[i * step]
            );
        }
        let settings = &case["settings"];
        let mut raw = settings.clone();
        raw["do_rescale"] = Value::Bool(false);
        raw["do_normalize"] = Value::Bool(false);
        preprocess_from(&raw.to_string(), side).apply(&picture(&case["size"]), &mut found).unwrap();
        for (i, wanted) in floats(&case["bytes"]).iter().enumerate() {
            assert_eq!(found[i * step], *wanted, "{} {settings}: byte {i}", case["size"]);
        }
    }
}

#[test]
fn without_a_preprocessor_file_the_preprocessing_is_clips_own() {
    let (mut standard, mut read) = (vec![0.0; 3 * 400], vec![0.0; 3 * 400]);
    let picture = picture(&serde_json::json!([31, 47]));
    Preprocess::standard(20).apply(&picture, &mut standard).unwrap();
    preprocess_from("{}", 20).apply(&picture, &mut read).unwrap();
    assert_eq!(standard, read);
}

#[test]
fn candle_transformers_sees_what_we_see() {
    use candle_transformers::models::clip::{ClipConfig, ClipModel, div_l2_norm, text_model, vision_model};
    let golden = golden("quick/golden.json");
    let files = ClipFiles::in_folder(&folder("quick")).unwrap();
    let config = Config::read(&files.config).unwrap();
    let (vision, text) = (config.vision, config.text);
    let theirs = ClipConfig {
        text_config: text_model::ClipTextConfig {
            vocab_size: text.vocabulary,
            embed_dim: text.tower.hidden,
            activation: text_model::Activation::QuickGelu,
            intermediate_size: text.tower.intermediate,
            max_position_embeddings: text.positions,
            pad_with: None,
            num_hidden_layers: text.tower.layers,
            num_attention_heads: text.tower.heads,
            projection_dim: config.projection,
        },
        vision_config: vision_model::ClipVisionConfig {
            embed_dim: vision.tower.hidden,
            activation: text_model::Activation::QuickGelu,
            intermediate_size: vision.tower.intermediate,
            num_hidden_layers: vision.tower.layers,
            num_attention_heads: vision.tower.heads,
            projection_dim: config.projection,
            num_channels: 3,
            image_size: vision.image,
            patch_size: vision.patch,
        },
        logit_scale_init_value: 2.6592,
        image_size: vision.image,
    };
    let bytes = std::fs::read(&files.weights).unwrap();
    let weights = candle_nn::VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).unwrap();
    let theirs = ClipModel::new(weights, &theirs).unwrap();

    let images = ImageEncoder::load(&files, &Device::Cpu, DType::F32).unwrap();
    let batch = images
        .batch(&[picture(&golden["images"][0]["size"]), picture(&golden["images"][3]["size"])])
        .unwrap();
    let wanted = div_l2_norm(&theirs.get_image_features(&batch).unwrap()).unwrap().to_vec2::<f32>().unwrap();
    let found = images.encode(&batch).unwrap().to_vec2::<f32>().unwrap();
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!(gap(found, wanted) < 1e-5);
    }

    let texts = TextEncoder::load(&files, &Device::Cpu, DType::F32).unwrap();
    let text = "a photo of a cat.";
    let ids = texts.tokenizer().tokenize(&[text]).unwrap().remove(0).ids;
    let ids = Tensor::new(vec![ids], &Device::Cpu).unwrap();
    let wanted = div_l2_norm(&theirs.get_text_features(&ids).unwrap()).unwrap().to_vec2::<f32>().unwrap();
    let found = texts.encode(&[text]).unwrap().to_vec2::<f32>().unwrap();
    assert!(gap(&found[0], &wanted[0]) < 1e-5);
}

/// A copy of a model whose files a test may spoil.
fn copy_of(model: &str) -> (tempfile::TempDir, ClipFiles) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(folder(model).join(name), copy.path().join(name)).unwrap();
    }
    let files = ClipFiles::in_folder(copy.path()).unwrap();
    (copy, files)
}

fn copy() -> (tempfile::TempDir, ClipFiles) {
    copy_of("quick")
}

fn edit(path: impl AsRef<Path>, from: &str, to: &str) {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} is not in {}", path.display());
    std::fs::write(path, text.replace(from, to)).unwrap();
}

/// Also the proof that the goldens are sharp enough to tell one setting from another.
#[test]
fn activation_epsilon_heads_and_pooling_are_those_of_the_config() {
    let golden = golden("gelu/golden.json");
    let edits = [
        ("\"gelu_pytorch_tanh\"", "\"gelu\""),
        ("\"gelu_pytorch_tanh\"", "\"quick_gelu\""),
        ("\"layer_norm_eps\": 0.01", "\"layer_norm_eps\": 0.0101"),
        ("\"num_attention_heads\": 5", "\"num_attention_heads\": 3"),
        ("\"eos_token_id\": 2", "\"eos_token_id\": 524"), // the start mark
    ];
    for (from, to) in edits {
        let (_copy, files) = copy_of("gelu");
        edit(&files.config, from, to);
        let encoder = TextEncoder::load(&files, &Device::Cpu, DType::F32).unwrap();
        let found: Vec<Vec<f32>> = encoder.encode(&texts(&golden)).unwrap().to_vec2().unwrap();
        assert!(gap(&found[0], &floats(&golden["texts"][0]["feature"])) > 2e-5, "{to} changes nothing");
    }
}

#[test]
fn the_check_passes_what_loads_and_reads_the_logit_scale() {
    let (_copy, files) = copy();
    files.check().unwrap();
    let wanted = golden("quick/golden.json")["logit_scale"].as_f64().unwrap();
    assert!((files.logit_scale().unwrap().unwrap() - wanted).abs() < 1e-3);
}

#[test]
fn the_check_names_the_tensor_that_does_not_fit_the_config() {
    let cases = [
        (
            "\"intermediate_size\": 36",
            "\"intermediate_size\": 32",
            "vision_model.encoder.layers.0.mlp.fc1.weight",
        ),
        (
            "\"intermediate_size\": 40",
            "\"intermediate_size\": 44",
            "text_model.encoder.layers.0.mlp.fc1.weight",
        ),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "encoder.layers.2."),
        ("\"image_size\": 20", "\"image_size\": 24", "vision_model.embeddings.position_embedding.weight"),
        ("\"vocab_size\": 526", "\"vocab_size\": 527", "text_model.embeddings.token_embedding.weight"),
        ("\"projection_dim\": 20", "\"projection_dim\": 24", "visual_projection.weight"),
    ];
    for (from, to, tensor) in cases {
        let (_copy, files) = copy();
        edit(&files.config, from, to);
        let error = files.check().unwrap_err().to_string();
        assert!(error.contains(tensor) && error.contains("model.safetensors"), "{to}: {error}");
        let loads = ImageEncoder::load(&files, &Device::Cpu, DType::F32).is_ok()
            && TextEncoder::load(&files, &Device::Cpu, DType::F32).is_ok();
        assert!(!loads, "{to}: refused by the check and loaded all the same");
    }
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    for (from, to) in [("\"<|endoftext|>\",\n      525", "\"<|endoftext|>\",\n      9"), ("{", "[")] {
        let (_copy, files) = copy();
        edit(&files.tokenizer, from, to);
        let error = files.check().unwrap_err().to_string();
        assert!(error.contains("tokenizer.json"), "{error}");
    }
}

#[test]
fn a_weights_file_that_is_cut_short_anywhere_is_an_error() {
    let (_copy, files) = copy();
    let whole = std::fs::read(&files.weights).unwrap();
    for keep in [0, 7, 8, 500, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&files.weights, &whole[..keep]).unwrap();
        let error = files.check().unwrap_err().to_string();
        assert!(error.contains("model.safetensors") && error.contains("help"), "{keep} bytes: {error}");
    }
}

/// The model `quick` with its weights as a checkpoint of PyTorch (make_checkpoints.py).
fn checkpoint() -> (tempfile::TempDir, ClipFiles) {
    let (copy, files) = copy();
    std::fs::remove_file(&files.weights).unwrap();
    std::fs::copy(folder("quick/pytorch_model.bin"), copy.path().join("pytorch_model.bin")).unwrap();
    let files = ClipFiles::in_folder(copy.path()).unwrap();
    (copy, files)
}

#[test]
fn a_checkpoint_of_pytorch_gives_the_features_and_the_count_of_safetensors() {
    let golden = golden("quick/golden.json");
    let (_copy, checkpoint) = checkpoint();
    assert!(checkpoint.weights.as_ref().ends_with("pytorch_model.bin"));
    let safetensors = ClipFiles::in_folder(&folder("quick")).unwrap();
    assert!(
        safetensors.weights.as_ref().ends_with("model.safetensors"),
        "where both are, safetensors are read"
    );
    assert_eq!(checkpoint.check().unwrap(), safetensors.check().unwrap());
    assert_eq!(checkpoint.logit_scale().unwrap(), safetensors.logit_scale().unwrap());
    assert!(image_features(&checkpoint, &golden) == image_features(&safetensors, &golden));
    let text_features = |files| {
        let encoder = TextEncoder::load(files, &Device::Cpu, DType::F32).unwrap();
        encoder.encode(&texts(&golden)).unwrap().to_vec2::<f32>().unwrap()
    };
    assert!(text_features(&checkpoint) == text_features(&safetensors));
}

#[test]
fn a_checkpoint_of_another_model_or_cut_short_is_refused_before_it_is_used() {
    let (copy, files) = checkpoint();
    edit(&files.config, "\"intermediate_size\": 36", "\"intermediate_size\": 32");
    let error = files.check().unwrap_err().to_string();
    assert!(error.contains("vision_model.encoder.layers.0.mlp.fc1.weight"), "{error}");
    assert!(error.contains("pytorch_model.bin"), "{error}");
    let path = copy.path().join("pytorch_model.bin");
    let whole = std::fs::read(&path).unwrap();
    for keep in [0, 7, 500, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..keep]).unwrap();
        let error = files.check().unwrap_err().to_string();
        assert!(error.contains("pytorch_model.bin") && error.contains("help"), "{keep} bytes: {error}");
    }
}

#[test]
fn a_folder_without_weights_says_which_are_read() {
    let (copy, files) = copy();
    std::fs::remove_file(&files.weights).unwrap();
    let error = ClipFiles::in_folder(copy.path()).unwrap_err().to_string();
    assert!(error.contains("no model.safetensors") && error.contains("or pytorch_model.bin"), "{error}");
    for index in ["model.safetensors.index.json", "pytorch_model.bin.index.json"] {
        std::fs::write(copy.path().join(index), "{}").unwrap();
        let error = ClipFiles::in_folder(copy.path()).unwrap_err().to_string();
        assert!(error.contains("split over several files"), "{error}");
        std::fs::remove_file(copy.path().join(index)).unwrap();
    }
}

#[test]
fn a_config_is_read_as_transformers_reads_it() {
    for (name, case) in golden("configs.json").as_object().unwrap() {
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("config.json");
        std::fs::write(&path, case["config"].to_string()).unwrap();
        let config = Config::read(&path.into()).unwrap();
        let (vision, text) = (config.vision, config.text);
        let sizes = |tower: TowerConfig| [tower.hidden, tower.intermediate, tower.layers, tower.heads];
        let eos = match text.pooling {
            Pooling::FirstHighestId => 2,
            Pooling::FirstOf(id) => id as usize,
        };
        let activation = |tower: TowerConfig| match tower.activation {
            Activation::QuickGelu => "quick_gelu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_pytorch_tanh",
        };
        let vision_sizes = [&sizes(vision.tower)[..], &[vision.image, vision.patch]].concat();
        let text_sizes = [&sizes(text.tower)[..], &[text.vocabulary, text.positions, eos]].concat();
        let found = serde_json::json!({
            "projection": config.projection,
            "vision": vision_sizes,
            "text": text_sizes,
            "activations": [activation(vision.tower), activation(text.tower)],
        });
        for (field, found) in found.as_object().unwrap() {
            assert_eq!(found, &case["read"][field], "{name}: {field}");
        }
        assert_eq!([vision.tower.eps, text.tower.eps], floats(&case["read"]["eps"])[..], "{name}");
    }
}

#[test]
fn a_batch_of_another_size_is_refused_and_an_empty_one_gives_no_features() {
    let files = ClipFiles::in_folder(&folder("quick")).unwrap();
    let encoder = ImageEncoder::load(&files, &Device::Cpu, DType::F32).unwrap();
    let batch = Tensor::zeros((1, 3, 24, 24), DType::F32, &Device::Cpu).unwrap();
    assert!(encoder.encode(&batch).unwrap_err().to_string().contains("(B, 3, 20, 20)"));
    assert_eq!(encoder.encode(&encoder.batch(&[]).unwrap()).unwrap().dims(), [0, 20]);
    let texts = TextEncoder::load(&files, &Device::Cpu, DType::F32).unwrap();
    assert_eq!(texts.encode::<&str>(&[]).unwrap().dims(), [0, 20]);
}

#[test]
fn half_precision_on_a_cpu_is_refused() {
    let files = ClipFiles::in_folder(&folder("quick")).unwrap();
    let error = ImageEncoder::load(&files, &Device::Cpu, DType::F16).err().unwrap().to_string();
    assert!(error.contains("F16"), "{error}");
}

#[test]
fn images_that_cannot_be_preprocessed_are_errors() {
    let preprocess = Preprocess::standard(20);
    let mut out = vec![0.0; preprocess.floats()];
    let error = preprocess.apply(&RgbImage::new(0, 5), &mut out).unwrap_err().to_string();
    assert!(error.contains("0×5"), "{error}");
    let uncropped = preprocess_from(r#"{"do_center_crop": false}"#, 20);
    let error = uncropped.apply(&RgbImage::new(30, 20), &mut out).unwrap_err().to_string();
    assert!(error.contains("30×20") && error.contains("do_center_crop"), "{error}");
}

#[test]
fn a_preprocessor_file_that_does_not_fit_is_refused_with_its_field() {
    let cases = [
        (r#"{"crop_size": 32}"#, "32×32"),
        (r#"{"do_center_crop": false, "size": {"height": 20, "width": 24}}"#, "24×20"),
        (r#"{"size": {"longest_edge": 20}}"#, "size"),
        (r#"{"size": 0}"#, "size"),
        (r#"{"resample": 1}"#, "resample"),
        (r#"{"image_std": [1, 0, 1]}"#, "image_std"),
        (r#"{"image_mean": [1, 2]}"#, "image_mean"),
        (r#"{"do_resize": "yes"}"#, "do_resize"),
        ("7", "not a JSON object"),
    ];
    for (json, word) in cases {
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("preprocessor_config.json");
        std::fs::write(&path, json).unwrap();
        let error = Preprocess::read(&path.into(), 20).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("preprocessor_config.json"), "{json}: {error}");
    }
}
