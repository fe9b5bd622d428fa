#![allow(clippy::unwrap_used)]
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use image::{ImageFormat, Rgb, RgbImage};

use super::*;
use crate::annotation::fetch_clip::FetchClip;
use crate::artifacts::images::{Index, Split};
use crate::clip::Preprocess;

/// A PNG, another one for each number.
fn png(number: usize) -> Vec<u8> {
    let image =
        RgbImage::from_fn(24, 20, |x, y| Rgb([x, y, 1].map(|v| (v as usize * (number + 3) * 7 % 251) as u8)));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn images(encoded: Vec<Vec<u8>>) -> Arc<Images> {
    let count = encoded.len();
    let index = Index {
        ids: (0..count).map(|row| format!("{row:03}")).collect(),
        splits: vec![Split::Train; count],
        labels: vec![None; count],
        classes: vec!["a".to_owned(), "b".to_owned()],
    };
    Arc::new(Images::new(index, encoded, vec![None; count]))
}

/// Embeds with the tiny CLIP of the goldens; `folder` keeps the checkpoint.
fn embed(encoded: Vec<Vec<u8>>, folder: &Path) -> Result<Embeddings> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clip/golden/quick");
    let clip = Origin::Folder(golden);
    let context = Context::for_test(folder);
    let model = FetchClip { origin: clip.clone() }.run((), &context)?;
    let (mean, std) = (Vec::new(), Vec::new());
    Embed { clip, precision: InferenceType::F32, mean, std }.run((images(encoded), Arc::new(model)), &context)
}

#[test]
fn what_was_embedded_before_an_interruption_is_taken_over_and_the_bytes_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let whole: Vec<Vec<u8>> = (0..100).map(png).collect();
    let at_once = embed(whole.clone(), &folder.path().join("other")).unwrap();

    let checkpoint = folder.path().join("checkpoint");
    let mut broken = whole.clone();
    broken[80] = b"no image".to_vec();
    assert!(embed(broken, &checkpoint).unwrap_err().to_string().contains("`080`"));
    let context = Context::for_test(&checkpoint);
    let pieces = context.pieces::<Embeddings>(&at_once.images, &[MODEL]);
    assert_eq!(pieces.missing(&at_once.images).len(), whole.len() - BATCH);
    assert_eq!(pieces.get(&at_once.images[0]), Some(&bytes(&at_once.features[..at_once.width])[..]));

    let resumed = embed(whole, &checkpoint).unwrap();
    assert_eq!((resumed.images, resumed.features), (at_once.images, at_once.features));
}

#[test]
fn an_image_that_is_there_twice_has_one_embedding_and_its_company_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let all = embed((0..70).map(|number| png(number / 2)).collect(), folder.path()).unwrap();
    let alone = embed(vec![png(3)], folder.path()).unwrap();
    let row = |row: usize| &all.features[row * all.width..(row + 1) * all.width];
    assert_eq!(all.images[6], alone.images[0]);
    assert_eq!(row(6), &alone.features[..]);
    assert_eq!(row(6), row(7));
    assert_ne!(row(6), row(8));
}

/// A PNG of this size.
fn blank(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(width, height, Rgb([9, 90, 200])).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn an_image_of_any_proportions_is_embedded_and_narrow_ones_are_counted_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = [(1, 2100), (2100, 1), (24, 96), (24, 110), (30, 20)];
    let all: Vec<Vec<u8>> = sizes.iter().map(|(width, height)| blank(*width, *height)).collect();
    let found = embed(all.clone(), folder.path()).unwrap();
    assert!(found.features.iter().all(|value| value.is_finite()));
    let images = images(all);
    let encoded = images.encoded().unwrap();
    let note =
        |preprocess: Preprocess| notes::narrow(&images.index.ids, &encoded, || Ok(preprocess)).unwrap();
    let said = note(Preprocess::standard(20)).unwrap();
    assert!(
        said.starts_with("3 of 5 images") && said.ends_with("`000` (1×2100), `001` (2100×1), `003` (24×110)"),
        "{said}"
    );
    let many = self::images((0..7).map(|_| blank(1, 9)).collect());
    let said =
        notes::narrow(&many.index.ids, &many.encoded().unwrap(), || Ok(Preprocess::standard(20))).unwrap();
    assert!(said.is_some_and(|said| said.starts_with("7 of 7") && said.ends_with("`004` (1×9), …")));
}

#[test]
fn a_setting_for_mean_and_deviation_changes_the_embeddings_the_key_and_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let clip = Origin::Folder(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clip/golden/quick"));
    let with = |mean: &[f64], std: &[f64]| Embed {
        clip: clip.clone(),
        precision: InferenceType::F32,
        mean: mean.to_vec(),
        std: std.to_vec(),
    };
    let context = Context::for_test(folder.path());
    let model = Arc::new(FetchClip { origin: clip.clone() }.run((), &context).unwrap());
    let run = |stage: Embed, at: &str| {
        let context = Context::for_test(folder.path().join(at));
        stage.run((images(vec![png(1)]), Arc::clone(&model)), &context).unwrap().features
    };
    let (own, other) = (with(&[], &[]), with(&[], &[0.5, 0.5, 0.5]));
    // The key of those who set nothing is as it was before there was such a setting.
    assert_eq!(own.key().unwrap(), serde_json::json!({"precision": own.precision}));
    assert_ne!(own.key().unwrap(), other.key().unwrap());
    assert_ne!(run(own, "own"), run(other, "other"));
    let openai = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]);
    assert_eq!(run(with(&[], &[]), "a"), run(with(&openai.0, &openai.1), "b"));
    let said = notes::normalisation([None, Some([0.5; 3])], Some([openai.0, openai.1])).unwrap();
    assert!(said.contains("clip.std=[0.5, 0.5, 0.5]") && said.contains("0.26862954"), "{said}");
    for (mean, std, word) in [
        (&[0.5, 0.5][..], &[][..], "clip.mean"),
        (&[], &[0.5, 0.0, 0.5], "clip.std"),
        (&[], &[0.5, -1.0, 0.5], "clip.std"),
        (&[f64::NAN, 0.0, 0.0], &[], "clip.mean"),
    ] {
        let error = with(mean, std).check(&Machine::default()).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("help"), "{error}");
    }
}

#[test]
fn an_image_that_the_clip_s_preprocessing_cannot_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("clip");
    std::fs::create_dir(&copy).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clip/golden/quick");
        std::fs::copy(golden.join(file), copy.join(file)).unwrap();
    }
    std::fs::write(copy.join("preprocessor_config.json"), r#"{"do_center_crop": false}"#).unwrap();
    let clip = Origin::Folder(copy);
    let context = Context::for_test(folder.path());
    let model = FetchClip { origin: clip.clone() }.run((), &context).unwrap();
    let stage = Embed { clip, precision: InferenceType::F32, mean: Vec::new(), std: Vec::new() };
    let all = images(vec![blank(20, 20), blank(20, 24)]);
    let error = stage.run((all, Arc::new(model)), &context).unwrap_err().to_string();
    assert!(error.contains("`001`") && error.contains("20×24"), "{error}");
}
