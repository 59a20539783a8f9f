//! The listening side: lets peers in and answers what they ask.
//!
//! Requests of a connection begin to be served in the order they came; answers leave as they are
//! ready. Those of the bulk lane are served one after the other, which bounds what a checkpoint
//! takes in memory.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::channel::oneshot;
use futures::future::{Either, FutureExt, LocalBoxFuture, select};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};

use super::channel::Channel;
use super::connection::{Ended, Outbox, Reader};
use super::counters::TransportCounters;
use super::frame::{Frame, Garbage};
use super::handshake::{self, Introduction, Refused};
use super::lane::{ANSWER, Kind, Lane, REFUSAL};
use super::transport::{Running, Serving, Shared};
use crate::limits::{
    PEER_CONNECTIONS_MAX, PEER_HANDSHAKE_MS, PEER_PATIENCE_MS, PEER_QUEUED_BYTES_MAX,
    PEER_SERVED_BYTES_MAX, PEER_SERVED_MAX, PEER_STRANGERS_MAX,
};
use crate::raft::types::{Types, Vote};
use crate::raft::wire;
use crate::rt;
use crate::rt::net::{self, Listener, Stream};

/// How long to wait after the kernel gave no connection (no descriptor left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A request's answer: bytes, or why there is none.
pub(super) type Served = LocalBoxFuture<'static, Result<Bytes, String>>;

/// Accepts connections until the transport stops.
pub(super) async fn accept(shared: Rc<Shared>, listener: Listener) {
    let _running = Running::new(&shared);
    while !shared.is_stopping() {
        match listener.accept().await {
            Ok(stream) if shared.is_stopping() => stream.shutdown(),
            Ok(stream) => admit(&shared, stream),
            Err(_) if shared.is_stopping() => break,
            Err(error) => {
                tracing::warn!("no connection from a peer could be accepted: {error}");
                rt::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(shared: &Rc<Shared>, stream: Stream) {
    let crowded = shared.strangers.get() >= PEER_STRANGERS_MAX;
    if crowded || shared.accepted.borrow().len() >= PEER_CONNECTIONS_MAX {
        return drop_stranger(shared, &stream, "too many connections");
    }
    let number = shared.accepted_next.get();
    shared.accepted_next.set(number + 1);
    shared.accepted.borrow_mut().insert(number, stream.clone());
    shared.strangers.set(shared.strangers.get() + 1);
    let shared = shared.clone();
    rt::spawn(async move {
        let _running = Running::new(&shared);
        let introduced = introduce(&shared, &stream).await;
        shared.strangers.set(shared.strangers.get() - 1);
        if let Some((introduction, channel, reader)) = introduced {
            serve(&shared, number, introduction, &channel, reader).await;
        }
        stream.shutdown();
        shared.accepted.borrow_mut().remove(&number);
    });
}

/// The handshake, within its time. `None`: it was a stranger.
async fn introduce(shared: &Shared, stream: &Stream) -> Option<(Introduction, Channel, Reader)> {
    let counters = &shared.own.counters;
    let channel = match Channel::accepted(stream.clone(), shared.own.tls.as_ref()) {
        Ok(channel) => channel,
        Err(error) => {
            drop_stranger(shared, stream, &error.to_string());
            return None;
        }
    };
    let mut reader = Reader::new(channel.clone(), counters.clone());
    let deadline = Duration::from_millis(PEER_HANDSHAKE_MS);
    let own = &shared.own;
    let received = handshake::receive(&channel, &mut reader, &own.secret, own.node_id);
    let why = match net::within(deadline, received).await {
        Some(Ok(introduction)) => {
            // The kernel's own patience is longer: the connection works without.
            let _ = stream.set_patience(Duration::from_millis(PEER_PATIENCE_MS));
            reader.admit(introduction.lane, introduction.lane.request_bytes());
            return Some((introduction, channel, reader));
        }
        Some(Err(refused)) => {
            if matches!(refused, Refused::Secret) {
                counters.change(|counters| counters.wrong_secrets += 1);
            }
            refused.to_string()
        }
        None => "it kept silent".to_string(),
    };
    drop_stranger(shared, stream, &why);
    None
}

fn drop_stranger(shared: &Shared, stream: &Stream, why: &str) {
    let mut strangers = 0;
    let count = |counters: &mut TransportCounters| {
        counters.strangers_dropped += 1;
        strangers = counters.strangers_dropped;
    };
    shared.own.counters.change(count);
    // A port scanner must not fill the log: the first is told, then every doubling.
    if strangers.is_power_of_two() {
        let from = stream
            .peer()
            .map_or("somebody".into(), |peer| peer.to_string());
        tracing::warn!("{from} was dropped at the peer port ({strangers} so far): {why}");
    }
    stream.shutdown();
}

/// What a connection's requests share.
struct Session {
    shared: Rc<Shared>,
    number: u64,
    from: u64,
    lane: Lane,
    outbox: Outbox,
    served: Cell<usize>,
    served_bytes: Cell<usize>,
    room: RefCell<Option<Waker>>,
}

/// Answers one connection's requests until it ends.
async fn serve(
    shared: &Rc<Shared>,
    number: u64,
    introduction: Introduction,
    channel: &Channel,
    reader: Reader,
) {
    let session = Rc::new(Session {
        shared: shared.clone(),
        number,
        from: introduction.from,
        lane: introduction.lane,
        outbox: Outbox::default(),
        served: Cell::new(0),
        served_bytes: Cell::new(0),
        room: RefCell::new(None),
    });
    let written = std::pin::pin!(session.outbox.write_to(channel, &shared.own.counters));
    let read = std::pin::pin!(session.read(reader));
    if let Either::Right((ended, _)) = select(written, read).await
        && let Ended::Garbage(garbage) = ended
    {
        shared
            .own
            .counters
            .change(|counters| counters.garbage_dropped += 1);
        let (from, lane) = (introduction.from, introduction.lane);
        tracing::warn!("dropped a connection ({lane:?}) of node {from}: {garbage}");
    }
    session.outbox.close();
}

impl Session {
    async fn read(self: &Rc<Self>, mut reader: Reader) -> Ended {
        loop {
            let begun = match reader.next().await {
                Ok(frame) => self.begin(frame),
                Err(ended) => return ended,
            };
            match begun {
                Ok(Some(unfinished)) => unfinished.await,
                Ok(None) => self.has_room().await,
                Err(garbage) => return Ended::Garbage(garbage),
            }
        }
    }

    /// Begins to serve a request: what can be done at once is done. Answers with what has to end
    /// before the next one is looked at.
    fn begin(
        self: &Rc<Self>,
        frame: Frame,
    ) -> Result<Option<impl Future<Output = ()> + use<>>, Garbage> {
        let kind = self.lane.kind(frame.kind)?;
        let bytes = frame.payload.len();
        let mut served = self.dispatch(kind, frame.payload)?;
        if let Some(answer) = served.as_mut().now_or_never() {
            self.answer(frame.id, answer);
            return Ok(None);
        }
        self.served.set(self.served.get() + 1);
        self.served_bytes.set(self.served_bytes.get() + bytes);
        let session = self.clone();
        let finish = async move {
            let answer = served.await;
            session.served.set(session.served.get() - 1);
            session.served_bytes.set(session.served_bytes.get() - bytes);
            session.answer(frame.id, answer);
            if let Some(room) = session.room.borrow_mut().take() {
                room.wake();
            }
        };
        if matches!(kind, Kind::Announce | Kind::Chunk) {
            return Ok(Some(finish));
        }
        rt::spawn(finish);
        Ok(None)
    }

    fn dispatch(&self, kind: Kind, payload: Bytes) -> Result<Served, Garbage> {
        let content = |_error| Garbage::Content(kind as u8);
        let Some(serving) = self.shared.serving.borrow().clone() else {
            return Ok(refuse("this node does not serve yet, or no more"));
        };
        Ok(match kind {
            Kind::Append => {
                let request = wire::append(&payload).map_err(content)?;
                self.is_senders(request.vote)?;
                append(serving, request).boxed_local()
            }
            Kind::Heartbeat => {
                let request = wire::append(&payload).map_err(content)?;
                self.is_senders(request.vote)?;
                if !request.entries.is_empty() {
                    return Err(Garbage::Content(kind as u8));
                }
                heartbeat(serving, request).boxed_local()
            }
            Kind::Vote | Kind::PreVote => {
                let request = wire::ask(&payload).map_err(content)?;
                self.is_senders(request.vote)?;
                let pre = kind == Kind::PreVote;
                async move {
                    let answer = match pre {
                        true => serving.group.answer_pre_vote(request).await,
                        false => serving.group.answer_vote(request).await,
                    };
                    written(answer, wire::put_voted)
                }
                .boxed_local()
            }
            Kind::Transfer => {
                let request = wire::transfer(&payload).map_err(content)?;
                self.is_senders(*request.from_leader())?;
                async move {
                    let answer = serving.group.answer_transfer(request).await;
                    written(answer, wire::put_transferred)
                }
                .boxed_local()
            }
            Kind::Call => serving.handler.call(self.from, payload),
            Kind::Announce => {
                let (vote, meta) = wire::checkpoint(&payload).map_err(content)?;
                self.is_senders(vote)?;
                let receiver = self.shared.receiver.clone();
                receiver.announce(serving.group, self.number, vote, meta)
            }
            Kind::Chunk => self.shared.receiver.chunk(self.number, payload),
            Kind::Install => {
                let receiver = self.shared.receiver.clone();
                receiver.install(serving.group, self.number, payload)
            }
        })
    }

    /// Nobody speaks for another node: a vote is its sender's.
    fn is_senders(&self, vote: Vote) -> Result<(), Garbage> {
        if vote.leader_id.node_id == self.from && self.from != self.shared.own.node_id {
            Ok(())
        } else {
            Err(Garbage::Content(0))
        }
    }

    fn answer(&self, id: u64, answer: Result<Bytes, String>) {
        let (kind, payload) = match answer {
            Ok(payload) => (ANSWER, payload),
            Err(why) => (REFUSAL, Bytes::from(why)),
        };
        let bytes_max = self.lane.frame_bytes_max();
        let put = |out: &mut Vec<u8>| out.extend_from_slice(&payload);
        if self.outbox.push(kind, id, bytes_max, put).is_none() {
            let why = b"the answer is too large";
            let put = |out: &mut Vec<u8>| out.extend_from_slice(why);
            self.outbox.push(REFUSAL, id, bytes_max, put);
        }
    }

    /// Waits while too much is being served, or too many answers wait to be read.
    async fn has_room(&self) {
        poll_fn(|context| {
            let crowded = self.served.get() >= PEER_SERVED_MAX
                || self.served_bytes.get() >= PEER_SERVED_BYTES_MAX;
            if crowded {
                *self.room.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            self.outbox.poll_room(context, PEER_QUEUED_BYTES_MAX)
        })
        .await;
    }
}

/// Answers that a request is not served.
pub(super) fn refuse(why: &str) -> Served {
    let why = why.to_string();
    async move { Err(why) }.boxed_local()
}

/// A group's answer as bytes.
pub(super) fn written<T, E: std::fmt::Display>(
    answer: Result<T, E>,
    write: impl FnOnce(&mut Vec<u8>, &T),
) -> Result<Bytes, String> {
    let answer = answer.map_err(|error| error.to_string())?;
    let mut out = Vec::with_capacity(32);
    write(&mut out, &answer);
    Ok(Bytes::from(out))
}

/// Whether the entries follow what is here, or was acknowledged, of the leader that is obeyed.
#[cfg(feature = "sim")]
fn will_be_accepted(serving: &Serving, request: &AppendEntriesRequest<Types>) -> bool {
    let state = serving.group.state();
    let previous = request.prev_log_id.map(|id| id.index);
    let leader = request.vote.leader_id.node_id;
    let follows = state.last_index == previous || serving.acknowledged_early.get() == previous;
    let obeyed = state.leader == Some(leader) && state.term == request.vote.leader_id.term;
    follows && obeyed && !request.entries.is_empty()
}

async fn append(serving: Serving, request: AppendEntriesRequest<Types>) -> Result<Bytes, String> {
    let vote = request.vote;
    #[cfg(feature = "sim")]
    if rt::sim::has(rt::sim::Bug::AcknowledgeBeforeCommit) && will_be_accepted(&serving, &request) {
        let last = request.entries.last().map(|entry| entry.log_id.index);
        serving.acknowledged_early.set(last);
        rt::spawn(async move {
            rt::sleep(Duration::from_millis(1500)).await;
            drop(serving.group.answer_append(request).await);
        });
        let early = Ok::<_, std::convert::Infallible>(AppendEntriesResponse::Success);
        return written(early, wire::put_appended);
    }
    let answer = serving.group.answer_append(request).await;
    if matches!(answer, Ok(AppendEntriesResponse::Success)) {
        serving.kept_vote.set(Some(vote));
    }
    written(answer, wire::put_appended)
}

/// Answers as soon as the leader's claim was heard: openraft would answer once everything that was
/// accepted is on disk, and a slow disk would look like a lost follower.
///
/// Only for what tells the sender nothing of this node's log, and only once the claim itself is on
/// disk: an earlier append under the same vote was answered by openraft.
async fn heartbeat(
    serving: Serving,
    request: AppendEntriesRequest<Types>,
) -> Result<Bytes, String> {
    let (vote, previous) = (request.vote, request.prev_log_id);
    #[cfg(feature = "sim")]
    if serving.acknowledged_early.get().is_some()
        && serving.acknowledged_early.get() == previous.map(|id| id.index)
    {
        serving.group.hear_leader();
        let success = Ok::<_, String>(AppendEntriesResponse::Success);
        return written(success, wire::put_appended);
    }
    if serving.kept_vote.get() != Some(vote) {
        return append(serving, request).await;
    }
    let (sender, heard) = oneshot::channel();
    let appended = std::pin::pin!(append(serving.clone(), request));
    // The core takes this up behind the append: by then the claim was accepted, or not. A log that
    // ends before the leader's idea of it is for openraft to tell.
    let looked = std::pin::pin!(async {
        let asked = serving.group.raft.external_request(move |state| {
            let heard = *state.vote_ref() == vote && previous.as_ref() <= state.log_ids.last();
            // The append may have been answered first.
            let _ = sender.send(heard);
        });
        asked.await.is_ok() && heard.await == Ok(true)
    });
    match select(appended, looked).await {
        Either::Left((answer, _)) => answer,
        Either::Right((true, _)) => {
            serving.group.hear_leader();
            written(
                Ok::<_, String>(AppendEntriesResponse::Success),
                wire::put_appended,
            )
        }
        Either::Right((false, appended)) => appended.await,
    }
}
