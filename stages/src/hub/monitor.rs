//! The two duties of a long transfer: to report progress, and to stop soon after the user asks for it.

use std::time::{Duration, Instant};

use pipeline::error::Result;
use pipeline::event::Progress;
use pipeline::stage::Context;

/// How often a wait looks whether it is to stop.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Progress and cancellation of whatever waits for a hub.
pub struct ProgressMonitor<'a> {
    pub(crate) progress: &'a Progress,
    safe_point: Box<dyn Fn() -> Result<()> + 'a>,
}

impl<'a> ProgressMonitor<'a> {
    /// The progress and the safe points of a running stage.
    pub fn of(context: &'a Context) -> Self {
        Self::new(context.progress(), || context.safe_point())
    }

    /// A transfer stops as soon as `safe_point` returns an error.
    pub fn new(progress: &'a Progress, safe_point: impl Fn() -> Result<()> + 'a) -> Self {
        Self { progress, safe_point: Box::new(safe_point) }
    }

    /// A transfer is never asked to stop.
    pub fn unstoppable(progress: &'a Progress) -> Self {
        Self::new(progress, || Ok(()))
    }

    pub(crate) fn safe_point(&self) -> Result<()> {
        (self.safe_point)()
    }

    /// Waits for so long.
    ///
    /// # Errors
    /// The user asked to stop.
    pub(crate) fn pause(&self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            self.safe_point()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(TICK));
        }
    }
}
