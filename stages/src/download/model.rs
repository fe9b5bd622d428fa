//! The stage `clip`: which files make up a CLIP, fetched and verified; and how later stages come by them.

use std::io::Read;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::{Context, Stage};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hub::{Hub, RepoKind, Wanted, Watch};
use super::settings::HubSettings;
use crate::artifacts::model::{Model, ModelFile};
use crate::clip::ClipFiles;

/// Files that every CLIP has, in hub format.
const REQUIRED: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];
/// A file that says how images are prepared, where CLIP's own way does not do.
const PREPROCESSOR: &str = "preprocessor_config.json";
/// Where the hub converts weights to safetensors if the main branch has none.
const CONVERTED: &str = "refs/pr/15";

/// Settings of the stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FetchClip {
    /// `owner/name` on the hub, or a folder.
    pub model: String,
    /// Branch, tag or commit on the hub; unused for a folder.
    pub revision: String,
}

impl FetchClip {
    /// Settings for `model`: a folder if there is one of this name, else a repository of the hub.
    pub fn new(model: &str, revision: &str) -> Self {
        let revision = if Path::new(model).is_dir() { "" } else { revision };
        Self { model: model.to_owned(), revision: revision.to_owned() }
    }

    fn folder(&self) -> Option<&Path> {
        Some(Path::new(&self.model)).filter(|path| path.is_dir())
    }

    fn fetch(&self, hub: &Hub, watch: &Watch) -> Result<Vec<ModelFile>> {
        let wanted = |file, revision| Wanted {
            kind: RepoKind::Model,
            repo: &self.model,
            revision,
            file,
            sha256: None,
        };
        let mut files = Vec::new();
        for name in REQUIRED {
            let places = [wanted(name, &self.revision), wanted(name, CONVERTED)];
            let places: &[Wanted] = if name == "model.safetensors" { &places[..] } else { &places[..1] };
            let fetched = hub.fetch_first(places, watch)?;
            files.push((name, fetched));
        }
        files.extend(
            hub.fetch_if_there(&wanted(PREPROCESSOR, &self.revision), watch)?.map(|f| (PREPROCESSOR, f)),
        );
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
    const VERSION: u32 = 1;

    fn files(&self) -> Vec<PathBuf> {
        let of = |folder: &Path| {
            let all = REQUIRED.into_iter().chain([PREPROCESSOR]).map(|name| folder.join(name));
            all.filter(|path| path.exists() || !path.ends_with(PREPROCESSOR)).collect()
        };
        self.folder().map(of).unwrap_or_default()
    }

    fn check(&self) -> Result<()> {
        match self.folder() {
            Some(folder) => ClipFiles::in_folder(folder)?.check(),
            None if self.model.split('/').count() == 2 && !self.model.starts_with(['/', '.']) => Ok(()),
            None => Err(Error::new(format!("`{}` is neither a folder nor a repository of the hub", self.model))
                .help("set CLIP=owner/name, or the path of a folder with config.json, tokenizer.json and model.safetensors")),
        }
    }

    fn run(&self, (): (), context: &Context) -> Result<Model> {
        let files = match self.folder() {
            None => self.fetch(&Hub::open(HubSettings::from_env()?)?, &Watch::of(context))?,
            Some(_) => self.files().iter().map(|path| describe(path, context)).collect::<Result<_>>()?,
        };
        let model = Model { source: self.model.clone(), files };
        // What does not fit together should fail now, not after an hour of downloads.
        locate(&model, context)?.check()?;
        Ok(model)
    }
}

/// The files of `model`, fetched again if they are gone from the cache.
///
/// # Errors
/// A file that can neither be found nor fetched, or whose content is another now.
pub fn locate(model: &Model, context: &Context) -> Result<ClipFiles> {
    let folder = Some(Path::new(&model.source)).filter(|path| path.is_dir());
    let hub = match folder {
        None => Some(Hub::open(HubSettings::from_env()?)?),
        Some(_) => None,
    };
    let path_of = |file: &ModelFile| -> Result<PathBuf> {
        match (&hub, folder) {
            (Some(hub), _) => {
                let wanted = Wanted {
                    kind: RepoKind::Model,
                    repo: &model.source,
                    revision: &file.revision,
                    file: &file.name,
                    sha256: Some(&file.sha256),
                };
                Ok(hub.fetch(&wanted, &Watch::of(context))?.path)
            }
            (None, Some(folder)) => {
                let path = folder.join(&file.name);
                if describe(&path, context)?.sha256 != file.sha256 {
                    return Err(Error::new("the file changed during the run").at(&path).help("run again"));
                }
                Ok(path)
            }
            (None, None) => Err(Error::new("the CLIP folder is gone").at(&model.source)),
        }
    };
    let path = |name: &str| {
        let file = model.files.iter().find(|file| file.name == name);
        file.map(path_of).transpose()
    };
    let needed = |name: &str| path(name)?.ok_or_else(|| Error::new(format!("the CLIP lacks {name}")));
    Ok(ClipFiles {
        config: needed("config.json")?,
        tokenizer: needed("tokenizer.json")?,
        weights: needed("model.safetensors")?,
        preprocessor: path(PREPROCESSOR)?,
    })
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
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(ModelFile { name, revision: String::new(), size, sha256 })
}
