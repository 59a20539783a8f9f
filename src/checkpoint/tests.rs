//! The store against a model: rows by database and key.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::SystemTime;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use futures::StreamExt;

use crate::error::Fatal;
use crate::limits::CHECKPOINT_QUEUE_BYTES;
use crate::slot::{shard_of, slot_of};
use crate::value::chunk::{
    ChunkReader, Record, begin_chunk, put_database, put_entry, put_tombstones,
};
use crate::value::{Text, Value};

use super::queue::{Queue, Work};
use super::*;

pub(super) type Model = BTreeMap<(u8, Vec<u8>), (Vec<u8>, u64, u64)>;

/// Runs a future on this thread, which sleeps while it waits.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

pub(super) fn origin(index: u64) -> Origin {
    Origin {
        term: 2,
        leader: 1,
        index,
        membership: b"one voter".to_vec(),
        seed: 11,
    }
}

fn image_of(value: &[u8]) -> Vec<u8> {
    let mut image = Vec::new();
    Value::String(Text::value(value)).write_image(&mut image);
    image
}

/// Entries of all sizes: several rows long, with keys too long for one, empty ones.
pub(super) fn model(seed: u64, entries: u64) -> Model {
    let mut model = Model::new();
    for n in 0..entries {
        let value = format!("value {n} of {seed}").repeat((n % 7) as usize);
        let content = (image_of(value.as_bytes()), n % 3 * 1000, n << 24);
        model.insert(((n % 2) as u8, format!("key:{n}").into_bytes()), content);
    }
    let mut add = |key: Vec<u8>, length: usize| {
        let value: Vec<u8> = (0..length).map(|n| (n as u64 * seed / 7) as u8).collect();
        model.insert((9, key), (image_of(&value), 0, 1));
    };
    add(b"".to_vec(), 0);
    add(b"large".to_vec(), 3_500_000);
    add(b"at the edge".to_vec(), 1024 * 1024);
    for n in 0..3 {
        add([&vec![b'k'; 70_000][..], &[n]].concat(), 10);
    }
    add(vec![0xff; 2_000_000], 2_000_000);
    model
}

/// Writes a model as `shards` shards do, each on a thread of its own.
fn feed(writer: &Writer, model: &Model, shards: usize) {
    std::thread::scope(|scope| {
        for shard in 0..shards {
            let feeder = writer.feeder();
            scope.spawn(move || {
                let mut chunk = Vec::new();
                begin_chunk(&mut chunk);
                let own = |key: &[u8]| shard_of(slot_of(key), shards) == shard;
                for db in 0..16 {
                    let of_db = model.keys().filter(|(at, key)| *at == db && own(key));
                    put_database(&mut chunk, db, of_db.count() as u64, 7);
                }
                let tombstones: Vec<u64> = (0..256)
                    .map(|slot| (shard_of(slot, shards) == shard) as u64 * slot as u64)
                    .collect();
                put_tombstones(&mut chunk, 3, 0, &tombstones);
                for ((db, key), (image, expires_at_ms, version)) in model {
                    if !own(key) {
                        continue;
                    }
                    begin_chunk(&mut chunk);
                    let value =
                        Value::read_image(&mut crate::value::ImageReader::new(image)).unwrap();
                    put_entry(&mut chunk, *db, key, *expires_at_ms, *version, &value);
                    if chunk.len() > 3000 {
                        wait(feeder.put(std::mem::take(&mut chunk))).unwrap();
                    }
                }
                if !chunk.is_empty() {
                    wait(feeder.put(chunk)).unwrap();
                }
            });
        }
    });
}

/// Begins a checkpoint, waiting until what the one before left is cleared away.
pub(super) fn begin(store: &Store, index: u64) -> Writer {
    loop {
        match store.begin(origin(index)) {
            Ok(writer) => return writer,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        std::thread::yield_now();
    }
}

pub(super) fn write(store: &Store, index: u64, model: &Model, shards: usize) -> CheckpointMeta {
    let writer = begin(store, index);
    feed(&writer, model, shards);
    wait(writer.finish()).unwrap()
}

/// Loads for `shards` shards and checks that each key comes once, to its shard.
pub(super) fn load(store: &Store, shards: usize) -> Result<Option<(CheckpointMeta, Model)>, Fatal> {
    let all = Mutex::new(Model::new());
    let tombstones = Mutex::new(BTreeMap::new());
    let last = Mutex::new((0, 0));
    let loaded = store.load(
        shards,
        |shard| {
            let (all, tombstones) = (&all, &tombstones);
            move |chunk: Vec<u8>| {
                let mut reader = ChunkReader::new(&chunk).unwrap();
                while let Some((record, _)) = reader.next_record().unwrap() {
                    match record {
                        Record::Entry(entry) => {
                            assert_eq!(shard_of(slot_of(entry.key), shards), shard);
                            let content =
                                (entry.value.to_vec(), entry.expires_at_ms, entry.version);
                            let key = (entry.db, entry.key.to_vec());
                            let before = all.lock().unwrap().insert(key, content);
                            assert!(before.is_none());
                        }
                        Record::Tombstones(tombs) => {
                            assert_eq!(tombs.db, 3);
                            let own = tombs
                                .iter()
                                .filter(|(slot, _)| shard_of(*slot, shards) == shard);
                            tombstones.lock().unwrap().extend(own);
                        }
                        Record::Database {
                            cleared_version, ..
                        } => assert_eq!(cleared_version, 7),
                    }
                }
                Ok(())
            }
        },
        |entries, of| *last.lock().unwrap() = (entries, of),
    )?;
    let Some(loaded) = loaded else {
        return Ok(None);
    };
    let all = all.into_inner().unwrap();
    let expected: BTreeMap<u16, u64> = (1..256).map(|slot| (slot, slot as u64)).collect();
    assert_eq!(tombstones.into_inner().unwrap(), expected);
    assert_eq!(loaded.entries(), all.len() as u64);
    let (entries, of) = *last.lock().unwrap();
    assert_eq!((entries, of), (all.len() as u64, all.len() as u64));
    Ok(Some((loaded, all)))
}

pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            // What was removed meanwhile is gone, as it would be after a crash.
            let _ = std::fs::copy(entry.path(), target);
        }
    }
}

/// Every file below `dir` with its length and when it was last written.
fn stamps(dir: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => found.extend(stamps(&entry.path())),
            Ok(meta) => found.push((entry.path(), meta.len(), meta.modified().unwrap())),
            // Removed since it was listed: the next look will differ.
            Err(_) => {}
        }
    }
    found.sort();
    found
}

/// Copies `from` as it is at one moment, as a crash would leave it. `None` when it changed
/// meanwhile.
pub(crate) fn copy_at_once(from: &Path, to: &Path) -> Option<PathBuf> {
    // What an earlier try left behind is no part of this moment.
    let _ = std::fs::remove_dir_all(to);
    let before = stamps(from);
    copy(from, to);
    (stamps(from) == before).then(|| to.to_path_buf())
}

fn images(dir: &Path) -> Vec<String> {
    let database = Database::builder(dir).open().unwrap();
    let names = database.list_keyspace_names();
    let mut names: Vec<String> = names
        .iter()
        .map(|name| name.to_string())
        .filter(|name| name.starts_with("image"))
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_written_is_loaded_by_any_number_of_shards() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (model(1, 2000), model(2, 3000));
    {
        let store = Store::open(dir.path()).unwrap();
        assert!(store.newest().is_none());
        assert!(load(&store, 2).unwrap().is_none());
        write(&store, 5, &first, 1);
        let meta = write(&store, 77, &second, 3);
        assert_eq!(meta.origin, origin(77));
        assert_eq!(store.newest(), Some(meta));
    }
    assert_eq!(images(dir.path()), ["image-2"]);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.newest().unwrap().origin, origin(77));
    for shards in [1, 2, 3, 5, 128] {
        let (loaded, all) = load(&store, shards).unwrap().unwrap();
        assert!(all == second, "{shards} shards");
        assert_eq!(Some(loaded), store.newest());
    }
}

#[test]
fn a_checkpoint_that_is_not_finished_leaves_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (model(1, 500), model(2, 2000));
    let store = Store::open(dir.path()).unwrap();
    write(&store, 5, &first, 2);
    let writer = begin(&store, 6);
    assert!(store.begin(origin(7)).is_err(), "one at a time");
    feed(&writer, &second, 2);
    let feeder = writer.feeder();
    drop(writer);
    assert!(wait(feeder.put(vec![1])).is_err());
    assert_eq!(store.newest().unwrap().origin.index, 5);
    assert!(load(&store, 2).unwrap().unwrap().1 == first);

    // Nor does one that is under way when the store goes.
    let writer = begin(&store, 8);
    feed(&writer, &second, 2);
    drop(store);
    assert!(wait(writer.finish()).is_err());
    let store = Store::open(dir.path()).unwrap();
    assert!(load(&store, 3).unwrap().unwrap().1 == first);
    drop(store);
    assert_eq!(images(dir.path()), ["image-1"]);
}

#[test]
fn a_crash_at_any_moment_leaves_one_whole_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let copies = tempfile::tempdir().unwrap();
    let (first, second) = (model(1, 300), model(2, 3000));
    let store = Store::open(dir.path()).unwrap();
    write(&store, 5, &first, 2);
    let writer = begin(&store, 6);
    feed(&writer, &second, 2);
    let mut crashes = Vec::new();
    let finishing = std::thread::spawn(move || wait(writer.finish()).unwrap());
    for number in 0.. {
        let over = finishing.is_finished();
        crashes.extend(copy_at_once(
            dir.path(),
            &copies.path().join(number.to_string()),
        ));
        if over && !crashes.is_empty() {
            break;
        }
    }
    finishing.join().unwrap();
    // What is left behind is cleared away after the end was reported: any moment of that will do.
    let last = copies.path().join("finished");
    while copy_at_once(dir.path(), &last).is_none() {}
    crashes.push(last);
    let mut newest = 5;
    for crash in &crashes {
        let store = Store::open(crash).unwrap();
        let (loaded, all) = load(&store, 2).unwrap().unwrap();
        let index = loaded.origin.index;
        assert!(index >= newest, "never back");
        newest = index;
        let image = if index == 5 { &first } else { &second };
        assert!(all == *image);
    }
    assert_eq!(newest, 6);
}

/// Changes the rows of the newest image behind the store's back.
fn tamper(dir: &Path, change: impl FnOnce(&fjall::Keyspace)) {
    let database = Database::builder(dir).open().unwrap();
    let image = database
        .keyspace("image-1", KeyspaceCreateOptions::default)
        .unwrap();
    change(&image);
    database.persist(PersistMode::SyncAll).unwrap();
}

fn row_of(image: &fjall::Keyspace, key: &[u8]) -> (Vec<u8>, Vec<u8>) {
    image
        .iter()
        .map(|row| row.into_inner().unwrap())
        .find(|(row, _)| row.ends_with(key))
        .map(|(row, value)| (row.to_vec(), value.to_vec()))
        .unwrap()
}

fn refusal(dir: &Path) -> String {
    let store = Store::open(dir).unwrap();
    match load(&store, 2) {
        Err(Fatal::Corrupt { what }) => what,
        other => panic!(
            "not refused: {:?}",
            other.map(|loaded| loaded.map(|it| it.0))
        ),
    }
}

#[test]
fn a_damaged_row_is_refused_by_name() {
    let kept = tempfile::tempdir().unwrap();
    write(&Store::open(kept.path()).unwrap(), 5, &model(1, 300), 2);
    type Change = fn(&fjall::Keyspace);
    let changes: [(&str, Change); 6] = [
        ("key:123\": its checksum", |image| {
            let (row, mut value) = row_of(image, b"key:123");
            let last = value.len() - 1;
            value[last] ^= 1;
            image.insert(row, value).unwrap();
        }),
        ("key:124\": its checksum", |image| {
            let (row, _) = row_of(image, b"key:124");
            let (_, value) = row_of(image, b"key:125");
            image.insert(row, value).unwrap();
        }),
        ("key:126\": too short", |image| {
            let (row, _) = row_of(image, b"key:126");
            image.insert(row, b"").unwrap();
        }),
        ("entries with digest", |image| {
            let (row, _) = row_of(image, b"key:127");
            image.remove(row).unwrap();
        }),
        ("part before it is missing", |image| {
            let (row, _) = row_of(image, &2u32.to_be_bytes());
            image.remove(row).unwrap();
        }),
        ("parts before it are missing", |image| {
            let (row, _) = row_of(image, &3u32.to_be_bytes());
            image.remove(row).unwrap();
        }),
    ];
    for (said, change) in changes {
        let dir = tempfile::tempdir().unwrap();
        copy(kept.path(), dir.path());
        tamper(dir.path(), change);
        let what = refusal(dir.path());
        assert!(what.contains(said) && what.contains("image-1"), "{what}");
    }
}

#[test]
fn a_flipped_byte_on_disk_is_never_served() {
    let kept = tempfile::tempdir().unwrap();
    let content = model(1, 300);
    write(&Store::open(kept.path()).unwrap(), 5, &content, 2);
    let mut tables = Vec::new();
    let mut folders = vec![kept.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.path().parent().unwrap().ends_with("tables") {
                tables.push(entry.path());
            }
        }
    }
    tables.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    let table = tables.pop().unwrap();
    let length = std::fs::metadata(&table).unwrap().len() as usize;
    assert!(length > 1_000_000, "the image is in tables");
    let mut refused = 0;
    for step in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        copy(kept.path(), dir.path());
        let path = dir.path().join(table.strip_prefix(kept.path()).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[length * step / 12 + 1000] ^= 4;
        std::fs::write(&path, bytes).unwrap();
        let loaded = Store::open(dir.path()).and_then(|store| load(&store, 2));
        match loaded {
            Err(_) => refused += 1,
            // Not every byte of a table matters.
            Ok(loaded) => assert!(loaded.unwrap().1 == content),
        }
    }
    assert!(refused > 8, "{refused} of 12");
}

#[test]
fn a_disk_that_fails_costs_one_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (model(1, 300), model(2, 300));
    let store = Store::open(dir.path()).unwrap();
    write(&store, 5, &first, 2);
    // No new keyspace can be made where its folder should be.
    let (folder, aside) = (dir.path().join("keyspaces"), dir.path().join("aside"));
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, b"in the way").unwrap();
    let writer = begin(&store, 6);
    assert!(wait(writer.finish()).is_err());
    assert_eq!(store.newest().unwrap().origin.index, 5);
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    write(&store, 7, &second, 2);
    assert!(load(&store, 1).unwrap().unwrap().1 == second);
}

#[test]
fn a_chunk_that_is_none_or_is_missing_fails_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    write(&store, 5, &model(1, 10), 1);
    let writer = begin(&store, 6);
    writer.feeder().try_put(vec![1, 99]).unwrap();
    let error = wait(writer.finish()).unwrap_err();
    assert!(error.to_string().contains("kind of record"), "{error}");
    let writer = begin(&store, 7);
    let mut chunk = Vec::new();
    begin_chunk(&mut chunk);
    put_database(&mut chunk, 0, 3, 0);
    writer.feeder().try_put(chunk).unwrap();
    let error = wait(writer.finish()).unwrap_err();
    assert!(
        error.to_string().contains("0 entries were captured of 3"),
        "{error}"
    );
    assert_eq!(store.newest().unwrap().origin.index, 5);
    write(&store, 8, &model(1, 10), 1);
}

#[test]
fn an_export_is_one_checkpoint_and_makes_one_elsewhere() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (model(1, 2000), model(2, 2000));
    let store = Store::open(dir.path()).unwrap();
    assert!(store.export().is_none());
    write(&store, 5, &first, 2);
    let (meta, mut export) = store.export().unwrap();
    let (_, mut late) = store.export().unwrap();
    let (_, unread) = store.export().unwrap();
    let (_, mut cut) = store.export().unwrap();
    assert!(wait(cut.next()).unwrap().is_ok());
    drop((unread, cut));
    let follower = Store::open(elsewhere.path()).unwrap();
    let mut import = follower.import(meta.origin.clone()).unwrap();
    wait(import.take(&wait(export.next()).unwrap().unwrap())).unwrap();
    // It goes on while it is superseded.
    for index in 6..9 {
        write(&store, index, &second, 2);
    }
    wait(import.take_all(export)).unwrap();
    let copied = wait(import.finish()).unwrap();
    assert_eq!((copied.digest, &copied.origin), (meta.digest, &meta.origin));
    assert!(copied.received && !meta.received);
    assert!(load(&follower, 2).unwrap().unwrap().1 == first);
    let mut bytes = 0;
    while let Some(piece) = wait(late.next()) {
        bytes += piece.unwrap().len() as u64;
    }
    assert!(bytes > meta.bytes / 2);
}

#[test]
fn a_directory_is_used_by_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let Err(Fatal::Setup(what)) = Store::open(dir.path()) else {
        panic!("opened twice");
    };
    assert!(what.contains("in use"));
    drop(store);
    Store::open(dir.path()).unwrap();
}

#[test]
fn what_waits_is_bounded() {
    let queue = Arc::new(Queue::default());
    let mut taken = 0;
    let mut chunk = vec![0; 100_000];
    chunk = loop {
        match queue.try_put(chunk) {
            Ok(()) => taken += 1,
            Err(Refused::Full(back)) => break back,
            Err(Refused::Failed(why)) => panic!("{why}"),
        }
        chunk = vec![0; 100_000];
    };
    assert_eq!(taken, CHECKPOINT_QUEUE_BYTES / 100_000);
    assert!(queue.bytes() <= CHECKPOINT_QUEUE_BYTES);
    assert_eq!(chunk.len(), 100_000, "given back whole");
    // Who waits is woken by room.
    let waiting = {
        let queue = queue.clone();
        std::thread::spawn(move || wait(queue.room(100_000)))
    };
    assert!(matches!(queue.take(), Work::Chunk(_)));
    waiting.join().unwrap();
    // One that is larger than everything goes in alone.
    let huge = vec![0; CHECKPOINT_QUEUE_BYTES + 1];
    assert!(matches!(queue.try_put(huge.clone()), Err(Refused::Full(_))));
    for _ in 1..taken {
        queue.take();
    }
    queue.try_put(huge).unwrap();
    // Who waits is woken by a failure, and so is who waits for the outcome.
    let waiting = {
        let queue = queue.clone();
        std::thread::spawn(move || wait(queue.room(1)))
    };
    queue.fail(&std::io::Error::other("the disk is full"));
    waiting.join().unwrap();
    let (outcome, done) = futures::channel::oneshot::channel();
    queue.finish(outcome);
    assert_eq!(
        wait(done).unwrap().unwrap_err().to_string(),
        "the disk is full"
    );
    assert_eq!(queue.bytes(), 0);
}
