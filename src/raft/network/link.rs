//! A lane to one node: made when it is needed, made anew when it breaks.
//!
//! Requests leave in the order they were made. While the node cannot be reached they are refused at
//! once, but for the one that tries again; whoever asks knows best whether to repeat. When the
//! connection breaks, what may have left this node ends as unanswered and the rest as not sent.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::channel::oneshot;
use futures::future::{Either, select};

use super::CallError;
use super::channel::{Channel, Tls};
use super::connection::{Outbox, Reader};
use super::counters::Counters;
use super::frame::{Frame, Garbage};
use super::handshake::{self, Introduction};
use super::lane::{ANSWER, Kind, Lane, REFUSAL};
use crate::address::NodeAddress;
use crate::limits::{
    PEER_BACKOFF_MS_MAX, PEER_BACKOFF_MS_MIN, PEER_CONNECT_MS, PEER_IDLE_MS, PEER_PATIENCE_MS,
    PEER_QUEUED_BYTES_MAX,
};
use crate::rt::net::{self, Stream};

/// What a connection needs to know of its own node.
pub(super) struct Own {
    pub node_id: u64,
    pub secret: Vec<u8>,
    pub tls: Option<Tls>,
    pub counters: Rc<Counters>,
}

/// Whom a lane leads to. Id 0: whoever lives there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Target {
    pub id: u64,
    pub address: NodeAddress,
    pub lane: Lane,
}

pub(super) struct Link {
    own: Rc<Own>,
    target: Target,
    state: RefCell<State>,
    outbox: Outbox,
    pending: RefCell<BTreeMap<u64, Pending>>,
    request_id_next: Cell<u64>,
    /// When something was asked, or came, for the last time.
    asked: Cell<Instant>,
    heard: Cell<Instant>,
    backoff_ms: Cell<u64>,
    connected_before: Cell<bool>,
}

enum State {
    Idle,
    Connecting,
    Up(Stream),
    /// Not to be tried before.
    Down(Instant, Rc<str>),
    Closed,
}

/// A request without its answer.
struct Pending {
    /// Where its frame begins in the outbox.
    start: u64,
    since: Instant,
    /// Takes as long as it takes.
    patient: bool,
    answer: oneshot::Sender<Result<Bytes, CallError>>,
}

/// A request's answer, or what became of it.
pub(super) type Waiting = oneshot::Receiver<Result<Bytes, CallError>>;

impl Link {
    pub(super) fn new(own: Rc<Own>, target: Target) -> Rc<Self> {
        Rc::new(Link {
            own,
            target,
            state: RefCell::new(State::Idle),
            outbox: Outbox::default(),
            pending: RefCell::default(),
            request_id_next: Cell::new(1),
            asked: Cell::new(Instant::now()),
            heard: Cell::new(Instant::now()),
            backoff_ms: Cell::new(PEER_BACKOFF_MS_MIN),
            connected_before: Cell::new(false),
        })
    }

    /// Queues a request at once; dropping the answer leaves it on its way.
    ///
    /// # Errors
    /// [`CallError::NotSent`] where it was not queued.
    pub(super) fn request(
        self: &Rc<Self>,
        kind: Kind,
        write_payload: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Waiting, CallError> {
        let now = Instant::now();
        self.asked.set(now);
        self.make_connection(now)?;
        let not_sent = |why: &str| Err(CallError::NotSent(format!("{}: {why}", self.name())));
        if self.outbox.len() > PEER_QUEUED_BYTES_MAX {
            return not_sent("too much waits to be sent");
        }
        let id = self.request_id_next.get();
        let bytes_max = self.target.lane.frame_bytes_max();
        let Some(start) = self.outbox.push(kind as u8, id, bytes_max, write_payload) else {
            return not_sent("the request is too large");
        };
        self.request_id_next.set(id + 1);
        let (answer, waiting) = oneshot::channel();
        let pending = Pending {
            start,
            since: now,
            patient: kind == Kind::Install,
            answer,
        };
        self.pending.borrow_mut().insert(id, pending);
        Ok(waiting)
    }

    fn make_connection(self: &Rc<Self>, now: Instant) -> Result<(), CallError> {
        let mut state = self.state.borrow_mut();
        match &*state {
            State::Connecting | State::Up(_) => return Ok(()),
            State::Down(until, why) if now < *until => {
                return Err(CallError::NotSent(why.to_string()));
            }
            State::Closed => return Err(CallError::NotSent("this node is stopping".into())),
            State::Idle | State::Down(..) => {}
        }
        *state = State::Connecting;
        crate::rt::spawn(self.clone().run());
        Ok(())
    }

    fn name(&self) -> String {
        match self.target.id {
            0 => self.target.address.peer(),
            id => format!("node {id} at {}", self.target.address.peer()),
        }
    }

    /// One connection, from the attempt to its end.
    async fn run(self: Rc<Self>) {
        let deadline = Duration::from_millis(PEER_CONNECT_MS);
        let connected = match net::within(deadline, self.connect()).await {
            Some(connected) => connected,
            None => Err("no answer in time".to_string()),
        };
        let begun = Instant::now();
        let why = match connected {
            Ok((channel, reader)) => {
                let why = self.serve(&channel, reader).await;
                channel.stream().shutdown();
                why
            }
            Err(why) => why,
        };
        // A connection that held for a while was a good one: the next may be tried at once.
        if begun.elapsed() > Duration::from_millis(PEER_CONNECT_MS) {
            self.backoff_ms.set(PEER_BACKOFF_MS_MIN);
        }
        self.fall(&why);
    }

    async fn connect(&self) -> Result<(Channel, Reader), String> {
        let address = &self.target.address;
        let found = net::resolve(&address.host, address.peer_port).await;
        let found = found.map_err(|error| error.to_string())?;
        let stream = connect_any(&found).await?;
        self.introduce(stream).await
    }

    async fn introduce(&self, stream: Stream) -> Result<(Channel, Reader), String> {
        let patience = Duration::from_millis(PEER_PATIENCE_MS);
        let patient = stream.set_patience(patience);
        patient.map_err(|error| error.to_string())?;
        let (tls, host) = (self.own.tls.as_ref(), &self.target.address.host);
        let channel = Channel::connecting(stream, tls, host);
        let channel = channel.map_err(|error| error.to_string())?;
        let mut reader = Reader::new(channel.clone(), self.own.counters.clone());
        let introduction = Introduction {
            lane: self.target.lane,
            from: self.own.node_id,
            to: self.target.id,
        };
        let presented =
            handshake::present(&channel, &mut reader, &self.own.secret, introduction).await;
        presented.map_err(|refused| refused.to_string())?;
        reader.admit(self.target.lane, self.target.lane.answer_bytes());
        Ok((channel, reader))
    }

    /// Sends and receives until the connection ends. Answers why it did.
    async fn serve(&self, channel: &Channel, reader: Reader) -> String {
        {
            let mut state = self.state.borrow_mut();
            if matches!(*state, State::Closed) {
                return "this node is stopping".to_string();
            }
            *state = State::Up(channel.stream().clone());
        }
        self.heard.set(Instant::now());
        if self.connected_before.replace(true) {
            self.own
                .counters
                .change(|counters| counters.reconnects += 1);
        }
        let written = std::pin::pin!(self.outbox.write_to(channel, &self.own.counters));
        let read = std::pin::pin!(self.read(reader));
        match select(written, read).await {
            Either::Left((Ok(()), _)) => "it was closed".to_string(),
            Either::Left((Err(error), _)) => error.to_string(),
            Either::Right((why, _)) => why,
        }
    }

    async fn read(&self, mut reader: Reader) -> String {
        loop {
            match reader.next().await {
                Ok(frame) => {
                    self.heard.set(Instant::now());
                    if let Err(garbage) = self.answer(frame) {
                        let counters = &self.own.counters;
                        counters.change(|counters| counters.garbage_dropped += 1);
                        return garbage.to_string();
                    }
                }
                Err(ended) => return ended.to_string(),
            }
        }
    }

    fn answer(&self, frame: Frame) -> Result<(), Garbage> {
        let result = match frame.kind {
            ANSWER => Ok(frame.payload),
            REFUSAL => {
                let text = String::from_utf8_lossy(&frame.payload).into_owned();
                Err(CallError::Refused(text))
            }
            kind => return Err(Garbage::Kind(kind)),
        };
        // One that nobody waits for any more is no news.
        if let Some(pending) = self.pending.borrow_mut().remove(&frame.id) {
            let _ = pending.answer.send(result);
        }
        Ok(())
    }

    /// The connection is gone, or did not come about.
    fn fall(&self, why: &str) {
        let why: Rc<str> = format!("{}: {why}", self.name()).into();
        let pause = Duration::from_millis(self.backoff_ms.get());
        let next_ms = (self.backoff_ms.get() * 2).min(PEER_BACKOFF_MS_MAX);
        self.backoff_ms.set(next_ms);
        let mut state = self.state.borrow_mut();
        if !matches!(*state, State::Closed) {
            *state = State::Down(Instant::now() + pause, why.clone());
        }
        drop(state);
        let pending = std::mem::take(&mut *self.pending.borrow_mut());
        for request in pending.into_values() {
            let error = match self.outbox.may_have_left(request.start) {
                true => CallError::Unanswered(why.to_string()),
                false => CallError::NotSent(why.to_string()),
            };
            let _ = request.answer.send(Err(error));
        }
        self.outbox.clear();
        tracing::debug!("connection ({:?}) to {why}", self.target.lane);
    }

    /// Looks whether the connection is dead, or not needed. Answers whether the link may be
    /// forgotten.
    pub(super) fn look_after(&self, now: Instant) -> bool {
        let unused = now.duration_since(self.asked.get()) > Duration::from_millis(PEER_IDLE_MS);
        let stream = match &*self.state.borrow() {
            State::Up(stream) => stream.clone(),
            State::Connecting => return false,
            State::Idle | State::Down(..) | State::Closed => return unused,
        };
        let silence_max = self.target.lane.silence_max();
        let pending = self.pending.borrow();
        let oldest = pending
            .values()
            .find(|request| !request.patient)
            .map(|request| request.since);
        let silent = now.duration_since(self.heard.get()) > silence_max;
        let dead = silent && oldest.is_some_and(|since| now.duration_since(since) > silence_max);
        if dead || (unused && pending.is_empty()) {
            stream.shutdown();
        }
        false
    }

    pub(super) fn close(&self) {
        let state = self.state.replace(State::Closed);
        self.outbox.close();
        if let State::Up(stream) = state {
            stream.shutdown();
        }
    }
}

/// Connects to the first of `addresses` that answers. All but the last get a part of the time: one
/// that swallows what it is sent must not use up the others'.
async fn connect_any(addresses: &[SocketAddr]) -> Result<Stream, String> {
    let Some((last, others)) = addresses.split_last() else {
        return Err("it has no address".to_string());
    };
    let part = Duration::from_millis(PEER_CONNECT_MS) / addresses.len() as u32;
    for address in others {
        if let Some(Ok(stream)) = net::within(part, Stream::connect(*address)).await {
            return Ok(stream);
        }
    }
    let connected = Stream::connect(*last).await;
    connected.map_err(|error| error.to_string())
}

/// The answer as a future, whatever became of the request.
pub(super) async fn answered(requested: Result<Waiting, CallError>) -> Result<Bytes, CallError> {
    match requested?.await {
        Ok(answer) => answer,
        Err(_canceled) => Err(CallError::Unanswered("this node is stopping".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_swallows_everything_leaves_time_for_the_next() {
        net::run_test(async {
            let any = "127.0.0.1:0".parse().unwrap();
            // Its queue of connections is full, and nobody takes any: what comes now is dropped.
            let full = crate::rt::socket::listen(any, 0).unwrap();
            let deaf = full.local_addr().unwrap();
            let patience = Duration::from_millis(50);
            let mut queued = Vec::new();
            while let Ok(stream) = std::net::TcpStream::connect_timeout(&deaf, patience) {
                queued.push(stream);
            }
            let listener = net::Listener::bind(any).unwrap();
            let addresses = [deaf, listener.address().unwrap()];
            let time = Duration::from_millis(PEER_CONNECT_MS);
            let connected = net::within(time, connect_any(&addresses)).await;
            let stream = connected.expect("in time").unwrap();
            assert_eq!(stream.peer(), Some(addresses[1]));
        });
    }
}
