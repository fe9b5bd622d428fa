//! CLIPs in the true widths, heads, patches and positions of the hub's against `transformers`: shapes.json is made by
//! make_shapes.py, with the weights that [`noise`] and [`weight`] give here too.

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize_to_file};

use super::super::weights::Shapes;
use super::*;

/// `noise` of make_shapes.py.
fn noise(name: &str) -> impl Fn(u64) -> i8 + use<> {
    let seed = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3));
    move |i| {
        let x = seed.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 56) as i8
    }
}

/// `weight` of make_shapes.py, as the bytes of `dtype`, which holds the numbers exactly.
fn weight(name: &str, shape: &[usize], dtype: Dtype) -> Vec<u8> {
    let is_table = name.ends_with("token_embedding.weight") || name.ends_with("position_embedding.weight");
    let inputs: usize = shape[1..].iter().product();
    let (shift, scale, offset) = if name.contains("norm") && name.ends_with(".weight") {
        (4, 1.0 / 64.0, 1.0)
    } else if shape.len() > 1 && !is_table {
        let bits = (usize::BITS - inputs.leading_zeros()) as i32;
        (0, 2f32.powi(-(6 + bits / 2)), 0.0)
    } else {
        (0, 1.0 / 256.0, 0.0)
    };
    let noise = noise(name);
    let size = dtype.bitsize() / 8;
    let mut bytes = vec![0; shape.iter().product::<usize>() * size];
    bytes.par_chunks_mut(size << 12).enumerate().for_each(|(chunk, bytes)| {
        for (i, out) in bytes.chunks_exact_mut(size).enumerate() {
            let value = offset + scale * f32::from(noise((chunk << 12) as u64 + i as u64) >> shift);
            match dtype {
                Dtype::F16 => out.copy_from_slice(&f16::from_f32(value).to_le_bytes()),
                Dtype::BF16 => out.copy_from_slice(&bf16::from_f32(value).to_le_bytes()),
                _ => out.copy_from_slice(&value.to_le_bytes()),
            }
        }
    });
    bytes
}

/// The CLIP of this shape in a folder, and what shapes.json says of it.
fn shape(name: &str) -> (tempfile::TempDir, Value, usize) {
    let all = golden("shapes.json");
    let (golden, every) = (all["shapes"][name].clone(), all["every"].as_u64().unwrap() as usize);
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(folder("quick/tokenizer.json"), copy.path().join("tokenizer.json")).unwrap();
    let config = copy.path().join("config.json");
    std::fs::write(&config, golden["config"].to_string()).unwrap();
    let config = Config::read(&config.into()).unwrap();
    let dtype = match golden["dtype"].as_str().unwrap() {
        "F16" => Dtype::F16,
        "BF16" => Dtype::BF16,
        _ => Dtype::F32,
    };
    let shapes: Shapes = VisionTower::shapes(&config).and(TextTower::shapes(&config));
    let tensors: Vec<_> =
        shapes.iter().map(|(name, shape)| (name, shape, weight(name, shape, dtype))).collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(dtype, shape.to_vec(), bytes).unwrap()));
    serialize_to_file(views, None, &copy.path().join("model.safetensors")).unwrap();
    (copy, golden, every)
}

fn is_that_of_transformers(name: &str) {
    let (copy, golden, every) = shape(name);
    let files = ClipFiles::in_folder(copy.path()).unwrap();
    files.check().unwrap();
    let close = |found: &[f32], wanted: &Value| {
        let sampled: Vec<f32> = found.iter().copied().step_by(every).collect();
        let gap = gap(&sampled, &floats(&wanted["feature"]));
        assert!(gap < 1e-5, "{name}, {}{}: {gap}", wanted["size"], wanted["text"]);
    };
    for (found, wanted) in image_features(&files, &golden).iter().zip(golden["images"].as_array().unwrap()) {
        close(found, wanted);
    }
    let encoder = TextEncoder::load(&files, &Device::Cpu, DType::F32).unwrap();
    let found: Vec<Vec<f32>> = encoder.encode(&texts(&golden)).unwrap().to_vec2().unwrap();
    for (found, wanted) in found.iter().zip(golden["texts"].as_array().unwrap()) {
        close(found, wanted);
    }
}

#[test]
fn openai_vit_b_32() {
    is_that_of_transformers("openai/clip-vit-base-patch32");
}

#[test]
fn openai_vit_b_16() {
    is_that_of_transformers("openai/clip-vit-base-patch16");
}

#[test]
fn openai_vit_l_14() {
    is_that_of_transformers("openai/clip-vit-large-patch14");
}

#[test]
fn openai_vit_l_14_at_336_pixels() {
    is_that_of_transformers("openai/clip-vit-large-patch14-336");
}

#[test]
fn laion_vit_b_16() {
    is_that_of_transformers("laion/CLIP-ViT-B-16-laion2B-s34B-b88K");
}

#[test]
fn laion_vit_h_14() {
    is_that_of_transformers("laion/CLIP-ViT-H-14-laion2B-s32B-b79K");
}

/// At a true width: gemm's order of summation hangs on sizes.
#[test]
fn the_company_of_an_image_or_a_text_does_not_change_its_feature() {
    let (copy, ..) = shape("openai/clip-vit-base-patch32");
    let files = ClipFiles::in_folder(copy.path()).unwrap();
    edit(&files.config, "\"num_hidden_layers\":2", "\"num_hidden_layers\":1");
    features_are_the_same_in_any_company(&files);
}
