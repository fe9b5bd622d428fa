//! Files from a Hugging Face hub, each verified before anyone sees it.
//!
//! hf-hub says how repositories and the folders of the cache are called; the transfer is ours, since hf-hub 0.5 checks
//! neither the length nor the hash of what arrives and has no time-outs (and hf-hub 1.0 brings another 150 crates).
//! Content goes to `blobs/<hash>.incomplete`, is compared with the hash the hub named it by, and only then gets its
//! place in the cache. A repository's Xet storage is not asked: every hub serves the same files over plain HTTP.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::{Repo, RepoType};
use pipeline::error::{Error, Result};

use super::cache::{FileDigests, RepoCache, blob_name, is_commit, is_hash, make_parent, write_error};
pub use super::environment::HubSettings;
pub use super::monitor::ProgressMonitor;
use super::retry::{Failure, retry};
use super::transport::Transport;

/// The two kinds of repositories that coreg reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepoKind {
    /// Weights, tokenizers, configurations.
    Model,
    /// Tables of samples.
    Dataset,
}

/// One file at one revision of a repository.
#[derive(Clone, Copy, Debug)]
pub struct FileRequest<'a> {
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

impl FileRequest<'_> {
    /// The repository as hf-hub has it.
    pub(super) fn repository(&self) -> Repo {
        let kind = match self.kind {
            RepoKind::Model => RepoType::Model,
            RepoKind::Dataset => RepoType::Dataset,
        };
        Repo::with_revision(self.repo.to_owned(), kind, self.revision.to_owned())
    }
}

impl fmt::Display for FileRequest<'_> {
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
pub(super) enum Answer<T> {
    Found(T),
    Missing,
}

/// A connection to one hub with one cache.
pub struct Hub {
    pub(crate) settings: HubSettings,
    pub(super) transport: Transport,
}

impl Hub {
    /// Prepares the connection; asks nothing yet.
    ///
    /// # Errors
    /// An endpoint that is no address.
    pub fn open(settings: HubSettings) -> Result<Self> {
        let transport = Transport::new(&settings.address()?, settings.patience);
        Ok(Self { settings, transport })
    }

    /// Brings a file into the cache, verified, or finds it there. A pinned commit that is cached costs
    /// no request; a cached branch is used, with a note, when the hub cannot be reached.
    ///
    /// # Errors
    /// Unreachable, not found (lists what is there), gated, content that stays wrong, a full disk, a
    /// stop at the user's request.
    pub fn fetch(&self, request: &FileRequest, monitor: &ProgressMonitor) -> Result<Fetched> {
        match self.find(request, monitor)? {
            Answer::Found(fetched) => Ok(fetched),
            Answer::Missing => Err(self.missing_error(request, monitor)),
        }
    }

    /// Like [`fetch`](Self::fetch) for a file that a repository may do without: `None` if it does.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch), except for a missing file.
    pub fn fetch_if_there(
        &self,
        request: &FileRequest,
        monitor: &ProgressMonitor,
    ) -> Result<Option<Fetched>> {
        match self.find(request, monitor)? {
            Answer::Found(fetched) => Ok(Some(fetched)),
            Answer::Missing => Ok(None),
        }
    }

    /// The first of several places that has the file.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch); if none has it, the error of the first place.
    pub fn fetch_first(&self, places: &[FileRequest], monitor: &ProgressMonitor) -> Result<Fetched> {
        for request in places {
            if let Answer::Found(fetched) = self.find(request, monitor)? {
                return Ok(fetched);
            }
        }
        Err(match places.first() {
            Some(request) => self.missing_error(request, monitor),
            None => Error::new("no place was named to look for a file of the hub"),
        })
    }

    fn find(&self, request: &FileRequest, monitor: &ProgressMonitor) -> Result<Answer<Fetched>> {
        check_names(request)?;
        let cache = RepoCache::new(&self.settings.cache, request);
        let cached = self.cached(&cache, request, monitor)?;
        if is_commit(request.revision) && cached.is_some() || self.settings.offline {
            return Ok(cached.map_or(Answer::Missing, Answer::Found));
        }
        if is_commit(request.revision) && cache.is_known_missing(request.revision, request.file) {
            return Ok(Answer::Missing);
        }
        let attempts = if cached.is_some() { 1 } else { self.settings.attempts };
        let asked = retry(&self.settings, request, attempts, monitor, || self.describe(request, monitor));
        let remote = match (asked, cached) {
            (Ok(Answer::Found(remote)), _) => remote,
            (Ok(Answer::Missing), _) => {
                if is_commit(request.revision) {
                    cache.note_missing(request.revision, request.file);
                }
                return Ok(Answer::Missing);
            }
            (Err(error), Some(cached)) if !error.is_cancelled() => {
                let cause = error.to_string().replace('\n', " ");
                monitor
                    .progress
                    .note(format!("uses the cached {request} (commit {}): {cause}", cached.commit));
                return Ok(Answer::Found(cached));
            }
            (Err(error), _) => return Err(error),
        };
        self.download(&cache, request, &remote, monitor).map(Answer::Found)
    }

    /// The file as the cache has it, if its content is right. What is damaged is removed, or, offline,
    /// refused.
    fn cached(
        &self,
        cache: &RepoCache,
        request: &FileRequest,
        monitor: &ProgressMonitor,
    ) -> Result<Option<Fetched>> {
        let Some(commit) = cache.commit() else { return Ok(None) };
        let Some(path) = cache.find(&commit, request.file) else { return Ok(None) };
        let content = FileDigests::of(&path, monitor)?;
        let Some(fault) = content.fault(blob_name(&path).as_deref(), None, request.sha256) else {
            return Ok(Some(Fetched { path, size: content.size, sha256: content.sha256, commit }));
        };
        if self.settings.offline {
            return Err(Error::new(format!("the cached {request} is damaged: {fault}"))
                .at(&path)
                .help("unset HF_HUB_OFFLINE to fetch it again, or put the right file there"));
        }
        monitor.progress.note(format!("the cached {request} is damaged ({fault}); fetches it again"));
        cache.remove(&path)?;
        Ok(None)
    }

    /// Transfers what the hub described, unless its content is here already.
    fn download(
        &self,
        cache: &RepoCache,
        request: &FileRequest,
        remote: &RemoteFile,
        monitor: &ProgressMonitor,
    ) -> Result<Fetched> {
        if let Some(sha256) = request.sha256
            && remote.hash.len() == 64
            && is_hash(&remote.hash)
            && !sha256.eq_ignore_ascii_case(&remote.hash)
        {
            return Err(
                self.wrong_content(request, &format!("its SHA-256 is {} instead of {sha256}", remote.hash))
            );
        }
        let blob = cache.blob(&remote.hash);
        let _lock = cache.lock(&remote.hash, monitor)?;
        let fault = |content: &FileDigests| content.fault(Some(&remote.hash), remote.size, None);
        let content = match blob.is_file().then(|| FileDigests::of(&blob, monitor)).transpose()? {
            Some(content) if fault(&content).is_none() => content,
            _ => {
                let part = cache.blob(&format!("{}.incomplete", remote.hash));
                make_parent(&part)?;
                let content = retry(&self.settings, request, self.settings.attempts, monitor, || {
                    self.transfer(request, remote, &part, monitor)?;
                    let content = FileDigests::of(&part, monitor)?;
                    let Some(fault) = fault(&content) else { return Ok(content) };
                    let arrived = first_words(&part);
                    fs::remove_file(&part).map_err(|e| write_error(&part, e))?;
                    Err(Failure::transient_with_help(
                        format!("what arrived is not the file: {fault}{arrived}"),
                        "the hub, a proxy or the network damages the file: try another network, or another \
                         HF_ENDPOINT",
                    ))
                })?;
                fs::rename(&part, &blob).map_err(|e| write_error(&blob, e))?;
                content
            }
        };
        if let Some(fault) = content.fault(None, None, request.sha256) {
            return Err(self.wrong_content(request, &fault));
        }
        let path = cache.link(&remote.hash, &remote.commit, request.file)?;
        Ok(Fetched { path, size: content.size, sha256: content.sha256, commit: remote.commit.clone() })
    }

    fn wrong_content(&self, request: &FileRequest, fault: &str) -> Error {
        Error::new(format!(
            "{request} at {} is not the file that is expected: {fault}",
            self.settings.endpoint
        ))
        .help(match request.kind {
            RepoKind::Dataset => {
                "SET=download.revision=main takes the data set as the hub has it now, without checksums; if nobody changed \
                 it on purpose, do not trust it"
            }
            RepoKind::Model => "the hub serves another file for the same commit than before: see whether HF_ENDPOINT is right",
        })
    }
}

/// What the hub says of a file before it is fetched.
pub(super) struct RemoteFile {
    /// The name of its blob: SHA-256, git blob SHA-1, or on other servers any tag.
    pub hash: String,
    pub size: Option<u64>,
    pub commit: String,
}

/// Names become paths, in the cache and in addresses.
fn check_names(request: &FileRequest) -> Result<()> {
    let plain = |path: &str| {
        path.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains('\\'))
    };
    let help = "a repository is written owner/name; a file by its path in the repository, without ..";
    if request.repo.split('/').count() != 2
        || ![request.repo, request.revision, request.file].into_iter().all(plain)
    {
        return Err(Error::new(format!("{request} cannot be a file of a hub")).help(help));
    }
    Ok(())
}

/// The beginning of what arrived instead of a file, if a person can read it: mostly an error page.
fn first_words(path: &Path) -> String {
    use std::io::Read;
    let mut start = Vec::new();
    let _ = fs::File::open(path).and_then(|file| file.take(120).read_to_end(&mut start));
    match std::str::from_utf8(&start) {
        Ok(text) if !text.is_empty() && !text.contains('\0') => format!("; it begins with {text:?}"),
        _ => String::new(),
    }
}
