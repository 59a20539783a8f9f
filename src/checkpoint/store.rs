//! The store of checkpoints, and its thread.

use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;

use crate::error::Fatal;
use crate::rt::cross_thread;
use crate::value::Digest;

use super::meta::{CheckpointMeta, Origin};
use super::press::Press;
use super::queue::{Queue, Work};
use super::shelf::Shelf;
use super::writer::Writer;

/// The checkpoints of one node. Any thread; one at a time is written.
pub struct Store {
    shelf: Arc<Shelf>,
    jobs: Option<SyncSender<Job>>,
    busy: Arc<Busy>,
    /// The checkpoint that is being written, if one is.
    current: Mutex<Weak<Queue>>,
    thread: Option<JoinHandle<()>>,
}

struct Job {
    origin: Origin,
    received: bool,
    queue: Arc<Queue>,
}

/// Whether a checkpoint is being written or cleared away, and who waits until none is.
#[derive(Default)]
struct Busy {
    is: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Busy {
    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.is.store(false, Ordering::Release);
        self.waiting().drain(..).for_each(Waker::wake);
    }
}

impl Store {
    /// Opens the store in `dir`, made when it is not there, and starts its thread. Removes what a
    /// checkpoint left that was not completed. Blocks.
    ///
    /// # Errors
    /// When `dir` cannot be used or is in use, or when its manifest is damaged or names an image
    /// that is not there.
    pub fn open(dir: &Path) -> Result<Store, Fatal> {
        let shelf = Arc::new(Shelf::open(dir)?);
        let generation = shelf.newest().map_or(0, |meta| meta.generation);
        let busy = Arc::<Busy>::default();
        let (jobs, queue) = sync_channel(1);
        let thread = {
            let (shelf, busy) = (shelf.clone(), busy.clone());
            std::thread::Builder::new()
                .name("checkpoint".into())
                .spawn(move || work(&shelf, generation, &queue, &busy))
                .map_err(|error| Fatal::io("starting a thread for", dir, error))?
        };
        Ok(Store {
            shelf,
            jobs: Some(jobs),
            busy,
            current: Mutex::default(),
            thread: Some(thread),
        })
    }

    /// Begins a checkpoint of the state at `origin`. Does not block.
    ///
    /// # Errors
    /// `WouldBlock` while another is being written or cleared away.
    pub fn begin(&self, origin: Origin) -> io::Result<Writer> {
        self.begin_as(origin, false)
    }

    /// As [`Store::begin`]; `received` says that the content comes from another node.
    pub(super) fn begin_as(&self, origin: Origin, received: bool) -> io::Result<Writer> {
        if self.busy.is.swap(true, Ordering::AcqRel) {
            let why = "another checkpoint is being written";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
        }
        let queue = Arc::new(Queue::default());
        let job = Job {
            origin,
            received,
            queue: queue.clone(),
        };
        // The thread clears `busy` only when it is about to wait for the next job: there is room.
        if let Some(jobs) = &self.jobs
            && jobs.try_send(job).is_ok()
        {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            *current = Arc::downgrade(&queue);
            return Ok(Writer::new(queue));
        }
        Err(io::Error::other("the checkpoint's thread has ended"))
    }

    /// Resolves when no checkpoint is being written or cleared away. Another may begin before the
    /// caller does. Cancel-safe.
    pub async fn idle(&self) {
        let idle = poll_fn(|context| {
            let mut waiting = self.busy.waiting();
            // Looked at under the lock: the end wakes whoever is in the list by then.
            if !self.busy.is.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        });
        cross_thread(idle).await;
    }

    /// The newest complete checkpoint.
    pub fn newest(&self) -> Option<CheckpointMeta> {
        self.shelf.newest()
    }

    pub(super) fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }
}

/// Gives up the checkpoint that is being written and waits for the thread, so that the directory
/// is free.
impl Drop for Store {
    fn drop(&mut self) {
        self.jobs = None;
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = current.upgrade() {
            queue.abort();
        }
        drop(current);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread: one checkpoint after the other, until the store is dropped.
fn work(shelf: &Shelf, generation: u64, jobs: &Receiver<Job>, busy: &Busy) {
    for generation in generation + 1.. {
        let Ok(job) = jobs.recv() else {
            return;
        };
        // Whatever happens, nobody waits for a thread that is gone.
        let _ending = Ending {
            queue: &job.queue,
            busy,
        };
        if let Err(error) = write(shelf, &job, generation) {
            tracing::warn!(%error, "the checkpoint could not be written; the one before stays");
            job.queue.fail(&error);
            shelf.discard();
        }
        if let Err(error) = shelf.sweep() {
            tracing::warn!(%error, "a superseded checkpoint could not be removed");
            shelf.discard();
        }
    }
}

struct Ending<'j> {
    queue: &'j Queue,
    busy: &'j Busy,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.queue
            .fail(&io::Error::other("the checkpoint was ended"));
        self.busy.end();
    }
}

/// One checkpoint, from its first chunk to its place in the manifest.
fn write(shelf: &Shelf, job: &Job, generation: u64) -> io::Result<()> {
    let (database, image) = shelf.create_image(generation)?;
    let mut press = Press::new(&image);
    let outcome = loop {
        match job.queue.take() {
            Work::Chunk(chunk) => press.chunk(chunk)?,
            Work::Seal(seal) => {
                let sealed = sealed(&mut press, seal.digest);
                let failure = copied(&sealed);
                // Who does not wait any more gives the checkpoint up, too.
                let _ = seal.outcome.send(sealed);
                failure.map_or(Ok(()), Err)?;
            }
            Work::Finish(outcome) => break outcome,
            Work::Abort => return Ok(()),
        }
    };
    let result = press.complete().and_then(|pressed| {
        let kind = (generation, job.received);
        shelf.publish((&database, &image), job.origin.clone(), kind, pressed)
    });
    let failure = copied(&result);
    let _ = outcome.send(result);
    failure.map_or(Ok(()), Err)
}

/// Makes the rows durable, and refuses them where they are not what the sender had.
fn sealed(press: &mut Press<'_>, digest: Digest) -> io::Result<()> {
    let pressed = press.complete()?;
    if pressed.digest == digest {
        return Ok(());
    }
    let what = format!(
        "the checkpoint that was received has {} entries with digest {}; {} with {digest} were \
         announced",
        pressed.digest.entries(),
        pressed.digest,
        digest.entries()
    );
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// The error of a result, for a second place that wants it.
fn copied<T>(result: &io::Result<T>) -> Option<io::Error> {
    let error = result.as_ref().err()?;
    Some(io::Error::new(error.kind(), error.to_string()))
}
