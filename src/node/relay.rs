//! What nodes ask of each other beside Raft's own requests: batches for the leader, read indexes.
//!
//! | first byte of a call | then | answer |
//! |---|---|---|
//! | 1 forward | term u64, 1 to be synced or 3 by every voter, batches laid out as an entry | 0 done |
//! | 2 read index | | 0, index u64 |
//! | 3 to 5, 9 | membership, see `answering` | |
//! | 6 digests | version u8, last agreed index u64, the alarm if there is one | 0, version u8, points: index u64, slice u64, digest |
//! | 7 copies | ms to hold the answer u16, wants: index u64, count u8 or 255 for all voters | 0, synced index u64, members: 1 voter + 2 has any u8, last index u64 |
//! | 8 sync | index u64 | 0: applied that far, and on disk |
//!
//! An answer's first byte is 0, or says why not: 1 this node does not lead (nothing was done; the leader's
//! address may follow),
//! 2 nobody can tell, 3 the text that follows, 4 a voter cannot be reached and all were needed. All numbers are little-endian.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::channel::oneshot;
use futures::future::LocalBoxFuture;

use crate::address::NodeAddress;
use crate::error::Unavailable;
use crate::raft::{CallError, Group, Member, MemberState, Transport};
use crate::rt::{self, net};

use super::copies::Copies;
use super::digests::{self, Digests, Told};
use super::entry;
use super::forward::{Foreign, ForeignAnswer, Forward, Forwarded};
use super::sequencer::Sequencer;

const FORWARD: u8 = 1;
const READ_INDEX: u8 = 2;
const DIGESTS: u8 = 6;
pub(super) const COPIES: u8 = 7;
pub(super) const SYNC_UP_TO: u8 = 8;

const DONE: u8 = 0;
const NOT_LEADER: u8 = 1;
const UNKNOWN: u8 = 2;
const TEXT: u8 = 3;
const NO_REPLICAS: u8 = 4;

/// Of a forward call: its batches are to be on disk; on every voter's.
const SYNC: u8 = 1;
const ALL: u8 = 2;

/// How long an answer about digests is waited for: the next question comes a second later.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Bytes of a forward call before its batches.
const FORWARD_BYTES: usize = 10;

/// Passes on what this node cannot do by itself.
pub struct Relay {
    pub sequencer: Rc<Sequencer>,
    pub group: Group,
    pub transport: Transport,
    pub digests: Rc<Digests>,
    pub copies: Rc<Copies>,
    /// See [`Config::reads_by_lease`](crate::config::Config::reads_by_lease).
    pub reads_by_lease: Cell<bool>,
}

impl Relay {
    /// Makes the calls that the sequencer has ready.
    pub fn run(self: &Rc<Self>) {
        if let Some(forward) = self.sequencer.take_forward() {
            let relay = self.clone();
            rt::spawn(async move {
                let call = forward.call;
                let result = relay.forward(forward).await;
                relay.sequencer.forward_ended(call, &result);
            });
        }
        if let Some(round) = self.sequencer.take_round() {
            let relay = self.clone();
            rt::spawn(async move {
                let index = relay.read_index().await;
                relay.sequencer.round_ended(round, index);
            });
        }
    }

    async fn forward(&self, forward: Forward) -> Forwarded {
        let Some(leader) = self.group.address_of(forward.leader) else {
            return Forwarded::Refused;
        };
        let mut request = BytesMut::with_capacity(FORWARD_BYTES + forward.batches.len());
        request.put_u8(FORWARD);
        request.put_u64_le(forward.term);
        let all = if forward.all { ALL } else { 0 };
        request.put_u8(u8::from(forward.sync) | all);
        request.put_slice(&forward.batches);
        match self.transport.call(&leader, request.freeze()).await {
            Ok(answer) => match answer.first() {
                Some(&DONE) => Forwarded::Done,
                Some(&NOT_LEADER) => Forwarded::Refused,
                Some(&NO_REPLICAS) => Forwarded::NoReplicas,
                _ => Forwarded::Unknown,
            },
            Err(CallError::NotSent(why)) => {
                tracing::debug!("a batch could not be sent to the leader: {why}");
                Forwarded::Refused
            }
            Err(error) => {
                tracing::debug!("the leader did not answer for a batch: {error}");
                Forwarded::Unknown
            }
        }
    }

    /// An index such that reads which have come before may run once it is applied here; `None`
    /// where nobody can tell.
    pub async fn read_index(&self) -> Option<u64> {
        #[cfg(feature = "sim")]
        if rt::sim::has(rt::sim::Bug::ReadWithoutIndex) {
            return Some(self.group.applied_index().unwrap_or(0));
        }
        #[cfg(feature = "sim")]
        if rt::sim::has(rt::sim::Bug::NoReadsAfterElection) && self.group.state().term > 1 {
            return None;
        }
        let standing = self.group.standing();
        if standing.leads {
            return self.own_read_index().await.ok();
        }
        let leader = self.group.address_of(standing.leader?)?;
        let request = Bytes::from_static(&[READ_INDEX]);
        let answer = self.transport.call(&leader, request).await.ok()?;
        let (&DONE, index) = answer.split_first()? else {
            return None;
        };
        Some(u64::from_le_bytes(index.try_into().ok()?))
    }

    async fn own_read_index(&self) -> Result<u64, Unavailable> {
        if self.reads_by_lease.get()
            && let Ok(index) = self.group.read_lease().await
        {
            return Ok(index);
        }
        self.group.read_index().await
    }

    /// Asks the other members for their digests and compares them with this node's.
    pub(super) async fn compare_digests(self: Rc<Self>) {
        let question = self.digests.question(DIGESTS);
        let state = self.group.state();
        let name = |member: &Member| format!("node {} ({})", member.id, member.address);
        let reachable = state.members.iter().filter(|one| one.is_reachable);
        let others = reachable.filter(|one| one.member.id != state.node_id);
        let ask = async |other: &MemberState| -> Option<Told> {
            let to = other.member.address.parse().ok()?;
            let call = self.transport.call(&to, question.clone());
            let answer = net::within(ANSWER_WITHIN, call).await?.ok()?;
            let points = digests::points_of(done(&answer)?)?;
            let name = name(&other.member);
            Some(Told { name, points })
        };
        let told = futures::future::join_all(others.map(ask)).await;
        let told: Vec<Told> = told.into_iter().flatten().collect();
        let own = state
            .members
            .iter()
            .find(|one| one.member.id == state.node_id);
        let own = own.map_or(String::new(), |own| name(&own.member));
        self.digests.compared(&own, &told);
    }

    /// Answers a call of another node. Its batches are taken before this returns: in the order of
    /// arrival.
    pub fn serve(self: &Rc<Self>, request: &Bytes) -> LocalBoxFuture<'static, Bytes> {
        match request.first() {
            Some(&FORWARD) => self.take_batches(request),
            Some(&READ_INDEX) => {
                let relay = self.clone();
                Box::pin(async move {
                    match relay.own_read_index().await {
                        Ok(index) => {
                            let mut answer = BytesMut::with_capacity(9);
                            answer.put_u8(DONE);
                            answer.put_u64_le(index);
                            answer.freeze()
                        }
                        Err(_) => Bytes::from_static(&[NOT_LEADER]),
                    }
                })
            }
            Some(&DIGESTS) => {
                let mut answer = BytesMut::from(&[DONE][..]);
                let answered = self.digests.answer(&request[1..], &mut answer);
                answer_now(match answered {
                    Some(()) => answer.freeze(),
                    None => text("this version takes other digests"),
                })
            }
            Some(&COPIES) => Box::pin(self.copies.clone().answer(request.clone())),
            Some(&SYNC_UP_TO) => Box::pin(self.copies.clone().sync_up_to(request.clone())),
            _ => answer_now(text("this version does not know that call")),
        }
    }

    fn take_batches(&self, request: &Bytes) -> LocalBoxFuture<'static, Bytes> {
        let head = request.get(1..FORWARD_BYTES);
        let term = head.and_then(|head| head.first_chunk::<8>());
        let (Some(head), Some(term)) = (head, term) else {
            return answer_now(text("a call was cut"));
        };
        let (sync, term) = (head[8] & SYNC != 0, u64::from_le_bytes(*term));
        let all = head[8] & ALL != 0;
        let batches = request.slice(FORWARD_BYTES..);
        let parts = match entry::parts(&batches) {
            Some(parts) if !parts.is_empty() => parts,
            _ => return answer_now(text("batches were cut")),
        };
        if !self.group.standing().leads {
            return answer_now(Bytes::from_static(&[NOT_LEADER]));
        }
        if all && self.copies.are_voters_missing() {
            return answer_now(Bytes::from_static(&[NO_REPLICAS]));
        }
        let (sender, ended) = oneshot::channel();
        let answer = ForeignAnswer::new(sender, parts.len());
        for (name, range) in parts {
            self.sequencer.submit_foreign(Foreign {
                name,
                commands: batches.slice(range),
                sync,
                term,
                answer: answer.clone(),
            });
        }
        Box::pin(async move {
            Bytes::from_static(match ended.await {
                Ok(Ok(())) => &[DONE],
                Ok(Err(why)) if why.is_refusal() => &[NOT_LEADER],
                _ => &[UNKNOWN],
            })
        })
    }
}

/// The answer: done.
pub(super) fn ok() -> Bytes {
    Bytes::from_static(&[DONE])
}

/// What an answer says behind "done".
pub(super) fn done(answer: &[u8]) -> Option<&[u8]> {
    answer.strip_prefix(&[DONE])
}

/// The answer of a node that does not lead, with the address of who does.
pub(super) fn not_leader(address: Option<&str>) -> Bytes {
    let mut answer = BytesMut::new();
    answer.put_u8(NOT_LEADER);
    answer.put_slice(address.unwrap_or_default().as_bytes());
    answer.freeze()
}

/// Who leads, as an answer says.
pub(super) fn leader_named(answer: &[u8]) -> Option<NodeAddress> {
    let address = answer.strip_prefix(&[NOT_LEADER])?;
    std::str::from_utf8(address).ok()?.parse().ok()
}

/// The answer: why not.
pub(super) fn text(why: &str) -> Bytes {
    let mut answer = BytesMut::with_capacity(1 + why.len());
    answer.put_u8(TEXT);
    answer.put_slice(why.as_bytes());
    answer.freeze()
}

/// Why not, as an answer says.
pub(super) fn text_of(answer: &[u8]) -> Option<String> {
    let why = answer.strip_prefix(&[TEXT])?;
    Some(String::from_utf8_lossy(why).into_owned())
}

fn answer_now(answer: Bytes) -> LocalBoxFuture<'static, Bytes> {
    Box::pin(async move { answer })
}
