//! HTTP: one request, its reply, and the reply's bytes as they arrive.
//!
//! ureq blocks while it waits. A request therefore runs on a thread of its own, and its caller looks at the safe point
//! several times a second, and gives up when nothing comes for as long as the settings' patience lasts. The abandoned
//! thread ends soon after, for ureq gives up too.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use pipeline::error::{Error, Result};
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode, Uri};
use ureq::tls::{RootCerts, TlsConfig};

use super::monitor::{ProgressMonitor, TICK};
use super::proxy;
use super::retry::Failure;

/// Bytes read at once.
const CHUNK: usize = 1 << 17;
/// Chunks that may wait to be taken; then the network waits.
const QUEUED: usize = 8;
/// How much longer than the caller the thread of a request waits.
const GRACE: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpMethod {
    /// The reply's head alone.
    Head,
    /// All of the reply.
    Get,
}

/// Sends requests and follows no redirects.
pub(super) struct Transport {
    agent: Agent,
    patience: Duration,
}

/// The head of a reply, and its body, which may still be on its way.
pub(super) struct Reply {
    pub status: StatusCode,
    headers: HeaderMap,
    parts: Receiver<Part>,
    patience: Duration,
}

/// What the thread of a request has to tell; it ends after the last of the bytes, or an error.
enum Part {
    Head(StatusCode, HeaderMap),
    Bytes(Vec<u8>),
    Error(String),
}

impl Transport {
    /// For requests to `address` and where they are redirected. Certificates are those that the system trusts.
    pub(super) fn new(address: &Uri, patience: Duration) -> Self {
        let longest = Some(patience.saturating_add(GRACE));
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("coreg/", env!("CARGO_PKG_VERSION")))
            // A hash is one of the bytes as they are.
            .accept_encoding("identity")
            .proxy(proxy::for_address(address))
            .tls_config(tls)
            .timeout_resolve(longest)
            .timeout_connect(longest)
            .timeout_per_read(longest)
            .timeout_per_write(longest)
            .build();
        Self { agent: config.into(), patience }
    }

    /// Sends a request and waits for the head of its reply, which may be a redirect.
    ///
    /// # Errors
    /// Unreachable, nothing within the patience, a stop at the user's request.
    pub(super) fn send(
        &self,
        method: HttpMethod,
        address: &str,
        headers: &[(&str, String)],
        monitor: &ProgressMonitor,
    ) -> Result<Reply, Failure> {
        let mut request = match method {
            HttpMethod::Head => self.agent.head(address),
            HttpMethod::Get => self.agent.get(address),
        };
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let (send, parts) = sync_channel(QUEUED);
        let body = method == HttpMethod::Get;
        thread::Builder::new()
            .name("hub".to_owned())
            .spawn(move || match request.call() {
                Ok(response) => {
                    let (head, content) = response.into_parts();
                    let told = send.send(Part::Head(head.status, head.headers));
                    if body && told.is_ok() {
                        forward(content.into_reader(), &send);
                    }
                }
                Err(error) => tell(&send, error),
            })
            .map_err(|cause| Error::new("cannot start a thread for a request").because(cause))?;
        match next(&parts, self.patience, monitor)? {
            Some(Part::Head(status, headers)) => {
                Ok(Reply { status, headers, parts, patience: self.patience })
            }
            Some(Part::Error(cause)) => Err(Failure::transient(cause)),
            Some(Part::Bytes(_)) | None => Err(Failure::transient("there was no answer")),
        }
    }
}

impl Reply {
    /// A header's value, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next bytes of the body; none after the last.
    ///
    /// # Errors
    /// A connection that breaks, nothing within the patience, a stop at the user's request.
    pub(super) fn bytes(&self, monitor: &ProgressMonitor) -> Result<Option<Vec<u8>>, Failure> {
        match next(&self.parts, self.patience, monitor)? {
            Some(Part::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Part::Error(cause)) => Err(Failure::transient(cause)),
            Some(Part::Head(..)) | None => Ok(None),
        }
    }

    /// All of the body.
    ///
    /// # Errors
    /// As for [`bytes`](Self::bytes).
    pub(super) fn body(&self, monitor: &ProgressMonitor) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(bytes) = self.bytes(monitor)? {
            body.extend(bytes);
        }
        Ok(body)
    }
}

/// Waits for the thread of a request; none when it has ended.
fn next(
    parts: &Receiver<Part>,
    patience: Duration,
    monitor: &ProgressMonitor,
) -> Result<Option<Part>, Failure> {
    let begun = Instant::now();
    loop {
        monitor.safe_point()?;
        let left = patience.saturating_sub(begun.elapsed());
        match parts.recv_timeout(left.min(TICK)) {
            Ok(part) => return Ok(Some(part)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                return Err(Failure::transient(format!("nothing came for {} s", patience.as_secs_f32())));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Passes on what arrives until the end, an error, or nobody listens any more.
fn forward(mut body: impl Read, send: &SyncSender<Part>) {
    let mut chunk = vec![0; CHUNK];
    loop {
        match body.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => {
                if send.send(Part::Bytes(chunk[..count].to_vec())).is_err() {
                    return;
                }
            }
            Err(error) => return tell(send, ureq::Error::from(error)),
        }
    }
}

fn tell(send: &SyncSender<Part>, error: ureq::Error) {
    let cause = match error {
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    };
    // Nobody listens where the caller stopped or lost patience.
    let _ = send.send(Part::Error(cause));
}
