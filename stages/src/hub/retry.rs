//! Trying again: which failures may pass, how long to wait, and what to say meanwhile.

use std::time::Duration;

use pipeline::error::{Error, Result};

use super::client::FileRequest;
use super::environment::HubSettings;
use super::monitor::ProgressMonitor;

/// The longest wait before another attempt, whatever the hub asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// What help says where nothing better is known.
const CHECK_NETWORK: &str = "check the network, HF_ENDPOINT and proxies; with the file in the cache, \
                             HF_HUB_OFFLINE=1 works without the hub";

/// Why an attempt did not succeed.
pub(super) enum Failure {
    /// Another attempt may succeed: what happened, what to do if it stays so, and how long the hub asks to wait.
    Transient { cause: String, help: String, wait: Option<Duration> },
    /// No other attempt will.
    Permanent(Error),
}

impl Failure {
    /// A transient failure that the network may be to blame for.
    pub(super) fn transient(cause: impl Into<String>) -> Self {
        Self::transient_with_help(cause, CHECK_NETWORK)
    }

    pub(super) fn transient_with_help(cause: impl Into<String>, help: &str) -> Self {
        Self::Transient { cause: cause.into(), help: help.to_owned(), wait: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Permanent(error)
    }
}

/// Makes up to `attempts` attempts at `request`, with a pause that doubles from one to the next.
///
/// # Errors
/// The first permanent failure, the last transient one, a stop at the user's request.
pub(super) fn retry<T>(
    settings: &HubSettings,
    request: &FileRequest,
    attempts: u32,
    monitor: &ProgressMonitor,
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> Result<T> {
    let endpoint = &settings.endpoint;
    let mut pause = settings.pause;
    let mut made = 0;
    loop {
        monitor.safe_point()?;
        made += 1;
        let (cause, help, wait) = match attempt() {
            Ok(value) => return Ok(value),
            Err(Failure::Permanent(error)) => return Err(error),
            Err(Failure::Transient { cause, help, wait }) => (cause, help, wait),
        };
        if made >= attempts {
            let times = if made == 1 { String::new() } else { format!(", tried {made} times") };
            let error = Error::new(format!("cannot fetch {request} from {endpoint}{times}"));
            return Err(error.because(cause).help(help));
        }
        let wait = wait.unwrap_or(pause).max(pause).min(LONGEST_PAUSE);
        monitor.progress.note(format!(
            "waits {:.1} s, then tries {endpoint} again (attempt {} of {attempts}): {cause}",
            wait.as_secs_f32(),
            made + 1
        ));
        monitor.pause(wait)?;
        pause *= 2;
    }
}
