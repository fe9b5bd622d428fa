//! Variants of an experiment, side by side on one graph: the paper's ablations, or a list or grid from a TOML file.
//!
//! ```toml
//! [[variant]]                       # a list: each with a name, perhaps a title, and its settings
//! name = "without-proto"
//! title = "w/o proto"
//! set = "co-reg.lambda_proto=0"
//!
//! [grid]                            # a grid: every combination, of every variant if there is a list too
//! "co-reg.temperature" = [0.3, 0.5, 1.0]
//! "label.rule" = ["union", "top-k"]
//! ```

use std::path::Path;

use pipeline::error::{Error, OrFail, Result};
use serde::Deserialize;
use toml::{Table, Value};

use super::settings::{Settings, leaves, nested, overrides};
use crate::experiment::Experiment;
use crate::runtime::suggest::unknown;

/// A list of variants that the program holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltIn {
    /// The paper's ablations (method §11).
    Ablations,
    /// Every method, as a row of the paper's tables.
    Methods,
}

impl BuiltIn {
    fn text(self) -> &'static str {
        match self {
            Self::Ablations => include_str!("../../../data/variants/ablations.toml"),
            Self::Methods => include_str!("../../../data/variants/methods.toml"),
        }
    }

    fn described(self) -> &'static str {
        match self {
            Self::Ablations => "the built-in ablations",
            Self::Methods => "the built-in methods",
        }
    }
}

/// What a variant is judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shows {
    /// Its student.
    #[default]
    Student,
    /// Its annotators: no student is trained.
    Annotators,
}

/// More branches than this are a mistake.
const MOST: usize = 10_000;

/// One set of settings on a graph that others share.
#[derive(Clone, Debug)]
pub struct Branch {
    /// What its nodes' names end with.
    pub suffix: String,
    /// The variant's title.
    pub variant: String,
    /// The listed variant's name; empty of a grid alone.
    pub name: String,
    /// The listed variant's title, without the point of the grid; empty of a grid alone.
    pub row: String,
    /// The point of the grid; empty without a grid.
    pub point: String,
    /// What it is judged by.
    pub shows: Shows,
    /// The settings.
    pub settings: Settings,
}

impl Experiment {
    /// The experiment itself, as its only branch.
    pub fn branch(&self) -> Branch {
        Branch {
            suffix: String::new(),
            variant: String::new(),
            name: String::new(),
            row: String::new(),
            point: String::new(),
            shows: Shows::Student,
            settings: self.settings.clone(),
        }
    }

    /// One branch a variant and seed, of the variants in a file, else of those that are built in; of `names` alone, where
    /// there are any, in their order.
    ///
    /// # Errors
    /// A file that cannot be read, is no list or grid of variants, or names an unknown setting; a name that no variant of
    /// the list has.
    pub fn variants(
        &self,
        file: Option<&Path>,
        built_in: BuiltIn,
        names: &[String],
        seeds: u64,
    ) -> Result<Vec<Branch>> {
        let text = match file {
            None => built_in.text().to_owned(),
            Some(path) => std::fs::read_to_string(path).or_fail(|| {
                let help = "name a TOML file like data/variants/ablations.toml";
                Error::new("cannot read the variants").at(path).help(help)
            })?,
        };
        let at = file.map_or_else(|| built_in.described().to_owned(), |path| path.display().to_string());
        let mut written: Written = toml::from_str(&text).or_fail(|| {
            Error::new("cannot understand the variants")
                .at(&at)
                .help("write [[variant]] with name and set = \"stage.key=value …\", or [grid] with \"stage.key\" = [values]")
        })?;
        if !names.is_empty() {
            written.keep(names)?;
        }
        let variants = written.expand().map_err(|error| error.at(&at))?;
        if variants.len().saturating_mul(seeds as usize) > MOST {
            let count = variants.len();
            return Err(Error::new(format!("{count} variants with {seeds} seeds each are too many")).at(&at));
        }
        let own = Table::try_from(&self.settings).or_fail(|| Error::new("cannot list the settings"))?;
        let mut branches = Vec::new();
        for seed in self.settings.seed..self.settings.seed + seeds.max(1) {
            for Variant { name, title, listed, row, point, shows, layers } in &variants {
                let seeded = Table::from_iter([("seed".to_owned(), Value::Integer(seed as i64))]);
                let layers = layers.iter().map(|layer| (name.as_str(), layer.clone()));
                let settings = [("settings", own.clone()), ("seed", seeded)].into_iter().chain(layers);
                branches.push(Branch {
                    suffix: format!(".{name}.seed{seed}"),
                    variant: title.clone(),
                    name: listed.clone(),
                    row: row.clone(),
                    point: point.clone(),
                    shows: *shows,
                    settings: Settings::layered(settings)?,
                });
            }
        }
        Ok(branches)
    }
}

/// What a file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    variant: Vec<ListedVariant>,
    #[serde(default)]
    grid: Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListedVariant {
    name: String,
    title: Option<String>,
    #[serde(default)]
    set: String,
    #[serde(default)]
    shows: Shows,
}

/// A variant, ready to be laid over the settings.
#[derive(Debug)]
struct Variant {
    /// Part of the names of its nodes.
    name: String,
    title: String,
    /// Name and title in the list, and the point of the grid.
    listed: String,
    row: String,
    point: String,
    shows: Shows,
    layers: Vec<Table>,
}

impl Written {
    /// Keeps the variants of these names, in their order.
    fn keep(&mut self, names: &[String]) -> Result<()> {
        let mut kept = Vec::new();
        for name in names {
            let called = |variant: &ListedVariant| variant.name.eq_ignore_ascii_case(name);
            let at = self.variant.iter().position(called);
            kept.push(at.ok_or_else(|| self.no_such(name))?);
        }
        if let Some(twice) = (1..kept.len()).find(|&at| kept[..at].contains(&kept[at])) {
            return Err(Error::new(format!("`{}` is named twice", names[twice])));
        }
        let mut all: Vec<Option<ListedVariant>> =
            std::mem::take(&mut self.variant).into_iter().map(Some).collect();
        self.variant = kept.into_iter().filter_map(|at| all[at].take()).collect();
        Ok(())
    }

    fn no_such(&self, name: &str) -> Error {
        let known: Vec<String> = self.variant.iter().map(|variant| variant.name.clone()).collect();
        let nearest = unknown("method", name, known.iter().cloned()).to_string();
        let nearest =
            nearest.lines().next_back().unwrap_or_default().trim().trim_start_matches("help: ").to_owned();
        Error::new(format!("there is no method `{name}` to compare"))
            .help(format!("{nearest}; all of them: {}", known.join(", ")))
    }

    /// Every variant of the list at every point of the grid.
    fn expand(self) -> Result<Vec<Variant>> {
        if self.variant.is_empty() && self.grid.is_empty() {
            return Err(Error::new("there is no variant").help("write at least one [[variant]] or a [grid]"));
        }
        let mut variants = Vec::new();
        for ListedVariant { name, title, set, shows } in self.variant {
            if name.trim().is_empty() {
                return Err(Error::new("a variant has no name").help("write name = \"…\""));
            }
            let layers = vec![overrides(&[set])?];
            let title = title.unwrap_or_else(|| name.clone());
            variants.push(Variant {
                row: title.clone(),
                title,
                name: slug(&name),
                listed: name,
                point: String::new(),
                shows,
                layers,
            });
        }
        if variants.is_empty() {
            // A grid alone: what it varies is the experiment as it is.
            variants.push(Variant {
                name: String::new(),
                title: String::new(),
                listed: String::new(),
                row: String::new(),
                point: String::new(),
                shows: Shows::Student,
                layers: Vec::new(),
            });
        }
        for (key, values) in leaves("", self.grid) {
            let Value::Array(values) = values else {
                return Err(Error::new(format!("grid: {key} is no list of values"))
                    .help(format!("write \"{key}\" = [first, second]")));
            };
            if variants.len().saturating_mul(values.len()) > MOST {
                return Err(Error::new(format!("the grid has more than {MOST} points")));
            }
            let at_each = |variant: &Variant| -> Vec<Variant> {
                values.iter().map(|value| variant.at(&key, value)).collect()
            };
            variants = variants.iter().flat_map(at_each).collect();
            if variants.is_empty() {
                return Err(Error::new(format!("grid: {key} has no value")));
            }
        }
        let twice = |of: fn(&Variant) -> &str| {
            let mut names: Vec<&str> = variants.iter().map(of).collect();
            names.sort_unstable();
            names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned())
        };
        if let Some(name) = twice(|v| &v.name).or_else(|| twice(|v| &v.title)) {
            return Err(Error::new(format!("two variants are called `{name}`"))
                .help("give each a name and a title of its own"));
        }
        Ok(variants)
    }
}

/// A text as a part of a node's name, which is a folder's: letters, digits, points, hyphens and underscores.
fn slug(text: &str) -> String {
    let mut slug = text.replace(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_'), "-");
    slug.truncate(60);
    slug
}

impl Variant {
    /// This variant with one more setting.
    fn at(&self, key: &str, value: &Value) -> Self {
        let plain = match value {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let last = key.rsplit('.').next().unwrap_or(key);
        let short = slug(&format!("{last}-{plain}")).replace('_', "-");
        let join = |one: &str, between: &str, two: String| match one {
            "" => two,
            one => format!("{one}{between}{two}"),
        };
        Self {
            name: join(&self.name, ".", short),
            title: join(&self.title, ", ", format!("{key} = {plain}")),
            listed: self.listed.clone(),
            row: self.row.clone(),
            point: join(&self.point, ", ", format!("{last} = {plain}")),
            shows: self.shows,
            layers: self.layers.iter().cloned().chain([nested(key, value.clone())]).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::methods::co_reg::CoReg;
    use pipeline::stage::{Machine, Stage};

    use super::*;

    fn expand(text: &str) -> Result<Vec<Variant>> {
        toml::from_str::<Written>(text).unwrap().expand()
    }

    #[test]
    fn a_grid_is_every_combination_of_every_variant() {
        let text = "[[variant]]\nname = 'a'\n[[variant]]\nname = 'b'\ntitle = 'B'\nset = 'co-reg.epochs=2'\n\
                    [grid]\n'label.rule' = ['union', 'top-k']\nsynthetic.q = [0.01, 0.05, 1]";
        let variants = expand(text).unwrap();
        assert_eq!(variants.len(), 12);
        let last = &variants[11];
        assert_eq!(last.name, "b.rule-top-k.q-1");
        assert_eq!(last.title, "B, label.rule = top-k, synthetic.q = 1");
        let layers = last.layers.iter().map(|layer| ("test", layer.clone()));
        let settings = Settings::layered(layers).unwrap();
        assert_eq!((settings.methods.of::<CoReg>().unwrap().epochs, settings.synthetic.q), (2, 1.0));
        assert_eq!(settings.label.rule, crate::annotation::candidates::Rule::TopK);
    }

    #[test]
    fn a_grid_may_stand_alone() {
        let variants = expand("[grid]\n'network.blocks' = [[1, 1, 1, 1], [2, 2, 2, 2]]").unwrap();
        assert_eq!(variants[0].name, "blocks--1--1--1--1-");
        assert_eq!(variants[1].title, "network.blocks = [2, 2, 2, 2]");
    }

    #[test]
    fn what_is_no_list_or_has_no_point_is_refused() {
        for text in ["", "[grid]\nseed = 1", "[grid]\nseed = []", "[grid]\nseed = [1, 1]"] {
            assert!(expand(text).is_err(), "{text}");
        }
        let many = format!("[grid]\nseed = {0:?}\n'co-reg.epochs' = {0:?}", (0..101).collect::<Vec<_>>());
        assert!(expand(&many).unwrap_err().to_string().contains("points"));
    }

    #[test]
    fn the_built_in_ablations_are_the_papers_five() {
        let titles: Vec<_> =
            expand(BuiltIn::Ablations.text()).unwrap().into_iter().map(|variant| variant.title).collect();
        assert_eq!(titles, ["Co-Reg", "w/o Co-PL", "w/ SupCont", "w/o proto", "w/o unlabeled"]);
    }

    #[test]
    fn the_list_of_rules_is_of_settings_that_there_are() {
        let variants = expand(include_str!("../../../data/variants/rules.toml")).unwrap();
        let rules = variants.iter().map(|variant| {
            let layers = variant.layers.iter().map(|layer| ("test", layer.clone()));
            let settings = Settings::layered(layers).unwrap();
            settings.label.check(&Machine::default()).unwrap();
            (settings.label.rule, settings.label.min_votes)
        });
        use crate::annotation::candidates::Rule::{Ratio, Single, TopK, Union};
        let expected = [(Union, 1), (Union, 2), (Ratio, 1), (TopK, 1), (Single, 1), (Union, 1)];
        assert_eq!(rules.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_grid_of_noises_has_the_papers_nine() {
        let variants = expand(include_str!("../../../data/variants/noise.toml")).unwrap();
        assert_eq!(variants.len(), 9);
        let layers = variants[8].layers.iter().map(|layer| ("test", layer.clone()));
        let settings = Settings::layered(layers).unwrap();
        assert_eq!((settings.synthetic.q, settings.synthetic.eta), (0.05, 0.3));
        assert_eq!(settings.labels, crate::experiment::settings::LabelSource::Synthetic);
    }
}
