//! Every request and answer comes back as it was, and no bytes make a decoder panic.

use std::collections::{BTreeMap, BTreeSet};

use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::impls::BasicNode;
use rand::RngExt;

use super::*;
use crate::raft::types::{Membership, Proposal, StoredMembership};

fn leader(term: u64) -> LeaderId {
    LeaderId { term, node_id: 3 }
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(leader(term), index)
}

fn committed_vote() -> Vote {
    Vote {
        leader_id: leader(7),
        committed: true,
    }
}

fn membership() -> Membership {
    let configs = vec![BTreeSet::from([1, 2, 3])];
    let nodes: BTreeMap<u64, BasicNode> = (1..=3)
        .map(|id| (id, BasicNode::new(format!("host-{id}:7000"))))
        .collect();
    Membership::new(configs, nodes).unwrap()
}

fn append_request() -> AppendEntriesRequest<Types> {
    let payloads = [
        EntryPayload::Blank,
        EntryPayload::Normal(Proposal {
            payload: Bytes::from(vec![9; 3000]),
            sync: true,
        }),
        EntryPayload::Membership(membership()),
        EntryPayload::Normal(Proposal {
            payload: Bytes::new(),
            sync: false,
        }),
    ];
    let entries = payloads
        .into_iter()
        .zip(11..)
        .map(|(payload, index)| Entry::new(id(6, index), payload));
    AppendEntriesRequest {
        vote: committed_vote(),
        prev_log_id: Some(id(5, 10)),
        entries: entries.collect(),
        leader_commit: Some(id(5, 9)),
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::new();
    write(&mut out);
    Bytes::from(out)
}

/// Each kind of message, written, and whether bytes are read as one.
type Case = (Bytes, fn(&Bytes) -> bool);

fn cases() -> Vec<Case> {
    let meta = Meta {
        last_log_id: Some(id(6, 40)),
        last_membership: StoredMembership::new(Some(id(6, 2)), membership()),
    };
    vec![
        (written(|out| put_append(out, &append_request())), |bytes| {
            append(bytes).is_ok()
        }),
        (
            written(|out| {
                let answer = AppendEntriesResponse::PartialSuccess(Some(id(1, 2)));
                put_appended(out, &answer);
            }),
            |bytes| appended(bytes).is_ok(),
        ),
        (
            written(|out| put_ask(out, &VoteRequest::new(committed_vote(), Some(id(1, 2))))),
            |bytes| ask(bytes).is_ok(),
        ),
        (
            written(|out| {
                put_voted(out, &VoteResponse::new(committed_vote(), None, true));
            }),
            |bytes| voted(bytes).is_ok(),
        ),
        (
            written(|out| {
                let request = TransferLeaderRequest::new(committed_vote(), 2, Some(id(1, 2)));
                put_transfer(out, &request);
            }),
            |bytes| transfer(bytes).is_ok(),
        ),
        (
            written(|out| {
                let error = TransferLeaderError::LogNotFlushed {
                    expected: Some(id(1, 2)),
                    actual: None,
                };
                put_transferred(out, &Err(error));
            }),
            |bytes| transferred(bytes).is_ok(),
        ),
        (
            written(|out| put_checkpoint(out, &committed_vote(), &meta)),
            |bytes| checkpoint(bytes).is_ok(),
        ),
        (
            written(|out| put_installed(out, &SnapshotResponse::new(committed_vote()))),
            |bytes| installed(bytes).is_ok(),
        ),
    ]
}

#[test]
fn requests_come_back_as_they_were() {
    let request = append_request();
    let read = append(&written(|out| put_append(out, &request))).unwrap();
    assert_eq!(read.vote, request.vote);
    assert_eq!(read.prev_log_id, request.prev_log_id);
    assert_eq!(read.leader_commit, request.leader_commit);
    assert_eq!(read.entries, request.entries);

    let mut request = VoteRequest::<Types>::new(committed_vote(), None);
    request.leadership_transfer = true;
    assert_eq!(
        ask(&written(|out| put_ask(out, &request))).unwrap(),
        request
    );

    let request = TransferLeaderRequest::<Types>::new(committed_vote(), 9, Some(id(3, 4)));
    let read = transfer(&written(|out| put_transfer(out, &request))).unwrap();
    assert_eq!(read, request);

    let meta = Meta {
        last_log_id: Some(id(7, 40)),
        last_membership: StoredMembership::new(Some(id(6, 2)), membership()),
    };
    let bytes = written(|out| put_checkpoint(out, &committed_vote(), &meta));
    assert_eq!(checkpoint(&bytes).unwrap(), (committed_vote(), meta));
}

#[test]
fn answers_come_back_as_they_were() {
    for answer in [
        AppendEntriesResponse::Success,
        AppendEntriesResponse::PartialSuccess(None),
        AppendEntriesResponse::PartialSuccess(Some(id(4, u64::MAX))),
        AppendEntriesResponse::Conflict,
        AppendEntriesResponse::HigherVote(committed_vote()),
    ] {
        let bytes = written(|out| put_appended(out, &answer));
        assert_eq!(appended(&bytes).unwrap(), answer);
    }
    let answer = VoteResponse::<Types>::new(committed_vote(), Some(id(1, 1)), false);
    let bytes = written(|out| put_voted(out, &answer));
    assert_eq!(voted(&bytes).unwrap(), answer);
    for answer in [
        Ok(()),
        Err(TransferLeaderError::VoteChanged {
            expected: committed_vote(),
            actual: Vote::new(1, 2),
        }),
        Err(TransferLeaderError::LogNotFlushed {
            expected: None,
            actual: Some(id(2, 2)),
        }),
    ] {
        let bytes = written(|out| put_transferred(out, &answer));
        assert_eq!(transferred(&bytes).unwrap(), answer);
    }
    let answer = SnapshotResponse::<Types>::new(committed_vote());
    let bytes = written(|out| put_installed(out, &answer));
    assert_eq!(installed(&bytes).unwrap(), answer);
}

#[test]
fn cuts_are_refused_and_noise_is_survived() {
    let mut rng = rand::rng();
    for (bytes, reads) in cases() {
        assert!(reads(&bytes));
        for cut in 0..bytes.len() {
            assert!(!reads(&bytes.slice(..cut)), "cut at {cut}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(!reads(&Bytes::from(longer)));
        for _ in 0..5000 {
            let mut changed = bytes.to_vec();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..changed.len());
                changed[at] = rng.random();
            }
            reads(&Bytes::from(changed));
            let noise: Vec<u8> = (0..rng.random_range(0..80)).map(|_| rng.random()).collect();
            reads(&Bytes::from(noise));
        }
    }
}

#[test]
fn entries_that_do_not_follow_are_refused() {
    let refused = |change: fn(&mut AppendEntriesRequest<Types>)| {
        let mut request = append_request();
        change(&mut request);
        append(&written(|out| put_append(out, &request))).is_err()
    };
    assert!(refused(|request| request.entries.swap(0, 1)));
    assert!(refused(|request| request.prev_log_id = Some(id(5, 9))));
    assert!(refused(|request| request.prev_log_id = Some(id(8, 10))));
    assert!(refused(|request| request.prev_log_id = None));
    assert!(refused(|request| request.entries[3].log_id = id(8, 14)));
    assert!(refused(|request| request.entries[3].log_id = id(5, 14)));
    assert!(refused(|request| request.vote.committed = false));
}
