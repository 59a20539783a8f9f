//! The seam through which a test makes the disk fail at a chosen moment.

use std::io;
use std::sync::Arc;

/// One access to the disk that is about to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A write that the operating system may keep in memory.
    Write,
    /// A write that is to be on disk before anybody is told; in the segment log a [`Access::Sync`]
    /// follows.
    WriteDurable,
    /// A sync of what was written before.
    Sync,
    /// A new segment being made ready.
    Prepare,
}

/// Decides whether an access goes through (`Ok`) or fails with the given error instead.
pub type Faults = Arc<dyn Fn(Access) -> io::Result<()> + Send + Sync>;

/// Asks `faults`, where there are any.
pub(crate) fn check(faults: &Option<Faults>, access: Access) -> io::Result<()> {
    faults.as_ref().map_or(Ok(()), |decide| decide(access))
}

/// The reason of a poisoned log: the first failure, given again to every later write.
#[derive(Debug, Clone)]
pub(crate) struct Poison {
    kind: io::ErrorKind,
    text: String,
}

impl Poison {
    pub(crate) fn new(doing: &str, error: &io::Error) -> Self {
        let text = format!("{doing} failed: {error}");
        tracing::error!("the log acknowledges nothing from here on: {text}");
        Poison {
            kind: error.kind(),
            text,
        }
    }

    pub(crate) fn error(&self) -> io::Error {
        io::Error::new(self.kind, self.text.clone())
    }
}
