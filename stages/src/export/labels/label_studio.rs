//! Label Studio's format: `tasks.json` with a prediction for each image, which people confirm or correct, and
//! `config.xml` with the choices that they have. The images are beside them in `images/`.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;
use serde::Serialize;

use super::Chosen;
use super::destination::{Destination, put, write_json};
use super::pictures::{self, make_folder};
use super::said::{LabelSet, Said};

/// Names of the two tags that a prediction joins.
const CHOICES: &str = "label";
const IMAGE: &str = "image";

/// What stays as it is in a file's address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

#[derive(Serialize)]
struct Task<'a> {
    data: Data<'a>,
    predictions: Vec<Prediction<'a>>,
}

#[derive(Serialize)]
struct Data<'a> {
    image: String,
    id: &'a str,
    split: &'static str,
    candidates: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truth: Option<&'a str>,
}

#[derive(Serialize)]
struct Prediction<'a> {
    model_version: &'a str,
    score: f32,
    result: [Choice<'a>; 1],
}

#[derive(Serialize)]
struct Choice<'a> {
    from_name: &'static str,
    to_name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    value: Value<'a>,
}

#[derive(Serialize)]
struct Value<'a> {
    choices: [&'a str; 1],
}

/// How addresses of images begin that Label Studio reads from its own disk: the images of the folder `output`, where the
/// folder around `output` is its document root.
///
/// # Errors
/// A folder that has no name.
pub fn local_files(output: &Path) -> Result<String> {
    let real = output.canonicalize().ok();
    let name = output.file_name().or_else(|| real.as_deref()?.file_name());
    let name = name.ok_or_else(|| {
        Error::new("the folder has no name")
            .at(output)
            .help("name another one with --output, or --image-root")
    })?;
    Ok(format!("/data/local-files/?d={}/images/", percent_encode(name.as_encoded_bytes(), PLAIN)))
}

/// Writes a folder with tasks, configuration and images; `image_root` is how the images' addresses begin.
///
/// # Errors
/// A folder that is there already, images that cannot be read, a class whose name XML cannot hold, a disk that is full,
/// a request to stop. Nothing is left behind.
pub fn write_label_studio(
    chosen: &Chosen,
    image_root: &str,
    to: &Destination,
    context: &Context,
) -> Result<()> {
    let set = chosen.set;
    let config = configuration(&set.classes)?;
    let separator = if image_root.is_empty() || image_root.ends_with(['/', '=']) { "" } else { "/" };
    to.folder(|root| {
        let folder = make_folder(root, "images")?;
        let files = pictures::write(chosen, context, |_| folder.clone(), |_, _| Ok(()))?;
        let tasks: Vec<Task> = (chosen.rows.iter())
            .map(|&row| task(set, row, format!("{image_root}{separator}{}", files[row])))
            .collect();
        put(&root.join("tasks.json"), |out| write_json(out, &tasks))?;
        put(&root.join("config.xml"), |out| {
            out.write_all(config.as_bytes()).or_fail(|| Error::new("cannot write the configuration"))
        })
    })
}

fn task(set: &LabelSet, row: usize, address: String) -> Task<'_> {
    let image = &set.images[row];
    let class = |class: usize| set.classes.get(class).map_or("", String::as_str);
    let prediction = |said: Said| Prediction {
        model_version: set.source(said.source),
        score: said.confidence,
        result: [Choice {
            from_name: CHOICES,
            to_name: IMAGE,
            kind: "choices",
            value: Value { choices: [class(said.class)] },
        }],
    };
    Task {
        data: Data {
            image: address,
            id: &image.id,
            split: image.split.name(),
            candidates: image.candidates.iter().map(|candidate| class(usize::from(*candidate))).collect(),
            truth: image.truth.map(class),
        },
        predictions: image.said.map(prediction).into_iter().collect(),
    }
}

/// The labeling configuration.
fn configuration(classes: &[String]) -> Result<String> {
    let mut xml = format!(
        "<View>\n  <Image name=\"{IMAGE}\" value=\"${IMAGE}\"/>\n  <Choices name=\"{CHOICES}\" toName=\"{IMAGE}\" \
         choice=\"single\" showInline=\"true\">\n"
    );
    for class in classes {
        xml += &format!("    <Choice value=\"{}\"/>\n", attribute(class)?);
    }
    Ok(xml + "  </Choices>\n</View>\n")
}

/// A text as the value of an attribute.
fn attribute(text: &str) -> Result<String> {
    let mut value = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => value += "&amp;",
            '<' => value += "&lt;",
            '>' => value += "&gt;",
            '"' => value += "&quot;",
            '\'' => value += "&apos;",
            // As themselves they would be read as blanks.
            '\t' | '\n' | '\r' => value += &format!("&#{};", u32::from(c)),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                return Err(Error::new(format!("XML cannot hold the name of the class {text:?}"))
                    .help("call the class otherwise, or choose another --format"));
            }
            c => value.push(c),
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_class_is_called_the_same_in_xml_whatever_signs_it_has() {
        let classes = ["a & <b>", "say \"it's\"", "two\nlines", "猫"].map(str::to_owned);
        let xml = configuration(&classes).unwrap();
        assert_eq!(
            xml.lines().skip(3).take(4).collect::<Vec<_>>(),
            [
                "    <Choice value=\"a &amp; &lt;b&gt;\"/>",
                "    <Choice value=\"say &quot;it&apos;s&quot;\"/>",
                "    <Choice value=\"two&#10;lines\"/>",
                "    <Choice value=\"猫\"/>",
            ]
        );
        assert!(xml.contains("<Image name=\"image\" value=\"$image\"/>"), "{xml}");
        assert!(configuration(&["\u{7}".to_owned()]).unwrap_err().to_string().contains("--format"));
    }

    #[test]
    fn the_address_of_a_local_file_holds_any_name_of_a_folder() {
        assert_eq!(
            local_files(Path::new("a/my labels&b")).unwrap(),
            "/data/local-files/?d=my%20labels%26b/images/"
        );
        assert!(local_files(Path::new("/")).is_err());
    }
}
