//! Trying again: which trouble may go away, how long to wait, and what to say meanwhile.

use std::time::Duration;

use pipeline::error::{Error, Result};

use super::client::{Hub, Wanted};
use super::watch::Watch;

/// Something that kept one attempt from its end.
pub(crate) enum Trouble {
    /// May go away: what happened, what to do if it stays, and how long the hub asks to wait.
    Passing { cause: String, help: String, wait: Option<Duration> },
    /// Will not go away.
    Final(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl Hub {
    /// Tries until it works, the trouble is final, or the attempts are used up.
    pub(crate) fn persist<T>(
        &self,
        wanted: &Wanted,
        watch: &Watch,
        attempts: u32,
        mut attempt: impl FnMut() -> Result<T, Trouble>,
    ) -> Result<T> {
        let mut pause = self.settings.pause;
        let mut tried = 0;
        loop {
            watch.safe_point()?;
            tried += 1;
            let (cause, help, wait) = match attempt() {
                Ok(value) => return Ok(value),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Passing { cause, help, wait }) => (cause, help, wait),
            };
            if tried >= attempts {
                let times = if tried == 1 { String::new() } else { format!(", tried {tried} times") };
                return Err(Error::new(format!(
                    "cannot fetch {wanted} from {}{times}",
                    self.settings.endpoint
                ))
                .because(cause)
                .help(help));
            }
            let wait = wait.unwrap_or(pause).max(pause).min(Duration::from_secs(120));
            watch.progress.note(format!(
                "waits {:.1} s, then tries {} again (attempt {} of {attempts}): {cause}",
                wait.as_secs_f32(),
                self.settings.endpoint,
                tried + 1
            ));
            watch.pause(wait)?;
            pause *= 2;
        }
    }
}
