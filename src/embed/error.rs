//! Why a call has no reply.

use std::fmt;

/// Why a call was not answered with a reply. The text is the one that a client of a server would
/// see, its code word first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The command's own error (`WRONGTYPE ..`, `ERR syntax error`): it was carried out, or looked
    /// at, and this is its outcome. It would be the same again.
    Command(String),
    /// Nothing was done: no leader, no quorum, too much in flight. Safe to try again.
    Unavailable(String),
    /// It may or may not have been carried out, now or later: not to be repeated blindly. Also
    /// said of reads that were under way when the node stopped.
    Uncertain(String),
    /// Nothing was done: the node has been stopped, or has failed. It will answer no more.
    Stopped(String),
}

impl Error {
    /// The text, code word first.
    pub fn text(&self) -> &str {
        match self {
            Error::Command(text)
            | Error::Unavailable(text)
            | Error::Uncertain(text)
            | Error::Stopped(text) => text,
        }
    }

    /// Whether nothing was done, so that the same call may be made again.
    pub fn is_safe_to_retry(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Stopped(_))
    }

    /// Sorts an error reply by its code word.
    pub(super) fn from_reply(text: String) -> Error {
        match text.split(' ').next().unwrap_or_default() {
            "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" | "MOVED" | "MISCONF" => Error::Unavailable(text),
            "UNCERTAIN" => Error::Uncertain(text),
            "SHUTDOWN" => Error::Stopped(text),
            _ => Error::Command(text),
        }
    }

    /// The core was to stop and had not begun with the call.
    pub(super) fn stopped() -> Error {
        Error::from_reply(crate::error::Unavailable::Stopping.to_string())
    }

    /// The core ended while the call was under way.
    pub(super) fn abandoned() -> Error {
        Error::Uncertain("UNCERTAIN the node stopped while the command was under way".into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Error {}
