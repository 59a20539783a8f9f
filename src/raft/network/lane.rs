//! Lanes: what travels on which connection, so that nothing urgent waits behind something large.

use std::time::Duration;

use super::frame::Garbage;
use crate::limits::{
    PEER_CALL_SILENCE_MS, PEER_CHUNK_BYTES_MAX, PEER_FRAME_BYTES_MAX, PEER_VOTE_BYTES_MAX,
    PEER_VOTE_SILENCE_MS,
};

/// One of the connections between two nodes, in one direction: answers come back on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Lane {
    /// Votes, pre-votes, heartbeats and transfers of leadership.
    Votes,
    /// Entries.
    Entries,
    /// Checkpoints.
    Bulk,
    /// What nodes ask each other beside Raft.
    Node,
}

/// A kind of request. On the wire its number; an answer repeats the request's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Append = 1,
    Heartbeat = 2,
    Vote = 3,
    PreVote = 4,
    Transfer = 5,
    Call = 6,
    /// A checkpoint is about to come.
    Announce = 7,
    Chunk = 8,
    /// All of it is there.
    Install = 9,
}

/// The request was served: the payload is its answer.
pub(super) const ANSWER: u8 = 128;
/// It was not: the payload says why.
pub(super) const REFUSAL: u8 = 129;

impl Lane {
    pub(super) fn number(self) -> u8 {
        match self {
            Lane::Votes => 1,
            Lane::Entries => 2,
            Lane::Bulk => 3,
            Lane::Node => 4,
        }
    }

    pub(super) fn of(number: u8) -> Option<Lane> {
        [Lane::Votes, Lane::Entries, Lane::Bulk, Lane::Node]
            .into_iter()
            .find(|lane| lane.number() == number)
    }

    /// What a request on this lane is.
    ///
    /// # Errors
    /// Where it has no place on it.
    pub(super) fn kind(self, number: u8) -> Result<Kind, Garbage> {
        let kinds: &[Kind] = match self {
            Lane::Votes => &[Kind::Heartbeat, Kind::Vote, Kind::PreVote, Kind::Transfer],
            Lane::Entries => &[Kind::Append],
            Lane::Bulk => &[Kind::Announce, Kind::Chunk, Kind::Install],
            Lane::Node => &[Kind::Call],
        };
        let kind = kinds.iter().find(|kind| **kind as u8 == number);
        kind.copied().ok_or(Garbage::Kind(number))
    }

    /// Payload bytes of one frame, at most.
    pub(super) fn frame_bytes_max(self) -> usize {
        match self {
            Lane::Votes => PEER_VOTE_BYTES_MAX,
            Lane::Bulk => PEER_CHUNK_BYTES_MAX,
            Lane::Entries | Lane::Node => PEER_FRAME_BYTES_MAX,
        }
    }

    /// Bytes asked of the kernel at once where requests come.
    pub(super) fn request_bytes(self) -> usize {
        match self {
            Lane::Votes => 4 * 1024,
            Lane::Node => 64 * 1024,
            Lane::Entries | Lane::Bulk => 256 * 1024,
        }
    }

    /// The same where answers come.
    pub(super) fn answer_bytes(self) -> usize {
        match self {
            Lane::Votes | Lane::Entries | Lane::Bulk => 4 * 1024,
            Lane::Node => 64 * 1024,
        }
    }

    /// How long requests may stay unanswered, with nothing coming at all, before the connection is
    /// taken for dead.
    pub(super) fn silence_max(self) -> Duration {
        Duration::from_millis(match self {
            Lane::Votes => PEER_VOTE_SILENCE_MS,
            Lane::Entries | Lane::Bulk | Lane::Node => PEER_CALL_SILENCE_MS,
        })
    }
}
