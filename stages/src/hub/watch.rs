//! What a long wait owes the user: progress, and stopping soon after being asked to.
//!
//! It knows nothing of hubs.

use std::time::{Duration, Instant};

use pipeline::error::Result;
use pipeline::event::Progress;
use pipeline::stage::Context;

/// What a long transfer reports to, and asks before it goes on.
pub struct Watch<'a> {
    pub(crate) progress: &'a Progress,
    safe_point: Box<dyn Fn() -> Result<()> + 'a>,
}

impl<'a> Watch<'a> {
    /// The progress and the safe points of a running stage.
    pub fn of(context: &'a Context) -> Self {
        Self::new(context.progress(), || context.safe_point())
    }

    /// Stops as soon as `safe_point` returns an error.
    pub fn new(progress: &'a Progress, safe_point: impl Fn() -> Result<()> + 'a) -> Self {
        Self { progress, safe_point: Box::new(safe_point) }
    }

    /// Never stops.
    pub fn unstoppable(progress: &'a Progress) -> Self {
        Self::new(progress, || Ok(()))
    }

    pub(crate) fn safe_point(&self) -> Result<()> {
        (self.safe_point)()
    }

    pub(crate) fn pause(&self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            self.safe_point()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}
