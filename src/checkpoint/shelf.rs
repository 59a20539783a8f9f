//! What lies in the directory: the storage engine's database with the manifest and the images.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fjall::compaction::Leveled;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::database::{self, fatal};
use crate::error::Fatal;

use super::meta::{CheckpointMeta, Origin, image_name};
use super::press::Pressed;

const MANIFEST: &str = "manifest";
const NEWEST: &str = "newest";

/// The row that [`outrun`] writes.
const OUTRUN: &str = "outrun";

/// More than the numbers that creating one keyspace and removing a few take.
const OUTRUN_WRITES: usize = 64;

/// Memory and journals of the storage engine, through which only the manifest goes.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;

/// With one, a load without syncs starves the rotation of journals (3.8 GB were seen).
const WORKER_THREADS: usize = 2;

/// What the thread writes and loads read.
pub(super) struct Shelf {
    dir: PathBuf,
    /// Never held while something blocks.
    newest: Mutex<Option<Newest>>,
    /// Absent after a failure, until somebody needs it again.
    database: Mutex<Option<Database>>,
}

struct Newest {
    meta: CheckpointMeta,
    /// Keeps the rows at hand. Absent after a failure, as the database is.
    image: Option<Keyspace>,
}

impl Shelf {
    /// Opens the directory and removes what no manifest names.
    pub fn open(dir: &Path) -> Result<Shelf, Fatal> {
        let shelf = Shelf {
            dir: dir.to_path_buf(),
            newest: Mutex::default(),
            database: Mutex::default(),
        };
        shelf.database()?;
        shelf
            .sweep()
            .map_err(|error| Fatal::io("removing an unfinished checkpoint in", dir, error))?;
        Ok(shelf)
    }

    pub fn newest(&self) -> Option<CheckpointMeta> {
        Some(self.lock_newest().as_ref()?.meta.clone())
    }

    /// The newest checkpoint with its rows, which stay readable while they are held. `None` also
    /// after a failure.
    pub fn pinned(&self) -> Option<(CheckpointMeta, Keyspace)> {
        let newest = self.lock_newest();
        let newest = newest.as_ref()?;
        Some((newest.meta.clone(), newest.image.clone()?))
    }

    /// As [`Shelf::pinned`], opening the database where a failure closed it. Blocks.
    pub fn image(&self) -> Result<Option<(CheckpointMeta, Keyspace)>, Fatal> {
        self.database()?;
        Ok(self.pinned())
    }

    fn lock_newest(&self) -> MutexGuard<'_, Option<Newest>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Database>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database, opened anew after a failure. What its manifest says then rules: the write of
    /// one may have succeeded all the same. Blocks.
    fn database(&self) -> Result<Database, Fatal> {
        let mut place = self.lock();
        if let Some(database) = &*place {
            return Ok(database.clone());
        }
        let database = open_database(&self.dir)?;
        let newest = database::guarded(&self.dir, || read_manifest(&self.dir, &database))?;
        outrun(&database).map_err(|error| Fatal::io("writing to", &self.dir, error))?;
        *self.lock_newest() = newest;
        Ok(place.insert(database).clone())
    }

    /// Lets go of a database that may be poisoned.
    pub fn discard(&self) {
        if let Some(newest) = &mut *self.lock_newest() {
            newest.image = None;
        }
        *self.lock() = None;
    }

    /// An empty image for the rows of a checkpoint. Blocks.
    pub fn create_image(&self, generation: u64) -> io::Result<(Database, Keyspace)> {
        let database = self.database().map_err(io::Error::other)?;
        outrun(&database)?;
        let image = database
            .keyspace(&image_name(generation), image_options)
            .map_err(io_error)?;
        Ok((database, image))
    }

    /// Names a complete image in the manifest: from here on it is the newest. Blocks.
    pub fn publish(
        &self,
        (database, image): (&Database, &Keyspace),
        origin: Origin,
        (generation, received): (u64, bool),
        pressed: Pressed,
    ) -> io::Result<CheckpointMeta> {
        let meta = CheckpointMeta {
            origin,
            generation,
            digest: pressed.digest,
            bytes: pressed.bytes,
            received,
        };
        let manifest = database
            .keyspace(MANIFEST, KeyspaceCreateOptions::default)
            .map_err(io_error)?;
        manifest.insert(NEWEST, meta.to_bytes()).map_err(io_error)?;
        settle(database, &manifest)?;
        *self.lock_newest() = Some(Newest {
            meta: meta.clone(),
            image: Some(image.clone()),
        });
        Ok(meta)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the storage engine could not read, as an error of a start.
    pub fn fatal(&self, error: fjall::Error) -> Fatal {
        fatal(&self.dir, error)
    }

    /// Removes every image that the manifest does not name. Blocks.
    pub fn sweep(&self) -> io::Result<()> {
        let database = self.database().map_err(io::Error::other)?;
        let kept = self.newest().map(|meta| meta.image_name());
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

/// Rows are only ever read in order, and seldom: no filters, and runs stay as they are.
fn image_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .expect_point_read_hits(true)
        .compaction_strategy(Arc::new(Leveled::default().with_l0_threshold(u8::MAX)))
}

/// Raises the storage engine's sequence numbers, durably, above those of every keyspace that was
/// created or removed so far.
///
/// The engine (fjall 3.1.13) keeps its list of keyspaces in rows with sequence numbers too, but on
/// opening counts on from the numbers in the keyspaces alone. What it removed since the last write
/// into one that stays has a higher number then; the next keyspace gets the number, and the
/// identity, of the removed one, is hidden by its tombstone, and is gone at the next opening.
fn outrun(database: &Database) -> io::Result<()> {
    let manifest = database
        .keyspace(MANIFEST, KeyspaceCreateOptions::default)
        .map_err(io_error)?;
    for _ in 0..OUTRUN_WRITES {
        manifest.insert(OUTRUN, []).map_err(io_error)?;
    }
    database.persist(PersistMode::SyncAll).map_err(io_error)
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

fn open_database(dir: &Path) -> Result<Database, Fatal> {
    database::open(dir, |builder| {
        builder
            .worker_threads(WORKER_THREADS)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
    })
}

fn read_manifest(dir: &Path, database: &Database) -> Result<Option<Newest>, Fatal> {
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
    let image = database
        .keyspace(&meta.image_name(), image_options)
        .map_err(|error| fatal(dir, error))?;
    Ok(Some(Newest {
        meta,
        image: Some(image),
    }))
}

/// What an error of the storage engine means for a checkpoint: what the operating system said,
/// where it did.
pub(super) fn io_error(error: fjall::Error) -> io::Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(one) = cause {
        if let Some(error) = one.downcast_ref::<io::Error>() {
            return io::Error::new(error.kind(), error.to_string());
        }
        cause = one.source();
    }
    io::Error::other(error)
}
