//! Single requests to a hub: what is this file, bring its bytes, list the repository.
//!
//! Each waits no longer than the settings' patience for the next byte, and looks at the safe point
//! several times a second.

use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use hf_hub::repository::{HFRepository, RepoTreeEntry};
use hf_hub::{HFError, HFResult, RepoType};
use pipeline::error::{Error, Result};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, LOCATION, RETRY_AFTER};

use super::cache::{RepoCache, is_commit, write_error};
use super::client::{Answer, Hub, Remote, RepoKind, Wanted};
use super::retry::Trouble;
use super::watch::Watch;

/// How often a waiting request looks whether the user wants to stop.
const TICK: Duration = Duration::from_millis(100);
/// Progress is reported in steps of this many bytes.
const STEP: u64 = 1 << 20;

/// One file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Path in the repository.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

impl Hub {
    /// The files of the repository that `wanted` names, in order of their paths; its file is not
    /// looked at. Offline, those that are in the cache.
    ///
    /// # Errors
    /// Unreachable, unknown repository or revision, gated, a stop at the user's request.
    pub fn list(&self, wanted: &Wanted, watch: &Watch) -> Result<Vec<Listed>> {
        self.list_if_there(wanted, watch)?.ok_or_else(|| {
            Error::new(format!("{} knows no {} at {}", self.settings.endpoint, wanted.repo, wanted.revision))
                .help(NO_REPOSITORY)
        })
    }

    /// As [`list`](Self::list), but `None` where the hub knows no such repository or revision.
    pub(crate) fn list_if_there(&self, wanted: &Wanted, watch: &Watch) -> Result<Option<Vec<Listed>>> {
        let mut files = if self.settings.offline {
            let cache = RepoCache::new(&self.settings.cache, wanted);
            let mut files = Vec::new();
            if let Some(commit) = cache.commit_of(wanted.revision) {
                list_folder(&cache.snapshot(&commit), "", &mut files);
            }
            Some(files)
        } else {
            self.persist(wanted, watch, self.settings.attempts, || self.tree(wanted, watch))?
        };
        files.iter_mut().for_each(|files| files.sort_by(|a, b| a.path.cmp(&b.path)));
        Ok(files)
    }

    fn tree(&self, wanted: &Wanted, watch: &Watch) -> Result<Option<Vec<Listed>>, Trouble> {
        let (owner, name) = hf_hub::split_id(wanted.repo);
        let listing = match wanted.kind {
            RepoKind::Model => self.wait(watch, entries(self.client.model(owner, name), wanted.revision))?,
            RepoKind::Dataset => {
                self.wait(watch, entries(self.client.dataset(owner, name), wanted.revision))?
            }
        };
        match listing {
            Ok(files) => Ok(Some(files)),
            Err(HFError::Http { context }) if context.status == StatusCode::NOT_FOUND => Ok(None),
            Err(HFError::RepoNotFound { .. } | HFError::RevisionNotFound { .. }) => Ok(None),
            Err(error) => Err(self.trouble(error, wanted)),
        }
    }

    /// Asks what a file is. The hub answers for large files with a redirect to where the bytes lie;
    /// hash, size and commit stand in the redirect itself, so it is not followed.
    pub(crate) fn ask(&self, wanted: &Wanted, watch: &Watch) -> Result<Answer<Remote>, Trouble> {
        let mut address = self.file_address(wanted)?;
        for _ in 0..10 {
            let mut request = self.http.head(address.clone()).header(ACCEPT_ENCODING, "identity");
            if let Some(token) = &self.settings.token {
                request = request.bearer_auth(token);
            }
            let response = self.wait(watch, request.send())?.map_err(|e| unreachable(&e))?;
            let (status, headers) = (response.status(), response.headers());
            // A relative redirect is the same repository under its present name.
            if status.is_redirection()
                && let Some(location) = text(headers, LOCATION.as_str())
                && location.starts_with('/')
                && !location.starts_with("//")
                && let Ok(next) = address.join(location)
            {
                address = next;
                continue;
            }
            if status.is_success() || status.is_redirection() {
                return described(wanted, status, headers).map(Answer::Found).map_err(Trouble::Final);
            }
            let code = text(headers, "x-error-code").unwrap_or_default();
            if status == StatusCode::NOT_FOUND && !matches!(code, "RepoNotFound" | "RevisionNotFound") {
                return Ok(Answer::Missing);
            }
            let wait = text(headers, RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok());
            let message = text(headers, "x-error-message").unwrap_or(code);
            return Err(self.refusal(status, message, wait.map(Duration::from_secs), wanted));
        }
        Err(Error::new(format!("{} redirects {wanted} in a circle", self.settings.endpoint)).into())
    }

    /// Brings the bytes that `part` still lacks. A connection that breaks is trouble, and what came stays
    /// for the next attempt; whether what came is the file is for the caller to find out.
    pub(crate) fn transfer(
        &self,
        wanted: &Wanted,
        remote: &Remote,
        part: &Path,
        watch: &Watch,
    ) -> Result<(), Trouble> {
        let (owner, name) = hf_hub::split_id(wanted.repo);
        match wanted.kind {
            RepoKind::Model => {
                self.transfer_from(&self.client.model(owner, name), wanted, remote, part, watch)
            }
            RepoKind::Dataset => {
                self.transfer_from(&self.client.dataset(owner, name), wanted, remote, part, watch)
            }
        }
    }

    fn transfer_from<T: RepoType>(
        &self,
        repo: &HFRepository<T>,
        wanted: &Wanted,
        remote: &Remote,
        part: &Path,
        watch: &Watch,
    ) -> Result<(), Trouble> {
        let failed = |e| Trouble::Final(write_error(part, e));
        let here = part.metadata().map_or(0, |data| data.len());
        let mut done = if remote.size.is_some_and(|size| here <= size) { here } else { 0 };
        let mut file = OpenOptions::new().create(true).append(true).open(part).map_err(failed)?;
        file.set_len(done).map_err(failed)?;
        watch.progress.begin(remote.size.unwrap_or(0), "bytes");
        if done > 0 {
            watch.progress.advance(done);
        }
        if remote.size == Some(done) {
            return Ok(());
        }
        let range = remote.size.filter(|_| done > 0).map(|size| done..size);
        let request = repo
            .download_file_stream()
            .filename(wanted.file)
            .revision(remote.commit.as_str())
            .maybe_range(range)
            .send();
        let (_, mut bytes) = self.wait(watch, request)?.map_err(|e| self.trouble(e, wanted))?;
        let mut untold = 0;
        while let Some(chunk) = self.wait(watch, bytes.next())? {
            let chunk = chunk.map_err(|e| self.trouble(e, wanted))?;
            done += chunk.len() as u64;
            file.write_all(&chunk).map_err(failed)?;
            untold += chunk.len() as u64;
            if untold >= STEP {
                watch.progress.advance(std::mem::take(&mut untold));
            }
            if remote.size.is_some_and(|size| done > size) {
                break;
            }
        }
        watch.progress.advance(untold);
        file.flush().map_err(failed)?;
        Ok(())
    }

    /// Runs a request, or the wait for its next bytes, for as long as the patience lasts.
    fn wait<F: Future>(&self, watch: &Watch, future: F) -> Result<F::Output, Trouble> {
        self.runtime.block_on(async {
            let mut future = pin!(future);
            let begun = Instant::now();
            loop {
                watch.safe_point()?;
                if let Ok(output) = tokio::time::timeout(TICK, &mut future).await {
                    return Ok(output);
                }
                if begun.elapsed() >= self.settings.patience {
                    let seconds = self.settings.patience.as_secs_f32();
                    return Err(passing(format!("nothing came for {seconds} s"), ""));
                }
            }
        })
    }

    fn file_address(&self, wanted: &Wanted) -> Result<reqwest::Url> {
        let mut address = self.settings.address()?;
        if let Ok(mut path) = address.path_segments_mut() {
            path.pop_if_empty();
            if wanted.kind == RepoKind::Dataset {
                path.push("datasets");
            }
            path.extend(wanted.repo.split('/')).push("resolve").push(wanted.revision);
            path.extend(wanted.file.split('/'));
        }
        Ok(address)
    }

    /// The error for a file that is not there, with what is there instead.
    pub(crate) fn missing_error(&self, wanted: &Wanted, watch: &Watch) -> Error {
        if self.settings.offline {
            return Error::new(format!("{wanted} is not in the cache, and HF_HUB_OFFLINE is set"))
                .at(&self.settings.cache)
                .help(
                    "unset HF_HUB_OFFLINE once to fetch it, or set HF_HUB_CACHE to the folder that has it",
                );
        }
        let error = Error::new(format!("{} has no {wanted}", self.settings.endpoint));
        match self.tree(wanted, watch) {
            Ok(Some(mut files)) if !files.is_empty() => {
                files.sort_by(|a, b| a.path.cmp(&b.path));
                error.help(format!("the repository has: {}", shown(&files)))
            }
            _ => error.help("check the names of repository, revision and file"),
        }
    }

    /// What an answer other than success means.
    fn refusal(&self, status: StatusCode, message: &str, wait: Option<Duration>, wanted: &Wanted) -> Trouble {
        let endpoint = &self.settings.endpoint;
        let said = if message.is_empty() { String::new() } else { format!(": {message}") };
        let refused = Error::new(format!("{endpoint} refuses {wanted}")).because(format!("{status}{said}"));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let help = match self.settings.token {
                    None => {
                        "the repository is gated, private or does not exist: check its name, accept its terms on \
                         its page, and set HF_TOKEN to a token that may read it"
                    }
                    Some(_) => {
                        "the token in HF_TOKEN may not read it: check the repository's name, accept its terms on \
                         its page, and allow the token to read gated repositories"
                    }
                };
                refused.help(help).into()
            }
            StatusCode::NOT_FOUND if wanted.kind == RepoKind::Dataset => {
                let newest = "SET=download.revision=main takes a data set as it is now";
                refused.help(format!("{NO_REPOSITORY}; {newest}")).into()
            }
            StatusCode::NOT_FOUND => refused.help(NO_REPOSITORY).into(),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                let help =
                    if self.settings.token.is_some() { "try later" } else { "try later, or set HF_TOKEN" };
                Trouble::Passing { cause: format!("{status}{said}"), help: help.to_owned(), wait }
            }
            _ if status.is_server_error() => {
                passing(format!("{status}{said}"), "the hub is out of order: try later")
            }
            _ => refused.help("check HF_ENDPOINT").into(),
        }
    }

    fn trouble(&self, error: HFError, wanted: &Wanted) -> Trouble {
        match error {
            HFError::Http { context }
            | HFError::AuthRequired { context }
            | HFError::Forbidden { context } => {
                let message = context.server_message.as_deref().unwrap_or_default();
                self.refusal(context.status, message, None, wanted)
            }
            HFError::RateLimited { retry_after, .. } => {
                self.refusal(StatusCode::TOO_MANY_REQUESTS, "", retry_after, wanted)
            }
            HFError::EntryNotFound { .. }
            | HFError::RepoNotFound { .. }
            | HFError::RevisionNotFound { .. } => self.refusal(StatusCode::NOT_FOUND, "", None, wanted),
            HFError::Request { source, .. } => unreachable(&source),
            other => passing(chain(&other), ""),
        }
    }
}

/// Reads hash, size and commit from the headers of an answer.
fn described(wanted: &Wanted, status: StatusCode, headers: &HeaderMap) -> Result<Remote> {
    let lacks = |what: &str| {
        Error::new(format!("the server does not say the {what} of {wanted}"))
            .help("HF_ENDPOINT must name a Hugging Face hub or a mirror of one")
    };
    let tag = text(headers, "x-linked-etag")
        .or_else(|| text(headers, ETAG.as_str()))
        .ok_or_else(|| lacks("ETag"))?;
    let hash = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').to_owned();
    if hash.is_empty()
        || hash.starts_with('.')
        || !hash.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    {
        return Err(lacks("hash"));
    }
    // The length of a redirect is that of its own page.
    let length = if status.is_success() { text(headers, CONTENT_LENGTH.as_str()) } else { None };
    let size = text(headers, "x-linked-size").or(length).and_then(|size| size.parse().ok());
    let commit = if is_commit(wanted.revision) {
        wanted.revision.to_owned()
    } else {
        text(headers, "x-repo-commit")
            .filter(|commit| is_commit(commit))
            .ok_or_else(|| lacks("commit"))?
            .to_owned()
    };
    Ok(Remote { hash, size, commit })
}

/// The first of the files, and how many more there are.
pub(crate) fn shown(files: &[Listed]) -> String {
    const MOST: usize = 20;
    let names: Vec<&str> = files.iter().take(MOST).map(|file| file.path.as_str()).collect();
    let more = files.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

async fn entries<T: RepoType>(repo: HFRepository<T>, revision: &str) -> HFResult<Vec<Listed>> {
    let mut stream = pin!(repo.list_tree().revision(revision).recursive(true).send()?);
    let mut files = Vec::new();
    while let Some(entry) = next(&mut stream).await {
        if let RepoTreeEntry::File { path, size, .. } = entry? {
            files.push(Listed { path, size });
        }
    }
    Ok(files)
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    stream.next().await
}

fn list_folder(folder: &Path, prefix: &str, files: &mut Vec<Listed>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match fs::metadata(entry.path()) {
            Ok(data) if data.is_dir() => list_folder(&entry.path(), &format!("{path}/"), files),
            Ok(data) => files.push(Listed { path, size: data.len() }),
            Err(_) => {}
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn passing(cause: impl Into<String>, help: &str) -> Trouble {
    let help = if help.is_empty() { UNREACHABLE } else { help };
    Trouble::Passing { cause: cause.into(), help: help.to_owned(), wait: None }
}

const NO_REPOSITORY: &str = "the hub knows no such repository or revision: check their names";

const UNREACHABLE: &str = "check the network, HF_ENDPOINT and proxies; with the file in the cache, \
                           HF_HUB_OFFLINE=1 works without the hub";

fn unreachable(error: &reqwest::Error) -> Trouble {
    passing(chain(error), "")
}

/// An error with its causes on one line: reqwest keeps what happened two causes deep.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !line.contains(&more) {
            line = format!("{line}: {more}");
        }
        cause = error.source();
    }
    line
}
