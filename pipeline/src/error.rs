//! The one error type: what failed, where, why, and what to do about it.
//!
//! A stage's name is added by the scheduler.

use std::any::TypeId;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::artifact::Artifact;

/// What a stage or the store returns when it cannot go on.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure in the words a user needs: stage, path, cause, help.
#[derive(Debug)]
pub struct Error {
    stage: Option<String>,
    what: String,
    path: Option<PathBuf>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    help: Option<String>,
    cancelled: bool,
}

impl Error {
    /// An error that says `what` could not be done. Begin in lower case, end without a full stop.
    pub fn new(what: impl Into<String>) -> Self {
        Self { stage: None, what: what.into(), path: None, cause: None, help: None, cancelled: false }
    }

    /// The stop that the user asked for; not a failure of the stage.
    pub fn cancelled() -> Self {
        Self { cancelled: true, ..Self::new("stopped at your request") }
    }

    /// Adds the file or folder concerned.
    #[must_use]
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.path = Some(path.as_ref().to_owned());
        self
    }

    /// Adds the underlying cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Gives as the cause that the stage's input of type `A` no longer holds: something outside the store that it refers
    /// to is gone. The scheduler withdraws that result and has it made again, instead of failing the stage.
    #[must_use]
    pub fn input_is_gone<A: Artifact>(self) -> Self {
        self.because(InputIsGone(TypeId::of::<A>()))
    }

    /// The type of the input that no longer holds, if that is the cause.
    pub(crate) fn gone_input(&self) -> Option<TypeId> {
        self.cause.as_ref()?.downcast_ref().map(|InputIsGone(type_id)| *type_id)
    }

    /// What could not be done, without place, cause and help.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// Names the stage, unless one is named already.
    #[must_use]
    pub fn in_stage(mut self, stage: &str) -> Self {
        self.stage.get_or_insert_with(|| stage.to_owned());
        self
    }

    /// Adds what the user can do, unless that was said already or comes with the cause.
    #[must_use]
    pub(crate) fn help_if_none(mut self, help: &str) -> Self {
        let told = self.to_string().contains("\n  help: ");
        if !told {
            self.help = Some(help.to_owned());
        }
        self
    }

    /// Whether a full disk is behind this, however deep.
    pub fn is_disk_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        self.comes_from(|kind| matches!(kind, StorageFull | QuotaExceeded))
    }

    /// Whether behind this, however deep, is that the user may not do it, or that the disk is read-only.
    pub fn is_denied(&self) -> bool {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        self.comes_from(|kind| matches!(kind, PermissionDenied | ReadOnlyFilesystem))
    }

    /// Whether an error of the system of such a kind is behind this.
    fn comes_from(&self, wanted: fn(std::io::ErrorKind) -> bool) -> bool {
        let mut cause = self.cause.as_deref().map(|c| c as &(dyn std::error::Error + 'static));
        while let Some(c) = cause {
            if let Some(error) = c.downcast_ref::<Error>() {
                return error.comes_from(wanted);
            }
            if let Some(error) = c.downcast_ref::<std::io::Error>() {
                if wanted(error.kind()) {
                    return true;
                }
                // The source of a wrapping `io::Error` is not what it wraps, but the source of that.
                if let Some(inner) = error.get_ref() {
                    cause = Some(inner);
                    continue;
                }
            }
            cause = c.source();
        }
        false
    }

    /// Whether this is a stop at the user's request.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stage) = &self.stage {
            write!(f, "{stage}: ")?;
        }
        f.write_str(&self.what)?;
        if let Some(path) = &self.path {
            write!(f, "\n  at: {}", path.display())?;
        }
        let mut cause = self.cause.as_deref().map(|c| c as &dyn std::error::Error);
        while let Some(c) = cause {
            write!(f, "\n  because: {}", c.to_string().replace('\n', "\n    "))?;
            cause = c.source();
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The cause of an error: the input of this type refers to something that is gone.
#[derive(Debug)]
struct InputIsGone(TypeId);

impl fmt::Display for InputIsGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an earlier result refers to it")
    }
}

impl std::error::Error for InputIsGone {}

/// Turns any error into an [`Error`] that says what was being done.
pub trait OrFail<T> {
    /// `result.or_fail(|| Error::new("cannot read the prompts").at(path))`: keeps the cause.
    fn or_fail(self, error: impl FnOnce() -> Error) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> OrFail<T> for std::result::Result<T, E> {
    fn or_fail(self, error: impl FnOnce() -> Error) -> Result<T> {
        self.map_err(|cause| error().because(cause))
    }
}
