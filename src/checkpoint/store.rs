//! The store of checkpoints, and its thread.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use crate::error::Fatal;

use super::meta::{CheckpointMeta, Origin};
use super::press::Press;
use super::queue::{Queue, Work};
use super::shelf::Shelf;
use super::writer::Writer;

/// The checkpoints of one node. Any thread; one at a time is written.
pub struct Store {
    shelf: Arc<Shelf>,
    jobs: Option<SyncSender<Job>>,
    busy: Arc<AtomicBool>,
    /// The checkpoint that is being written, if one is.
    current: Mutex<Weak<Queue>>,
    thread: Option<JoinHandle<()>>,
}

struct Job {
    origin: Origin,
    queue: Arc<Queue>,
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
        let busy = Arc::new(AtomicBool::new(false));
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
        if self.busy.swap(true, Ordering::AcqRel) {
            let why = "another checkpoint is being written";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
        }
        let queue = Arc::new(Queue::default());
        let job = Job {
            origin,
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
fn work(shelf: &Shelf, generation: u64, jobs: &Receiver<Job>, busy: &AtomicBool) {
    for generation in generation + 1.. {
        let Ok(Job { origin, queue }) = jobs.recv() else {
            return;
        };
        // Whatever happens, nobody waits for a thread that is gone.
        let _ending = Ending {
            queue: &queue,
            busy,
        };
        if let Err(error) = write(shelf, origin, generation, &queue) {
            tracing::warn!(%error, "the checkpoint could not be written; the one before stays");
            queue.fail(&error);
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
    busy: &'j AtomicBool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.queue
            .fail(&io::Error::other("the checkpoint was ended"));
        self.busy.store(false, Ordering::Release);
    }
}

/// One checkpoint, from its first chunk to its place in the manifest.
fn write(shelf: &Shelf, origin: Origin, generation: u64, queue: &Queue) -> io::Result<()> {
    let (database, image) = shelf.create_image(generation)?;
    let mut press = Press::new(&image);
    let outcome = loop {
        match queue.take() {
            Work::Chunk(chunk) => press.chunk(chunk)?,
            Work::Finish(outcome) => break outcome,
            Work::Abort => return Ok(()),
        }
    };
    let result = press
        .complete()
        .and_then(|pressed| shelf.publish((&database, &image), origin, generation, pressed));
    let failure = result
        .as_ref()
        .err()
        .map(|error| io::Error::new(error.kind(), error.to_string()));
    let _ = outcome.send(result);
    failure.map_or(Ok(()), Err)
}
