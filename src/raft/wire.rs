//! openraft's requests and answers as bytes between nodes. Integers are little-endian; the version
//! is the frame's (`network/frame.rs`).
//!
//! ```text
//! log id       term u64 | leader u64 | index u64            maybe: known u8 | log id, if known is 1
//! vote         term u64 | node u64 | committed u8
//! append       vote | previous maybe log id | committed maybe log id | count u32 | count * entry
//! entry        log id | kind u8 | sync u8 | length u32 | payload       as the log keeps it
//! append's     0 | 1 maybe log id (up to here) | 2 (conflict) | 3 vote (a higher one)
//! ask a vote   vote | last maybe log id | transfer u8
//! vote's       vote | granted u8 | last maybe log id
//! transfer     vote | to u64 | last maybe log id
//! transfer's   0 | 1 expected vote, actual vote | 2 expected maybe log id, actual maybe log id
//! checkpoint   vote | last maybe log id | kept membership
//! ```
//!
//! What is decoded is also sensible: entries follow each other and what precedes them, and none is
//! newer than its leader.

use std::io;

use bytes::{BufMut, Bytes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::storage::SnapshotMeta;

use super::codec::{self, Fields};
use super::types::{self, Entry, LeaderId, LogId, Types, Vote};
use crate::log::{Position, Record};

/// What a checkpoint is called between nodes.
pub(super) type Meta = SnapshotMeta<LeaderId, u64, openraft::impls::BasicNode>;

fn put_log_id(out: &mut Vec<u8>, id: LogId) {
    out.put_u64_le(id.leader_id.term);
    out.put_u64_le(id.leader_id.node_id);
    out.put_u64_le(id.index);
}

fn put_maybe(out: &mut Vec<u8>, id: Option<LogId>) {
    out.put_u8(id.is_some().into());
    if let Some(id) = id {
        put_log_id(out, id);
    }
}

fn put_vote(out: &mut Vec<u8>, vote: &Vote) {
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.node_id);
    out.put_u8(vote.committed.into());
}

fn log_id(fields: &mut Fields) -> io::Result<LogId> {
    let leader_id = LeaderId {
        term: fields.u64()?,
        node_id: fields.u64()?,
    };
    Ok(LogId::new(leader_id, fields.u64()?))
}

fn maybe(fields: &mut Fields) -> io::Result<Option<LogId>> {
    fields.flag()?.then(|| log_id(fields)).transpose()
}

fn vote(fields: &mut Fields) -> io::Result<Vote> {
    let leader_id = LeaderId {
        term: fields.u64()?,
        node_id: fields.u64()?,
    };
    let committed = fields.flag()?;
    Ok(Vote {
        leader_id,
        committed,
    })
}

pub(super) fn put_append(out: &mut Vec<u8>, request: &AppendEntriesRequest<Types>) {
    put_vote(out, &request.vote);
    put_maybe(out, request.prev_log_id);
    put_maybe(out, request.leader_commit);
    out.put_u32_le(request.entries.len() as u32);
    for entry in &request.entries {
        put_log_id(out, entry.log_id);
        let record = types::record(entry.clone());
        out.put_u8(record.kind);
        out.put_u8(record.sync.into());
        out.put_u32_le(record.payload.len() as u32);
        out.put_slice(&record.payload);
    }
}

/// Bytes that [`put_append`] appends for an entry, nearly.
pub(super) fn entry_bytes(entry: &Entry) -> usize {
    use openraft::EntryPayload;
    let payload = match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.payload.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    payload + 30
}

/// Payloads share `bytes`.
///
/// # Errors
/// `InvalidData` where the bytes are no such request.
pub(super) fn append(bytes: &Bytes) -> io::Result<AppendEntriesRequest<Types>> {
    let mut fields = Fields::of(bytes, "append request");
    let vote = vote(&mut fields)?;
    let prev_log_id = maybe(&mut fields)?;
    let leader_commit = maybe(&mut fields)?;
    let count = fields.u32()?;
    let mut entries = Vec::new();
    let mut last = prev_log_id;
    for _ in 0..count {
        let id = log_id(&mut fields)?;
        let follows = match last {
            Some(last) => last.index.checked_add(1) == Some(id.index) && last < id,
            None => id.index == 0,
        };
        if !follows || id.leader_id > vote.leader_id {
            return Err(fields.invalid());
        }
        last = Some(id);
        entries.push(entry(&mut fields, bytes, id)?);
    }
    fields.end()?;
    if !vote.committed || prev_log_id.is_some_and(|id| id.leader_id > vote.leader_id) {
        return Err(fields.invalid());
    }
    Ok(AppendEntriesRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit,
    })
}

fn entry(fields: &mut Fields, bytes: &Bytes, id: LogId) -> io::Result<Entry> {
    let (kind, sync) = (fields.u8()?, fields.flag()?);
    let length = fields.u32()? as usize;
    let payload = bytes.slice_ref(fields.take(length)?);
    types::entry(Record {
        position: Position::from(id),
        kind,
        sync,
        payload,
    })
}

pub(super) fn put_appended(out: &mut Vec<u8>, answer: &AppendEntriesResponse<Types>) {
    match answer {
        AppendEntriesResponse::Success => out.put_u8(0),
        AppendEntriesResponse::PartialSuccess(id) => {
            out.put_u8(1);
            put_maybe(out, *id);
        }
        AppendEntriesResponse::Conflict => out.put_u8(2),
        AppendEntriesResponse::HigherVote(vote) => {
            out.put_u8(3);
            put_vote(out, vote);
        }
    }
}

/// # Errors
/// `InvalidData` where the bytes are no such answer.
pub(super) fn appended(bytes: &[u8]) -> io::Result<AppendEntriesResponse<Types>> {
    let mut fields = Fields::of(bytes, "append answer");
    let answer = match fields.u8()? {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::PartialSuccess(maybe(&mut fields)?),
        2 => AppendEntriesResponse::Conflict,
        3 => AppendEntriesResponse::HigherVote(vote(&mut fields)?),
        _ => return Err(fields.invalid()),
    };
    fields.end()?;
    Ok(answer)
}

pub(super) fn put_ask(out: &mut Vec<u8>, request: &VoteRequest<Types>) {
    put_vote(out, &request.vote);
    put_maybe(out, request.last_log_id);
    out.put_u8(request.leadership_transfer.into());
}

/// # Errors
/// `InvalidData` where the bytes are no such request.
pub(super) fn ask(bytes: &[u8]) -> io::Result<VoteRequest<Types>> {
    let mut fields = Fields::of(bytes, "vote request");
    let mut request = VoteRequest::new(vote(&mut fields)?, maybe(&mut fields)?);
    request.leadership_transfer = fields.flag()?;
    fields.end()?;
    Ok(request)
}

pub(super) fn put_voted(out: &mut Vec<u8>, answer: &VoteResponse<Types>) {
    put_vote(out, &answer.vote);
    out.put_u8(answer.vote_granted.into());
    put_maybe(out, answer.last_log_id);
}

/// # Errors
/// `InvalidData` where the bytes are no such answer.
pub(super) fn voted(bytes: &[u8]) -> io::Result<VoteResponse<Types>> {
    let mut fields = Fields::of(bytes, "vote answer");
    let (vote, granted) = (vote(&mut fields)?, fields.flag()?);
    let answer = VoteResponse::new(vote, maybe(&mut fields)?, granted);
    fields.end()?;
    Ok(answer)
}

pub(super) fn put_transfer(out: &mut Vec<u8>, request: &TransferLeaderRequest<Types>) {
    put_vote(out, request.from_leader());
    out.put_u64_le(*request.to_node_id());
    put_maybe(out, request.last_log_id().copied());
}

/// # Errors
/// `InvalidData` where the bytes are no such request.
pub(super) fn transfer(bytes: &[u8]) -> io::Result<TransferLeaderRequest<Types>> {
    let mut fields = Fields::of(bytes, "transfer request");
    let (from, to) = (vote(&mut fields)?, fields.u64()?);
    let request = TransferLeaderRequest::new(from, to, maybe(&mut fields)?);
    fields.end()?;
    Ok(request)
}

pub(super) fn put_transferred(out: &mut Vec<u8>, answer: &TransferLeaderResponse<Types>) {
    match answer {
        Ok(()) => out.put_u8(0),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            out.put_u8(1);
            put_vote(out, expected);
            put_vote(out, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            out.put_u8(2);
            put_maybe(out, *expected);
            put_maybe(out, *actual);
        }
    }
}

/// # Errors
/// `InvalidData` where the bytes are no such answer.
pub(super) fn transferred(bytes: &[u8]) -> io::Result<TransferLeaderResponse<Types>> {
    let mut fields = Fields::of(bytes, "transfer answer");
    let answer = match fields.u8()? {
        0 => Ok(()),
        1 => Err(TransferLeaderError::VoteChanged {
            expected: vote(&mut fields)?,
            actual: vote(&mut fields)?,
        }),
        2 => Err(TransferLeaderError::LogNotFlushed {
            expected: maybe(&mut fields)?,
            actual: maybe(&mut fields)?,
        }),
        _ => return Err(fields.invalid()),
    };
    fields.end()?;
    Ok(answer)
}

pub(super) fn put_checkpoint(out: &mut Vec<u8>, vote: &Vote, meta: &Meta) {
    put_vote(out, vote);
    put_maybe(out, meta.last_log_id);
    out.put_slice(&codec::encode_kept(&meta.last_membership));
}

/// # Errors
/// `InvalidData` where the bytes are no such announcement, or it is newer than its leader.
pub(super) fn checkpoint(bytes: &[u8]) -> io::Result<(Vote, Meta)> {
    let mut fields = Fields::of(bytes, "checkpoint's announcement");
    let (vote, last_log_id) = (vote(&mut fields)?, maybe(&mut fields)?);
    // A kept membership may be none at all, but not between nodes.
    let newer = last_log_id.is_some_and(|id| id.leader_id > vote.leader_id);
    if !vote.committed || newer || fields.rest().is_empty() {
        return Err(fields.invalid());
    }
    let last_membership = codec::decode_kept(fields.rest())?;
    let meta = Meta {
        last_log_id,
        last_membership,
    };
    Ok((vote, meta))
}

pub(super) fn put_installed(out: &mut Vec<u8>, answer: &SnapshotResponse<Types>) {
    put_vote(out, &answer.vote);
}

/// # Errors
/// `InvalidData` where the bytes are no such answer.
pub(super) fn installed(bytes: &[u8]) -> io::Result<SnapshotResponse<Types>> {
    let mut fields = Fields::of(bytes, "checkpoint's answer");
    let answer = SnapshotResponse::new(vote(&mut fields)?);
    fields.end()?;
    Ok(answer)
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
