#![allow(clippy::unwrap_used)]
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use image::{ImageFormat, Rgb, RgbImage};

use super::*;
use crate::annotation::fetch_clip::FetchClip;
use crate::artifacts::images::{Index, Split};

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
    Embed { clip, precision: InferenceType::F32 }.run((images(encoded), Arc::new(model)), &context)
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
