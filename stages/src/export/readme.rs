//! The README of an export: how to classify an image with it, what it takes, and where it comes from.

use super::{CONFIG, Contents, ONNX, WEIGHTS};
use crate::artifacts::student::Student;

/// What the README of an export begins with, and of nothing else.
pub(super) const MARK: &str = "<!-- Written by `coreg export`, which may replace this folder. -->";

/// As many annotators are named; the rest is counted.
const NAMED: usize = 3;

/// The README of a student called `name`.
pub(super) fn readme(student: &Student, name: &str, contents: Contents) -> String {
    let mut text = format!("{MARK}\n# {name}\n\n{}\n", origin(student));
    if contents != Contents::Safetensors {
        text += &format!(
            "\n```python\n\
             import json, numpy, onnxruntime, PIL.Image\n\
             student = onnxruntime.InferenceSession(\"{ONNX}\", providers=[\"CPUExecutionProvider\"])\n\
             image = numpy.asarray(PIL.Image.open(\"image.jpg\").convert(\"RGB\"))[None]\n\
             [[probabilities]] = student.run([\"probabilities\"], {{\"images\": image}})\n\
             print(json.loads(student.get_modelmeta().custom_metadata_map[\"classes\"])[probabilities.argmax()])\n\
             ```\n\n\
             `{ONNX}` takes `images`, bytes (N, height, width, 3) in red, green, blue, upright and of any size; it resizes \
             and normalises them itself. It gives `probabilities` and `logits`, floats (N, classes).\n"
        );
    }
    if contents != Contents::Onnx {
        text += &format!(
            "\n`{WEIGHTS}` has the weights with PyTorch's names and shapes, and `{CONFIG}` says what network they are of \
             and how an image is prepared for it.\n"
        );
    }
    text + &format!("\nClasses, in this order: {}.\n", quoted(&student.classes, student.classes.len()))
}

/// What the student is and how it came about.
fn origin(student: &Student) -> String {
    let (input, provenance) = (&student.input, &student.provenance);
    let kind = if input.channels == 1 { "grey" } else { "colour" };
    let networks = match student.networks.len() {
        1 => String::new(),
        count => format!(", {count} networks whose logits are added"),
    };
    let annotators = match &provenance.annotators[..] {
        [] => String::new(),
        all => format!(" as {} annotators saw them ({})", all.len(), quoted(all, NAMED)),
    };
    format!(
        "A classifier of images into {} classes at {size} × {size} pixels in {kind}{networks}. It was trained by \
         coreg {}, method `{}`, on {} images{annotators}.",
        student.classes.len(),
        env!("CARGO_PKG_VERSION"),
        student.method,
        provenance.training_images,
        size = input.size,
    )
}

/// At most so many names, each as code, and how many more there are.
fn quoted(names: &[String], most: usize) -> String {
    // Names of several lines would end the paragraph, and a backtick the code.
    let code = |name: &String| {
        format!("`{}`", name.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "'"))
    };
    let list: Vec<String> = names.iter().take(most).map(code).collect();
    let more = names.len().saturating_sub(most);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    list.join(", ") + &more
}
