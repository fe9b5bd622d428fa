//! The stage `annotate` (method §1): every prompt template votes on every image.
//!
//! \[P\], \[I\]: see docs/method.md.

mod prompt_file;

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::DType;
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::{Context, Inputs, Machine, Resources, Stage, key_without};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fetch_clip::{Origin, locate};
use crate::artifacts::annotation::{Embeddings, Names, Votes};
use crate::artifacts::images::Images;
use crate::artifacts::model::Model;
use crate::clip::{Features, TextEncoder, template_probabilities};
use crate::dataset::catalog::wordings;
use crate::dataset::first_few;
use crate::runtime::device::Place;
use crate::runtime::text;

/// Settings of the stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Annotate {
    /// Prompt templates; `{}` takes the class text as it stands.
    pub templates: Vec<String>,
    /// What CLIP is told of each class; perhaps in several [`wordings`].
    pub class_texts: Vec<String>,
    /// Factor before the softmax \[P: 100, CLIP's trained logit scale\].
    pub logit_scale: f64,
    /// Where the CLIP's files come from; which files they are, says the input.
    pub clip: Origin,
}

impl Stage for Annotate {
    type Inputs = (Images, Embeddings, Model);
    type Output = Votes;
    const NAME: &'static str = "annotate";
    const VERSION: u32 = 2;

    fn key(&self) -> Result<Value> {
        key_without(self, &["/clip"])
    }

    fn resources(&self, machine: &Machine) -> Resources {
        Place::of(machine).resources()
    }

    fn check(&self, machine: &Machine) -> Result<()> {
        check_templates(&self.templates)?;
        if self.class_texts.len() < 2 {
            return Err(Error::new("there is nothing to choose from")
                .because(format!("{} class texts are given", self.class_texts.len()))
                .help("name at least two classes"));
        }
        if !(self.logit_scale > 0.0 && self.logit_scale.is_finite()) {
            return Err(Error::new(format!("annotate.logit_scale = {} must be positive", self.logit_scale)));
        }
        Place::of(machine).device().map(drop)
    }

    fn run(
        &self,
        (images, embeddings, model): <Self::Inputs as Inputs>::Loaded,
        context: &Context,
    ) -> Result<Votes> {
        let index = &images.index;
        index.check_same_ids(&embeddings.ids, "embeddings")?;
        if index.classes.len() != self.class_texts.len() {
            return Err(Error::new(format!(
                "{} class texts for {} classes",
                self.class_texts.len(),
                index.classes.len()
            ))
            .help("give one text a class, in the order of the labels"));
        }
        let device = Place::of(context.machine()).device()?;
        let clip = TextEncoder::load(&locate(&model, &self.clip, context)?, &device, DType::F32)?;
        context.progress().begin(self.templates.len() as u64, "templates");
        let (mut texts, mut cut) = (Vec::new(), BTreeSet::new());
        for template in &self.templates {
            context.safe_point()?;
            let all = self.class_texts.iter().flat_map(|text| wordings(text));
            let prompts: Vec<String> = all.map(|wording| template.replace("{}", wording)).collect();
            cut.extend(prompts.iter().filter(|prompt| clip.tokenizer().cuts(prompt)).cloned());
            let features = clip.encode(&prompts)?; // (wordings, P)
            let values = features.flatten_all().and_then(|values| values.to_vec1::<f32>());
            let values = values.or_fail(|| Error::new("cannot encode the prompts"))?;
            let counts = self.class_texts.iter().map(|text| wordings(text).count());
            texts.extend(mean_by_class(&values, counts, clip.width())); // (C, P)
            context.progress().advance(1);
        }
        if let Some(first) = cut.first() {
            let what = match cut.len() {
                1 => "a prompt whole, and does not see its end".to_owned(),
                count => format!("{count} prompts whole, and does not see their ends"),
            };
            context.progress().note(format!("CLIP cannot take {what}: `{first}`"));
        }
        let texts = Features { values: &texts, width: clip.width() }; // (T, C, P)
        let features = Features { values: &embeddings.features, width: embeddings.width }; // (N, P)
        let annotation =
            template_probabilities(features, texts, self.class_texts.len(), self.logit_scale as f32)?;
        Ok(Votes {
            ids: index.ids.clone(),
            splits: index.splits.clone(),
            votes: annotation.votes.into_iter().map(Some).collect(),
            mean_probs: annotation.mean,
            further: Vec::new(),
            unmatched: Vec::new(),
            names: Names { annotators: self.templates.clone(), classes: index.classes.clone() },
        })
    }
}

/// The unit vector along the mean of each class's features; `features` (wordings, P) are of unit length, `counts` how
/// many each class has. The features of a class with one wording are given back bit for bit.
fn mean_by_class(features: &[f32], counts: impl Iterator<Item = usize>, width: usize) -> Vec<f32> {
    let (mut means, mut rest) = (Vec::new(), features);
    for count in counts {
        let (of_class, others) = rest.split_at(count * width);
        rest = others;
        if count == 1 {
            means.extend(of_class);
            continue;
        }
        let sum: Vec<f32> = (0..width).map(|at| of_class.iter().skip(at).step_by(width).sum()).collect();
        // Opposite features have no mean direction: then the length is 0, and the class matches nothing.
        let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        means.extend(sum.iter().map(|value| value / length));
    }
    means
}

const PHOTO27: &str = include_str!("../../../data/prompts/photo27.txt");
const IMAGENET80: &str = include_str!("../../../data/prompts/imagenet80.txt");

/// The templates that the setting `annotate.prompts` names: `photo27`, `imagenet80`, `data-set` for those of the data
/// set, a file with one a line or a list in JSON, or several of them joined by `+`. Lines that begin with `#` are comments.
/// A template counts once however often it is there. The notes say what was left out.
///
/// # Errors
/// A file that cannot be read, a data set without templates, a template without `{}`, none at all.
pub fn templates(prompts: &str, of_data_set: &[String]) -> Result<(Vec<String>, Vec<String>)> {
    let lists: Vec<&str> =
        if Path::new(prompts).exists() { vec![prompts] } else { prompts.split('+').collect() };
    let (mut all, mut notes): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut doubled = BTreeSet::new();
    for list in lists {
        let list = list.trim();
        let templates = match list {
            "photo27" => lines(PHOTO27),
            "imagenet80" => lines(IMAGENET80),
            "data-set" if of_data_set.is_empty() => {
                return Err(Error::new("the data set has no prompt templates of its own").help(NAME_PROMPTS));
            }
            "data-set" => of_data_set.to_vec(),
            file => {
                let text = text::read(Path::new(file))
                    .or_fail(|| Error::new("cannot read the prompts").at(file).help(NAME_PROMPTS))?;
                let (templates, said) = prompt_file::read(&text, file)?;
                notes.extend(said);
                templates
            }
        };
        check_templates(&templates).map_err(|e| if Path::new(list).exists() { e.at(list) } else { e })?;
        for template in templates {
            if all.contains(&template) {
                doubled.insert(template);
            } else {
                all.push(template);
            }
        }
    }
    if !doubled.is_empty() {
        notes.push(format!(
            "prompt templates that are there more than once vote once: {}",
            first_few(doubled)
        ));
    }
    Ok((all, notes))
}

const NAME_PROMPTS: &str = "annotate.prompts is `photo27`, `imagenet80`, `data-set`, `coop` for a prompt learned from labelled images, a file with one template a line or a JSON list of them, or several joined by +";

/// The templates of a text.
fn lines(text: &str) -> Vec<String> {
    text::lines(text).map(|(_, line)| line.to_owned()).collect()
}

/// What other programs write where the class goes.
const OTHER_PLACEHOLDERS: [&str; 18] = [
    "{class}",
    "{classname}",
    "{class_name}",
    "{c}",
    "{0}",
    "{label}",
    "{name}",
    "{category}",
    "{text}",
    "{object}",
    "{{}}",
    "{ }",
    "%s",
    "[CLASS]",
    "[class]",
    "<class>",
    "<CLASS>",
    "$class",
];

fn check_templates(templates: &[String]) -> Result<()> {
    if templates.is_empty() {
        return Err(
            Error::new("there is no prompt template").help("write one a line, such as: a photo of a {}")
        );
    }
    for (at, template) in (1..).zip(templates) {
        // What stands in a template beside {} would be read to CLIP as it is.
        if let Some(other) = OTHER_PLACEHOLDERS.iter().find(|other| template.contains(**other)) {
            return Err(Error::new(format!("template {at} has `{other}` where {{}} belongs: `{template}`"))
                .help(format!("write {{}} in place of `{other}`, such as: a photo of a {{}}")));
        }
        if !template.contains("{}") {
            return Err(Error::new(format!("template {at} has no {{}} for the class: `{template}`"))
                .help("write {} where the class text goes, such as: a photo of a {}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_class_with_several_wordings_stands_at_the_unit_vector_along_their_mean() {
        let features = [0.6, 0.8, 1.0, 0.0, 0.0, 1.0];
        let half = 0.5f32.sqrt();
        assert_eq!(mean_by_class(&features, [1, 2].into_iter(), 2), [0.6, 0.8, half, half]);
        assert_eq!(wordings("lorry | truck").collect::<Vec<_>>(), ["lorry", "truck"]);
        assert_eq!(wordings(" as it stands ").collect::<Vec<_>>(), [" as it stands "]);
    }

    #[test]
    fn the_built_in_lists_are_whole() {
        assert_eq!(templates("photo27", &[]).unwrap().0.len(), 27);
        assert_eq!(templates("imagenet80", &[]).unwrap().0.len(), 80);
    }

    #[test]
    fn a_template_without_braces_is_refused_with_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a photo of a {}\n\na photo\n").unwrap();
        let error = templates(file.path().to_str().unwrap(), &[]).unwrap_err().to_string();
        assert!(error.contains("template 2") && error.contains("`a photo`"), "{error}");
    }

    #[test]
    fn a_file_of_templates_may_have_a_mark_and_comments_and_a_double_counts_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let text = "\u{feff}a photo of a {}\r\n# of the {}\r\n  # more\r\nthe {}\r\na photo of a {}\r\n";
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [text.as_bytes(), &utf16] {
            std::fs::write(path, bytes).unwrap();
            let (all, notes) = templates(path, &[]).unwrap();
            assert_eq!(all, ["a photo of a {}", "the {}"]);
            assert_eq!(notes.len(), 2, "{notes:?}");
            assert!(notes[0].contains("`# of the {}`") && !notes[0].contains("more"), "{notes:?}");
            assert!(notes[1].contains("`a photo of a {}`"), "{notes:?}");
        }
        std::fs::write(path, "# nothing\n").unwrap();
        assert!(templates(path, &[]).unwrap_err().to_string().contains("no prompt template"));
    }

    #[test]
    fn a_list_in_json_is_as_many_templates() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::fs::write(path, "\u{feff}[\"a photo of a {}\", \"a {}\", \"a {}\"]").unwrap();
        let (all, notes) = templates(path, &[]).unwrap();
        assert_eq!(all, ["a photo of a {}", "a {}"]);
        assert!(notes.len() == 2 && notes[0].contains("list in JSON"), "{notes:?}");
        std::fs::write(path, "[]").unwrap();
        assert!(templates(path, &[]).unwrap_err().to_string().contains("no prompt template"));
    }

    #[test]
    fn placeholders_of_other_programs_are_refused_with_what_to_write() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        for other in ["{class}", "{c}", "{0}", "{label}", "%s", "{ }", "{{}}"] {
            std::fs::write(path, format!("the {{}}\na photo of a {other}.\n")).unwrap();
            let error = templates(path, &[]).unwrap_err().to_string();
            let words = ["template 2", &format!("`{other}`"), "write {}", path];
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }

    #[test]
    fn a_missing_file_says_what_may_be_given() {
        let error = templates("no/such/file.txt", &[]).unwrap_err().to_string();
        assert!(error.contains("no/such/file.txt") && error.contains("photo27"), "{error}");
    }

    #[test]
    fn lists_are_joined_and_a_template_of_two_is_taken_once() {
        let own = ["{} from above".to_owned(), templates("photo27", &[]).unwrap().0[3].clone()];
        let (all, notes) = templates("photo27+data-set", &own).unwrap();
        assert_eq!((all.len(), &all[27]), (28, &own[0]));
        assert!(
            notes.len() == 1 && notes[0].contains(&own[1]) && notes[0].contains("vote once"),
            "{notes:?}"
        );
        assert_eq!(templates("data-set", &own).unwrap(), (own.to_vec(), Vec::new()));
        let error = templates("photo27+data-set", &[]).unwrap_err().to_string();
        assert!(error.contains("the data set has no prompt templates"), "{error}");
    }
}
