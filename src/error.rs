//! The three kinds of failure that are not a command's own reply: unavailable (safe to retry),
//! uncertain (may or may not have happened), fatal (the node stops acknowledging).
//!
//! A command's own error (`WRONGTYPE ..`) is none of these: it is the deterministic, applied
//! result and travels as a reply.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a proposal or a read could not be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// This node does not lead and knows no leader, or leads and reaches no quorum. Nothing was
    /// done.
    NoLeader,
    /// Another node leads: ask that one. Nothing was done.
    NotLeader {
        /// The leader's node id.
        leader: u64,
        /// Where clients and peers reach it, as the membership has it.
        address: String,
    },
    /// Too much is in flight; nothing was done.
    Busy(&'static str),
    /// Every voter was to have the write on its disk, and one cannot be reached. Nothing was done.
    NoReplicas,
    /// The node is stopping; nothing was done.
    Stopping,
    /// The entry may or may not come to be committed: the one outcome that must not be retried
    /// blindly.
    Uncertain,
    /// The log can no longer be written (text says why). Nothing is acknowledged from here on.
    Poisoned(String),
}

impl Unavailable {
    /// Whether nothing was done, for certain, and another node or a later time may take it.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Unavailable::Uncertain | Unavailable::Poisoned(_))
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unavailable::NoLeader => f.write_str("CLUSTERDOWN no leader is known"),
            Unavailable::NotLeader { leader, address } => {
                write!(
                    f,
                    "CLUSTERDOWN node {leader} at {address} leads, not this one"
                )
            }
            Unavailable::Busy(what) => write!(f, "BUSY {what}"),
            Unavailable::NoReplicas => f.write_str(
                "NOREPLICAS a voter cannot be reached, nothing was written: durability 'all' needs \
                 every one",
            ),
            Unavailable::Stopping => f.write_str("SHUTDOWN the node is stopping"),
            Unavailable::Uncertain => {
                f.write_str("UNCERTAIN the write may or may not have been applied")
            }
            Unavailable::Poisoned(why) => {
                write!(
                    f,
                    "MISCONF the log cannot be written, writes are refused: {why}"
                )
            }
        }
    }
}

/// An error that keeps a node from starting or makes it stop. Its text says what to do.
#[derive(Debug)]
pub enum Fatal {
    /// An operating system call on `path` failed while `doing`.
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// What lies on disk contradicts its checksums or its order. `what` names the file, the
    /// record and the byte offset.
    Corrupt { what: String },
    /// A setting or the environment makes a start impossible; the text says what to change.
    Setup(String),
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fatal::Io {
                doing,
                path,
                source,
            } => {
                write!(f, "{doing} {}: {source}", path.display())?;
                f.write_str(advice(source))
            }
            Fatal::Corrupt { what } => write!(f, "damaged: {what}"),
            Fatal::Setup(what) => f.write_str(what),
        }
    }
}

/// The operating system's own error behind `error`, where there is one.
pub fn system_error(error: &(dyn std::error::Error + 'static)) -> Option<io::Error> {
    let mut cause = Some(error);
    while let Some(one) = cause {
        let code = one
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error);
        if let Some(code) = code {
            return Some(io::Error::from_raw_os_error(code));
        }
        cause = one.source();
    }
    None
}

/// What to do about an error of the operating system, behind its text; empty where that is all
/// there is to say.
pub fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => ": too few file descriptors, raise ulimit -n",
        Some(libc::ENOSPC | libc::EDQUOT) => ": the disk is full, make room",
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => {
            ": it must be writable for the user that runs this"
        }
        _ => "",
    }
}

impl std::error::Error for Fatal {}

impl Fatal {
    /// Wraps an I/O error with what was being done to which file.
    pub fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Fatal::Io {
            doing,
            path: path.into(),
            source,
        }
    }
}
