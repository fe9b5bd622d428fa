//! A Hugging Face hub on loopback, for tests: it serves a folder, misbehaves when told to, and keeps a
//! log of what it was asked.
//!
//! `FOLDER/models/OWNER/NAME/…` and `FOLDER/datasets/OWNER/NAME/…` are repositories; every revision has
//! the same files, except that the branch `refs/convert/parquet` has those of `NAME.converted/…`, and is
//! not there if that folder is not. Answers what a hub client asks: resolve (HEAD, GET, Range), revision and tree
//! listings. Standard library only, except for JSON and the two hashes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::json;
use sha1::Digest;

/// Content from this length on is named by its SHA-256, as large files of a real hub are; else by its
/// git blob SHA-1.
pub const LARGE: usize = 1_000;

/// A running hub; it stops when dropped.
pub struct Hub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    faults: Mutex<Vec<(String, Fault, usize)>>,
    log: Mutex<Vec<Asked>>,
    stopped: AtomicBool,
}

/// One request that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `HEAD` or `GET`.
    pub method: String,
    /// Path with percent signs decoded and without the query.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
}

/// A way to misbehave.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers with this status and a short page instead of the file, to HEAD and GET.
    Status(u16),
    /// Answers HEAD as it should, but GET with this status and a page.
    PageInstead(u16),
    /// As `PageInstead`, but with status 200: what a proxy's login page does.
    PageWithStatus200,
    /// The right length, but the first byte is another one.
    WrongBytes,
    /// Closes the connection after so many bytes of the body.
    Cut(usize),
    /// Sends so many bytes of the body, then nothing for so long.
    Stall(usize, Duration),
    /// Says and sends only so many bytes, as if that were all.
    Short(usize),
    /// Ignores the `Range` header and sends everything.
    NoRange,
    /// Takes the request and says nothing for so long, to HEAD and GET.
    Silence(Duration),
    /// Redirects HEAD and GET to this address: a path of this hub, as where a repository has a new name, or another
    /// host, as where large files lie; HEAD describes the file then.
    Redirect(String),
}

impl Hub {
    /// Serves `folder` on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No port is free.
    pub fn serve(folder: impl AsRef<Path>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            folder: folder.as_ref().to_owned(),
            faults: Mutex::default(),
            log: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let shared = serving.clone();
                // A client that goes away in the middle is no concern of a hub.
                thread::spawn(move || stream.and_then(|stream| converse(&shared, &stream)));
            }
        });
        Ok(Self { address, shared })
    }

    /// What `HF_ENDPOINT` is to be.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Misbehaves for the next `times` requests that `fault` concerns and whose path ends with `path`.
    pub fn misbehave(&self, path: &str, fault: Fault, times: usize) {
        lock(&self.shared.faults).push((path.to_owned(), fault, times));
    }

    /// Behaves from now on.
    pub fn behave(&self) {
        lock(&self.shared.faults).clear();
    }

    /// What was asked since the start, or since the last call.
    pub fn take_log(&self) -> Vec<Asked> {
        std::mem::take(&mut *lock(&self.shared.log))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees that it is to stop.
        let _ = TcpStream::connect(self.address);
    }
}

/// The commit that every other revision of a served repository stands for.
pub const COMMIT: &str = "00000000000000000000000000000000c0ffee00";

/// The commit that `refs/convert/parquet` stands for.
pub const CONVERTED_COMMIT: &str = "00000000000000000000000000000000c0ffee01";

/// A commit that no repository has.
pub const GONE: &str = "000000000000000000000000000000000000dead";

/// The name a hub gives to content.
pub fn name_of(content: &[u8]) -> String {
    let digest = if content.len() >= LARGE {
        sha2::Sha256::digest(content).to_vec()
    } else {
        let mut sha1 = sha1::Sha1::new();
        sha1.update(format!("blob {}\0", content.len()));
        sha1.update(content);
        sha1.finalize().to_vec()
    };
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers requests on one connection until one of the two sides closes it.
fn converse(shared: &Shared, stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if lines.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            lines.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let mut words = first.split_whitespace();
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default();
        let path = decode(target.split('?').next().unwrap_or_default());
        let header = |name: &str| headers.get(name).cloned();
        let asked = Asked { method, path, range: header("range"), authorization: header("authorization") };
        lock(&shared.log).push(asked.clone());
        if !answer(shared, stream, &asked)? {
            return Ok(());
        }
    }
}

/// Answers one request; `false` to close the connection.
fn answer(shared: &Shared, stream: &TcpStream, asked: &Asked) -> std::io::Result<bool> {
    let fault = take_fault(shared, asked);
    match &fault {
        Some(Fault::Silence(time)) => {
            thread::sleep(*time);
            return Ok(false);
        }
        Some(Fault::Status(status) | Fault::PageInstead(status)) => return page(stream, asked, *status, ""),
        Some(Fault::PageWithStatus200) => return page(stream, asked, 200, ""),
        Some(Fault::Redirect(to)) if to.starts_with('/') => {
            return send(stream, asked, 307, &[("Location", to.as_str())], b"", None);
        }
        _ => {}
    }
    let parts: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    match parts[..] {
        ["api", kind @ ("models" | "datasets"), owner, name, what @ ("revision" | "tree"), ref rest @ ..] => {
            listing(stream, asked, &shared.folder.join(kind).join(owner).join(name), rest, what)
        }
        ["datasets", owner, name, "resolve", ref rest @ ..] => {
            file(stream, asked, &shared.folder.join("datasets").join(owner).join(name), rest, fault)
        }
        [owner, name, "resolve", ref rest @ ..] => {
            file(stream, asked, &shared.folder.join("models").join(owner).join(name), rest, fault)
        }
        _ => page(stream, asked, 404, "RepoNotFound"),
    }
}

fn take_fault(shared: &Shared, asked: &Asked) -> Option<Fault> {
    let mut faults = lock(&shared.faults);
    let at = faults.iter().position(|(path, fault, times)| {
        let concerned = asked.method == "GET"
            || matches!(fault, Fault::Status(_) | Fault::Silence(_) | Fault::Redirect(_));
        *times > 0 && concerned && asked.path.ends_with(path.as_str())
    })?;
    faults[at].2 -= 1;
    Some(faults[at].1.clone())
}

fn listing(
    stream: &TcpStream,
    asked: &Asked,
    repo: &Path,
    rest: &[&str],
    what: &str,
) -> std::io::Result<bool> {
    let Revision { folder, commit, .. } = match revision(repo, rest) {
        Ok(revision) => revision,
        Err(code) => return page(stream, asked, 404, code),
    };
    let mut files = Vec::new();
    walk(&folder, "", &mut files)?;
    let body = if what == "tree" {
        let entry = |(path, content): &(String, Vec<u8>)| json!({"type": "file", "oid": name_of(content), "size": content.len(), "path": path});
        json!(files.iter().map(entry).collect::<Vec<_>>())
    } else {
        json!({"id": "owner/name", "sha": commit})
    };
    send(stream, asked, 200, &[("Content-Type", "application/json")], body.to_string().as_bytes(), None)
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.push((path, fs::read(entry.path())?));
        }
    }
    Ok(())
}

/// What a revision stands for.
struct Revision<'a> {
    folder: PathBuf,
    commit: &'static str,
    /// What comes behind the revision in the request.
    path: &'a [&'a str],
}

/// The revision with which `rest` begins, or the hub's code for its not being there.
fn revision<'a>(repo: &Path, rest: &'a [&'a str]) -> Result<Revision<'a>, &'static str> {
    if rest.first() == Some(&GONE) {
        return Err("RevisionNotFound");
    }
    let (converted, path) = match rest {
        ["refs", "convert", "parquet", path @ ..] => (true, path),
        ["refs", "pr", _, path @ ..] => (false, path),
        [commit, path @ ..] => (*commit == CONVERTED_COMMIT, path),
        [] => (false, rest),
    };
    if !repo.is_dir() {
        return Err("RepoNotFound");
    }
    if !converted {
        return Ok(Revision { folder: repo.to_owned(), commit: COMMIT, path });
    }
    let name = repo.file_name().unwrap_or_default().to_string_lossy();
    let folder = repo.with_file_name(format!("{name}.converted"));
    if !folder.is_dir() {
        return Err("RevisionNotFound");
    }
    Ok(Revision { folder, commit: CONVERTED_COMMIT, path })
}

/// Answers for a file; `rest` is the revision and the path, and a revision may be `refs/pr/N`.
fn file(
    stream: &TcpStream,
    asked: &Asked,
    repo: &Path,
    rest: &[&str],
    fault: Option<Fault>,
) -> std::io::Result<bool> {
    let Revision { folder, commit, path } = match revision(repo, rest) {
        Ok(revision) => revision,
        Err(code) => return page(stream, asked, 404, code),
    };
    let Ok(mut content) = fs::read(folder.join(path.join("/"))) else {
        return page(stream, asked, 404, "EntryNotFound");
    };
    let (name, size) = (format!("\"{}\"", name_of(&content)), content.len().to_string());
    let mut keep = None;
    match &fault {
        Some(Fault::WrongBytes) => content.iter_mut().take(1).for_each(|byte| *byte ^= 1),
        Some(Fault::Short(count)) => content.truncate(*count),
        Some(Fault::Cut(count)) => keep = Some((*count, Duration::ZERO)),
        Some(Fault::Stall(count, time)) => keep = Some((*count, *time)),
        _ => {}
    }
    let begin = asked
        .range
        .as_deref()
        .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
    let begin: usize =
        if matches!(fault, Some(Fault::NoRange)) { 0 } else { begin.unwrap_or(0).min(content.len()) };
    let status = if begin > 0 { 206 } else { 200 };
    let range = format!("bytes {begin}-{}/{}", content.len().saturating_sub(1), content.len());
    let mut headers = vec![
        ("ETag", name.as_str()),
        ("X-Linked-Etag", name.as_str()),
        ("X-Linked-Size", size.as_str()),
        ("X-Repo-Commit", commit),
        ("Accept-Ranges", "bytes"),
    ];
    if let Some(Fault::Redirect(to)) = &fault {
        headers.push(("Location", to));
        return send(stream, asked, 302, &headers, b"", None);
    }
    if status == 206 {
        headers.push(("Content-Range", &range));
    }
    send(stream, asked, status, &headers, &content[begin..], keep)
}

/// A page that says no.
fn page(stream: &TcpStream, asked: &Asked, status: u16, code: &str) -> std::io::Result<bool> {
    let headers = [("X-Error-Code", code), ("Content-Type", "text/html")];
    let headers = if code.is_empty() { &headers[1..] } else { &headers[..] };
    send(stream, asked, status, headers, format!("<html>{status}: this is no file</html>").as_bytes(), None)
}

/// Sends an answer; with `keep` only so many bytes of the body, then a pause, then the end.
fn send(
    mut stream: &TcpStream,
    asked: &Asked,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
    keep: Option<(usize, Duration)>,
) -> std::io::Result<bool> {
    let mut head = format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if asked.method == "HEAD" {
        return Ok(true);
    }
    let Some((count, pause)) = keep else {
        stream.write_all(body)?;
        return Ok(true);
    };
    stream.write_all(&body[..count.min(body.len())])?;
    stream.flush()?;
    thread::sleep(pause);
    Ok(false)
}

/// `%2F` and the like as what they stand for.
fn decode(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
