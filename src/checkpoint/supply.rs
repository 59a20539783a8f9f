//! The newest image on its way to the shards of a running node: read on threads of its own, taken
//! by each shard's core chunk by chunk without blocking.
//!
//! A shard learns that the image is over only when every shard has taken its part in, and all of
//! it was found whole. So none can show the new state while another still shows the old one, if
//! each shows none in between.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::error::Fatal;
use crate::limits::CHECKPOINT_SUPPLY_CHUNKS;
use crate::rt::cross_thread;

use super::load::read;
use super::store::Store;

/// An image for the shards. Shared by all of them; dropped, the reading ends.
pub struct Supply {
    shared: Arc<Shared>,
}

/// What a shard gets.
#[derive(Debug)]
pub enum Supplied {
    Chunk(Vec<u8>),
    /// The next chunk is not there yet, or another shard is not through: wait for
    /// [`Supply::ready`].
    NotYet,
    /// Every shard has all of its part.
    Whole,
    /// The image is damaged, or a shard could not take it in. What was taken must not be shown.
    Failed(String),
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    taken: Condvar,
}

#[derive(Default)]
struct State {
    lanes: Vec<Lane>,
    /// The image was read to its end and is whole.
    read: bool,
    failed: Option<String>,
    /// Nobody takes chunks any more.
    dropped: bool,
    waiting: Vec<Waker>,
}

#[derive(Default)]
struct Lane {
    chunks: VecDeque<Vec<u8>>,
    /// The shard came back for more when there was none.
    through: bool,
}

impl Store {
    /// Reads the newest checkpoint for the shards of a node, each its part. Does not block.
    ///
    /// # Errors
    /// When there is no checkpoint, or no thread for it.
    pub fn supply(&self, shards: usize) -> io::Result<Supply> {
        let (meta, image) = self
            .shelf()
            .pinned()
            .ok_or_else(|| io::Error::other("there is no checkpoint to read"))?;
        let shared = Arc::<Shared>::default();
        shared.lock().lanes.resize_with(shards, Lane::default);
        let (shelf, to) = (self.shelf().clone(), shared.clone());
        let read = move || {
            let sink = |shard| {
                let to = &to;
                move |chunk| to.put(shard, chunk)
            };
            let result = read(&shelf, &meta, &image, shards, sink, |_, _| {});
            let mut state = to.lock();
            match result {
                Ok(()) => state.read = true,
                Err(error) => state.fail(error.to_string()),
            }
            state.wake_all();
        };
        std::thread::Builder::new()
            .name("checkpoint-supply".into())
            .spawn(read)?;
        Ok(Supply { shared })
    }
}

impl Supply {
    /// What is there for `shard`. To come back means that it has taken in all it was given.
    pub fn take(&self, shard: usize) -> Supplied {
        let mut state = self.shared.lock();
        if let Some(why) = &state.failed {
            return Supplied::Failed(why.clone());
        }
        if let Some(chunk) = state.lanes[shard].chunks.pop_front() {
            self.shared.taken.notify_all();
            return Supplied::Chunk(chunk);
        }
        if state.read && !state.lanes[shard].through {
            state.lanes[shard].through = true;
            if state.is_whole() {
                state.wake_all();
            }
        }
        if state.is_whole() {
            Supplied::Whole
        } else {
            Supplied::NotYet
        }
    }

    /// A shard cannot take in what it was given: nobody may show any of it.
    pub fn fail(&self, why: String) {
        let mut state = self.shared.lock();
        state.fail(why);
        state.wake_all();
        self.shared.taken.notify_all();
    }

    /// Resolves when `shard` would not be told [`Supplied::NotYet`]. Cancel-safe.
    pub async fn ready(&self, shard: usize) {
        self.shared
            .wait(|state| {
                let lane = &state.lanes[shard];
                let news = !lane.chunks.is_empty() || (state.read && !lane.through);
                (news || state.is_whole() || state.failed.is_some()).then_some(())
            })
            .await;
    }

    /// Resolves when every shard has all of its part.
    ///
    /// # Errors
    /// When the image is damaged, or a shard could not take it in.
    pub async fn whole(&self) -> io::Result<()> {
        let wait = self.shared.wait(|state| match &state.failed {
            Some(why) => Some(Err(io::Error::other(why.clone()))),
            None => state.is_whole().then_some(Ok(())),
        });
        wait.await
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        self.shared.lock().dropped = true;
        self.shared.taken.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a chunk over, waiting for room.
    fn put(&self, shard: usize, chunk: Vec<u8>) -> Result<(), Fatal> {
        let mut state = self.lock();
        let over = |state: &State| state.dropped || state.failed.is_some();
        while state.lanes[shard].chunks.len() >= CHECKPOINT_SUPPLY_CHUNKS && !over(&state) {
            state = self
                .taken
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if over(&state) {
            return Err(Fatal::Setup(
                "the shards take no more of the checkpoint".into(),
            ));
        }
        state.lanes[shard].chunks.push_back(chunk);
        state.wake_all();
        Ok(())
    }

    async fn wait<T>(&self, news: impl Fn(&State) -> Option<T>) -> T {
        let found = poll_fn(|context| {
            let mut state = self.lock();
            if let Some(news) = news(&state) {
                return Poll::Ready(news);
            }
            let waker = context.waker();
            if !state.waiting.iter().any(|other| other.will_wake(waker)) {
                state.waiting.push(waker.clone());
            }
            Poll::Pending
        });
        cross_thread(found).await
    }
}

impl State {
    fn is_whole(&self) -> bool {
        self.failed.is_none() && self.read && self.lanes.iter().all(|lane| lane.through)
    }

    /// The first reason counts.
    fn fail(&mut self, why: String) {
        self.failed.get_or_insert(why);
    }

    fn wake_all(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}
