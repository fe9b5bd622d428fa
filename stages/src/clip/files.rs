//! Which files make up a CLIP, in the hub's format or in open_clip's; and what they say of each other.
//!
//! Where the files lie is the caller's to know: [`ClipFiles::find`] asks it name by name.

use std::path::Path;

use pipeline::error::{Error, OrFail, Result};

use super::config::Config;
use super::content::Content;
use super::open_clip::FILE as OPEN_CLIP_CONFIG;
use super::preprocess::Preprocess;
use super::preprocess_config::says_how;
use super::text_tower::TextTower;
use super::tokenizer::Tokenizer;
use super::tokenizer_files::TokenizerFiles;
use super::vision_tower::VisionTower;
use super::weights::{ClipWeights, Shapes};

/// The names of the weights in a folder or repository of the hub's format; the first that is there is read.
const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
/// The same of open_clip's format.
const OPEN_CLIP_WEIGHTS: [&str; 4] =
    ["open_clip_model.safetensors", "open_clip_pytorch_model.bin", WEIGHTS[0], WEIGHTS[1]];
const CONFIG: &str = "config.json";

/// What makes up a CLIP, for a message.
const NEEDED: &str = "needed are config.json, model.safetensors or pytorch_model.bin, and tokenizer.json or vocab.json \
     with merges.txt; in open_clip's format, open_clip_config.json with open_clip_model.safetensors or \
     open_clip_pytorch_model.bin, and the tokenizer";

/// What to do where the file of this name is lacking; empty for any.
pub fn needed(name: &str) -> String {
    let more = match name {
        CONFIG => {
            "; weights alone do not say which model they are of: take the config of the repository they come from"
        }
        "tokenizer.json" | "vocab.json" | "merges.txt" => {
            "; OpenAI's CLIPs and open_clip's of OpenAI's vocabulary (49,408 tokens) all have the tokenizer.json of \
             openai/clip-vit-base-patch32"
        }
        _ => "",
    };
    format!("{NEEDED}{more}")
}

/// The files of one CLIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipFiles {
    /// `config.json`, or `open_clip_config.json`.
    pub config: Content,
    /// `tokenizer.json`, or `vocab.json` with `merges.txt`.
    pub tokenizer: TokenizerFiles,
    /// `model.safetensors`, or `pytorch_model.bin`; open_clip's, `open_clip_model.safetensors` and its like.
    pub weights: Content,
    /// `preprocessor_config.json`, or `processor_config.json`; without either, open_clip's config or CLIP's own
    /// preprocessing for the config's image size.
    pub preprocessor: Option<Content>,
}

/// The files of a CLIP, and what was found beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The files that count.
    pub files: ClipFiles,
    /// `processor_config.json` beside `preprocessor_config.json`, which counts.
    pub passed_over: Option<Content>,
    /// Whether `config.json` is there and is passed over, `open_clip_config.json` being what counts.
    pub has_other_config: bool,
}

/// A CLIP's files, or what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// They are there.
    Found(Found),
    /// They are not.
    Lacking {
        /// What is not there.
        what: &'static str,
        /// The name that it usually has.
        name: &'static str,
    },
}

impl ClipFiles {
    /// Looks for the files of a CLIP: `get` gives the one of a name if it is there. What is large is asked for last.
    ///
    /// A `CLIPModel` of `transformers` counts where it is complete, open_clip's format otherwise.
    ///
    /// # Errors
    /// Those of `get`, a config that is no JSON object, a Git LFS pointer in its place.
    pub fn find(mut get: impl FnMut(&'static str) -> Result<Option<Content>>) -> Result<Search> {
        let config = get(CONFIG)?;
        let sure = config.as_ref().map(Config::names_a_clip).transpose()?.unwrap_or(false);
        let mut lacking =
            Search::Lacking { what: "has no config.json and no open_clip_config.json", name: CONFIG };
        if let (Some(config), true) = (&config, sure) {
            match complete(config, &WEIGHTS, &mut get)? {
                Search::Found(found) => return Ok(Search::Found(found)),
                incomplete => lacking = incomplete,
            }
        }
        match (get(OPEN_CLIP_CONFIG)?, config) {
            (Some(open_clip), config) => {
                let mut search = complete(&open_clip, &OPEN_CLIP_WEIGHTS, &mut get)?;
                if let Search::Found(found) = &mut search {
                    found.has_other_config = config.is_some();
                }
                Ok(search)
            }
            (None, Some(config)) if !sure => complete(&config, &WEIGHTS, &mut get),
            _ => Ok(lacking),
        }
    }

    /// The files in this folder.
    ///
    /// # Errors
    /// What is missing, with what is there.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        Ok(Self::found_in(folder)?.files)
    }

    /// The same with what was found beside them.
    pub fn found_in(folder: &Path) -> Result<Found> {
        let get = |name: &str| {
            let path = folder.join(name);
            Ok(if path.is_file() { Some(Content::File(path)) } else { None })
        };
        match Self::find(get)? {
            Search::Found(found) => Ok(found),
            Search::Lacking { what, name } => {
                let there =
                    names_in(folder).or_fail(|| Error::new("cannot list the folder of CLIP").at(folder))?;
                Err(Error::new(format!("the folder of CLIP {what}"))
                    .at(folder)
                    .because(format!("there are: {there}"))
                    .help(needed(name)))
            }
        }
    }

    /// All files: the config, the weights, the tokenizer's and the preprocessor's.
    pub fn contents(&self) -> Vec<&Content> {
        let (tokenizer, preprocessor) = (self.tokenizer.contents(), self.preprocessor.as_ref());
        [&self.config, &self.weights].into_iter().chain(tokenizer).chain(preprocessor).collect()
    }

    /// Whether config, tokenizer and preprocessing are readable and every tensor of both towers is there in its
    /// shape, and how many numbers these tensors hold. Cheap: of the weights only the header is read.
    pub fn check(&self) -> Result<u64> {
        let config = Config::read(&self.config)?;
        let weights = ClipWeights::open(&self.weights)?;
        let towers = [VisionTower::shapes(&config), TextTower::shapes(&config)];
        towers.iter().try_for_each(|shapes| weights.check_all(shapes))?;
        self.preprocess()?;
        Tokenizer::read(&self.tokenizer, &config.text)?;
        Ok(towers.iter().map(Shapes::count).sum())
    }

    /// The scale that the model was trained to multiply similarities by, for information: the paper fixes 100.
    /// `None` where the file has none.
    pub fn logit_scale(&self) -> Result<Option<f64>> {
        let weights = ClipWeights::open(&self.weights)?;
        if !weights.has("logit_scale") {
            return Ok(None);
        }
        Ok(weights.read("logit_scale", &[])?.first().map(|log| f64::from(*log).exp()))
    }

    /// How an image becomes the tower's input, as the files say.
    pub fn preprocess(&self) -> Result<Preprocess> {
        Ok(self.preprocess_and_source()?.0)
    }

    /// The same, and the file that says so.
    fn preprocess_and_source(&self) -> Result<(Preprocess, Option<&Content>)> {
        let side = Config::read(&self.config)?.vision.image;
        if self.config.name() == OPEN_CLIP_CONFIG
            && let Some(preprocess) = Preprocess::read_open_clip(&self.config, side)?
        {
            return Ok((preprocess, Some(&self.config)));
        }
        match &self.preprocessor {
            None => Ok((Preprocess::standard(side), None)),
            Some(file) => Ok((Preprocess::read(file, side)?, Some(file))),
        }
    }
}

impl Found {
    /// What is assumed of this CLIP, passed over or taken apart from its usual form: a sentence each.
    pub fn notes(&self) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        if self.has_other_config {
            notes.push(format!("{CONFIG} is not that of a whole CLIPModel; {OPEN_CLIP_CONFIG} counts"));
        }
        let weights = ClipWeights::open(&self.files.weights)?;
        if !weights.prefix().is_empty() {
            let (prefix, file) = (weights.prefix(), self.files.weights.name());
            notes.push(format!("`{prefix}`, with which names in {file} begin, is passed over"));
        }
        let (preprocess, source) = self.files.preprocess_and_source()?;
        if preprocess.assumed {
            let whose = match source {
                None => "the CLIP has no preprocessor_config.json and no processor_config.json".to_owned(),
                Some(file) => format!("{} does not name both mean and deviation of the pixels", file.name()),
            };
            notes.push(format!(
                "{whose}: OpenAI's mean and deviation are assumed where none are named; clip.mean=[…] and clip.std=[…] set others"
            ));
        }
        let beside = self.files.preprocessor.iter().chain(&self.passed_over);
        for other in beside.filter(|other| Some(*other) != source) {
            let differs = match Preprocess::read(other, preprocess.side()) {
                Ok(read) if read.is_same_as(&preprocess) => continue,
                Ok(_) => "asks for another preparation of the images",
                Err(_) => "cannot be used",
            };
            let counts = source.map_or("", Content::name);
            notes.push(format!("{} {differs}; {counts} counts", other.name()));
        }
        Ok(notes)
    }
}

/// The other files of the CLIP with this config.
fn complete(
    config: &Content,
    weights: &[&'static str],
    get: &mut impl FnMut(&'static str) -> Result<Option<Content>>,
) -> Result<Search> {
    let lacking = |what, name| Ok(Search::Lacking { what, name });
    let tokenizer = match get("tokenizer.json")? {
        Some(whole) => TokenizerFiles::Whole(whole),
        None => match (get("vocab.json")?, get("merges.txt")?) {
            (Some(vocabulary), Some(merges)) => TokenizerFiles::Parts { vocabulary, merges },
            (None, Some(_)) => {
                return lacking("has no tokenizer.json, and merges.txt without vocab.json", "vocab.json");
            }
            (Some(_), None) => {
                return lacking("has no tokenizer.json, and vocab.json without merges.txt", "merges.txt");
            }
            (None, None) => {
                return lacking("has no tokenizer.json, and no vocab.json with merges.txt", "tokenizer.json");
            }
        },
    };
    let mut found = None;
    for name in weights {
        found = get(name)?;
        if found.is_some() {
            break;
        }
    }
    let Some(weights) = found else {
        let split = [get("model.safetensors.index.json")?, get("pytorch_model.bin.index.json")?];
        if split.iter().any(Option::is_some) {
            return lacking(
                "has weights that are split over several files: save the model again with a larger shard size, as one \
                 model.safetensors",
                WEIGHTS[0],
            );
        }
        return match weights.len() == WEIGHTS.len() {
            true => lacking("has no model.safetensors and no pytorch_model.bin", WEIGHTS[0]),
            false => lacking(
                "has no open_clip_model.safetensors and no open_clip_pytorch_model.bin",
                OPEN_CLIP_WEIGHTS[0],
            ),
        };
    };
    let (first, second) = (get("preprocessor_config.json")?, get("processor_config.json")?);
    let (preprocessor, passed_over) = match (first, second) {
        (Some(first), second) => {
            // One that cannot be read is for the note to say.
            (Some(first), second.filter(|second| says_how(second).unwrap_or(true)))
        }
        (None, Some(second)) if says_how(&second)? => (Some(second), None),
        (None, _) => (None, None),
    };
    let files = ClipFiles { config: config.clone(), tokenizer, weights, preprocessor };
    Ok(Search::Found(Found { files, passed_over, has_other_config: false }))
}

/// The files in the folder, not too many of them.
fn names_in(folder: &Path) -> std::io::Result<String> {
    let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<std::io::Result<Vec<String>>>()?;
    names.sort();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    Ok(match (names.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    })
}

/// Most names of a folder that a message has.
const SHOWN: usize = 20;
