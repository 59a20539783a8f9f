//! An applier that keeps what it was given, with checkpoints in memory.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::Waker;

use bytes::Bytes;
use futures::future::{FutureExt, LocalBoxFuture, ready};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::error::Unavailable;
use crate::log::Position;
use crate::raft::{Applier, CheckpointMeta, Chunks};

/// What an applier was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Applied(u64, Option<u64>, Bytes),
    Skipped(u64),
    Failed(u64, Unavailable),
}

/// The state is the list of payloads applied. `restart` gives what a crash leaves: the checkpoint.
#[derive(Default)]
pub struct TestApplier {
    pub events: RefCell<Vec<Event>>,
    state: RefCell<Vec<Bytes>>,
    last: Cell<Option<Position>>,
    membership: RefCell<Bytes>,
    checkpoint: RefCell<Option<(CheckpointMeta, Vec<Bytes>)>>,
    /// Panics at the payload of this content.
    pub poison_pill: RefCell<Option<Bytes>>,
    /// Accepts holes between positions: openraft's suite applies what it likes.
    pub holes_allowed: Cell<bool>,
    /// Counts applied entries and keeps nothing.
    pub counting: Cell<bool>,
    pub count: Cell<u64>,
    /// Who waits for the next applied entry.
    pub waiting: RefCell<Option<Waker>>,
}

impl TestApplier {
    pub fn new() -> Rc<Self> {
        Rc::new(Self::default())
    }

    pub fn state(&self) -> Vec<Bytes> {
        self.state.borrow().clone()
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.borrow().clone()
    }

    /// The same node after a restart.
    pub fn restart(&self) -> Rc<Self> {
        let next = Self::new();
        if let Some((meta, state)) = self.checkpoint.borrow().clone() {
            next.begin_at(meta, state);
        }
        next
    }

    fn begin_at(&self, meta: CheckpointMeta, state: Vec<Bytes>) {
        self.last.set(Some(meta.position));
        *self.membership.borrow_mut() = meta.membership.clone();
        *self.state.borrow_mut() = state.clone();
        *self.checkpoint.borrow_mut() = Some((meta, state));
    }

    fn advance(&self, position: Position) {
        if let Some(last) = self.last.get() {
            let next = position.index == last.index + 1;
            assert!(
                next || self.holes_allowed.get(),
                "{position:?} applied behind {last:?}"
            );
            assert!(position > last);
        }
        self.last.set(Some(position));
    }
}

impl Applier for TestApplier {
    fn apply(&self, position: Position, tag: Option<u64>, payload: Bytes) {
        self.count.set(self.count.get() + 1);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        if self.counting.get() {
            return self.last.set(Some(position));
        }
        if self.poison_pill.borrow().as_ref() == Some(&payload) {
            panic!("poison pill");
        }
        self.advance(position);
        let event = Event::Applied(position.index, tag, payload.clone());
        self.events.borrow_mut().push(event);
        self.state.borrow_mut().push(payload);
    }

    fn skip(&self, position: Position, membership: Option<Bytes>) {
        self.advance(position);
        if let Some(membership) = membership {
            *self.membership.borrow_mut() = membership;
        }
        self.events
            .borrow_mut()
            .push(Event::Skipped(position.index));
    }

    fn checkpoint(&self) -> Option<CheckpointMeta> {
        self.checkpoint
            .borrow()
            .as_ref()
            .map(|(meta, _)| meta.clone())
    }

    fn build_checkpoint(&self, at: Position) -> LocalBoxFuture<'_, io::Result<CheckpointMeta>> {
        let position = self.last.get().unwrap_or(at);
        assert!(position >= at);
        let membership = self.membership.borrow().clone();
        let meta = CheckpointMeta {
            position,
            membership,
        };
        *self.checkpoint.borrow_mut() = Some((meta.clone(), self.state()));
        ready(Ok(meta)).boxed_local()
    }

    fn export(&self) -> Option<(CheckpointMeta, Chunks)> {
        let (meta, state) = self.checkpoint.borrow().clone()?;
        Some((meta, stream::iter(state).map(Ok).boxed_local()))
    }

    fn install(&self, meta: CheckpointMeta, chunks: Chunks) -> LocalBoxFuture<'_, io::Result<()>> {
        async move {
            let state = chunks.try_collect().await?;
            self.begin_at(meta, state);
            Ok(())
        }
        .boxed_local()
    }

    fn failed(&self, tag: u64, why: Unavailable) {
        self.events.borrow_mut().push(Event::Failed(tag, why));
    }
}
