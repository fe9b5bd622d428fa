//! What `coreg export labels` says at its end: what was written where and in which order, who says so, and how to read
//! it and to give it back.

use std::path::Path;

use super::Format;
use crate::artifacts::images::Split;
use crate::export::labels::{CLASSES, Chosen, Source, Stages};

/// The lines about an output in a file or a folder.
pub(super) fn lines(chosen: &Chosen, stages: &Stages, format: Format, output: &Path) -> Vec<String> {
    let mut lines = summary(chosen, stages, &output.display().to_string());
    lines.push("to read it:".to_owned());
    lines.extend(commands(format, output).into_iter().map(|command| format!("  {command}")));
    match format {
        Format::Csv | Format::Jsonl => lines.extend(as_votes(chosen, output)),
        Format::LabelStudio => lines.extend(IN_LABEL_STUDIO.map(str::to_owned)),
        Format::Imagefolder | Format::Coco => {}
    }
    lines
}

const IN_LABEL_STUDIO: [&str; 2] = [
    "  a new project there takes config.xml under Labeling Setup > Custom template, and tasks.json under Import;",
    "  Settings > Cloud Storage > Local files needs the path of images/, unless --image-root is an URL",
];

/// What was written to `place`, in which order, and who says so.
pub(super) fn summary(chosen: &Chosen, stages: &Stages, place: &str) -> Vec<String> {
    let set = chosen.set;
    let count = |source: Source| chosen.count(Some(source));
    let students = Source::ALL.into_iter().any(|source| source.is_the_students() && count(source) > 0);
    let order = order(students, count(Source::Annotators) > 0);
    let mut lines = vec![format!("{} images written to {place}, {order}", chosen.rows.len())];
    match chosen.count(None) {
        0 => {}
        count => lines.push(format!("  {count} without a label, before all others: nobody voted on them")),
    }
    for source in Source::ALL.into_iter().filter(|source| count(*source) > 0) {
        let meaning = meaning(source, set.method.as_deref());
        lines.push(format!("  {} from {}: {meaning}", count(source), set.source(source)));
    }
    if let (Some(method), false) = (&set.method, stages.evaluated) {
        lines.push(format!(
            "  test images have no predictions of {method}: the newest evaluation is another student's, or there is none; \
             run the pipeline with METHOD={method} to its end"
        ));
    }
    lines
}

/// In which order the images are, of which some have labels of the student's, some of the annotators'.
fn order(students: bool, annotators: bool) -> &'static str {
    match (students, annotators) {
        (true, true) => {
            "the most doubtful first: the student's labels by its probabilities, then the annotators' by their shares of \
             the votes, for the two are not one measure"
        }
        _ => "the most doubtful first",
    }
}

/// What a source's labels are.
fn meaning(source: Source, method: Option<&str>) -> String {
    match (source, method) {
        (Source::Human, _) => "given with TRUTH or SHOTS, and kept".to_owned(),
        (Source::Method, _) => "the labels that it settled on for training images".to_owned(),
        (Source::Student, _) => "its predictions for test images".to_owned(),
        (Source::Annotators, Some(method)) => {
            format!("their most likely classes, for {method} left no labels of these images")
        }
        (Source::Annotators, None) => "their most likely classes, for no student is trained yet".to_owned(),
    }
}

/// What to type to read an output, a line each.
fn commands(format: Format, output: &Path) -> Vec<String> {
    let path = shown(output);
    let python = |code: &str| format!("python -c \"{code}\" {path}");
    match format {
        Format::Csv => vec![python(
            "import sys, pandas; print(pandas.read_csv(sys.argv[1], keep_default_na=False, dtype={'id': str, 'label': str}))",
        )],
        Format::Jsonl => {
            vec![python("import sys, pandas; print(pandas.read_json(sys.argv[1], lines=True, dtype=False))")]
        }
        Format::Imagefolder => vec![
            python("import sys, datasets; print(datasets.load_dataset('imagefolder', data_dir=sys.argv[1]))"),
            format!("coreg run --images {path} --classes {}", shown(&output.join(CLASSES))),
        ],
        Format::Coco => {
            let file = shown(&output.join("annotations.json"));
            vec![format!("python -c \"import sys, pycocotools.coco as c; c.COCO(sys.argv[1])\" {file}")]
        }
        Format::LabelStudio => {
            let around = output.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned));
            let around = around.map_or_else(String::new, |around| shown(&around));
            vec![format!(
                "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={around} label-studio start"
            )]
        }
    }
}

/// How a table is given back that people corrected; nothing where no training image is in it.
fn as_votes(chosen: &Chosen, table: &Path) -> Vec<String> {
    let set = chosen.set;
    let all = set.images.iter().filter(|image| image.split == Split::Train).count();
    let written = chosen.images().filter(|image| image.split == Split::Train).count();
    votes_command(written, all, &shown(table))
}

/// The command for a table in which `written` of `all` training images are.
fn votes_command(written: usize, all: usize, table: &str) -> Vec<String> {
    if written == 0 {
        return Vec::new();
    }
    let mut lines = vec![
        "to train on it once people corrected it, with whatever else that run was asked for:".to_owned(),
    ];
    if written == all {
        lines.push(format!("  coreg run --votes {table}"));
    } else {
        lines.push(format!("  coreg run --votes {table} --set votes.incomplete=true"));
        lines.push(format!(
            "  {} training images are not in it: they train without a label, unless CLIP votes beside it, --labels clip+votes",
            all - written
        ));
    }
    lines.push(
        "  each label in it is then a vote; the column `confidence` does not count, for it is not of whoever corrected it"
            .to_owned(),
    );
    lines
}

/// A path as a shell takes it.
fn shown(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | ',' | '@');
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_to_a_shell() {
        assert_eq!(quoted("demo-labels.csv"), "demo-labels.csv");
        assert_eq!(quoted("my labels"), "'my labels'");
        assert_eq!(quoted("it's; rm -rf $HOME"), "'it'\\''s; rm -rf $HOME'");
        assert_eq!(quoted("-o"), "'-o'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn two_measures_of_doubt_are_said_to_be_two() {
        assert_eq!(order(true, false), order(false, true));
        let both = order(true, true);
        assert!(both.contains("the student's labels by its probabilities, then the annotators'"), "{both}");
    }

    #[test]
    fn why_annotators_speak_is_said_of_what_was_trained() {
        let annotators = |method| meaning(Source::Annotators, method);
        assert!(annotators(Some("distill")).contains("distill left no labels of these images"));
        assert!(annotators(None).contains("no student is trained yet"));
    }

    #[test]
    fn a_table_of_some_training_images_is_given_back_as_incomplete() {
        let said = |written| votes_command(written, 10, "labels.csv").join("\n");
        assert_eq!(said(0), "");
        assert!(said(10).contains("coreg run --votes labels.csv\n"), "{}", said(10));
        let some = said(3);
        assert!(some.contains("--votes labels.csv --set votes.incomplete=true"), "{some}");
        assert!(some.contains("7 training images are not in it"), "{some}");
    }
}
