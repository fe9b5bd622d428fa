//! COCO's format, as it is used for the classification of images: `annotations.json` beside `images/`.
//!
//! Each annotation says the class of a whole image, with a score, and has no box. Numbers begin at 1, as COCO's do.

use pipeline::error::Result;
use pipeline::stage::Context;
use serde::Serialize;

use super::Chosen;
use super::destination::{Destination, put, write_json};
use super::pictures::{self, dimensions, make_folder};
use super::said::Said;

#[derive(Serialize)]
struct Coco<'a> {
    info: Info,
    licenses: [(); 0],
    images: Vec<Image<'a>>,
    annotations: Vec<Annotation<'a>>,
    categories: Vec<Category<'a>>,
}

#[derive(Serialize)]
struct Info {
    description: &'static str,
}

#[derive(Serialize)]
struct Image<'a> {
    id: usize,
    /// In `images/`.
    file_name: &'a str,
    width: u32,
    height: u32,
    /// What coreg calls the image.
    name: &'a str,
    split: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    true_category_id: Option<usize>,
}

#[derive(Serialize)]
struct Annotation<'a> {
    id: usize,
    image_id: usize,
    category_id: usize,
    score: f32,
    source: &'a str,
}

#[derive(Serialize)]
struct Category<'a> {
    id: usize,
    name: &'a str,
    supercategory: &'static str,
}

/// Writes a folder with `annotations.json` and the images as they were encoded.
///
/// # Errors
/// A folder that is there already, images that cannot be read, a disk that is full, a request to stop. Nothing is left
/// behind.
pub fn write_coco(chosen: &Chosen, to: &Destination, context: &Context) -> Result<()> {
    let set = chosen.set;
    to.folder(|root| {
        let folder = make_folder(root, "images")?;
        let mut sizes = vec![(0, 0); set.images.len()];
        let files = pictures::write(
            chosen,
            context,
            |_| folder.clone(),
            |row, bytes| {
                sizes[row] = dimensions(bytes)?;
                Ok(())
            },
        )?;
        let image = |(id, &row): (usize, &usize)| {
            let (image, (width, height)) = (&set.images[row], sizes[row]);
            let (file_name, name, split) = (files[row].as_str(), image.id.as_str(), image.split.name());
            let true_category_id = image.truth.map(|class| class + 1);
            Image { id, file_name, width, height, name, split, true_category_id }
        };
        let labelled = (1..).zip(chosen.images()).filter_map(|(id, image)| Some((id, image.said?)));
        let annotation = |(id, (image_id, said)): (usize, (usize, Said))| {
            let Said { class, confidence, source } = said;
            let (category_id, source) = (class + 1, set.source(source));
            Annotation { id, image_id, category_id, score: confidence, source }
        };
        let category = |(id, name)| Category { id, name, supercategory: "" };
        let coco = Coco {
            info: Info { description: "labels that coreg found; score is how sure each is" },
            licenses: [],
            images: (1..).zip(&chosen.rows).map(image).collect(),
            annotations: (1..).zip(labelled).map(annotation).collect(),
            categories: (1..).zip(set.classes.iter().map(String::as_str)).map(category).collect(),
        };
        put(&root.join("annotations.json"), |out| write_json(out, &coco))
    })
}
