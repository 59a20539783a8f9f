//! How a node stands in its group, and what the group takes from it.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Unavailable;

/// What the group takes.
pub trait Proposer {
    fn standing(&self) -> Standing;

    /// Hands over an entry, to be logged in this `term` or not at all; its end is told with `tag`.
    ///
    /// # Errors
    /// It was not handed over.
    fn propose(&self, term: u64, tag: u64, payload: Bytes, sync: bool) -> Result<(), Unavailable>;
}

/// How this node stands in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    pub term: u64,
    pub seat: Seat,
}

/// What every core knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stand {
    pub standing: Standing,
    /// What this node has is no older than this, on the steady clock; 0 where it does not know.
    pub fresh_ms: u64,
    /// On the leader: a voter cannot be reached.
    pub voters_missing: bool,
    /// Where clients reach the leader, on a follower.
    pub leader: Option<Arc<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seat {
    /// The only member, with all that was ever acknowledged applied.
    Alone,
    Leader {
        /// A quorum has answered lately.
        has_quorum: bool,
    },
    /// Another node leads, if this one knows it.
    #[default]
    Lost,
    Follower {
        leader: u64,
    },
    /// The log can no longer be written here.
    Down,
}

impl Standing {
    pub fn leads(&self) -> bool {
        matches!(self.seat, Seat::Alone | Seat::Leader { has_quorum: true })
    }
}
