//! All settings of an experiment, layered: defaults, then the data set, then the profile, then the user.
//!
//! Every layer but the first is a TOML table laid over the ones before; a key that no setting has is an
//! error that names the nearest one.
//!
//! \[P\], \[I\]: see docs/method.md.

use pipeline::error::{Error, OrFail, Result};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::annotation::candidates::Label;
use crate::annotation::coop::CoopSettings;
use crate::annotation::refine::Refine;
use crate::annotation::synthetic::Synthesise;
use crate::dataset::user_images::reading::{Format, LabelsFrom, Reading};
use crate::learn::method::Method;
use crate::learn::optimizer::Optimizer;
use crate::learn::training_set::{Input, StrongViews};
use crate::methods::co_reg::CoReg;
use crate::methods::{self, METHODS};
use crate::runtime::home;
use crate::runtime::suggest::unknown;

/// Everything that decides what an experiment computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Seed of weights, orders, views and mixing.
    pub seed: u64,
    /// How the student learns: a method of the registry by its name.
    pub method: String,
    /// Methods whose students are trained beside it, to compare with.
    pub baselines: Vec<String>,
    /// Where the candidates come from.
    pub labels: LabelSource,
    /// Which images.
    pub download: DownloadSettings,
    /// Which CLIP.
    pub clip: ClipSettings,
    /// Which prompts.
    pub annotate: AnnotateSettings,
    /// How a prompt is learned, where `annotate.prompts` names `coop`.
    pub coop: CoopSettings,
    /// Which votes from elsewhere.
    pub votes: VotesSettings,
    /// How averaged probabilities are refined before they become labels.
    pub refine: Refine,
    /// Which candidates.
    pub label: Label,
    /// Synthetic candidates.
    pub synthetic: Synthesise,
    /// How images become input.
    pub input: Input,
    /// What the student looks like.
    pub network: NetworkSettings,
    /// Stochastic gradient descent.
    pub optimizer: Optimizer,
    /// Every method's own settings, by its name.
    #[serde(flatten)]
    pub methods: methods::MethodSettings,
}

/// Where the candidates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelSource {
    /// CLIPs vote (method §1).
    Clip,
    /// The votes are in a file.
    Votes,
    /// Both: the votes of CLIPs and those in a file.
    #[serde(rename = "clip+votes")]
    ClipAndVotes,
    /// They are made from the truth (method §12).
    Synthetic,
}

impl LabelSource {
    /// Whether CLIPs vote.
    pub fn asks_clip(self) -> bool {
        matches!(self, Self::Clip | Self::ClipAndVotes)
    }

    /// Whether votes in a file count.
    pub fn imports_votes(self) -> bool {
        matches!(self, Self::Votes | Self::ClipAndVotes)
    }
}

/// Which images are used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownloadSettings {
    /// Seed of a random split and of the limits.
    pub seed: u64,
    /// Most training images; 0 for all.
    pub limit_train: usize,
    /// Most test images; 0 for all.
    pub limit_test: usize,
    /// Whether the limits take equally many images of each class (as their true labels say), or whatever comes.
    pub balanced: bool,
    /// Of a hub's data set: another branch, tag or commit than the catalog has, whose checksums and numbers of rows
    /// are then not demanded; empty for the catalog's.
    pub revision: String,
    /// Leave out images that cannot be read, where that would otherwise be an error.
    pub skip_unreadable: bool,
    /// Of images of one's own: those whose shorter side has more pixels are made smaller; 0 for none.
    pub shrink: usize,
    /// Of images of one's own: in what they are; `auto` for whatever holds most of them.
    pub format: Format,
    /// Of images of one's own: where their labels come from.
    pub labels: LabelsFrom,
    /// Of images of one's own: the folders or files that train, separated by commas; found by their names if empty.
    pub train: String,
    /// Of images of one's own: the folders or files that test.
    pub test: String,
    /// Of tables: the column of images; of tar archives: the ending of the images' names.
    pub image_column: String,
    /// Of tables: the column of labels.
    pub label_column: String,
    /// Of labels that are numbers: the number of the first class; −1 finds it out.
    pub first_label: i64,
}

impl DownloadSettings {
    /// How images of one's own are to be read.
    pub fn reading(&self) -> Reading {
        Reading {
            format: self.format,
            labels: self.labels,
            train: self.train.clone(),
            test: self.test.clone(),
            image_column: self.image_column.clone(),
            label_column: self.label_column.clone(),
            first_label: (self.first_label >= 0).then_some(self.first_label),
            skip_unreadable: self.skip_unreadable,
        }
    }
}

/// Which CLIPs annotate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipSettings {
    /// `owner/name` or `owner/name@revision` on the hub, or a folder in the format of the hub or of open_clip; several
    /// are separated by commas.
    pub model: String,
    /// Branch, tag or commit on the hub, of models that do not say theirs.
    pub revision: String,
    /// Mean of red, green and blue that pixels in \[0, 1\] are normalised by, for every CLIP named; empty for what its
    /// files say.
    pub mean: Vec<f64>,
    /// Their deviation, likewise.
    pub std: Vec<f64>,
}

/// Which votes from elsewhere count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VotesSettings {
    /// A table as Parquet, CSV, TSV or JSON lines: id, annotator, class (text, or a number from 0), and perhaps confidence.
    pub file: String,
    /// A text file of further words for classes, a class a line: `class: word | another`; none if empty.
    pub aliases: String,
    /// Votes that are less sure do not count.
    pub min_confidence: f64,
    /// Let training images without a vote pass; every class is their candidate.
    pub incomplete: bool,
    /// Let votes on ids pass that no image has. Where `download` limits the images they always pass.
    pub surplus: bool,
}

/// Which prompts CLIP reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnotateSettings {
    /// `photo27`, `imagenet80`, `data-set` (the data set's own), `coop` for a prompt learned from labelled images, a file
    /// with one template a line, or several of them joined by `+` \[I\].
    pub prompts: String,
    /// Factor before the softmax: CLIP's trained logit scale \[P\].
    pub logit_scale: f64,
}

/// The student's shape (method §3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSettings {
    /// Channels of the first stage; the next have two, four and eight times as many \[P: 64\].
    pub width: usize,
    /// Blocks of each stage \[P: 2, 2, 2, 2\].
    pub blocks: [usize; 4],
    /// Stride of the first stage \[I, by input size\].
    pub first_stride: usize,
    /// Length of the projector's output \[P\].
    pub embedding: usize,
}

impl Settings {
    /// The defaults: the paper's.
    ///
    /// # Errors
    /// A method's default that TOML cannot hold.
    pub fn defaults() -> Result<Self> {
        Ok(Self {
            seed: 0,
            method: CoReg::NAME.to_owned(),
            baselines: Vec::new(),
            labels: LabelSource::Clip,
            // CLIP looks at no more than 336 pixels, and a photograph has a hundred times as many.
            download: DownloadSettings {
                seed: 0,
                limit_train: 0,
                limit_test: 0,
                balanced: false,
                revision: String::new(),
                skip_unreadable: false,
                shrink: 512,
                format: Format::Auto,
                labels: LabelsFrom::Auto,
                train: String::new(),
                test: String::new(),
                image_column: String::new(),
                label_column: String::new(),
                first_label: -1,
            },
            clip: ClipSettings {
                model: "openai/clip-vit-base-patch32".to_owned(),
                revision: "main".to_owned(),
                mean: Vec::new(),
                std: Vec::new(),
            },
            annotate: AnnotateSettings { prompts: "photo27".to_owned(), logit_scale: 100.0 },
            coop: CoopSettings::default(),
            votes: VotesSettings::default(),
            refine: Refine::default(),
            label: Label::default(),
            synthetic: Synthesise::default(),
            input: Input {
                size: 32,
                channels: 3,
                mean: vec![0.5; 3],
                std: vec![0.5; 3],
                flip: true,
                strong: StrongViews::Operations,
            },
            network: NetworkSettings { width: 64, blocks: [2; 4], first_stride: 1, embedding: 128 },
            optimizer: Optimizer::default(),
            methods: methods::MethodSettings::defaults()?,
        })
    }

    /// The defaults with `layers` laid over them in turn; each has a name for its errors.
    ///
    /// # Errors
    /// A key that no setting has, or a value of another type.
    pub fn layered<'a>(layers: impl IntoIterator<Item = (&'a str, Table)>) -> Result<Self> {
        let mut all =
            Table::try_from(Self::defaults()?).or_fail(|| Error::new("cannot list the settings"))?;
        for (name, layer) in layers {
            let wrong = |error| Error::new(format!("{name}: a setting is wrong")).because(error);
            for (at, leaf) in leaves("", with_variants(name, layer)?) {
                let value = leaf.to_string().trim_end().to_owned();
                let laid = lay_over(&mut all, nested(&at, leaf), "");
                laid.map_err(|error| wrong(with_words(error, &all, &at)))?;
                Self::deserialize(all.clone()).map_err(|cause| {
                    wrong(Error::new(format!("{at} = {value} cannot be used")).because(in_plain_words(cause.message())).help(
                        "counts are whole numbers from 0 on; `coreg explain STAGE` shows values in use",
                    ))
                })?;
            }
        }
        let all: Self = all.try_into().or_fail(|| Error::new("a setting has a value that it cannot have"))?;
        all.with_home_folders()
    }

    /// The settings with the home folder in the place of `~`, wherever a path of the user's may stand.
    fn with_home_folders(mut self) -> Result<Self> {
        self.clip.model = home::expand_list(&self.clip.model, ',')?;
        self.annotate.prompts = home::expand_list(&self.annotate.prompts, '+')?;
        self.votes.file = home::expand_text(&self.votes.file)?;
        self.votes.aliases = home::expand_text(&self.votes.aliases)?;
        self.label.truth = home::expand_text(&self.label.truth)?;
        Ok(self)
    }
}

/// The layer `name`, where it takes a variant of a method (`co-reg.variant=release`): laid over that variant's settings.
///
/// # Errors
/// A variant that the method does not have: its nearest name.
pub(super) fn with_variants(name: &str, mut layer: Table) -> Result<Table> {
    let wrong = |error| Error::new(format!("{name}: a setting is wrong")).because(error);
    for method in METHODS.iter().filter(|method| !method.variants.is_empty()) {
        let Some(Value::Table(own)) = layer.get_mut(method.name) else { continue };
        let asked = match own.remove(VARIANT) {
            None => continue,
            Some(Value::String(asked)) => asked,
            Some(other) => other.to_string(),
        };
        let found = method.variants.iter().find(|(known, _)| *known == asked);
        let known = || method.variants.iter().map(|(known, _)| (*known).to_owned());
        let what = format!("{}.{VARIANT}", method.name);
        let (_, text) = found.ok_or_else(|| wrong(unknown(&what, &asked, known())))?;
        let below = text.parse::<Table>().or_fail(|| Error::new(format!("{what} {asked} is no TOML")))?;
        layer = over(below, layer);
    }
    Ok(layer)
}

/// The word behind a method's name that takes a variant of it. No setting: what a variant sets are.
const VARIANT: &str = "variant";

/// `upper` laid over `lower`, key by key.
fn over(mut lower: Table, upper: Table) -> Table {
    for (key, value) in upper {
        let value = match (lower.remove(&key), value) {
            (Some(Value::Table(lower)), Value::Table(upper)) => Value::Table(over(lower, upper)),
            (_, value) => value,
        };
        lower.insert(key, value);
    }
    lower
}

/// The error about a value of another type, with the words that the setting takes if it takes a few words alone.
fn with_words(error: Error, all: &Table, at: &str) -> Error {
    // No setting knows this one.
    let mut asked = all.clone();
    let refused = match lay_over(&mut asked, nested(at, Value::String("?".to_owned())), "") {
        Ok(()) => Settings::deserialize(asked).err(),
        Err(_) => None,
    };
    let said = refused.as_ref().map_or("", |refused| refused.message());
    match said.split_once("unknown variant `?`, expected ") {
        Some((_, words)) => error.help(format!("it takes {words}")),
        None => error,
    }
}

/// What serde says of a value, without the names of Rust's types.
fn in_plain_words(message: &str) -> String {
    message.replace("usize", "a whole number").replace("u64", "a whole number").replace("f64", "a number")
}

/// The values of a layer with their dotted names.
pub(crate) fn leaves(path: &str, table: Table) -> Vec<(String, Value)> {
    let below = |(key, value): (String, Value)| {
        let at = if path.is_empty() { key } else { format!("{path}.{key}") };
        match value {
            Value::Table(table) if !table.is_empty() => leaves(&at, table),
            value => vec![(at, value)],
        }
    };
    table.into_iter().flat_map(below).collect()
}

/// A layer with one value, under its dotted name.
pub(crate) fn nested(at: &str, value: Value) -> Table {
    match at.split_once('.') {
        None => Table::from_iter([(at.to_owned(), value)]),
        Some((key, rest)) => Table::from_iter([(key.to_owned(), Value::Table(nested(rest, value)))]),
    }
}

/// Lays `layer` over `table`, key by key; `path` is where both stand.
fn lay_over(table: &mut Table, layer: Table, path: &str) -> Result<()> {
    for (key, value) in layer {
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (table.get_mut(&key), value) {
            (None, _) => {
                let known: Vec<String> = table.iter().flat_map(|(key, value)| names(key, value)).collect();
                return Err(unknown(
                    "setting",
                    &at,
                    known.iter().map(
                        |name| {
                            if path.is_empty() { name.clone() } else { format!("{path}.{name}") }
                        },
                    ),
                ));
            }
            (Some(Value::Table(inner)), Value::Table(layer)) => lay_over(inner, layer, &at)?,
            (Some(old @ Value::Float(_)), Value::Integer(new)) => *old = Value::Float(new as f64),
            (Some(old @ Value::Array(_)), new @ Value::Array(_)) => *old = new,
            (Some(old), new) if old.same_type(&new) => *old = new,
            (Some(old), new) => {
                return Err(Error::new(format!("{at} = {new} is of type {}", new.type_str()))
                    .help(format!("it takes a value of type {}, such as {old}", old.type_str())));
            }
        }
    }
    Ok(())
}

/// The dotted names under `key`.
fn names(key: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Table(table) => {
            let inner = table.iter().flat_map(|(k, v)| names(k, v)).map(|name| format!("{key}.{name}"));
            std::iter::once(key.to_owned()).chain(inner).collect()
        }
        _ => vec![key.to_owned()],
    }
}

/// The user's `key=value` pairs as a layer: `["co-reg.epochs=20 seed=1"]`. A word without `=` belongs to
/// the value before it.
///
/// # Errors
/// A value without a key.
pub fn overrides(words: &[String]) -> Result<Table> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for words in words {
        let before = pairs.len();
        for word in words.split_whitespace() {
            match (word.split_once('='), pairs[before..].last_mut()) {
                (Some((key, value)), _) => pairs.push((key.to_owned(), value.to_owned())),
                (None, Some((_, value))) => *value += &format!(" {word}"),
                (None, None) => {
                    let error = Error::new(format!("`{word}` sets nothing"));
                    return Err(error.help("write SET=\"stage.key=value …\""));
                }
            }
        }
    }
    let mut layer = Table::new();
    for (key, value) in pairs {
        // What is no TOML value is a string: rule=top-k, prompts=imagenet80.
        let value = format!("v = {value}")
            .parse::<Table>()
            .ok()
            .and_then(|mut t| t.remove("v"))
            .unwrap_or(Value::String(value));
        let (path, last) =
            key.rsplit_once('.').map_or((None, key.as_str()), |(path, last)| (Some(path), last));
        let mut table = &mut layer;
        for part in path.into_iter().flat_map(|path| path.split('.')) {
            let inner = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = inner else {
                return Err(Error::new(format!("`{key}` is set below a value")));
            };
            table = inner;
        }
        table.insert(last.to_owned(), value);
    }
    Ok(layer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::methods::Wired;
    use crate::methods::co_reg::{KeyRestart, Partner, UnlabeledError};
    use crate::methods::warm_up::WarmUp;

    fn with(set: &str) -> Result<Settings> {
        Settings::layered([("SET", overrides(&[set.to_owned()])?)])
    }

    #[test]
    fn every_setting_can_be_overridden() {
        let settings = with("co-reg.epochs=20 seed=1 label.rule=top-k co-reg.lambda_proto=0").unwrap();
        let co_reg: CoReg = settings.methods.of().unwrap();
        assert_eq!(co_reg.epochs, 20);
        assert_eq!(settings.seed, 1);
        assert_eq!(settings.label.rule, crate::annotation::candidates::Rule::TopK);
        assert_eq!(co_reg.lambda_proto, 0.0);
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = with("co-reg.lamda_proto=0").unwrap_err().to_string();
        assert!(error.contains("`co-reg.lambda_proto`"), "{error}");
        let error = with("coreg.epochs=3").unwrap_err().to_string();
        assert!(error.contains("`co-reg"), "{error}");
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let error = with("co-reg.epochs=many").unwrap_err().to_string();
        assert!(error.contains("co-reg.epochs") && error.contains("integer"), "{error}");
        assert!(with("co-reg.epochs=-3").is_err());
        assert!(with("20").is_err());
    }

    #[test]
    fn a_value_of_another_type_is_answered_with_the_words_that_there_are() {
        for (set, words) in [
            ("input.strong=true", ["`none`", "`operations`", "`cutout`"]),
            ("co-reg.divide.align=false", ["`none`", "`whole-set`", "`running`"]),
            ("co-reg.divide.align=whole", ["`none`", "`whole-set`", "`running`"]),
        ] {
            let error = with(set).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
        let error = with("clip.model=7").unwrap_err().to_string();
        assert!(error.contains("type string, such as"), "{error}");
    }

    #[test]
    fn a_variant_lies_below_the_rest_of_its_layer_and_over_the_layers_before() {
        let layer = |text: &str| overrides(&[text.to_owned()]).unwrap();
        let before = "co-reg.unlabeled_error=sum co-reg.queue=7 co-reg.divide.threshold=0.3 warm-up.batch=9";
        let own = "co-reg.key_restart=all co-reg.variant=release co-reg.divide.loss_history=3";
        let settings = Settings::layered([("profile", layer(before)), ("SET", layer(own))]).unwrap();
        let (co_reg, warm_up): (CoReg, WarmUp) =
            (settings.methods.of().unwrap(), settings.methods.of().unwrap());
        let release = CoReg {
            partner: Partner::AlignedRescaled,
            unlabeled_error: UnlabeledError::Mean,
            ..CoReg::default()
        };
        let mut expected = CoReg { queue: 7, key_restart: KeyRestart::All, ..release };
        (expected.divide.threshold, expected.divide.loss_history) = (0.3, 3);
        assert_eq!(co_reg, expected);
        assert_eq!(warm_up, WarmUp { batch: 9, epsilon: 1e-5, ..WarmUp::default() });
    }

    #[test]
    fn the_papers_variant_is_the_defaults_and_sets_what_the_releases_does() {
        assert_eq!(with("co-reg.variant=paper").unwrap(), Settings::defaults().unwrap());
        let co_reg: CoReg = with("co-reg.variant=release").unwrap().methods.of().unwrap();
        assert_eq!(co_reg.key_restart, KeyRestart::Parameters);
        let names = |text: &str| {
            leaves("", text.parse().unwrap()).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        let [(_, paper), (_, release)] = CoReg::VARIANTS else { panic!("{:?}", CoReg::VARIANTS) };
        assert_eq!(names(paper), names(release));
    }

    #[test]
    fn an_unknown_variant_names_the_nearest() {
        let error = with("co-reg.variant=releese").unwrap_err().to_string();
        assert!(error.contains("co-reg.variant `releese`") && error.contains("`release`"), "{error}");
        assert!(with("co-reg.variant=1").unwrap_err().to_string().contains("paper, release"));
        let error = with("rc.variant=release").unwrap_err().to_string();
        assert!(error.contains("rc.variant"), "{error}");
    }

    #[test]
    fn a_value_may_hold_spaces() {
        assert_eq!(with("annotate.prompts=my prompts.txt").unwrap().annotate.prompts, "my prompts.txt");
    }

    #[test]
    fn the_defaults_are_what_they_were_after_a_round_trip() {
        assert_eq!(Settings::layered([]).unwrap(), Settings::defaults().unwrap());
    }
}
