//! What openraft's type parameters are here, and how its log ids and entries map to the log's
//! positions and records.

use std::any::Any;
use std::fmt;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::errors::{ClientWriteError, ForwardReason, ForwardToLeader};
use openraft::impls::{BasicNode, BoxedErrorSource, leader_id_adv};
use openraft::raft::ClientWriteResult;
use openraft::raft::responder::Responder;
use openraft::{EntryPayload, RaftTypeConfig};

use super::codec;
use super::proposals::Proposals;
use super::runtime::Glommio;
use crate::error::Unavailable;
use crate::log::{Position, Record};

pub(super) type LeaderId = leader_id_adv::LeaderId<u64, u64>;
pub(super) type LogId = openraft::LogId<LeaderId>;
pub(super) type Vote = openraft::Vote<LeaderId>;
pub(super) type Payload = EntryPayload<Proposal, u64, BasicNode>;
pub(super) type Entry = openraft::Entry<LeaderId, Payload>;
pub(super) type Membership = openraft::Membership<u64, BasicNode>;
pub(super) type StoredMembership = openraft::StoredMembership<LeaderId, u64, BasicNode>;

/// A blank record: a new leader's first entry.
pub(super) const KIND_BLANK: u8 = 0;
/// A record whose payload was proposed.
pub(super) const KIND_NORMAL: u8 = 1;
/// A record that changes who votes.
pub(super) const KIND_MEMBERSHIP: u8 = 2;

/// openraft's type parameters.
///
/// The leader id is the pair of term and node, so that a log id is exactly a [`Position`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Types;

impl RaftTypeConfig for Types {
    type D = Proposal;
    type R = ();
    type NodeId = u64;
    type Node = BasicNode;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = Glommio;
    type Responder<T: 'static> = Outcome;
    type Batch<T: 'static> = Vec<T>;
    type ErrorSource = BoxedErrorSource;
}

/// Opaque bytes on their way into the log.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proposal {
    pub payload: Bytes,
    /// Whether it counts here only once it is on disk.
    pub sync: bool,
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.payload.len())
    }
}

impl From<LogId> for Position {
    fn from(id: LogId) -> Self {
        Position {
            term: id.leader_id.term,
            leader: id.leader_id.node_id,
            index: id.index,
        }
    }
}

impl From<Position> for LogId {
    fn from(position: Position) -> Self {
        let leader_id = LeaderId {
            term: position.term,
            node_id: position.leader,
        };
        LogId::new(leader_id, position.index)
    }
}

/// The entry as the log keeps it. The payload is shared, not copied.
pub(super) fn record(entry: Entry) -> Record {
    let (kind, sync, payload) = match entry.payload {
        EntryPayload::Blank => (KIND_BLANK, true, Bytes::new()),
        EntryPayload::Normal(proposal) => (KIND_NORMAL, proposal.sync, proposal.payload),
        EntryPayload::Membership(membership) => {
            (KIND_MEMBERSHIP, true, codec::encode_membership(&membership))
        }
    };
    Record {
        position: entry.log_id.into(),
        kind,
        sync,
        payload,
    }
}

/// The record as openraft sees it.
///
/// # Errors
/// `InvalidData` where its kind or its membership is not one that this version writes.
pub(super) fn entry(record: Record) -> io::Result<Entry> {
    let payload = match record.kind {
        KIND_BLANK => EntryPayload::Blank,
        KIND_NORMAL => EntryPayload::Normal(Proposal {
            payload: record.payload,
            sync: record.sync,
        }),
        KIND_MEMBERSHIP => EntryPayload::Membership(codec::decode_membership(&record.payload)?),
        kind => {
            let text = format!(
                "log record {} is of unknown kind {kind}",
                record.position.index
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
    };
    Ok(Entry::new(record.position.into(), payload))
}

/// Follows one proposal to its end: committed here, refused, or lost sight of.
///
/// Whichever way openraft lets go of it, exactly one of these happens: its tag goes with the
/// applied entry, or [`Proposals::failed`] is told. Dropping it unanswered (a core that stopped)
/// counts as lost sight of.
pub(super) struct Outcome {
    tag: u64,
    /// Taken once the outcome is known.
    proposals: Option<Rc<Proposals>>,
}

impl Outcome {
    pub(super) fn new(tag: u64, proposals: Rc<Proposals>) -> Self {
        Outcome {
            tag,
            proposals: Some(proposals),
        }
    }
}

impl<T: 'static> Responder<Types, T> for Outcome {
    fn on_commit(&mut self, id: LogId) {
        if let Some(proposals) = &self.proposals {
            proposals.committed(id.index, self.tag);
        }
    }

    fn on_complete(mut self, result: T) {
        let Some(proposals) = self.proposals.take() else {
            return;
        };
        let result: &dyn Any = &result;
        match result.downcast_ref::<ClientWriteResult<Types>>() {
            Some(Ok(_applied)) => {}
            Some(Err(error)) => proposals.failed(self.tag, unavailable(error)),
            None => proposals.failed(self.tag, Unavailable::Uncertain),
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if let Some(proposals) = self.proposals.take() {
            proposals.failed(self.tag, Unavailable::Uncertain);
        }
    }
}

/// Whether a refused write is known not to have happened.
fn unavailable(error: &ClientWriteError<Types>) -> Unavailable {
    match error {
        // It left this log; it may still be in another one that becomes the leader's.
        ClientWriteError::LogEntryDiscarded(_) => Unavailable::Uncertain,
        ClientWriteError::ForwardToLeader(forward) => not_leader(forward),
        ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_) => {
            Unavailable::NoLeader
        }
    }
}

/// Who to ask instead. A node that leadership is being handed to does not lead yet.
pub(super) fn not_leader(forward: &ForwardToLeader<Types>) -> Unavailable {
    match (&forward.reason, forward.leader_id, &forward.leader_node) {
        (ForwardReason::NotLeader, Some(leader), Some(node)) => Unavailable::NotLeader {
            leader,
            address: node.addr.clone(),
        },
        _ => Unavailable::NoLeader,
    }
}
