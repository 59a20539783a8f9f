//! Who has an entry: what a write at `all`, WAIT and WAITAOF wait for.
//!
//! The leader knows how much of its log each member has, on disk where an entry was to be synced.
//! Whatever waits on this node stands in one list; as long as there is any, one task looks at what
//! the leader knows: here where this node leads, else by one call at a time, which the leader
//! answers as soon as something asked for is there.
//!
//! Invariants
//! - Only a reply waits here. What is proposed, applied and answered besides goes on.
//! - Everything that waits has a deadline.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::channel::oneshot;
use futures::stream::{FuturesUnordered, StreamExt};

use crate::limits::{
    COPIES_ASKED_MAX, COPIES_HELD_MS, FORWARD_AGAIN_MS, SYNC_AGAIN_MS, WAIT_ROUND_MS,
};
use crate::log::Log;
use crate::raft::{Group, MemberCopy, Transport};
use crate::rt::{self, net};

use super::gather::Awaited;
use super::relay;
use super::standing::{Seat, Standing};

/// How many copies there are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Every voter has it on disk.
    AllVoters,
    /// So many members beside the leader have it.
    Others(u8),
}

/// What is waited for: copies of everything up to an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    pub index: u64,
    pub need: Need,
}

/// What was found in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found {
    pub is_enough: bool,
    /// Members beside the leader that have it.
    pub others: usize,
}

/// What the leader knows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// On its own disk.
    synced: u64,
    /// Of every other member: whether it has a vote, and the last entry that it has.
    others: Vec<(bool, Option<u64>)>,
}

struct Wait {
    want: Want,
    /// The most that were known to have it: what is known last may be nothing.
    others: usize,
    deadline: Instant,
    found: oneshot::Sender<Found>,
}

/// Lives on the Raft core.
pub struct Copies {
    group: Group,
    log: Rc<dyn Log>,
    transport: Option<Transport>,
    waits: RefCell<Vec<Wait>>,
    is_looking: Cell<bool>,
    /// On a leader: a voter does not answer.
    voters_missing: Cell<bool>,
    /// The term that this node leads in, and since when it was seen to.
    leads_since: Cell<Option<(u64, Instant)>>,
}

/// A voter that has not answered for so long cannot be reached.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// How late an answer of the leader may be: it has other things to do.
const ANSWERS_LATE: Duration = Duration::from_millis(200);

impl Copies {
    pub fn new(group: Group, log: Rc<dyn Log>, transport: Option<Transport>) -> Copies {
        Copies {
            group,
            log,
            transport,
            waits: RefCell::default(),
            is_looking: Cell::new(false),
            voters_missing: Cell::new(false),
            leads_since: Cell::new(None),
        }
    }

    /// Looks which voters answer. About ten times a second.
    pub fn look_at_voters(&self, standing: Standing) {
        let leads = matches!(standing.seat, Seat::Leader { .. });
        let now = Instant::now();
        let before = self.leads_since.get();
        let since = match before {
            _ if !leads => None,
            Some((term, since)) if term == standing.term => Some((term, since)),
            _ => Some((standing.term, now)),
        };
        self.leads_since.set(since);
        let missing = since.is_some_and(|(_, since)| {
            let copies = self.group.copies().unwrap_or_default();
            let mut voters = copies.iter().filter(|copy| copy.is_voter);
            // Whoever never answered counts from when this node began to lead.
            voters.any(|copy| now - copy.answered.unwrap_or(since).min(now) > ANSWERS_WITHIN)
        });
        self.voters_missing.set(missing);
    }

    /// Whether, as the leader knows, a voter cannot be reached.
    pub fn are_voters_missing(&self) -> bool {
        self.voters_missing.get()
    }

    /// Waits until what is wanted is there, or for so long.
    pub async fn wait(self: &Rc<Self>, want: Want, patience: Duration) -> Found {
        let (found, is_found) = oneshot::channel();
        self.waits.borrow_mut().push(Wait {
            want,
            others: 0,
            deadline: Instant::now() + patience,
            found,
        });
        if !self.is_looking.replace(true) {
            rt::spawn(self.clone().look());
        }
        is_found.await.unwrap_or_default()
    }

    /// How many other nodes have what WAIT or WAITAOF ask for, once they are enough or after about
    /// so long.
    ///
    /// # Errors
    /// Where this node's own log was to be synced and could not be.
    pub async fn awaited(
        self: &Rc<Self>,
        awaited: Awaited,
        patience: Duration,
    ) -> io::Result<usize> {
        if !awaited.on_disk {
            let want = Want {
                index: awaited.index,
                need: Need::Others(awaited.replicas),
            };
            return Ok(self.wait(want, patience).await.others);
        }
        if self.log.synced() < awaited.index {
            self.log.sync().await?;
        }
        Ok(self.synced_elsewhere(&awaited, patience).await)
    }

    /// Has other nodes sync their logs.
    async fn synced_elsewhere(&self, awaited: &Awaited, patience: Duration) -> usize {
        let wanted = usize::from(awaited.replicas);
        if wanted == 0 {
            return 0;
        }
        let deadline = Instant::now() + patience;
        let mut request = BytesMut::new();
        request.put_u8(relay::SYNC_UP_TO);
        request.put_u64_le(awaited.index);
        let request = request.freeze();
        let state = self.group.state();
        let others = state.members.iter().map(|one| &one.member);
        let others = others.filter(|member| member.id != state.node_id);
        let mut calls: FuturesUnordered<_> = others
            .filter_map(|other| {
                let to = other.address.parse().ok()?;
                Some(self.transport.as_ref()?.call(&to, request.clone()))
            })
            .collect();
        let mut synced = 0;
        while synced < wanted {
            let left = deadline.saturating_duration_since(Instant::now());
            match net::within(left, calls.next()).await {
                Some(Some(answer)) => {
                    let is_done = answer.is_ok_and(|answer| relay::done(&answer).is_some());
                    synced += usize::from(is_done);
                }
                // All have answered: they are asked again a little later.
                Some(None) => {
                    rt::sleep(left.min(Duration::from_millis(SYNC_AGAIN_MS))).await;
                    break;
                }
                None => break,
            }
        }
        synced
    }

    /// Syncs this node's log for another node, as soon as it is applied that far.
    pub async fn sync_up_to(self: Rc<Self>, request: Bytes) -> Bytes {
        let index = request
            .get(1..)
            .and_then(|mut rest| rest.try_get_u64_le().ok());
        let Some(index) = index else {
            return relay::text("a call was cut");
        };
        let deadline = Instant::now() + Duration::from_millis(WAIT_ROUND_MS);
        if let Err(why) = self.group.wait_applied(index, deadline).await {
            return relay::text(&why.to_string());
        }
        if self.log.synced() < index
            && let Err(error) = self.log.sync().await
        {
            return relay::text(&error.to_string());
        }
        relay::ok()
    }

    /// Looks for copies as long as somebody waits for some.
    async fn look(self: Rc<Self>) {
        while let Some(deadline) = self.first_deadline() {
            let held = Instant::now() + Duration::from_millis(COPIES_HELD_MS);
            let deadline = deadline.min(held);
            let known = if self.group.is_leader() {
                self.known_once(deadline, || self.wants()).await
            } else {
                self.ask(deadline).await
            };
            let is_known = known.is_some();
            self.settle(&known.unwrap_or_default());
            if !is_known {
                rt::sleep(Duration::from_millis(FORWARD_AGAIN_MS)).await;
            }
        }
        self.is_looking.set(false);
    }

    fn first_deadline(&self) -> Option<Instant> {
        self.waits.borrow().iter().map(|wait| wait.deadline).min()
    }

    fn wants(&self) -> Vec<Want> {
        self.waits.borrow().iter().map(|wait| wait.want).collect()
    }

    /// Tells those who wait for what is there, and those who waited long enough.
    fn settle(&self, known: &Known) {
        let now = Instant::now();
        let mut waits = self.waits.borrow_mut();
        for mut wait in std::mem::take(&mut *waits) {
            let mut found = known.find(wait.want);
            wait.others = wait.others.max(found.others);
            found.others = wait.others;
            if found.is_enough || wait.deadline <= now {
                // Who asked may be gone.
                let _ = wait.found.send(found);
            } else {
                waits.push(wait);
            }
        }
    }

    /// What this node knows as the leader, once one of `wants` is there or at `deadline`.
    async fn known_once(&self, deadline: Instant, wants: impl Fn() -> Vec<Want>) -> Option<Known> {
        let known = |copies: &[MemberCopy]| Known {
            synced: self.log.synced(),
            others: copies
                .iter()
                .map(|copy| (copy.is_voter, copy.matched_index))
                .collect(),
        };
        let enough = |copies: &[MemberCopy]| {
            let known = known(copies);
            wants().into_iter().any(|want| known.find(want).is_enough)
        };
        let copies = self.group.copies_once(deadline, enough).await.ok()?;
        Some(known(&copies))
    }

    /// Asks the leader.
    async fn ask(&self, deadline: Instant) -> Option<Known> {
        let leader = self.group.leader()?.address.parse().ok()?;
        let held = deadline.saturating_duration_since(Instant::now());
        let mut request = BytesMut::new();
        request.put_u8(relay::COPIES);
        request.put_u16_le(held.as_millis() as u16);
        for want in self.wants().into_iter().take(COPIES_ASKED_MAX) {
            request.put_u64_le(want.index);
            request.put_u8(match want.need {
                Need::AllVoters => u8::MAX,
                Need::Others(count) => count,
            });
        }
        let call = self.transport.as_ref()?.call(&leader, request.freeze());
        let answer = net::within(held + ANSWERS_LATE, call).await?;
        Known::read(relay::done(&answer.ok()?)?)
    }

    /// Answers a call of another node.
    pub async fn answer(self: Rc<Self>, mut request: Bytes) -> Bytes {
        let mut read = || -> Option<(u64, Vec<Want>)> {
            request.advance(1);
            let held_ms = request.try_get_u16_le().ok()?;
            let mut wants = Vec::new();
            while request.has_remaining() && wants.len() < COPIES_ASKED_MAX {
                let index = request.try_get_u64_le().ok()?;
                let need = match request.try_get_u8().ok()? {
                    u8::MAX => Need::AllVoters,
                    count => Need::Others(count),
                };
                wants.push(Want { index, need });
            }
            Some((u64::from(held_ms).min(COPIES_HELD_MS), wants))
        };
        let Some((held_ms, wants)) = read() else {
            return relay::text("a call was cut");
        };
        let deadline = Instant::now() + Duration::from_millis(held_ms);
        match self.known_once(deadline, || wants.clone()).await {
            Some(known) => known.written(),
            None => relay::not_leader(None),
        }
    }
}

impl Known {
    fn find(&self, want: Want) -> Found {
        let has = |matched: &Option<u64>| *matched >= Some(want.index);
        let others = self.others.iter().filter(|(_, matched)| has(matched));
        let others = others.count();
        let is_enough = match want.need {
            Need::Others(count) => others >= usize::from(count),
            Need::AllVoters => {
                let mut voters = self.others.iter().filter(|(is_voter, _)| *is_voter);
                self.synced >= want.index && voters.all(|(_, matched)| has(matched))
            }
        };
        Found { is_enough, others }
    }

    fn written(&self) -> Bytes {
        let mut answer = BytesMut::from(&relay::ok()[..]);
        answer.put_u64_le(self.synced);
        for (is_voter, matched) in &self.others {
            answer.put_u8(u8::from(*is_voter) | u8::from(matched.is_some()) << 1);
            answer.put_u64_le(matched.unwrap_or(0));
        }
        answer.freeze()
    }

    fn read(mut answer: &[u8]) -> Option<Known> {
        let synced = answer.try_get_u64_le().ok()?;
        let mut others = Vec::new();
        while !answer.is_empty() {
            let flags = answer.try_get_u8().ok()?;
            let matched = answer.try_get_u64_le().ok()?;
            others.push((flags & 1 != 0, (flags & 2 != 0).then_some(matched)));
        }
        Some(Known { synced, others })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_enough() {
        let known = Known {
            synced: 7,
            others: vec![(true, Some(9)), (true, Some(7)), (false, None)],
        };
        let read = Known::read(relay::done(&known.written()).unwrap());
        assert_eq!(read.as_ref(), Some(&known));
        let find = |index, need| known.find(Want { index, need });
        for (index, need, is_enough, others) in [
            (7, Need::AllVoters, true, 2),
            (8, Need::AllVoters, false, 1),
            (8, Need::Others(1), true, 1),
            (9, Need::Others(2), false, 1),
            (0, Need::Others(3), false, 2),
        ] {
            assert_eq!(find(index, need), Found { is_enough, others });
        }
        // A leader that has not synced it, and one that knows of nobody.
        let behind = Known { synced: 6, ..known };
        let want = Want {
            index: 7,
            need: Need::AllVoters,
        };
        assert!(!behind.find(want).is_enough);
        assert!(!Known::default().find(want).is_enough);
        assert_eq!(Known::read(&[0; 12]), None);
    }
}
