//! Who votes: any number of CLIPs, and votes from elsewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, Result};
use pipeline::graph::Handle;
use pipeline::registry::Registry;
use pipeline::shared_graph::SharedGraph;

use super::human_labels::add_labels;
use super::settings::{ClipSettings, Settings};
use super::{ClipNodes, Experiment};
use crate::annotation::annotate::{Annotate, templates};
use crate::annotation::candidates::{Label, Rule};
use crate::annotation::coop::{Coop, CoopSettings};
use crate::annotation::embed::Embed;
use crate::annotation::fetch_clip::{FetchClip, Origin};
use crate::annotation::human_labels::HumanLabels;
use crate::annotation::import_votes::{ImportVotes, aliases, lone_annotator};
use crate::annotation::merge_votes::MergeVotes;
use crate::annotation::refine;
use crate::artifacts::annotation::{Embeddings, Labels, Votes};
use crate::artifacts::images::Images;
use crate::artifacts::model::Model;
use crate::methods::FirstTemplate;

/// A CLIP as the settings name it.
struct NamedClip {
    model: String,
    /// Part of the names of its nodes.
    slug: String,
    origin: Origin,
}

/// Who votes, in the graph.
pub(super) struct Annotators {
    /// The votes of all.
    pub(super) votes: Handle<Votes>,
    /// How each CLIP embeds the images.
    pub(super) embedded_by: Vec<Handle<Embeddings>>,
    /// What the first CLIP's first template says; none where no CLIP votes by templates.
    pub(super) first: Option<First>,
    /// Names of the nodes that learned prompts.
    pub(super) learned: Vec<String>,
}

/// The first CLIP's first template, which joins the graph when a method asks for it.
pub(super) struct First {
    annotate: Annotate,
    label: Label,
    /// What humans say, beside it.
    human: Option<HumanLabels>,
    inputs: (Handle<Images>, Handle<Embeddings>, Handle<Model>),
    suffix: String,
}

impl FirstTemplate for First {
    fn votes(&self, graph: &mut SharedGraph) -> Result<Handle<Votes>> {
        graph.add("annotate.first", &self.suffix, self.annotate.clone(), self.inputs)
    }

    fn labels(&self, graph: &mut SharedGraph) -> Result<Handle<Labels>> {
        let votes = self.votes(graph)?;
        let label = Label { rule: Rule::Single, refine: refine::Rule::None, ..self.label.clone() };
        let (images, human) = (self.inputs.0, self.human.clone());
        add_labels(graph, ("label.first", self.suffix.as_str()), (images, human), label, (images, votes))
    }
}

impl Experiment {
    /// Wires everyone who votes. Where there are several, each has nodes of its own, and `annotate` merges them. A
    /// CLIP votes by templates, by a prompt that it learned, or by both.
    pub(super) fn wire_annotators(
        &self,
        graph: &mut SharedGraph,
        suffix: &str,
        images: Handle<Images>,
        voted: &mut Vec<ClipNodes>,
        notes: &mut Vec<String>,
    ) -> Result<Annotators> {
        let Self { settings, place, .. } = self;
        let clips = if settings.labels.asks_clip() { clips(&settings.clip)? } else { Vec::new() };
        let (templates, learns) = without_coop(&settings.annotate.prompts);
        let (of_clip, others) =
            (usize::from(templates.is_some()) + usize::from(learns), settings.labels.imports_votes());
        let name = |alone: bool, stage: &str, own: &str| match alone {
            true => stage.to_owned(),
            false => format!("{stage}.{own}"),
        };
        let one_clip = clips.len() + usize::from(others) == 1;
        let one_voter = clips.len() * of_clip + usize::from(others) == 1;
        let (mut sources, mut votes, mut embedded_by) = (Vec::new(), Vec::new(), Vec::new());
        let (mut first, mut learned) = (None, Vec::new());
        for NamedClip { model, slug, origin } in clips {
            let fetch = FetchClip { origin: origin.clone() };
            let clip = graph.add(&name(one_clip, "clip", &slug), suffix, fetch, ())?;
            let embed = Embed {
                clip: origin,
                precision: place.inference_type(),
                mean: settings.clip.mean.clone(),
                std: settings.clip.std.clone(),
            };
            let embeddings =
                graph.add(&name(one_clip, "embed", &slug), suffix, embed.clone(), (images, clip))?;
            let inputs = (images, embeddings, clip);
            if let Some(prompts) = &templates {
                let annotate = self.annotate(prompts, embed.clip.clone(), notes)?;
                if first.is_none() {
                    let templates = annotate.templates[..1].to_vec();
                    first = Some(First {
                        annotate: Annotate { templates, ..annotate.clone() },
                        label: self.settings.label.without_human_labels(),
                        human: self.human_labels(),
                        inputs,
                        suffix: suffix.to_owned(),
                    });
                }
                votes.push(graph.add(&name(one_voter, "annotate", &slug), suffix, annotate, inputs)?);
                sources.push(model.clone());
            }
            if learns {
                add_new(notes, vec![self.of_learned_prompts()]);
                let name = name(one_voter, "annotate", &format!("{slug}-{COOP}"));
                let prompt = graph.add(&name, suffix, self.coop(embed), inputs)?;
                learned.push(graph.name_of(prompt)?);
                votes.push(prompt);
                sources.push(model.clone());
            }
            let (fetched, embedded) = (graph.name_of(clip)?, graph.name_of(embeddings)?);
            embedded_by.push(embeddings);
            voted.push(ClipNodes { model, fetched, embedded });
        }
        if others {
            sources.push("votes".to_owned());
            votes.push(graph.add(
                &name(one_voter, "annotate", "votes"),
                suffix,
                self.import_votes(notes)?,
                (images,),
            )?);
        }
        let votes = match votes[..] {
            [only] => only,
            _ => graph.add("annotate", suffix, MergeVotes { sources }, votes)?,
        };
        Ok(Annotators { votes, embedded_by, first, learned })
    }

    fn annotate(&self, prompts: &str, clip: Origin, notes: &mut Vec<String>) -> Result<Annotate> {
        let (templates, of_prompts) = templates(prompts, &self.data_set.prompts)?;
        add_new(notes, of_prompts);
        Ok(Annotate {
            templates,
            class_texts: self.data_set.classes.texts.clone(),
            logit_scale: self.settings.annotate.logit_scale,
            clip,
        })
    }

    /// That true labels go into a prompt, which nothing else in a run with CLIP asks for.
    fn of_learned_prompts(&self) -> String {
        let of = self.human_labels().map_or("the data set's own", |labels| match labels.table {
            Some(_) => "those of the table",
            None => "the data set's own",
        });
        match self.coop_shots() {
            0 => format!("CoOp learns its prompt from labelled images: {of}"),
            shots => format!("CoOp learns its prompt from {shots} labelled images of each class: {of}"),
        }
    }

    /// So many labelled images of each class a prompt is learned from; 0 for all of a table.
    fn coop_shots(&self) -> usize {
        match self.settings.coop.shots {
            0 => self.human_labels().map_or(SHOTS, |labels| labels.shots),
            shots => shots,
        }
    }

    /// The prompt that a CLIP learns: from as many images a class as `coop.shots` says, else from those that humans
    /// label, else from a few.
    fn coop(&self, embed: Embed) -> Coop {
        let Settings { seed, coop, label, annotate, input, .. } = &self.settings;
        let few = HumanLabels { shots: SHOTS, seed: label.shots_seed, table: None };
        let asked = self.human_labels().unwrap_or(few);
        let shots = self.coop_shots();
        Coop {
            coop: CoopSettings { shots, ..coop.clone() },
            labels: HumanLabels { shots, ..asked },
            seed: *seed,
            class_texts: self.data_set.classes.texts.clone(),
            logit_scale: annotate.logit_scale,
            flip: input.flip,
            embed,
        }
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

/// What `annotate.prompts` calls a prompt that CLIP learns, alone or among lists of templates.
const COOP: &str = "coop";
/// Labelled images of each class that a prompt is learned from where neither `coop.shots` nor `label.shots` says how
/// many.
const SHOTS: usize = 4;

/// The lists of templates that the setting `annotate.prompts` names, if it names any beside [`COOP`], and whether it
/// names that.
fn without_coop(prompts: &str) -> (Option<String>, bool) {
    if Path::new(prompts).exists() && prompts.trim() != COOP {
        return (Some(prompts.to_owned()), false);
    }
    let (coop, lists): (Vec<&str>, Vec<&str>) = prompts.split('+').partition(|list| list.trim() == COOP);
    ((!lists.is_empty()).then(|| lists.join("+")), !coop.is_empty())
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
    registry.register::<Coop>()?;
    registry.register::<ImportVotes>()?;
    registry.register::<MergeVotes>()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use pipeline::graph::Graph;

    use super::*;
    use crate::experiment::Choice;
    use crate::runtime::device::Place;

    fn graph(labels: &str, set: &str) -> (Graph, Vec<String>) {
        let choice = Choice {
            data_set: "demo".to_owned(),
            profile: "quick".to_owned(),
            labels: Some(labels.to_owned()),
            set: vec![format!("{set} baselines=[]")],
            ..Choice::default()
        };
        let experiment = Experiment::new(&choice, Place::Cpu).unwrap();
        let mut wired = experiment.graph(&[experiment.branch()]).unwrap();
        (wired.graph, wired.branches.remove(0).learned)
    }

    /// The nodes that make votes, with their stages and inputs.
    fn voters(labels: &str, set: &str) -> Vec<String> {
        let (graph, _) = graph(labels, set);
        let voters = graph.nodes().filter(|node| node.node.starts_with("annotate"));
        voters.map(|node| format!("{}: {}({})", node.node, node.stage, node.inputs.join(" "))).collect()
    }

    #[test]
    fn coop_is_told_from_the_lists_of_templates_that_it_is_joined_to() {
        let lists = |prompts: &str| {
            let (lists, learns) = without_coop(prompts);
            (lists.unwrap_or_default(), learns)
        };
        assert_eq!(lists("photo27"), ("photo27".to_owned(), false));
        assert_eq!(lists("coop"), (String::new(), true));
        assert_eq!(lists("photo27 + coop+data-set"), ("photo27 +data-set".to_owned(), true));
        assert_eq!(without_coop("coop").0, None);
        assert_eq!(without_coop("").0, Some(String::new()));
    }

    #[test]
    fn a_learned_prompt_votes_alone_or_beside_templates_and_other_votes() {
        assert_eq!(voters("clip", "annotate.prompts=coop"), ["annotate: coop(download embed clip)"]);
        assert_eq!(
            voters("clip", "annotate.prompts=photo27+coop"),
            [
                "annotate.demo-clip: annotate(download embed clip)",
                "annotate.demo-clip-coop: coop(download embed clip)",
                "annotate: merge-votes(annotate.demo-clip annotate.demo-clip-coop)",
            ]
        );
        let set = "annotate.prompts=coop clip.model=demo-clip,some/clip votes.file=v.parquet";
        assert_eq!(
            voters("clip+votes", set),
            [
                "annotate.demo-clip-coop: coop(download embed.demo-clip clip.demo-clip)",
                "annotate.clip-coop: coop(download embed.clip clip.clip)",
                "annotate.votes: import-votes(download)",
                "annotate: merge-votes(annotate.demo-clip-coop annotate.clip-coop annotate.votes)",
            ]
        );
        assert_eq!(graph("clip+votes", set).1, ["annotate.demo-clip-coop", "annotate.clip-coop"]);
    }

    #[test]
    fn a_prompt_is_learned_from_the_images_that_humans_label_unless_it_asks_for_others() {
        let of = |set: &str| {
            let (graph, learned) = graph("clip", &format!("annotate.prompts=coop {set}"));
            let settings = graph.stage(&learned[0]).unwrap().settings().unwrap();
            [&settings["labels"]["shots"], &settings["labels"]["seed"]].map(|value| value.as_u64().unwrap())
        };
        assert_eq!(of(""), [4, 0]);
        assert_eq!(of("label.shots=2 label.shots_seed=7"), [2, 7]);
        assert_eq!(of("label.shots=2 coop.shots=16"), [16, 0]);
        assert_eq!(of("label.truth=file.csv"), [0, 0]);
    }
}
