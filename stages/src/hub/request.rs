//! Single requests to a hub: what is this file, send its bytes, list the repository.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pipeline::error::{Error, Result};
use serde::Deserialize;
use ureq::http::StatusCode;

use super::cache::{RepoCache, is_commit, write_error};
use super::client::{Answer, FileRequest, Hub, RemoteFile, RepoKind};
use super::monitor::ProgressMonitor;
use super::refusal::{self, UNKNOWN_REPOSITORY};
use super::retry::{Failure, retry};
use super::transport::{HttpMethod, Reply};

/// More redirects in a row than this are a circle.
const REDIRECTS: usize = 10;
/// Progress is reported in steps of this many bytes.
const STEP: u64 = 1 << 20;

/// What is encoded in the part of an address between two slashes.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What is encoded in a path of several parts.
const PATH: &AsciiSet = &PART.remove(b'/');

/// One file of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ListedFile {
    /// Path in the repository.
    pub path: String,
    /// Bytes.
    #[serde(default)]
    pub size: u64,
}

/// An entry of the hub's listing.
#[derive(Deserialize)]
struct TreeEntry {
    /// `file` or `directory`.
    r#type: String,
    #[serde(flatten)]
    listed: ListedFile,
}

impl Hub {
    /// The files of the repository that `request` names, in order of their paths; its file is not
    /// looked at. Offline, those that are in the cache.
    ///
    /// # Errors
    /// Unreachable, unknown repository or revision, gated, a stop at the user's request.
    pub fn list(&self, request: &FileRequest, monitor: &ProgressMonitor) -> Result<Vec<ListedFile>> {
        self.list_if_there(request, monitor)?.ok_or_else(|| {
            let endpoint = &self.settings.endpoint;
            Error::new(format!("{endpoint} knows no {} at {}", request.repo, request.revision))
                .help(UNKNOWN_REPOSITORY)
        })
    }

    /// As [`list`](Self::list), but `None` where the hub knows no such repository or revision.
    pub(crate) fn list_if_there(
        &self,
        request: &FileRequest,
        monitor: &ProgressMonitor,
    ) -> Result<Option<Vec<ListedFile>>> {
        let mut files = if self.settings.offline {
            let cache = RepoCache::new(&self.settings.cache, request);
            let mut files = Vec::new();
            if let Some(commit) = cache.commit() {
                list_folder(&cache.snapshot(&commit), "", &mut files);
            }
            Some(files)
        } else {
            retry(&self.settings, request, self.settings.attempts, monitor, || self.tree(request, monitor))?
        };
        files.iter_mut().for_each(|files| files.sort_by(|a, b| a.path.cmp(&b.path)));
        Ok(files)
    }

    fn tree(
        &self,
        request: &FileRequest,
        monitor: &ProgressMonitor,
    ) -> Result<Option<Vec<ListedFile>>, Failure> {
        let kind = match request.kind {
            RepoKind::Model => "models",
            RepoKind::Dataset => "datasets",
        };
        let (repo, revision) =
            (utf8_percent_encode(request.repo, PATH), utf8_percent_encode(request.revision, PART));
        let first = format!("{}/api/{kind}/{repo}/tree/{revision}?recursive=true", self.settings.endpoint);
        let mut files = Vec::new();
        let mut page = Some(first);
        while let Some(address) = page {
            let reply = self.get(request, address, None, monitor)?;
            if reply.status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            if !reply.status.is_success() {
                return Err(refusal::failure(&self.settings, request, &reply));
            }
            let entries: Vec<TreeEntry> = serde_json::from_slice(&reply.body(monitor)?)
                .map_err(|cause| Failure::transient(format!("its list of files cannot be read: {cause}")))?;
            files
                .extend(entries.into_iter().filter(|entry| entry.r#type == "file").map(|entry| entry.listed));
            page = reply.header("link").and_then(next_page);
        }
        Ok(Some(files))
    }

    /// Asks what a file is. The hub answers for large files with a redirect to where the bytes lie;
    /// hash, size and commit stand in the redirect itself, so it is not followed.
    pub(super) fn describe(
        &self,
        request: &FileRequest,
        monitor: &ProgressMonitor,
    ) -> Result<Answer<RemoteFile>, Failure> {
        let mut address = self.file_address(request, request.revision);
        for _ in 0..REDIRECTS {
            let reply = self.send(HttpMethod::Head, &address, None, monitor)?;
            let status = reply.status;
            // A relative redirect is the same repository under its present name.
            if status.is_redirection()
                && let Some(location) = reply.header("location")
                && location.starts_with('/')
                && !location.starts_with("//")
            {
                address = redirected(&address, location);
                continue;
            }
            if status.is_success() || status.is_redirection() {
                return Ok(Answer::Found(described(request, &reply)?));
            }
            let code = reply.header("x-error-code");
            if status == StatusCode::NOT_FOUND && !matches!(code, Some("RepoNotFound" | "RevisionNotFound")) {
                return Ok(Answer::Missing);
            }
            return Err(refusal::failure(&self.settings, request, &reply));
        }
        Err(self.in_a_circle(request))
    }

    /// Fetches the bytes that `part` still lacks. What came before a failure stays for the next attempt; whether what
    /// came is the file is for the caller to find out.
    pub(super) fn transfer(
        &self,
        request: &FileRequest,
        remote: &RemoteFile,
        part: &Path,
        monitor: &ProgressMonitor,
    ) -> Result<(), Failure> {
        let failed = |e| Failure::from(write_error(part, e));
        let here = part.metadata().map_or(0, |data| data.len());
        let mut done = if remote.size.is_some_and(|size| here <= size) { here } else { 0 };
        let mut file = OpenOptions::new().create(true).append(true).open(part).map_err(failed)?;
        file.set_len(done).map_err(failed)?;
        monitor.progress.begin(remote.size.unwrap_or(0), "bytes");
        if remote.size == Some(done) {
            monitor.progress.advance(done);
            return Ok(());
        }
        let range = remote.size.filter(|_| done > 0).map(|size| format!("bytes={done}-{}", size - 1));
        let reply = self.get(request, self.file_address(request, &remote.commit), range, monitor)?;
        if reply.status == StatusCode::RANGE_NOT_SATISFIABLE && done > 0 {
            file.set_len(0).map_err(failed)?;
            return Err(Failure::transient(format!("{}: begins anew", reply.status)));
        }
        if !reply.status.is_success() {
            return Err(refusal::failure(&self.settings, request, &reply));
        }
        if reply.status != StatusCode::PARTIAL_CONTENT && done > 0 {
            // The server cannot resume and sends everything.
            done = 0;
            file.set_len(0).map_err(failed)?;
        }
        monitor.progress.advance(done);
        let mut unreported = 0;
        while let Some(bytes) = reply.bytes(monitor)? {
            let count = bytes.len() as u64;
            done += count;
            file.write_all(&bytes).map_err(failed)?;
            unreported += count;
            if unreported >= STEP {
                monitor.progress.advance(std::mem::take(&mut unreported));
            }
            if remote.size.is_some_and(|size| done > size) {
                break;
            }
        }
        monitor.progress.advance(unreported);
        file.flush().map_err(failed)
    }

    /// Fetches from an address, or from where it is redirected.
    fn get(
        &self,
        request: &FileRequest,
        mut address: String,
        range: Option<String>,
        monitor: &ProgressMonitor,
    ) -> Result<Reply, Failure> {
        for _ in 0..REDIRECTS {
            let reply = self.send(HttpMethod::Get, &address, range.as_deref(), monitor)?;
            match reply.header("location").filter(|_| reply.status.is_redirection()) {
                Some(location) => address = redirected(&address, location),
                None => return Ok(reply),
            }
        }
        Err(self.in_a_circle(request))
    }

    /// Sends a request, with the token if it goes to the hub: where large files lie is no concern of the token.
    fn send(
        &self,
        method: HttpMethod,
        address: &str,
        range: Option<&str>,
        monitor: &ProgressMonitor,
    ) -> Result<Reply, Failure> {
        let mut headers = Vec::new();
        if let Some(token) = &self.settings.token
            && origin(address).eq_ignore_ascii_case(origin(&self.settings.endpoint))
        {
            headers.push(("authorization", format!("Bearer {token}")));
        }
        headers.extend(range.map(|range| ("range", range.to_owned())));
        self.transport.send(method, address, &headers, monitor)
    }

    fn in_a_circle(&self, request: &FileRequest) -> Failure {
        Error::new(format!("{} redirects {request} in a circle", self.settings.endpoint)).into()
    }

    fn file_address(&self, request: &FileRequest, revision: &str) -> String {
        let repo = request.repository().url();
        let [repo, file] = [&repo, request.file].map(|path| utf8_percent_encode(path, PATH));
        format!("{}/{repo}/resolve/{}/{file}", self.settings.endpoint, utf8_percent_encode(revision, PART))
    }

    /// The error for a file that is not there, with what is there instead.
    pub(crate) fn missing_error(&self, request: &FileRequest, monitor: &ProgressMonitor) -> Error {
        if self.settings.offline {
            return Error::new(format!("{request} is not in the cache, and HF_HUB_OFFLINE is set"))
                .at(&self.settings.cache)
                .help(
                    "unset HF_HUB_OFFLINE once to fetch it, or set HF_HUB_CACHE to the folder that has it",
                );
        }
        let error = Error::new(format!("{} has no {request}", self.settings.endpoint));
        match self.tree(request, monitor) {
            Ok(Some(mut files)) if !files.is_empty() => {
                files.sort_by(|a, b| a.path.cmp(&b.path));
                error.help(format!("the repository has: {}", shown(&files)))
            }
            _ => error.help("check the names of repository, revision and file"),
        }
    }
}

/// Reads hash, size and commit from the head of a reply.
fn described(request: &FileRequest, reply: &Reply) -> Result<RemoteFile> {
    let lacks = |what: &str| {
        Error::new(format!("the server does not say the {what} of {request}"))
            .help("HF_ENDPOINT must name a Hugging Face hub or a mirror of one")
    };
    let tag = reply.header("x-linked-etag").or(reply.header("etag")).ok_or_else(|| lacks("ETag"))?;
    let hash = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').to_owned();
    if hash.is_empty()
        || hash.starts_with('.')
        || !hash.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    {
        return Err(lacks("hash"));
    }
    // The length of a redirect is that of its own page.
    let length = if reply.status.is_success() { reply.header("content-length") } else { None };
    let size = reply.header("x-linked-size").or(length).and_then(|size| size.parse().ok());
    let commit = if is_commit(request.revision) {
        request.revision
    } else {
        let commit = reply.header("x-repo-commit").filter(|commit| is_commit(commit));
        commit.ok_or_else(|| lacks("commit"))?
    };
    Ok(RemoteFile { hash, size, commit: commit.to_owned() })
}

/// Scheme, host and port of an address.
fn origin(address: &str) -> &str {
    let host = address.find("://").map_or(0, |at| at + 3);
    let end = address[host..].find(['/', '?', '#']).map_or(address.len(), |at| host + at);
    &address[..end]
}

/// The address to which the header `Location` of a reply from `address` leads.
fn redirected(address: &str, location: &str) -> String {
    if ["http://", "https://"].iter().any(|scheme| location.starts_with(scheme)) {
        return location.to_owned();
    }
    if location.starts_with("//") {
        let scheme = address.split("//").next().unwrap_or_default();
        return format!("{scheme}{location}");
    }
    if location.starts_with('/') {
        return format!("{}{location}", origin(address));
    }
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let folder = path.rfind('/').map_or(path, |at| &path[..=at]);
    format!("{folder}{location}")
}

/// The address of the next page of a listing, from the header `Link`: `<address>; rel="next"`.
fn next_page(link: &str) -> Option<String> {
    let next = link.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (address, _) = next.trim().strip_prefix('<')?.split_once('>')?;
    Some(address.to_owned())
}

/// The first of the files, and how many more there are.
pub(crate) fn shown(files: &[ListedFile]) -> String {
    const MOST: usize = 20;
    let names: Vec<&str> = files.iter().take(MOST).map(|file| file.path.as_str()).collect();
    let more = files.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

fn list_folder(folder: &Path, prefix: &str, files: &mut Vec<ListedFile>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match fs::metadata(entry.path()) {
            Ok(data) if data.is_dir() => list_folder(&entry.path(), &format!("{path}/"), files),
            Ok(data) => files.push(ListedFile { path, size: data.len() }),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_another_host_path_or_folder() {
        let leads = |location| redirected("https://hub:1/a/b?c=/d", location);
        assert_eq!(leads("https://cdn/x?y=https://z"), "https://cdn/x?y=https://z");
        assert_eq!(leads("//cdn/x"), "https://cdn/x");
        assert_eq!(leads("/x?y=https://z"), "https://hub:1/x?y=https://z");
        assert_eq!(leads("x"), "https://hub:1/a/x");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (address, expected) in [
            ("https://hub", "https://hub"),
            ("https://hub/a/b", "https://hub"),
            ("http://hub:80?a=b", "http://hub:80"),
            ("https://hub.evil/", "https://hub.evil"),
        ] {
            assert_eq!(origin(address), expected);
        }
    }

    #[test]
    fn the_next_page_is_the_link_that_says_so() {
        let link = "<https://hub/api?cursor=a>; rel=\"prev\", <https://hub/api?cursor=b>; rel=\"next\"";
        assert_eq!(next_page(link).as_deref(), Some("https://hub/api?cursor=b"));
        assert_eq!(next_page("<https://hub/api>; rel=\"first\""), None);
    }
}
