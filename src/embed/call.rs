//! One call: a future on the application's side, work in hand on the core's.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::config::{Consistency, Durability};

use super::error::Error;
use super::lane::Lane;
use super::parse::parse;
use super::reply::Reply;
use super::request::Request;
use super::session::Key;
use super::wait;

/// A command on its way: what [`Node::execute`](super::Node::execute) and
/// [`Session::execute`](super::Session::execute) give. A future of any executor, or
/// [waited for](Call::wait) by a thread.
///
/// Nothing is sent before it is polled for the first time. Where its core is busy, it waits in
/// line, and the core takes it over when it has room.
///
/// # Errors
/// It resolves to an [`Error`] that says whether the command failed, was not carried out, or may
/// have been. A node without a leader or a quorum answers so within some seconds.
///
/// # Cancel safety
/// Dropped before its core has taken it, it is not carried out. Dropped later, it may or may not
/// be; nothing else is harmed.
#[must_use = "nothing happens until it is awaited, or waited for"]
pub struct Call {
    stage: Stage,
}

enum Stage {
    New(Origin, Request),
    Refused(Error),
    Sent(Origin, Arc<Pending>),
    Done,
}

/// Where a call comes from, and so where it goes.
pub(super) enum Origin {
    /// It stands by itself.
    Lane(Arc<Lane>),
    Session(Arc<Key>),
}

impl Origin {
    fn lane(&self) -> &Lane {
        match self {
            Origin::Lane(lane) => lane,
            Origin::Session(key) => &key.lane,
        }
    }

    fn session(&self) -> Option<u64> {
        match self {
            Origin::Lane(_) => None,
            Origin::Session(key) => Some(key.number),
        }
    }
}

impl Call {
    pub(super) fn new(origin: Origin, request: Request) -> Call {
        Call {
            stage: Stage::New(origin, request),
        }
    }

    pub(super) fn refused(error: Error) -> Call {
        Call {
            stage: Stage::Refused(error),
        }
    }

    /// How fresh what it reads must be, where that differs from the session's or the node's level.
    pub fn at(mut self, consistency: Consistency) -> Call {
        if let Stage::New(_, request) = &mut self.stage {
            request.consistency = Some(consistency);
        }
        self
    }

    /// How durable what it writes must be before it is answered, where that differs from the
    /// session's or the node's level.
    pub fn with(mut self, durability: Durability) -> Call {
        if let Stage::New(_, request) = &mut self.stage {
            request.durability = Some(durability);
        }
        self
    }

    /// Sends it and waits for the reply on this thread. Not for threads that run an executor.
    ///
    /// # Errors
    /// See [`Call`].
    pub fn wait(self) -> Result<Reply, Error> {
        wait::wait(self)
    }

    fn send(
        &mut self,
        origin: Origin,
        request: Request,
        waker: &Waker,
    ) -> Poll<Result<Reply, Error>> {
        let pending = Arc::new(Pending::new(request, waker.clone()));
        match origin.lane().push(origin.session(), pending.clone()) {
            Ok(()) => {
                self.stage = Stage::Sent(origin, pending);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Future for Call {
    type Output = Result<Reply, Error>;

    /// # Panics
    /// When it is polled again after it resolved.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::New(origin, request) => self.send(origin, request, context.waker()),
            Stage::Refused(error) => Poll::Ready(Err(error)),
            Stage::Sent(origin, pending) => match pending.poll(context.waker()) {
                Some(answer) => Poll::Ready(answer.and_then(read)),
                None => {
                    self.stage = Stage::Sent(origin, pending);
                    Poll::Pending
                }
            },
            Stage::Done => unreachable!("a call was polled after it resolved"),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Stage::Sent(origin, pending) = &self.stage
            && pending.abandon()
        {
            origin.lane().forget(origin.session());
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::New(..) => "new",
            Stage::Refused(_) => "refused",
            Stage::Sent(..) => "sent",
            Stage::Done => "done",
        };
        f.debug_struct("Call").field("stage", &stage).finish()
    }
}

/// What the core answered, for the application.
fn read(bytes: Vec<u8>) -> Result<Reply, Error> {
    match parse(&bytes) {
        Some(Reply::Error(text)) => Err(Error::from_reply(text)),
        Some(reply) => Ok(reply),
        None => {
            let shown = bytes[..bytes.len().min(64)].escape_ascii();
            Err(Error::Uncertain(format!(
                "UNCERTAIN an unreadable reply: {shown}"
            )))
        }
    }
}

/// A call as its future and its core share it.
pub(super) struct Pending(Mutex<State>);

enum State {
    /// In line.
    Waiting(Request, Waker),
    /// In its core's hands.
    Taken(Waker),
    /// The reply, as the engine encodes it.
    Answered(Result<Vec<u8>, Error>),
    /// Nobody waits for it.
    Gone,
}

/// A call in its core's hands.
pub(super) struct Taken {
    pub request: Request,
    pub call: Arc<Pending>,
}

impl Pending {
    fn new(request: Request, waker: Waker) -> Pending {
        Pending(Mutex::new(State::Waiting(request, waker)))
    }

    /// Each change is one assignment: a poisoned lock holds a whole state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its core takes it, unless its future was dropped.
    pub fn take(call: Arc<Pending>) -> Option<Taken> {
        let request = {
            let mut state = call.state();
            match std::mem::replace(&mut *state, State::Gone) {
                State::Waiting(request, waker) => {
                    *state = State::Taken(waker);
                    Some(request)
                }
                other => {
                    *state = other;
                    None
                }
            }
        };
        request.map(|request| Taken { request, call })
    }

    /// Resolves its future. The first answer counts.
    pub fn answer(&self, answer: Result<Vec<u8>, Error>) {
        let mut state = self.state();
        if let State::Waiting(_, waker) | State::Taken(waker) = &mut *state {
            let waker = std::mem::replace(waker, Waker::noop().clone());
            let before = std::mem::replace(&mut *state, State::Answered(answer));
            // A waker may do anything: it is called without the lock.
            drop(state);
            drop(before);
            waker.wake();
        }
    }

    /// The answer, if it has come; else `waker` is woken when it comes.
    fn poll(&self, waker: &Waker) -> Option<Result<Vec<u8>, Error>> {
        let mut state = self.state();
        match &mut *state {
            State::Waiting(_, known) | State::Taken(known) => {
                known.clone_from(waker);
                None
            }
            State::Answered(_) | State::Gone => match std::mem::replace(&mut *state, State::Gone) {
                State::Answered(answer) => Some(answer),
                _ => None,
            },
        }
    }

    /// Nobody waits for it any more. Answers whether it was still in line.
    fn abandon(&self) -> bool {
        let before = std::mem::replace(&mut *self.state(), State::Gone);
        matches!(before, State::Waiting(..))
    }

    /// Whether nobody waits for it.
    pub fn is_gone(&self) -> bool {
        matches!(*self.state(), State::Gone)
    }
}
