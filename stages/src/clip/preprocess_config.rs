//! What the files of a CLIP say of how its images are prepared: `preprocessor_config.json`, `processor_config.json` of
//! `transformers` 5, and the part of `open_clip_config.json` that says it.
//!
//! What is read here is done in [`Preprocess`].

use pipeline::error::{Error, OrFail, Result};
use serde_json::{Map, Value};

use super::content::Content;
use super::open_clip;
use super::preprocess::{DEVIATION, MEAN, Middle, Preprocess, Size};
use crate::vision::resize::Filter;

/// The object of `processor_config.json` that says what `preprocessor_config.json` does.
const NESTED: &str = "image_processor";

/// Whether the file says how images are prepared. `transformers` 4 writes a `processor_config.json` that does not.
pub fn says_how(file: &Content) -> Result<bool> {
    Ok(object(file)?.get(NESTED).is_some_and(Value::is_object))
}

impl Preprocess {
    /// What the file asks for; absent fields are as in [`Preprocess::standard`]. An error if the result could not be the
    /// tower's input of `side` pixels.
    pub fn read(file: &Content, side: usize) -> Result<Self> {
        let root = object(file)?;
        let root = root.get(NESTED).and_then(Value::as_object).unwrap_or(&root);
        of_transformers(root, side).map_err(|e| e.at(file))
    }

    /// What open_clip's config asks for; `None` where it says nothing of images.
    pub(super) fn read_open_clip(file: &Content, side: usize) -> Result<Option<Self>> {
        let root = object(file)?;
        let asked = open_clip::preprocessing(&root).map_err(|e| e.at(file))?;
        asked.map(|asked| of_open_clip(asked, side).map_err(|e| e.at(file))).transpose()
    }
}

fn object(file: &Content) -> Result<Map<String, Value>> {
    file.refuse_pointer()?;
    let text = file.text().or_fail(|| Error::new("cannot read CLIP's preprocessing").at(file))?;
    serde_json::from_str(&text).or_fail(|| Error::new("CLIP's preprocessing is not a JSON object").at(file))
}

fn of_transformers(root: &Map<String, Value>, side: usize) -> Result<Preprocess> {
    let standard = Preprocess::standard(side);
    let resize = match flag(root, "do_resize")? {
        true => Some((size(root, standard.side)?, filter(root, "resample")?)),
        false => None,
    };
    let crop = flag(root, "do_center_crop")?;
    let made = if crop { cropped(root, standard.side)? } else { resize.map(|(size, _)| size) };
    if let Some(Size::Exact(width, height)) = made
        && (width, height) != (standard.side, standard.side)
    {
        return Err(Error::new(format!(
            "the preprocessing makes {width}×{height} pixels, the model takes {side}×{side}"
        ))
        .help("the file and config.json are not of the same model"));
    }
    let scale = match (flag(root, "do_rescale")?, root.get("rescale_factor")) {
        (false, _) => 1.0,
        (true, None | Some(Value::Null)) => 1.0 / 255.0,
        (true, Some(factor)) => positive("rescale_factor", factor)?,
    };
    let normalise = match flag(root, "do_normalize")? {
        true => Some(mean_and_deviation(root, ["image_mean", "image_std"])?),
        false => None,
    };
    let assumed = normalise.is_some() && !has_both(root, ["image_mean", "image_std"]);
    let crop = crop.then_some(Middle::Early);
    Ok(Preprocess { resize, crop, scale, normalise, assumed, ..standard }.with_levels())
}

/// Absent fields are as open_clip has them.
fn of_open_clip(root: &Map<String, Value>, side: usize) -> Result<Preprocess> {
    let standard = Preprocess::standard(side);
    let text = |field: &str| match root.get(field) {
        None | Some(Value::Null) => Ok(""),
        Some(value) => value.as_str().ok_or_else(|| wrong(field, &format!("is {value}, not a word"))),
    };
    let wide = match root.get("size") {
        None | Some(Value::Null) => Some((standard.side, standard.side)),
        Some(Value::Array(sides)) => match &sides[..] {
            [height, width] => Some((pixels("size", width)?, pixels("size", height)?)),
            _ => None,
        },
        Some(number) => pixels("size", number).map(|side| Some((side, side)))?,
    };
    if wide != Some((standard.side, standard.side)) {
        let found = root.get("size").unwrap_or(&Value::Null);
        return Err(wrong(
            "preprocess_cfg.size",
            &format!("is {found}, the model takes {side}×{side} pixels"),
        ));
    }
    if !matches!(text("mode")?, "" | "RGB") {
        return Err(wrong("preprocess_cfg.mode", "is not RGB, which alone is supported"));
    }
    let filter = match text("interpolation")? {
        // `random` chooses during training alone.
        "" | "random" => Filter::Bicubic,
        _ => filter(root, "interpolation")?,
    };
    let (size, crop) = match text("resize_mode")? {
        "" | "shortest" => (Size::ShortSide(standard.side), Some(Middle::Even)),
        "squash" => (Size::Exact(standard.side, standard.side), None),
        other => {
            let how = format!("is {other:?}, which is not supported; known: shortest, squash");
            return Err(wrong("preprocess_cfg.resize_mode", &how));
        }
    };
    let normalise = Some(mean_and_deviation(root, ["mean", "std"])?);
    let assumed = !has_both(root, ["mean", "std"]);
    Ok(Preprocess { resize: Some((size, filter)), crop, normalise, assumed, ..standard }.with_levels())
}

fn wrong(field: &str, how: &str) -> Error {
    Error::new(format!("the field {field} {how}"))
}

fn has_both(root: &Map<String, Value>, fields: [&str; 2]) -> bool {
    fields.iter().all(|field| root.get(*field).is_some_and(|value| !value.is_null()))
}

fn mean_and_deviation(root: &Map<String, Value>, [mean, deviation]: [&str; 2]) -> Result<[[f64; 3]; 2]> {
    let found = [channels(root, mean, MEAN)?, channels(root, deviation, DEVIATION)?];
    match found[1].iter().find(|d| **d <= 0.0) {
        Some(zero) => Err(wrong(deviation, &format!("holds {zero}, not a positive number"))),
        None => Ok(found),
    }
}

fn flag(root: &Map<String, Value>, field: &str) -> Result<bool> {
    match root.get(field) {
        None | Some(Value::Null) => Ok(true),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(value) => Err(wrong(field, &format!("is {value}, not true or false"))),
    }
}

fn positive(field: &str, value: &Value) -> Result<f64> {
    let number = value.as_f64().filter(|x| *x > 0.0 && x.is_finite());
    number.ok_or_else(|| wrong(field, &format!("is {value}, not a positive number")))
}

fn pixels(field: &str, value: &Value) -> Result<u32> {
    let side = value.as_u64().filter(|n| (1..=4096).contains(n));
    side.map(|n| n as u32)
        .ok_or_else(|| wrong(field, &format!("is {value}, not a number of pixels from 1 to 4096")))
}

/// Three numbers, or one for all three channels.
fn channels(root: &Map<String, Value>, field: &str, absent: [f64; 3]) -> Result<[f64; 3]> {
    let Some(value) = root.get(field).filter(|v| !v.is_null()) else { return Ok(absent) };
    if let Some(number) = value.as_f64() {
        return Ok([number; 3]);
    }
    let numbers: Option<Vec<f64>> = value.as_array().and_then(|v| v.iter().map(Value::as_f64).collect());
    numbers
        .and_then(|v| <[f64; 3]>::try_from(v).ok())
        .ok_or_else(|| wrong(field, &format!("is {value}, not three numbers")))
}

/// `size`: a number, `{"shortest_edge"}`, `{"height", "width"}`, or height and width as a list. What is null is absent.
fn size(root: &Map<String, Value>, side: u32) -> Result<Size> {
    match root.get("size") {
        None | Some(Value::Null) => Ok(Size::ShortSide(side)),
        Some(Value::Object(size)) => {
            let [short, long, height, width] =
                ["shortest_edge", "longest_edge", "height", "width"].map(|of| given(size, of));
            match (short, height, width) {
                (Some(short), None, None) if long.is_none() => {
                    Ok(Size::ShortSide(pixels("size.shortest_edge", short)?))
                }
                (None, Some(h), Some(w)) => {
                    Ok(Size::Exact(pixels("size.width", w)?, pixels("size.height", h)?))
                }
                _ => Err(wrong("size", "has neither shortest_edge alone nor height and width")),
            }
        }
        Some(Value::Array(sides)) if sides.len() == 2 => {
            Ok(Size::Exact(pixels("size", &sides[1])?, pixels("size", &sides[0])?))
        }
        Some(number) => Ok(Size::ShortSide(pixels("size", number)?)),
    }
}

fn given<'a>(root: &'a Map<String, Value>, field: &str) -> Option<&'a Value> {
    root.get(field).filter(|value| !value.is_null())
}

/// `crop_size`: a number, `{"height", "width"}`, or height and width as a list.
fn cropped(root: &Map<String, Value>, side: u32) -> Result<Option<Size>> {
    let (width, height) = match root.get("crop_size") {
        None | Some(Value::Null) => (side, side),
        Some(Value::Object(size)) => {
            let get = |of: &str| pixels(&format!("crop_size.{of}"), size.get(of).unwrap_or(&Value::Null));
            (get("width")?, get("height")?)
        }
        Some(Value::Array(sides)) if sides.len() == 2 => {
            (pixels("crop_size", &sides[1])?, pixels("crop_size", &sides[0])?)
        }
        Some(number) => {
            let side = pixels("crop_size", number)?;
            (side, side)
        }
    };
    Ok(Some(Size::Exact(width, height)))
}

/// Pillow's number of the filter, or its name as `transformers`, torchvision or open_clip write it.
fn filter(root: &Map<String, Value>, field: &str) -> Result<Filter> {
    let Some(value) = given(root, field) else { return Ok(Filter::Bicubic) };
    let word = value.as_str().map(|name| name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase());
    match (value.as_f64(), word.as_deref()) {
        (Some(3.0), _) | (_, Some("bicubic" | "3")) => Ok(Filter::Bicubic),
        (Some(2.0), _) | (_, Some("bilinear" | "2")) => Ok(Filter::Bilinear),
        _ => Err(wrong(field, &format!("is {value}, neither bicubic (3) nor bilinear (2)"))),
    }
}
