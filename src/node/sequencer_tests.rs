//! Batches through a sequencer, without a group.

use std::cell::RefCell;

use bytes::Bytes;
use futures::channel::oneshot;

use crate::error::Unavailable;
use crate::limits::{ENTRY_BYTES_SOFT, ENTRY_PARTS_MAX};
use crate::log::Position;
use crate::shard::Local;

use super::entry::{self, BatchName, HEAD_BYTES};
use super::forward::{Foreign, ForeignAnswer, Forwarded};
use super::message::Submission;
use super::sequencer::{Outgoing, State};
use super::standing::{Proposer, Seat, Standing};

/// A group that takes everything, and what it took.
#[derive(Default)]
struct Taken(RefCell<Vec<(u64, Bytes)>>);

impl Proposer for Taken {
    fn standing(&self) -> Standing {
        Standing {
            term: 1,
            seat: Seat::Alone,
        }
    }

    fn propose(
        &self,
        _term: u64,
        tag: u64,
        payload: Bytes,
        _sync: bool,
    ) -> Result<(), Unavailable> {
        self.0.borrow_mut().push((tag, payload));
        Ok(())
    }
}

/// What batch `number` writes: one in eight does, the others only read.
fn written(number: usize) -> Vec<u8> {
    if number.is_multiple_of(8) {
        vec![number as u8]
    } else {
        Vec::new()
    }
}

fn batch(number: usize) -> Submission {
    let mut commands = Vec::new();
    if number.is_multiple_of(8) {
        commands.resize(HEAD_BYTES, 0);
        commands.extend(written(number));
    }
    Submission {
        commands,
        local: Local {
            origin: number,
            ..Local::default()
        },
        ..Submission::default()
    }
}

/// What a restart reads of an entry is what its proposer handed over, however many batches
/// piled up behind a disk that stood still; and each batch is answered in its place.
#[test]
fn entries_read_back_however_many_batches_wait() {
    for batches in [1, 2, 3, ENTRY_PARTS_MAX, 70_000] {
        let (mut state, group) = (State::new(7), Taken::default());
        for number in 0..batches {
            state.submit(batch(number), 1);
        }
        state.look(group.standing());
        let (mut read, mut answered, mut index) = (Vec::new(), Vec::new(), 0);
        while state.propose(&group) {
            for (tag, payload) in group.0.take() {
                let parts = entry::parts(&payload).unwrap();
                assert!(parts.len() <= ENTRY_PARTS_MAX);
                read.extend(
                    parts
                        .iter()
                        .map(|(_, range)| payload[range.clone()].to_vec()),
                );
                index += 1;
                let position = Position {
                    term: 1,
                    leader: 7,
                    index,
                };
                state.committed(position, Some(tag), payload);
            }
            for outgoing in state.outgoing.drain(..) {
                if let Outgoing::Deliver(delivery) = outgoing {
                    let locals = delivery.parts.iter().flat_map(|part| &part.local);
                    answered.extend(locals.map(|local| local.origin));
                }
            }
        }
        let handed: Vec<Vec<u8>> = (0..batches).step_by(8).map(written).collect();
        assert!(read == handed, "{batches} batches");
        assert!(answered.iter().copied().eq(0..batches), "{batches} batches");
    }
}

/// A checkpoint of another node may hold a batch that was sent: it is neither sent again nor said
/// to have failed. What was not sent goes on.
#[test]
fn what_a_checkpoint_may_hold_is_uncertain() {
    let (mut state, group) = (State::new(7), Taken::default());
    let seat = Seat::Leader { has_quorum: true };
    let standing = Standing { term: 1, seat };
    for number in [0, 8, 1] {
        state.submit(batch(number), 1);
    }
    state.look(standing);
    assert!(state.propose(&group));
    // The lead was lost, and with it what was known of the first two.
    let (tag, _) = group.0.take()[0];
    for number in [16, 3] {
        state.submit(batch(number), 1);
    }
    state.pass_over(Position {
        term: 5,
        leader: 9,
        index: 1000,
    });
    let refused = state.outgoing.drain(..).map(|outgoing| match outgoing {
        Outgoing::Refuse(local, why) => (local.origin, why),
        _ => panic!("nothing was applied"),
    });
    let refused: Vec<(usize, Unavailable)> = refused.collect();
    let uncertain = |number| (number, Unavailable::Uncertain);
    assert_eq!(refused, [uncertain(0), uncertain(8)]);
    state.failed(tag, &Unavailable::Uncertain);
    assert!(state.propose(&group), "what waited is proposed");
    let sent = group.0.take();
    let [(_, payload)] = &sent[..] else {
        panic!("one entry");
    };
    let parts = entry::parts(payload).unwrap();
    assert!(
        parts
            .iter()
            .map(|(_, range)| payload[range.clone()].to_vec())
            .eq([written(16)])
    );
}

/// A leader that hangs answers no call; its successor is asked at once, and what the hung one may
/// have logged is known by its successor's first entry.
#[test]
fn nobody_waits_for_a_leader_of_an_older_term() {
    let mut state = State::new(7);
    let follower = |term, leader| Standing {
        term,
        seat: Seat::Follower { leader },
    };
    state.look(follower(1, 8));
    state.submit(batch(8), 1);
    state.prepare_forward(1);
    let hung = state.take_forward().unwrap();
    state.submit(batch(1), 1);
    let asked = state.take_round(1).unwrap();
    state.look(follower(2, 9));
    // Not yet: it may be in the log.
    state.prepare_forward(2);
    assert!(state.take_forward().is_none());
    assert!(state.take_round(2).is_some_and(|round| round != asked));
    state.skipped(Position {
        term: 2,
        leader: 9,
        index: 1,
    });
    state.prepare_forward(3);
    let again = state.take_forward().unwrap();
    assert_eq!((again.leader, again.term), (9, 2));
    assert_eq!(entry::parts(&again.batches).unwrap().len(), 1);
    // What the hung one says late changes nothing.
    state.forward_ended(hung.call, &Forwarded::Unknown, 4);
    state.round_ended(asked, Some(1), 4);
    state.prepare_forward(100);
    assert!(state.take_forward().is_none());
    assert!(state.outgoing.is_empty());
}

/// Node 7's own batches, and those of node 8, its follower.
const OWN: u64 = 7;
const OTHER: u64 = 8;

/// A leader whose clients, and those of a follower, write batches of so many bytes, each the next as
/// soon as the last was taken: `waiting` of them at a time.
fn lead_under_load(own: (usize, usize), other: (usize, usize), entries: usize) -> Vec<Vec<Wrote>> {
    let (mut state, group) = (State::new(OWN), Taken::default());
    let seat = Seat::Leader { has_quorum: true };
    state.look(Standing { term: 1, seat });
    let (mut numbers, mut made) = (0, Vec::new());
    let (mut own_wait, mut others_wait) = (0, 0);
    for index in 1..=entries as u64 {
        for _ in own_wait..own.1 {
            state.submit(
                Submission {
                    commands: vec![0; HEAD_BYTES + own.0],
                    ..Submission::default()
                },
                1,
            );
        }
        for _ in others_wait..other.1 {
            numbers += 1;
            state.submit_foreign(Foreign {
                name: BatchName {
                    node: OTHER,
                    number: numbers,
                },
                commands: vec![0; other.0].into(),
                sync: false,
                term: 1,
                answer: ForeignAnswer::new(oneshot::channel().0, 1),
            });
        }
        (own_wait, others_wait) = (own.1, other.1);
        assert!(state.propose(&group));
        for (tag, payload) in group.0.take() {
            let parts = entry::parts(&payload).unwrap();
            let parts: Vec<Wrote> = parts
                .into_iter()
                .map(|(name, range)| (name.node, range.len()))
                .collect();
            own_wait -= parts.iter().filter(|(node, _)| *node == OWN).count();
            others_wait -= parts.iter().filter(|(node, _)| *node == OTHER).count();
            made.push(parts);
            let position = Position {
                term: 1,
                leader: OWN,
                index,
            };
            state.committed(position, Some(tag), payload);
        }
        state.outgoing.clear();
    }
    made
}

/// The node of a part, and its bytes.
type Wrote = (u64, usize);

/// Clients of the leader and of its followers do not keep each other waiting, whatever they write:
/// within any two entries both come to their turn. An entry larger than its bound holds one batch.
#[test]
fn a_leaders_own_load_and_its_followers_take_turns() {
    const SOFT: usize = ENTRY_BYTES_SOFT;
    const MANY: usize = ENTRY_PARTS_MAX + 1;
    for (own, other) in [
        ((8, 1), (SOFT + 1, 1)),
        ((SOFT + 1, 1), (8, 1)),
        ((600 << 10, 1), (600 << 10, 2)),
        ((SOFT + 1, 2), (SOFT + 1, 2)),
        ((100 << 10, 20), (8, 1)),
        ((8, 1), (100 << 10, 20)),
        ((100 << 10, 20), (SOFT, 2)),
        ((8, MANY), (8, 2)),
        ((8, 2), (8, MANY)),
        ((8, MANY), (8, MANY)),
    ] {
        let made = lead_under_load(own, other, 12);
        for parts in &made {
            let bytes: usize = parts.iter().map(|(_, bytes)| bytes).sum();
            assert!(bytes <= SOFT || parts.len() == 1, "{own:?} {other:?}");
            assert!(parts.len() <= ENTRY_PARTS_MAX, "{own:?} {other:?}");
        }
        for node in [OWN, OTHER] {
            let comes = |parts: &Vec<Wrote>| parts.iter().any(|(of, _)| *of == node);
            let is_fair = made.windows(2).all(|two| two.iter().any(comes));
            assert!(is_fair, "{own:?} {other:?}: node {node} waits");
        }
    }
    // What the leader's own leave of their half is the others'.
    let made = lead_under_load((8, 1), (100 << 10, 20), 12);
    assert!(made.iter().all(|parts| parts.len() == 11), "{made:?}");
}
