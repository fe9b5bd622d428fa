//! The stage `clip`: which files make up a CLIP, fetched and verified; and how later stages find them.
//!
//! It is the only one that asks the hub for a CLIP. Stages that compute with it [`locate`] its files where they are,
//! in the hub's cache, in the user's folder or in the program, and open no connection.

use std::io::Read;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::{Context, Machine, Reads, Stage, key_without};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::artifacts::model::{Model, ModelFile};
use crate::clip::{ClipFiles, Content, WEIGHTS};
use crate::dataset::demo;
use crate::hub::cache::path_of;
use crate::hub::client::{FileRequest, Hub, ProgressMonitor, RepoKind};
use crate::hub::environment::HubSettings;
use crate::runtime::digest::{hex, sha256};

/// Files that every CLIP has, in hub format, besides its weights.
const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];
/// A file that says how images are prepared, where CLIP's own way does not do.
const PREPROCESSOR: &str = "preprocessor_config.json";
/// Repositories whose safetensors stand in a pull request, and in which one: a conversion that the hub made. Of no other
/// repository is a pull request looked at, since anybody may open one.
const CONVERTED: [(&str, &str); 1] = [("openai/clip-vit-base-patch32", "refs/pr/15")];

/// Where a CLIP comes from. Of a folder the content counts, not the place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A repository of the hub.
    Hub {
        /// `owner/name`.
        repository: String,
        /// Branch, tag or commit.
        revision: String,
    },
    /// A folder in hub format.
    Folder(PathBuf),
    /// Part of the program, under this name.
    BuiltIn(String),
}

/// A file of a CLIP that is part of the program: the hub's name for it, and its content.
type BuiltInFile = (&'static str, Content);
/// A CLIP that is part of the program: its name, and its files.
type BuiltIn = (&'static str, fn() -> [BuiltInFile; 3]);

/// The CLIPs that are part of the program, by the names that the setting `clip.model` has for them. They have no
/// slash, so that no repository can be meant.
const BUILT_IN: [BuiltIn; 1] = [(demo::CLIP, demo::clip_files)];

impl Origin {
    /// What is built in under the name `model`, or a folder if there is one called so, else the repository.
    pub fn new(model: &str, revision: &str) -> Self {
        if let Some((name, _)) = BUILT_IN.iter().find(|(name, _)| *name == model) {
            return Self::BuiltIn((*name).to_owned());
        }
        match Path::new(model).is_dir() {
            true => Self::Folder(PathBuf::from(model)),
            false => Self::Hub { repository: model.to_owned(), revision: revision.to_owned() },
        }
    }
}

/// Settings of the stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FetchClip {
    /// Where the CLIP comes from.
    pub origin: Origin,
}

impl FetchClip {
    fn fetch(repo: &str, revision: &str, hub: &Hub, monitor: &ProgressMonitor) -> Result<Vec<ModelFile>> {
        let request = |file, revision| model_file(repo, revision, file);
        // The first file says which commit the branch stands for; the others are of the same one.
        let config = hub.fetch(&request("config.json", revision), monitor)?;
        let commit = config.commit.clone();
        let tokenizer = hub.fetch(&request("tokenizer.json", &commit), monitor)?;
        let [safetensors, checkpoint] = WEIGHTS;
        let converted = CONVERTED.iter().filter(|(known, _)| *known == repo);
        let mut places = vec![request(safetensors, &commit)];
        places.extend(converted.map(|(_, revision)| request(safetensors, revision)));
        places.push(request(checkpoint, &commit));
        let weights = hub.fetch_first(&places, monitor)?;
        let name = if weights.path.ends_with(checkpoint) { checkpoint } else { safetensors };
        let preprocessor = hub.fetch_if_there(&request(PREPROCESSOR, &commit), monitor)?;
        let mut files = vec![("config.json", config), ("tokenizer.json", tokenizer), (name, weights)];
        files.extend(preprocessor.map(|file| (PREPROCESSOR, file)));
        files.sort_by_key(|&(name, _)| name);
        Ok((files.into_iter())
            .map(|(name, f)| ModelFile {
                name: name.to_owned(),
                revision: f.commit,
                size: f.size,
                sha256: f.sha256,
            })
            .collect())
    }
}

impl Stage for FetchClip {
    type Inputs = ();
    type Output = Model;
    const NAME: &'static str = "clip";
    const VERSION: u32 = 2;

    fn key(&self) -> Result<Value> {
        match self.origin {
            Origin::Folder(_) => Ok(json!({"origin": "folder"})),
            Origin::Hub { .. } | Origin::BuiltIn(_) => key_without(self, &[]),
        }
    }

    fn files(&self) -> Vec<Reads> {
        let Origin::Folder(folder) = &self.origin else { return Vec::new() };
        let weights = WEIGHTS.into_iter().find(|name| folder.join(name).exists()).unwrap_or(WEIGHTS[0]);
        let mut all =
            [REQUIRED[0], weights, REQUIRED[1], PREPROCESSOR].map(|name| folder.join(name)).to_vec();
        all.retain(|path| path.exists() || !path.ends_with(PREPROCESSOR));
        all.into_iter().map(Reads::All).collect()
    }

    fn check(&self, _: &Machine) -> Result<()> {
        match &self.origin {
            Origin::Folder(folder) => ClipFiles::in_folder(folder)?.check().map(drop),
            Origin::BuiltIn(_) => Ok(()),
            Origin::Hub { repository, .. }
                if repository.split('/').count() == 2 && !repository.starts_with(['/', '.']) =>
            {
                Ok(())
            }
            Origin::Hub { repository, .. } => {
                Err(Error::new(format!("`{repository}` is neither a folder nor a repository of the hub"))
                    .help(
                        "set CLIP=owner/name, or the path of a folder with config.json, tokenizer.json and \
                     model.safetensors or pytorch_model.bin",
                    ))
            }
        }
    }

    fn run(&self, (): (), context: &Context) -> Result<Model> {
        let files = match &self.origin {
            Origin::Hub { repository, revision } => {
                let hub = Hub::open(HubSettings::from_env()?)?;
                Self::fetch(repository, revision, &hub, &ProgressMonitor::of(context))?
            }
            Origin::Folder(_) => {
                self.files().iter().map(|file| describe(file.path(), context)).collect::<Result<_>>()?
            }
            Origin::BuiltIn(name) => built_in(name).iter().map(describe_built_in).collect(),
        };
        let model = Model { files, parameters: 0 };
        // What does not fit together should fail now, not after an hour of downloads.
        let parameters = locate(&model, &self.origin, context)?.check()?;
        Ok(Model { parameters, ..model })
    }
}

/// The files of `model`, verified, where they lie.
///
/// # Errors
/// A file that is gone or another now. If it was in the hub's cache, the error [says](Error::input_is_gone) that
/// `model` no longer holds, and the scheduler has it made again.
pub fn locate(model: &Model, origin: &Origin, context: &Context) -> Result<ClipFiles> {
    let path = |name: &str| -> Result<Option<Content>> {
        let Some(file) = model.files.iter().find(|file| file.name == name) else { return Ok(None) };
        let found = match origin {
            Origin::Hub { repository, .. } => in_cache(repository, file, context)?.into(),
            Origin::Folder(folder) => {
                let path = folder.join(&file.name);
                if describe(&path, context)?.sha256 != file.sha256 {
                    return Err(changed().at(&path));
                }
                path.into()
            }
            Origin::BuiltIn(name) => {
                let same = |found: &BuiltInFile| describe_built_in(found) == *file;
                built_in(name).into_iter().find(same).ok_or_else(|| changed().at(&file.name))?.1
            }
        };
        Ok(Some(found))
    };
    let needed = |name: &str| path(name)?.ok_or_else(|| Error::new(format!("the CLIP lacks {name}")));
    let has = |name: &&str| model.files.iter().any(|file| file.name == *name);
    let weights = WEIGHTS.into_iter().find(has).unwrap_or(WEIGHTS[0]);
    Ok(ClipFiles {
        config: needed("config.json")?,
        tokenizer: needed("tokenizer.json")?,
        weights: needed(weights)?,
        preprocessor: path(PREPROCESSOR)?,
    })
}

fn model_file<'a>(repo: &'a str, revision: &'a str, file: &'a str) -> FileRequest<'a> {
    FileRequest { kind: RepoKind::Model, repo, revision, file, sha256: None }
}

/// Where the hub's cache has the file.
fn in_cache(repository: &str, file: &ModelFile, context: &Context) -> Result<PathBuf> {
    let request = model_file(repository, &file.revision, &file.name);
    let path = path_of(&HubSettings::from_env()?, &request);
    let gone = |what: &str| {
        Error::new(format!("{request} {what} the hub's cache"))
            .at(&path)
            .help("run again: the stage `clip` fetches it once more")
            .input_is_gone::<Model>()
    };
    if !path.is_file() {
        return Err(gone("is gone from"));
    }
    if describe(&path, context)?.sha256 != file.sha256 {
        return Err(gone("is damaged in"));
    }
    Ok(path)
}

fn changed() -> Error {
    Error::new("the file changed during the run").help("run again")
}

fn built_in(name: &str) -> Vec<BuiltInFile> {
    let found = BUILT_IN.iter().find(|(known, _)| *known == name);
    found.map_or_else(Vec::new, |(_, files)| files().into())
}

fn describe_built_in((name, content): &BuiltInFile) -> ModelFile {
    let bytes: &[u8] = if let Content::BuiltIn { bytes, .. } = content { bytes } else { &[] };
    ModelFile {
        name: (*name).to_owned(),
        revision: String::new(),
        size: bytes.len() as u64,
        sha256: sha256(bytes),
    }
}

/// Size and SHA-256 of a file in a folder.
fn describe(path: &Path, context: &Context) -> Result<ModelFile> {
    let cannot = || Error::new("cannot read the CLIP's file").at(path);
    context.safe_point()?;
    let mut file = std::fs::File::open(path).or_fail(cannot)?;
    let (mut hasher, mut size, mut chunk) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        match file.read(&mut chunk).or_fail(cannot)? {
            0 => break,
            read => {
                hasher.update(&chunk[..read]);
                size += read as u64;
            }
        }
    }
    let sha256 = hex(&hasher.finalize());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(ModelFile { name, revision: String::new(), size, sha256 })
}
