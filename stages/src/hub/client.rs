//! Files from a Hugging Face hub, each verified before anyone sees it.
//!
//! hf-hub brings the bytes (plain or Xet) and the listings. It checks neither the length nor the hash
//! of what arrives, has no time-outs and does not resume, so this file does: content goes to
//! `blobs/<hash>.incomplete`, is compared with the hash the hub named it by, and only then gets its
//! place in the cache. This file knows nothing of data sets; single requests are in `request.rs`,
//! repeating them in `persist.rs`,
//! the folder's layout in `cache.rs`.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use pipeline::error::{Error, Result};
use pipeline::stage::Context;

use super::cache::{Content, RepoCache, blob_name, is_commit, is_hash, make_parent, write_error};
pub use super::environment::HubSettings;
use super::retry::Trouble;
pub use super::watch::Watch;

/// The two kinds of repositories that coreg reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepoKind {
    /// Weights, tokenizers, configurations.
    Model,
    /// Tables of samples.
    Dataset,
}

impl RepoKind {
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

/// One file at one revision of a repository.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Model or data set.
    pub kind: RepoKind,
    /// `owner/name`.
    pub repo: &'a str,
    /// A commit (40 hex digits: never asked for again once cached), branch, tag or `refs/pr/15`.
    pub revision: &'a str,
    /// Path in the repository, `data/train-00000-of-00001.parquet`.
    pub file: &'a str,
    /// The content's SHA-256 in hex, where it is known beforehand.
    pub sha256: Option<&'a str>,
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            RepoKind::Model => "model",
            RepoKind::Dataset => "data set",
        };
        write!(f, "`{}` of {kind} {}, revision {}", self.file, self.repo, self.revision)
    }
}

/// A verified file in the cache.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Where it lies.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content, lower-case hex.
    pub sha256: String,
    /// The commit that the revision stood for.
    pub commit: String,
}

/// A file, or that there is none of this name.
pub(crate) enum Answer<T> {
    Found(T),
    Missing,
}

/// A connection to one hub with one cache.
pub struct Hub {
    pub(crate) settings: HubSettings,
    pub(crate) client: hf_hub::HFClient,
    pub(crate) http: reqwest::Client,
    pub(crate) runtime: tokio::runtime::Runtime,
}

/// Fetches one file as the environment says; see [`Hub::fetch`].
///
/// # Errors
/// Those of [`HubSettings::from_env`] and [`Hub::fetch`].
pub fn fetch(wanted: &Wanted, context: &Context) -> Result<Fetched> {
    Hub::open(HubSettings::from_env()?)?.fetch(wanted, &Watch::of(context))
}

impl Hub {
    /// Prepares the connection; asks nothing yet.
    ///
    /// # Errors
    /// An endpoint that is no address; a system without threads or TLS.
    pub fn open(settings: HubSettings) -> Result<Self> {
        settings.address()?;
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(format!("cannot prepare requests to {}", settings.endpoint)).because(cause)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| failed(e.into()))?;
        let mut builder = hf_hub::HFClient::builder()
            .endpoint(&settings.endpoint)
            .cache_dir(&settings.cache)
            .retry_max_attempts(0);
        if let Some(token) = &settings.token {
            builder = builder.token(token);
        }
        let client = builder.build().map_err(|e| failed(e.into()))?;
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("coreg/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| failed(e.into()))?;
        Ok(Self { settings, client, http, runtime })
    }

    /// Brings a file into the cache, verified, or finds it there. A pinned commit that is cached costs
    /// no request; a cached branch is used, with a note, when the hub cannot be reached.
    ///
    /// # Errors
    /// Unreachable, not found (lists what is there), gated, content that stays wrong, a full disk, a
    /// stop at the user's request.
    pub fn fetch(&self, wanted: &Wanted, watch: &Watch) -> Result<Fetched> {
        match self.look_for(wanted, watch)? {
            Answer::Found(fetched) => Ok(fetched),
            Answer::Missing => Err(self.missing_error(wanted, watch)),
        }
    }

    /// Like [`fetch`](Self::fetch) for a file that a repository may do without: `None` if it does.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch), except for a missing file.
    pub fn fetch_if_there(&self, wanted: &Wanted, watch: &Watch) -> Result<Option<Fetched>> {
        match self.look_for(wanted, watch)? {
            Answer::Found(fetched) => Ok(Some(fetched)),
            Answer::Missing => Ok(None),
        }
    }

    /// The first of several places that has the file.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch); if none has it, the error of the first place.
    pub fn fetch_first(&self, places: &[Wanted], watch: &Watch) -> Result<Fetched> {
        for wanted in places {
            if let Answer::Found(fetched) = self.look_for(wanted, watch)? {
                return Ok(fetched);
            }
        }
        Err(match places.first() {
            Some(wanted) => self.missing_error(wanted, watch),
            None => Error::new("no place was named to look for a file of the hub"),
        })
    }

    fn look_for(&self, wanted: &Wanted, watch: &Watch) -> Result<Answer<Fetched>> {
        check_names(wanted)?;
        let cache = RepoCache::new(&self.settings.cache, wanted);
        let cached = self.cached(&cache, wanted, watch)?;
        if is_commit(wanted.revision) && cached.is_some() || self.settings.offline {
            return Ok(cached.map_or(Answer::Missing, Answer::Found));
        }
        if is_commit(wanted.revision) && cache.is_known_missing(wanted.revision, wanted.file) {
            return Ok(Answer::Missing);
        }
        let attempts = if cached.is_some() { 1 } else { self.settings.attempts };
        let asked = self.persist(wanted, watch, attempts, || self.ask(wanted, watch));
        let remote = match (asked, cached) {
            (Ok(Answer::Found(remote)), _) => remote,
            (Ok(Answer::Missing), _) => {
                if is_commit(wanted.revision) {
                    cache.note_missing(wanted.revision, wanted.file);
                }
                return Ok(Answer::Missing);
            }
            (Err(error), Some(cached)) if !error.is_cancelled() => {
                let cause = error.to_string().replace('\n', " ");
                watch.progress.note(format!("uses the cached {wanted} (commit {}): {cause}", cached.commit));
                return Ok(Answer::Found(cached));
            }
            (Err(error), _) => return Err(error),
        };
        self.bring(&cache, wanted, &remote, watch).map(Answer::Found)
    }

    /// The file as the cache has it, if its content is right. What is damaged is removed, or, offline,
    /// refused.
    fn cached(&self, cache: &RepoCache, wanted: &Wanted, watch: &Watch) -> Result<Option<Fetched>> {
        let Some(commit) = cache.commit_of(wanted.revision) else { return Ok(None) };
        let Some(path) = cache.find(&commit, wanted.file) else { return Ok(None) };
        let content = Content::of(&path, watch)?;
        let Some(fault) = content.fault(blob_name(&path).as_deref(), None, wanted.sha256) else {
            return Ok(Some(Fetched { path, size: content.size, sha256: content.sha256, commit }));
        };
        if self.settings.offline {
            return Err(Error::new(format!("the cached {wanted} is damaged: {fault}"))
                .at(&path)
                .help("unset HF_HUB_OFFLINE to fetch it again, or put the right file there"));
        }
        watch.progress.note(format!("the cached {wanted} is damaged ({fault}); fetches it again"));
        cache.remove(&path)?;
        Ok(None)
    }

    /// Transfers what the hub described, unless its content is here already.
    fn bring(&self, cache: &RepoCache, wanted: &Wanted, remote: &Remote, watch: &Watch) -> Result<Fetched> {
        if let Some(sha256) = wanted.sha256
            && remote.hash.len() == 64
            && is_hash(&remote.hash)
            && !sha256.eq_ignore_ascii_case(&remote.hash)
        {
            return Err(
                self.wrong_content(wanted, &format!("its SHA-256 is {} instead of {sha256}", remote.hash))
            );
        }
        let blob = cache.blob(&remote.hash);
        let _lock = cache.lock(&remote.hash, watch)?;
        let fault = |content: &Content| content.fault(Some(&remote.hash), remote.size, None);
        let content = match blob.is_file().then(|| Content::of(&blob, watch)).transpose()? {
            Some(content) if fault(&content).is_none() => content,
            _ => {
                let part = cache.blob(&format!("{}.incomplete", remote.hash));
                make_parent(&part)?;
                let content = self.persist(wanted, watch, self.settings.attempts, || {
                    self.transfer(wanted, remote, &part, watch)?;
                    let content = Content::of(&part, watch)?;
                    let Some(fault) = fault(&content) else { return Ok(content) };
                    let arrived = first_words(&part);
                    fs::remove_file(&part).map_err(|e| write_error(&part, e))?;
                    Err(Trouble::Passing {
                        cause: format!("what arrived is not the file: {fault}{arrived}"),
                        help: "the hub, a proxy or the network damages the file: try another network, or \
                               another HF_ENDPOINT"
                            .to_owned(),
                        wait: None,
                    })
                })?;
                fs::rename(&part, &blob).map_err(|e| write_error(&blob, e))?;
                content
            }
        };
        if let Some(fault) = content.fault(None, None, wanted.sha256) {
            return Err(self.wrong_content(wanted, &fault));
        }
        let path = cache.link(&remote.hash, &remote.commit, wanted)?;
        Ok(Fetched { path, size: content.size, sha256: content.sha256, commit: remote.commit.clone() })
    }

    fn wrong_content(&self, wanted: &Wanted, fault: &str) -> Error {
        Error::new(format!(
            "{wanted} at {} is not the file that is expected: {fault}",
            self.settings.endpoint
        ))
        .help(match wanted.kind {
            RepoKind::Dataset => {
                "SET=download.revision=main takes the data set as the hub has it now, without checksums; if nobody changed \
                 it on purpose, do not trust it"
            }
            RepoKind::Model => "the hub serves another file for the same commit than before: see whether HF_ENDPOINT is right",
        })
    }
}

/// What the hub says of a file before it is fetched.
pub(crate) struct Remote {
    /// The name of its blob: SHA-256, git blob SHA-1, or on other servers any tag.
    pub hash: String,
    pub size: Option<u64>,
    pub commit: String,
}

/// Names become paths, in the cache and in addresses.
fn check_names(wanted: &Wanted) -> Result<()> {
    let plain = |path: &str| {
        path.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains('\\'))
    };
    let help = "a repository is written owner/name; a file by its path in the repository, without ..";
    if wanted.repo.split('/').count() != 2
        || ![wanted.repo, wanted.revision, wanted.file].into_iter().all(plain)
    {
        return Err(Error::new(format!("{wanted} cannot be a file of a hub")).help(help));
    }
    Ok(())
}

/// The beginning of what arrived instead of a file, if a person can read it: mostly an error page.
fn first_words(path: &std::path::Path) -> String {
    use std::io::Read;
    let mut start = Vec::new();
    let _ = fs::File::open(path).and_then(|file| file.take(120).read_to_end(&mut start));
    match std::str::from_utf8(&start) {
        Ok(text) if !text.is_empty() && !text.contains('\0') => format!("; it begins with {text:?}"),
        _ => String::new(),
    }
}
