//! The README of an export: how to classify an image with it, what it takes, and where it comes from.

use super::{CONFIG, Contents, MODEL, ONNX, Options, Precision, WEIGHTS};
use crate::artifacts::student::Student;

/// What the README of an export begins with, and of nothing else.
pub(super) const MARK: &str = "<!-- Written by `coreg export`, which may replace this folder. -->";

/// As many annotators are named; the rest is counted.
const NAMED: usize = 3;

/// The README of a student called `name`, whose networks are those that are exported.
pub(super) fn readme(student: &Student, name: &str, options: Options) -> String {
    let Options { contents, precision, shrink, .. } = options;
    let mut text = format!("{MARK}\n# {name}\n\n{}\n\n{}\n", origin(student), weights(student, precision));
    if contents != Contents::Safetensors {
        text += &with_onnx(shrink);
    }
    if contents != Contents::Onnx {
        text += &format!(
            "\n`{WEIGHTS}` has the weights with PyTorch's names and shapes, and `{CONFIG}` says what network they are of \
             and how an image is prepared for it. `{MODEL}` makes a PyTorch module of both, which takes prepared \
             images: `import model; logits = model.load()(images)`.\n"
        );
    }
    text + &format!("\nClasses, in this order: {}.\n", quoted(&student.classes, student.classes.len()))
}

/// How to use the ONNX file, and what it leaves to its user.
fn with_onnx(shrink: usize) -> String {
    let large = match shrink {
        0 => String::new(),
        most => format!(
            " Images of more than {most} pixels on the shorter side are made smaller first; coreg keeps those as JPEG \
             before it looks at them, and the graph does not."
        ),
    };
    format!(
        "\n```python\n\
         import json, numpy, onnxruntime\n\
         from PIL import Image, ImageOps\n\
         student = onnxruntime.InferenceSession(\"{ONNX}\", providers=[\"CPUExecutionProvider\"])\n\
         image = ImageOps.exif_transpose(Image.open(\"image.jpg\"))\n\
         if image.mode.startswith(\"I\"):  # 16 bits: keep the upper byte\n    \
             image = Image.fromarray((numpy.asarray(image) >> 8).astype(\"uint8\"))\n\
         image = numpy.asarray(image.convert(\"RGB\"))[None]\n\
         [[probabilities]] = student.run([\"probabilities\"], {{\"images\": image}})\n\
         print(json.loads(student.get_modelmeta().custom_metadata_map[\"classes\"])[probabilities.argmax()])\n\
         ```\n\n\
         `{ONNX}` takes `images`, bytes (N, height, width, 3) in red, green, blue, of any size; it resizes and normalises \
         them itself. It gives `probabilities` and `logits`, floats (N, classes).{large} What is left to you:\n\n\
         - Images must be upright: `exif_transpose` turns them as their cameras noted.\n\
         - Of 16 bits a channel the upper byte counts, as above; Pillow's own `convert` cuts 16-bit grey at 255, which \
         turns such an image white.\n\
         - Alpha is dropped and not blended, as `convert(\"RGB\")` does.\n\
         - Decoders of JPEG differ by a few levels of 255. Give both the same pixels to compare with coreg.\n"
    )
}

/// What the student is and how it came about.
fn origin(student: &Student) -> String {
    let (input, provenance) = (&student.input, &student.provenance);
    let kind = if input.channels == 1 { "grey" } else { "colour" };
    let annotators = match &provenance.annotators[..] {
        [] => String::new(),
        all => format!(" as {} annotators saw them ({})", all.len(), quoted(all, NAMED)),
    };
    format!(
        "A classifier of images into {} classes at {size} × {size} pixels in {kind}. It was trained by coreg {}, method \
         `{}`, on {} images{annotators}.",
        student.classes.len(),
        env!("CARGO_PKG_VERSION"),
        student.method,
        provenance.training_images,
        size = input.size,
    )
}

/// Which networks there are, and how their weights are stored.
fn weights(student: &Student, precision: Precision) -> String {
    let names: Vec<String> = student.networks.iter().map(|(name, _)| name.clone()).collect();
    let networks = match names.len() {
        1 => format!("Its network is {}", quoted(&names, 1)),
        count => format!("Its {count} networks are {}, whose logits are added", quoted(&names, count)),
    };
    let stored = match precision {
        Precision::F32 => "float32",
        Precision::F16 => "float16, and computed with as float32",
    };
    format!("{networks}; weights are stored as {stored}.")
}

/// At most so many names, each as code, and how many more there are.
fn quoted(names: &[String], most: usize) -> String {
    let list: Vec<String> = names.iter().take(most).map(|name| code(name)).collect();
    let more = names.len().saturating_sub(most);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    list.join(", ") + &more
}

/// A name as code, between more backticks than it has in a row. A name of several lines would end the paragraph.
fn code(name: &str) -> String {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let longest = name.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A blank at both ends keeps a backtick apart from the fence; it is not shown.
    let blank = if name.starts_with('`') || name.ends_with('`') { " " } else { "" };
    format!("{fence}{blank}{name}{blank}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_backticks_is_shown_with_them() {
        assert_eq!(code("cat"), "`cat`");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`x`"), "`` `x` ``");
        assert_eq!(code("a``` b"), "````a``` b````");
        assert_eq!(code("two\nlines"), "`two lines`");
    }
}
