//! Who votes: any number of CLIPs, and votes from elsewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, Result};
use pipeline::graph::Handle;
use pipeline::registry::Registry;
use pipeline::shared_graph::SharedGraph;

use super::settings::ClipSettings;
use super::{ClipNodes, Experiment};
use crate::annotation::annotate::{Annotate, templates};
use crate::annotation::embed::Embed;
use crate::annotation::fetch_clip::{FetchClip, Origin};
use crate::annotation::import_votes::{ImportVotes, aliases, lone_annotator};
use crate::annotation::merge_votes::MergeVotes;
use crate::artifacts::annotation::{Embeddings, Votes};
use crate::artifacts::images::Images;

/// A CLIP as the settings name it.
struct NamedClip {
    model: String,
    /// Part of the names of its nodes.
    slug: String,
    origin: Origin,
}

impl Experiment {
    /// Wires everyone who votes. Where there are several, each has nodes of its own, and `annotate` merges them. Gives the
    /// votes, and how each CLIP embeds the images.
    pub(super) fn wire_annotators(
        &self,
        graph: &mut SharedGraph,
        suffix: &str,
        images: Handle<Images>,
        voted: &mut Vec<ClipNodes>,
        notes: &mut Vec<String>,
    ) -> Result<(Handle<Votes>, Vec<Handle<Embeddings>>)> {
        let Self { settings, place, .. } = self;
        let clips = if settings.labels.asks_clip() { clips(&settings.clip)? } else { Vec::new() };
        let alone = clips.len() + usize::from(settings.labels.imports_votes()) == 1;
        let name = |stage: &str, own: &str| if alone { stage.to_owned() } else { format!("{stage}.{own}") };
        let (mut sources, mut votes, mut embedded_by) = (Vec::new(), Vec::new(), Vec::new());
        for NamedClip { model, slug, origin } in clips {
            let fetch = FetchClip { origin: origin.clone() };
            let clip = graph.add(&name("clip", &slug), suffix, fetch, ())?;
            let embed = Embed {
                clip: origin.clone(),
                precision: place.inference_type(),
                mean: settings.clip.mean.clone(),
                std: settings.clip.std.clone(),
            };
            let embeddings = graph.add(&name("embed", &slug), suffix, embed, (images, clip))?;
            let annotate = self.annotate(origin, notes)?;
            let annotate =
                graph.add(&name("annotate", &slug), suffix, annotate, (images, embeddings, clip))?;
            let (fetched, embedded) = (graph.name_of(clip)?, graph.name_of(embeddings)?);
            embedded_by.push(embeddings);
            voted.push(ClipNodes { model: model.clone(), fetched, embedded });
            sources.push(model);
            votes.push(annotate);
        }
        if settings.labels.imports_votes() {
            sources.push("votes".to_owned());
            votes.push(graph.add(
                &name("annotate", "votes"),
                suffix,
                self.import_votes(notes)?,
                (images,),
            )?);
        }
        let votes = match votes[..] {
            [only] => only,
            _ => graph.add("annotate", suffix, MergeVotes { sources }, votes)?,
        };
        Ok((votes, embedded_by))
    }

    fn annotate(&self, clip: Origin, notes: &mut Vec<String>) -> Result<Annotate> {
        let settings = &self.settings.annotate;
        let (templates, of_prompts) = templates(&settings.prompts, &self.data_set.prompts)?;
        add_new(notes, of_prompts);
        Ok(Annotate {
            templates,
            class_texts: self.data_set.classes.texts.clone(),
            logit_scale: settings.logit_scale,
            clip,
        })
    }

    fn import_votes(&self, notes: &mut Vec<String>) -> Result<ImportVotes> {
        let settings = &self.settings.votes;
        if settings.file.is_empty() {
            return Err(Error::new("no votes are named").help(
                "name a table (Parquet, CSV, TSV or JSON lines), such as VOTES=file.parquet; its columns are id, annotator, class, and perhaps confidence",
            ));
        }
        let limits = &self.settings.download;
        let (aliases, of_aliases) = aliases(&settings.aliases, &self.data_set.classes)?;
        add_new(notes, of_aliases);
        Ok(ImportVotes {
            annotator: lone_annotator(Path::new(&settings.file)),
            file: PathBuf::from(&settings.file),
            class_texts: self.data_set.classes.texts.clone(),
            aliases,
            min_confidence: settings.min_confidence,
            incomplete: settings.incomplete,
            surplus: settings.surplus || limits.limit_train > 0 || limits.limit_test > 0,
        })
    }
}

/// Adds the notes that are not there yet: several CLIPs read the same prompts.
fn add_new(notes: &mut Vec<String>, more: Vec<String>) {
    for note in more {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
}

/// The CLIPs that the setting names, in its order.
fn clips(settings: &ClipSettings) -> Result<Vec<NamedClip>> {
    let whole = Path::new(&settings.model).is_dir();
    let models: Vec<&str> = if whole { vec![&settings.model] } else { settings.model.split(',').collect() };
    let mut clips: Vec<NamedClip> = Vec::new();
    let mut slugs = BTreeSet::new();
    for model in models.into_iter().map(str::trim) {
        let wrong = |fault: &str| {
            let error = Error::new(format!("clip.model = {} {fault}", settings.model));
            error.help("name each CLIP once, separated by commas")
        };
        if model.is_empty() {
            return Err(wrong("has an empty name"));
        }
        let (name, revision) = match model.rsplit_once('@') {
            Some((name, revision)) if !Path::new(model).is_dir() => (name, revision),
            _ => (model, settings.revision.as_str()),
        };
        let origin = match Origin::new(name, revision) {
            Origin::BuiltIn(_) | Origin::Folder(_) if name != model => {
                return Err(wrong(&format!("asks for a revision of `{name}`, which is not on a hub")));
            }
            Origin::Folder(folder) => Origin::Folder(folder.canonicalize().unwrap_or(folder)),
            other => other,
        };
        if clips.iter().any(|clip| clip.origin == origin) {
            return Err(wrong(&format!("names `{name}` twice")));
        }
        let mut slug = slug(name);
        while !slugs.insert(slug.clone()) {
            slug.push_str("-b");
        }
        clips.push(NamedClip { model: model.to_owned(), slug, origin });
    }
    Ok(clips)
}

/// The last part of a path or repository, as part of a node's name.
fn slug(model: &str) -> String {
    let last = model.trim_end_matches('/').rsplit('/').next().unwrap_or(model);
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    last.chars().take(50).map(allowed).collect()
}

/// Makes the annotators' stages known.
pub(super) fn register(registry: &mut Registry) -> Result<()> {
    registry.register::<FetchClip>()?;
    registry.register::<Embed>()?;
    registry.register::<Annotate>()?;
    registry.register::<ImportVotes>()?;
    registry.register::<MergeVotes>()
}
