//! How a node stands in its group, and what the group takes from it.

use bytes::Bytes;

use crate::error::Unavailable;

/// What the group takes.
pub trait Proposer {
    fn standing(&self) -> Standing;

    /// Hands over an entry; its end is told with `tag`.
    ///
    /// # Errors
    /// It was not handed over.
    fn propose(&self, tag: u64, payload: Bytes, sync: bool) -> Result<(), Unavailable>;
}

/// How this node stands in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    pub term: u64,
    pub seat: Seat,
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
