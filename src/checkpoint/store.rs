//! The store of checkpoints, and its thread.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::error::Fatal;
use crate::limits::CHECKPOINT_ROW_BYTES;
use crate::value::chunk::{ChunkReader, Record};
use crate::value::{Digest, ImageError};

use super::meta::{CheckpointMeta, Origin, image_name};
use super::queue::{Queue, Work};
use super::row::RowMaker;
use super::writer::Writer;

const MANIFEST: &str = "manifest";
const NEWEST: &str = "newest";

/// Bytes of rows that go into one batch of the storage engine.
const BATCH_BYTES: usize = 4 * CHECKPOINT_ROW_BYTES;

/// Memory of the storage engine: rows not yet in tables, and journals that hold them.
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;
const JOURNAL_BYTES: u64 = 128 * 1024 * 1024;
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// With one, a load without syncs starves the rotation of journals (3.8 GB were seen).
const WORKER_THREADS: usize = 2;

/// The checkpoints of one node. Any thread; one at a time is written.
pub struct Store {
    shelf: Arc<Shelf>,
    jobs: Option<SyncSender<Job>>,
    busy: Arc<AtomicBool>,
    /// The checkpoint that is being written, if one is.
    current: Mutex<Weak<Queue>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread writes and loads read.
pub(super) struct Shelf {
    dir: PathBuf,
    open: Mutex<Open>,
}

struct Open {
    /// Absent after a failure, until the next checkpoint opens it again.
    database: Option<Database>,
    newest: Option<CheckpointMeta>,
    generation: u64,
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
        let database = open_database(dir)?;
        let newest = read_manifest(dir, &database)?;
        let generation = newest.as_ref().map_or(0, |meta| meta.generation);
        let shelf = Arc::new(Shelf {
            dir: dir.to_path_buf(),
            open: Mutex::new(Open {
                database: Some(database),
                newest,
                generation,
            }),
        });
        shelf
            .sweep()
            .map_err(|error| Fatal::io("removing an unfinished checkpoint in", dir, error))?;
        let busy = Arc::new(AtomicBool::new(false));
        let (jobs, queue) = sync_channel(1);
        let thread = {
            let (shelf, busy) = (shelf.clone(), busy.clone());
            std::thread::Builder::new()
                .name("checkpoint".into())
                .spawn(move || work(&shelf, &queue, &busy))
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
        self.shelf.lock().newest.clone()
    }

    pub(super) fn dir(&self) -> &Path {
        &self.shelf.dir
    }

    pub(super) fn shelf(&self) -> &Shelf {
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

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest checkpoint with its rows, which stay readable while this is held.
    pub fn image(&self) -> Result<Option<(CheckpointMeta, Keyspace)>, Fatal> {
        let mut open = self.lock();
        let Some(meta) = open.newest.clone() else {
            return Ok(None);
        };
        if open.database.is_none() {
            open.database = Some(open_database(&self.dir)?);
        }
        let database = open
            .database
            .as_ref()
            .ok_or_else(|| no_database(&self.dir))?;
        let image = database
            .keyspace(&meta.image_name(), image_options)
            .map_err(|error| fatal(&self.dir, error))?;
        Ok(Some((meta, image)))
    }

    /// The database for writing, and the next generation.
    fn next(&self) -> io::Result<(Database, u64)> {
        let mut open = self.lock();
        open.generation += 1;
        let generation = open.generation;
        if let Some(database) = &open.database {
            return Ok((database.clone(), generation));
        }
        let database = open_database(&self.dir).map_err(io::Error::other)?;
        open.database = Some(database.clone());
        Ok((database, generation))
    }

    /// Lets go of a database that may be poisoned.
    fn discard(&self) {
        self.lock().database = None;
    }

    /// Removes every image that the manifest does not name.
    fn sweep(&self) -> io::Result<()> {
        let (database, kept) = {
            let open = self.lock();
            (
                open.database.clone(),
                open.newest.as_ref().map(CheckpointMeta::image_name),
            )
        };
        let Some(database) = database else {
            return Ok(());
        };
        for name in database.list_keyspace_names() {
            if *name == *MANIFEST || kept.as_deref() == Some(&*name) {
                continue;
            }
            let image = database.keyspace(&name, image_options).map_err(io_error)?;
            database.delete_keyspace(image).map_err(io_error)?;
        }
        Ok(())
    }
}

/// The thread: one checkpoint after the other, until the store is dropped.
fn work(shelf: &Shelf, jobs: &Receiver<Job>, busy: &AtomicBool) {
    while let Ok(Job { origin, queue }) = jobs.recv() {
        // Whatever happens, nobody waits for a thread that is gone.
        let _ending = Ending {
            queue: &queue,
            busy,
        };
        if let Err(error) = write(shelf, origin, &queue) {
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
fn write(shelf: &Shelf, origin: Origin, queue: &Queue) -> io::Result<()> {
    let (database, generation) = shelf.next()?;
    let image = database
        .keyspace(&image_name(generation), image_options)
        .map_err(io_error)?;
    let mut press = Press {
        database: &database,
        image: &image,
        maker: RowMaker::default(),
        digest: Digest::default(),
        announced: 0,
        bytes: 0,
    };
    let outcome = loop {
        match queue.take() {
            Work::Chunk(chunk) => press.chunk(&chunk)?,
            Work::Finish(outcome) => break outcome,
            Work::Abort => return Ok(()),
        }
    };
    let result = press.complete(origin, generation);
    if let Ok(meta) = &result {
        shelf.lock().newest = Some(meta.clone());
    }
    let failure = result
        .as_ref()
        .err()
        .map(|error| io::Error::new(error.kind(), error.to_string()));
    let _ = outcome.send(result);
    failure.map_or(Ok(()), Err)
}

/// Writes the rows of one image.
struct Press<'d> {
    database: &'d Database,
    image: &'d Keyspace,
    maker: RowMaker,
    digest: Digest,
    /// Entries that the shards said there would be.
    announced: u64,
    bytes: u64,
}

impl Press<'_> {
    fn chunk(&mut self, chunk: &[u8]) -> io::Result<()> {
        let mut reader = ChunkReader::new(chunk).map_err(bad_chunk)?;
        let mut batch = self.database.batch();
        let mut batch_bytes = 0;
        while let Some((record, bytes)) = reader.next_record().map_err(bad_chunk)? {
            match record {
                Record::Entry(entry) => self.digest += entry.digest(),
                Record::Database { entries, .. } => self.announced += entries,
                Record::Tombstones(_) => {}
            }
            let mut failed = Ok(());
            self.maker.rows(&record, bytes, |key, value| {
                batch_bytes += key.len() + value.len();
                self.bytes += (key.len() + value.len()) as u64;
                batch.insert(self.image, key, value);
                if batch_bytes >= BATCH_BYTES && failed.is_ok() {
                    batch_bytes = 0;
                    let full = std::mem::replace(&mut batch, self.database.batch());
                    failed = full.commit();
                }
            });
            failed.map_err(io_error)?;
        }
        batch.commit().map_err(io_error)
    }

    /// Makes the image durable, then names it in the manifest.
    fn complete(&self, origin: Origin, generation: u64) -> io::Result<CheckpointMeta> {
        if self.digest.entries() != self.announced {
            let (found, announced) = (self.digest.entries(), self.announced);
            return Err(io::Error::other(format!(
                "{found} entries were captured of {announced}: this is a bug"
            )));
        }
        let meta = CheckpointMeta {
            origin,
            generation,
            digest: self.digest,
            bytes: self.bytes,
        };
        settle(self.database, self.image)?;
        let manifest = self
            .database
            .keyspace(MANIFEST, KeyspaceCreateOptions::default)
            .map_err(io_error)?;
        manifest.insert(NEWEST, meta.to_bytes()).map_err(io_error)?;
        settle(self.database, &manifest)?;
        Ok(meta)
    }
}

/// Syncs what was written, then has it moved from the journal into tables: those are what a start
/// reads, and a journal that is damaged loses its tail silently.
fn settle(database: &Database, keyspace: &Keyspace) -> io::Result<()> {
    database.persist(PersistMode::SyncAll).map_err(io_error)?;
    keyspace.rotate_memtable().map_err(io_error)?;
    while keyspace.sealed_memtable_count() > 0 {
        // Fails when a flush has failed, which would never come to an end.
        database.persist(PersistMode::Buffer).map_err(io_error)?;
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Rows are only ever read in order: no filters, no room kept in memory.
fn image_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES)
}

fn open_database(dir: &Path) -> Result<Database, Fatal> {
    std::fs::create_dir_all(dir).map_err(|error| Fatal::io("creating", dir, error))?;
    Database::builder(dir)
        .worker_threads(WORKER_THREADS)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .open()
        .map_err(|error| fatal(dir, error))
}

fn read_manifest(dir: &Path, database: &Database) -> Result<Option<CheckpointMeta>, Fatal> {
    let damaged = |what: String| Fatal::Corrupt {
        what: format!("checkpoint {}: {what}", dir.display()),
    };
    if !database.keyspace_exists(MANIFEST) {
        return Ok(None);
    }
    let manifest = database
        .keyspace(MANIFEST, KeyspaceCreateOptions::default)
        .map_err(|error| fatal(dir, error))?;
    let Some(row) = manifest.get(NEWEST).map_err(|error| fatal(dir, error))? else {
        return Ok(None);
    };
    let meta = CheckpointMeta::from_bytes(&row)
        .map_err(|why| damaged(format!("row {NEWEST} of {MANIFEST}: {}", why.0)))?;
    if !database.keyspace_exists(&meta.image_name()) {
        return Err(damaged(format!("{} is not there", meta.image_name())));
    }
    Ok(Some(meta))
}

/// What an error of the storage engine means for a start.
pub(super) fn fatal(dir: &Path, error: fjall::Error) -> Fatal {
    match error {
        fjall::Error::Locked => Fatal::Setup(format!(
            "{} is in use by another process: is a node running on it?",
            dir.display()
        )),
        fjall::Error::Io(error) => Fatal::io("using the checkpoint in", dir, error),
        error => Fatal::Corrupt {
            what: format!("checkpoint {}: {error}", dir.display()),
        },
    }
}

fn no_database(dir: &Path) -> Fatal {
    Fatal::Setup(format!("{} is not open", dir.display()))
}

fn io_error(error: fjall::Error) -> io::Error {
    match error {
        fjall::Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

fn bad_chunk(error: ImageError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.0)
}
