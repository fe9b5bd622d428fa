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
use crate::clip::{ClipFiles, Content, Found, Search, needed};
use crate::dataset::demo;
use crate::hub::cache::path_of;
use crate::hub::client::{Fetched, FileRequest, Hub, ProgressMonitor, RepoKind};
use crate::hub::environment::HubSettings;
use crate::runtime::digest::{hex, sha256};

/// What the hub makes of a checkpoint of PyTorch.
const CONVERTED_FILE: &str = "model.safetensors";
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
    /// A folder in the hub's format or open_clip's.
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
    /// What makes up the CLIP, and each of its files as later stages will look for it.
    fn fetch(
        repo: &str,
        revision: &str,
        hub: &Hub,
        monitor: &ProgressMonitor,
    ) -> Result<(Found, Vec<ModelFile>)> {
        let mut commit = revision.to_owned();
        let mut fetched: Vec<(&str, Fetched)> = Vec::new();
        let search = ClipFiles::find(|name| {
            let converted = CONVERTED.iter().filter(|(known, _)| *known == repo && name == CONVERTED_FILE);
            let elsewhere = converted.map(|(_, revision)| *revision);
            for place in std::iter::once(commit.clone().as_str()).chain(elsewhere) {
                if let Some(file) = hub.fetch_if_there(&model_file(repo, place, name), monitor)? {
                    if fetched.is_empty() {
                        // It says which commit the branch stands for; the others are of the same one.
                        commit.clone_from(&file.commit);
                    }
                    let path = file.path.clone();
                    fetched.push((name, file));
                    return Ok(Some(Content::File(path)));
                }
            }
            Ok(None)
        })?;
        let found = match search {
            Search::Found(found) => found,
            Search::Lacking { what, name } => {
                let error = Error::new(format!("{repo} is no complete CLIP: the repository {what}"))
                    .help(needed(name));
                // The hub's own error lists what is there.
                let asked = hub.fetch(&model_file(repo, &commit, name), monitor).map(drop);
                return Err(match asked {
                    // Without a connection nobody knows what the repository has.
                    Err(cause) if cause.is_cancelled() || hub.settings.offline => cause,
                    Err(cause) => error.because(cause),
                    Ok(()) => error,
                });
            }
        };
        let contents = found.files.contents();
        let mut files: Vec<ModelFile> = (fetched.into_iter())
            .filter(|(_, file)| contents.iter().any(|content| content.as_ref() == file.path))
            .map(|(name, f)| ModelFile {
                name: name.to_owned(),
                revision: f.commit,
                size: f.size,
                sha256: f.sha256,
            })
            .collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((found, files))
    }
}

impl Stage for FetchClip {
    type Inputs = ();
    type Output = Model;
    const NAME: &'static str = "clip";
    const VERSION: u32 = 3;

    fn key(&self) -> Result<Value> {
        match self.origin {
            Origin::Folder(_) => Ok(json!({"origin": "folder"})),
            Origin::Hub { .. } | Origin::BuiltIn(_) => key_without(self, &[]),
        }
    }

    fn files(&self) -> Vec<Reads> {
        let Origin::Folder(folder) = &self.origin else { return Vec::new() };
        match ClipFiles::found_in(folder) {
            Ok(Found { files, passed_over, .. }) => {
                let all = files.contents().into_iter().chain(&passed_over);
                all.map(|file| Reads::All(file.as_ref().to_owned())).collect()
            }
            // The check says what is wrong.
            Err(_) => vec![Reads::All(folder.join("config.json"))],
        }
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
                    .help(format!(
                        "set CLIP=owner/name, or the path of a folder with a CLIP: {}",
                        needed("")
                    )))
            }
        }
    }

    fn run(&self, (): (), context: &Context) -> Result<Model> {
        let (found, files) = match &self.origin {
            Origin::Hub { repository, revision } => {
                let hub = Hub::open(HubSettings::from_env()?)?;
                let (found, files) = Self::fetch(repository, revision, &hub, &ProgressMonitor::of(context))?;
                (Some(found), files)
            }
            Origin::Folder(folder) => {
                let found = ClipFiles::found_in(folder)?;
                let files = found.files.contents().into_iter().map(|file| describe(file.as_ref(), context));
                let files = files.collect::<Result<_>>()?;
                (Some(found), files)
            }
            Origin::BuiltIn(name) => (None, built_in(name).iter().map(describe_built_in).collect()),
        };
        let model = Model { files, parameters: 0 };
        // What does not fit together should fail now, not after an hour of downloads.
        let parameters = locate(&model, &self.origin, context)?.check()?;
        // Of what is part of the program nothing is assumed.
        for note in found.map(|found| found.notes()).transpose()?.into_iter().flatten() {
            context.progress().note(note);
        }
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
    match ClipFiles::find(path)? {
        Search::Found(found) => Ok(found.files),
        Search::Lacking { what, name } => Err(Error::new(format!("the CLIP {what}")).help(needed(name))),
    }
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
