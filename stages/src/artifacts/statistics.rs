//! `statistics/*.parquet`: how good the annotation is, in all, by annotator, by class and by rule.

use std::path::Path;

use arrow::array::{Array, Float64Array, UInt64Array};
use pipeline::artifact::Artifact;
use pipeline::error::Result;

use super::images::Split;
use super::table::{Rows, Table};

/// One figure about one split.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// `avg_candidates`, `eta`, `zero_shot`, `zero_shot_mean`, `images`, `labelled`, `human_labels`, `voted`, …
    pub name: String,
    /// The split it speaks of.
    pub split: Split,
    /// Its value; shares lie in [0, 1].
    pub value: f64,
}

/// What one annotator adds: a prompt template, or whoever voted.
#[derive(Clone, Debug, PartialEq)]
pub struct AnnotatorStatistics {
    /// The template, or the annotator's name.
    pub template: String,
    /// The split.
    pub split: Split,
    /// Of the images it voted on, the share whose vote is their true class; none without truth.
    pub accuracy: Option<f64>,
    /// Share of images that it voted on.
    pub voted: f64,
    /// Of the images it voted on, the share whose vote is the class of the highest mean probability.
    pub agreement: Option<f64>,
    /// Of the images that anybody voted on, the share whose class of its vote nobody else voted for: candidates that
    /// it alone adds under `union`.
    pub candidates_added: f64,
    /// Of the images that anybody voted on, the share whose true class it alone voted for: so much higher would η be
    /// without it under `union`.
    pub truths_added: Option<f64>,
}

/// The averaged probabilities themselves as targets: what the plain student (`distill`) learns (method §1).
pub const SOFT_MEAN: &str = "soft mean (METHOD=distill)";

/// What the candidates of the images that anybody voted on would be like under one rule, so that one can choose before
/// training.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleStatistics {
    /// The rule, as it is set: `label.rule=union label.min_votes=2`; or [`SOFT_MEAN`].
    pub rule: String,
    /// The split.
    pub split: Split,
    /// Mean number of candidates; of the soft mean, of e to the power of its entropy.
    pub avg_candidates: f64,
    /// Share of images with one candidate; of the soft mean, with fewer than 1.5 by the count above.
    pub single: f64,
    /// Share of images whose candidates lack the truth; of the soft mean, the mean probability of all classes but
    /// the true one. None without truth.
    pub eta: Option<f64>,
}

/// How one class fares under the annotation.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassStatistics {
    /// The class.
    pub class: String,
    /// The split.
    pub split: Split,
    /// Images whose true class it is; none without truth.
    pub images: Option<f64>,
    /// Images that anybody voted on whose candidate set has it.
    pub candidate_in: u64,
    /// Images whose single label it is.
    pub single_label_of: u64,
    /// Share of its images whose candidate set lacks it.
    pub eta: Option<f64>,
    /// Share of its images that the averaged probabilities get right.
    pub zero_shot_mean: Option<f64>,
    /// Mean probability of the class over all images and templates (method §1, the prior).
    pub prior: Option<f64>,
}

/// All statistics of an annotation (method §2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Figures about whole splits.
    pub summary: Vec<Metric>,
    /// One row an annotator and split.
    pub annotators: Vec<AnnotatorStatistics>,
    /// One row a class and split.
    pub classes: Vec<ClassStatistics>,
    /// One row a candidate rule and split; of labels without votes none.
    pub rules: Vec<RuleStatistics>,
}

impl Statistics {
    /// The figure `name` of `split`, if it could be computed.
    pub fn get(&self, name: &str, split: Split) -> Option<f64> {
        self.summary.iter().find(|m| m.name == name && m.split == split).map(|m| m.value)
    }
}

impl Artifact for Statistics {
    fn save(&self, folder: &Path) -> Result<()> {
        Table::new()
            .strings("metric", self.summary.iter().map(|m| &m.name))
            .strings("split", self.summary.iter().map(|m| m.split.name()))
            .f64("value", self.summary.iter().map(|m| m.value))
            .write(&folder.join("summary.parquet"))?;
        Table::new()
            .strings("template", self.annotators.iter().map(|a| &a.template))
            .strings("split", self.annotators.iter().map(|a| a.split.name()))
            .f64_or_null("accuracy", self.annotators.iter().map(|a| a.accuracy))
            .f64("voted", self.annotators.iter().map(|a| a.voted))
            .f64_or_null("agreement", self.annotators.iter().map(|a| a.agreement))
            .f64("candidates_added", self.annotators.iter().map(|a| a.candidates_added))
            .f64_or_null("truths_added", self.annotators.iter().map(|a| a.truths_added))
            .write(&folder.join("templates.parquet"))?;
        Table::new()
            .strings("rule", self.rules.iter().map(|r| &r.rule))
            .strings("split", self.rules.iter().map(|r| r.split.name()))
            .f64("avg_candidates", self.rules.iter().map(|r| r.avg_candidates))
            .f64("single", self.rules.iter().map(|r| r.single))
            .f64_or_null("eta", self.rules.iter().map(|r| r.eta))
            .write(&folder.join("rules.parquet"))?;
        Table::new()
            .strings("class", self.classes.iter().map(|c| &c.class))
            .strings("split", self.classes.iter().map(|c| c.split.name()))
            .f64_or_null("images", self.classes.iter().map(|c| c.images))
            .u64("candidate_in", self.classes.iter().map(|c| c.candidate_in))
            .u64("single_label_of", self.classes.iter().map(|c| c.single_label_of))
            .f64_or_null("eta", self.classes.iter().map(|c| c.eta))
            .f64_or_null("zero_shot_mean", self.classes.iter().map(|c| c.zero_shot_mean))
            .f64_or_null("prior", self.classes.iter().map(|c| c.prior))
            .write(&folder.join("classes.parquet"))
    }

    fn load(folder: &Path) -> Result<Self> {
        let rows = Rows::read(&folder.join("summary.parquet"), &["metric", "split", "value"])?;
        let values = rows.column::<Float64Array>("value")?.values();
        let summary = rows.strings("metric")?.into_iter().zip(Split::column(&rows)?).zip(values);
        let summary = summary.map(|((name, split), &value)| Metric { name, split, value }).collect();

        let columns =
            ["template", "split", "accuracy", "voted", "agreement", "candidates_added", "truths_added"];
        let rows = Rows::read(&folder.join("templates.parquet"), &columns)?;
        let known = |name: &str| Ok(rows.column::<Float64Array>(name)?.values());
        let (voted, candidates_added) = (known("voted")?, known("candidates_added")?);
        let (accuracy, agreement) =
            (rows.nullable::<Float64Array>("accuracy")?, rows.nullable::<Float64Array>("agreement")?);
        let truths_added = rows.nullable::<Float64Array>("truths_added")?;
        let of = |values: &Float64Array, i: usize| values.is_valid(i).then(|| values.value(i));
        let named = rows.strings("template")?.into_iter().zip(Split::column(&rows)?).enumerate();
        let annotators = named.map(|(i, (template, split))| AnnotatorStatistics {
            template,
            split,
            accuracy: of(accuracy, i),
            voted: voted[i],
            agreement: of(agreement, i),
            candidates_added: candidates_added[i],
            truths_added: of(truths_added, i),
        });
        let annotators = annotators.collect();

        let columns =
            ["class", "split", "images", "candidate_in", "single_label_of", "eta", "zero_shot_mean", "prior"];
        let rows = Rows::read(&folder.join("classes.parquet"), &columns)?;
        let (names, splits) = (rows.strings("class")?, Split::column(&rows)?);
        let images: Vec<_> = rows.nullable::<Float64Array>("images")?.iter().collect();
        let eta: Vec<_> = rows.nullable::<Float64Array>("eta")?.iter().collect();
        let zero_shot_mean: Vec<_> = rows.nullable::<Float64Array>("zero_shot_mean")?.iter().collect();
        let candidate_in = rows.column::<UInt64Array>("candidate_in")?.values();
        let single_label_of = rows.column::<UInt64Array>("single_label_of")?.values();
        let prior: Vec<_> = rows.nullable::<Float64Array>("prior")?.iter().collect();
        let classes = names.into_iter().enumerate().map(|(i, class)| ClassStatistics {
            class,
            split: splits[i],
            images: images[i],
            candidate_in: candidate_in[i],
            single_label_of: single_label_of[i],
            eta: eta[i],
            zero_shot_mean: zero_shot_mean[i],
            prior: prior[i],
        });

        let columns = ["rule", "split", "avg_candidates", "single", "eta"];
        let rows = Rows::read(&folder.join("rules.parquet"), &columns)?;
        let sizes = rows.column::<Float64Array>("avg_candidates")?.values();
        let single = rows.column::<Float64Array>("single")?.values();
        let eta: Vec<_> = rows.nullable::<Float64Array>("eta")?.iter().collect();
        let named = rows.strings("rule")?.into_iter().zip(Split::column(&rows)?).enumerate();
        let rules = named.map(|(i, (rule, split))| RuleStatistics {
            rule,
            split,
            avg_candidates: sizes[i],
            single: single[i],
            eta: eta[i],
        });
        Ok(Self { summary, annotators, classes: classes.collect(), rules: rules.collect() })
    }
}
