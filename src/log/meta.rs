//! A few small keys that are on disk before anything is built on them: vote, committed position,
//! manifest, node id.
//!
//! A fjall database of its own, written by a thread of its own (fjall blocks), synced on every
//! write. All of it is held in memory too, so that reading costs nothing. How many writes it has
//! taken stands in it and in a [`Tally`] beside it, `DIRECTORY.count`.
//!
//! Not done here: anything large, and anything frequent.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use futures::channel::oneshot;

use super::directory;
use super::tally::Tally;
use crate::database;
use crate::error::Fatal;
use crate::limits;
use crate::rt;

type Rows = BTreeMap<String, Vec<u8>>;

/// Key of the row that counts writes.
const COUNT: &str = "count";

struct Request {
    key: String,
    value: Vec<u8>,
    reply: oneshot::Sender<io::Result<()>>,
}

/// Handle to the store; usable from any executor. Dropping it waits for the thread.
pub struct Meta {
    rows: Arc<Mutex<Rows>>,
    requests: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Meta {
    /// Opens or makes the store in `directory`. Blocks.
    ///
    /// # Errors
    /// `Fatal::Setup` where the directory cannot be used or another process has it,
    /// `Fatal::Corrupt` where fjall finds damage, or has lost writes that were on disk.
    pub fn open(directory: &Path) -> Result<Self, Fatal> {
        directory::create(directory)?;
        let failed = |error| database::fatal(directory, error);
        let database = database::open(directory, |builder| builder.worker_threads(1))?;
        let keyspace = database
            .keyspace("meta", KeyspaceCreateOptions::default)
            .map_err(failed)?;
        let mut rows = Rows::new();
        database::guarded(directory, || {
            for row in keyspace.iter() {
                let (key, value) = row.into_inner().map_err(failed)?;
                rows.insert(String::from_utf8_lossy(&key).into_owned(), value.to_vec());
            }
            Ok(())
        })?;
        let count = rows.remove(COUNT).map_or(0, |row| count_of(&row));
        let beside = directory.with_extension("count");
        let (tally, noted) =
            Tally::open(&beside).map_err(|error| Fatal::io("opening", &beside, error))?;
        if count < noted {
            return Err(Fatal::Corrupt {
                what: format!(
                    "{}: of {noted} writes only {count} are there",
                    directory.display()
                ),
            });
        }
        let books = Books { count, tally };
        let rows = Arc::new(Mutex::new(rows));
        let (requests, inbox) = sync_channel(limits::META_REQUESTS_MAX);
        let thread = std::thread::Builder::new()
            .name("log-meta".to_owned())
            .spawn({
                let rows = rows.clone();
                move || work(&database, &keyspace, &rows, &inbox, books)
            })
            .map_err(|error| Fatal::io("starting a thread for", directory, error))?;
        Ok(Meta {
            rows,
            requests: Some(requests),
            thread: Some(thread),
        })
    }

    /// The value last written durably under `key`.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.rows).get(key).cloned()
    }

    /// Writes and syncs; puts take effect in the order they are called, even where the future is
    /// dropped.
    ///
    /// # Errors
    /// What the disk said; every later write fails too. `WouldBlock`: too many writes wait, this
    /// one was not taken.
    pub fn put(&self, key: &str, value: Vec<u8>) -> impl Future<Output = io::Result<()>> + use<> {
        let (reply, answer) = oneshot::channel();
        let request = Request {
            key: key.to_owned(),
            value,
            reply,
        };
        let refused = match self.requests.as_ref().map(|r| r.try_send(request)) {
            Some(Ok(())) => None,
            Some(Err(TrySendError::Full(_))) => Some(io::ErrorKind::WouldBlock.into()),
            Some(Err(TrySendError::Disconnected(_))) | None => Some(gone()),
        };
        async move {
            match refused {
                Some(error) => Err(error),
                None => rt::file::answer(answer)
                    .await
                    .unwrap_or_else(|| Err(gone())),
            }
        }
    }
}

impl Drop for Meta {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has shown itself as failed answers already.
            let _ = thread.join();
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread of the meta store is gone")
}

/// The map holds no half-made change that a panic could leave behind.
fn lock(rows: &Mutex<Rows>) -> MutexGuard<'_, Rows> {
    rows.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many writes were taken, here and beside the store.
struct Books {
    count: u64,
    tally: Tally,
}

/// A row of another length counts as none: it is never written.
fn count_of(row: &[u8]) -> u64 {
    row.try_into().map_or(0, u64::from_le_bytes)
}

fn work(
    database: &Database,
    keyspace: &Keyspace,
    rows: &Mutex<Rows>,
    inbox: &Receiver<Request>,
    mut books: Books,
) {
    let mut poison: Option<String> = None;
    while let Ok(first) = inbox.recv() {
        let mut requests = vec![first];
        requests.extend(inbox.try_iter().take(limits::META_REQUESTS_MAX));
        if poison.is_none() {
            let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
            for request in &requests {
                batch.insert(keyspace, request.key.as_str(), request.value.as_slice());
            }
            books.count += requests.len() as u64;
            batch.insert(keyspace, COUNT, books.count.to_le_bytes());
            poison = batch.commit().err().map(|error| {
                tracing::error!("the meta store cannot be written: {error}");
                error.to_string()
            });
            if poison.is_none()
                && let Err(error) = books.tally.note(books.count)
            {
                // What it guards is on disk all the same.
                tracing::warn!("the count of the meta store cannot be written: {error}");
            }
        }
        for request in requests {
            let result = match &poison {
                Some(text) => Err(io::Error::other(text.clone())),
                None => {
                    lock(rows).insert(request.key, request.value);
                    Ok(())
                }
            };
            // Whoever stopped waiting needs no answer.
            let _ = request.reply.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;
    use crate::rt::file::run_test;

    #[test]
    fn what_was_put_is_there_again() {
        run_test(async {
            let scratch = Scratch::new("meta");
            let directory = scratch.join("meta");
            let meta = Meta::open(&directory).expect("open");
            assert_eq!(meta.get("vote"), None);
            let first = meta.put("vote", b"1".to_vec());
            meta.put("vote", b"2".to_vec()).await.expect("put");
            first.await.expect("put");
            meta.put("node", Vec::new()).await.expect("put");
            assert_eq!(meta.get("vote").as_deref(), Some(&b"2"[..]));
            drop(meta);
            let meta = Meta::open(&directory).expect("open again");
            assert_eq!(meta.get("vote").as_deref(), Some(&b"2"[..]));
            assert_eq!(meta.get("node").as_deref(), Some(&b""[..]));
        });
    }

    #[test]
    fn a_second_open_is_refused() {
        let scratch = Scratch::new("meta-twice");
        let directory = scratch.join("meta");
        let meta = Meta::open(&directory).expect("open");
        assert!(matches!(Meta::open(&directory), Err(Fatal::Setup(_))));
        drop(meta);
    }

    /// Wherever a bit of the last write flips. fjall itself goes on with the older row where its
    /// framing is hit.
    #[test]
    fn a_lost_write_is_refused() {
        run_test(async {
            let scratch = Scratch::new("meta-lost");
            let directory = scratch.join("meta");
            let put = async |value: &str| {
                let meta = Meta::open(&directory).expect("open");
                meta.put("vote", value.into()).await.expect("put");
            };
            put("older").await;
            let journal = directory.join("0.jnl");
            let end_of = |bytes: &[u8]| {
                bytes
                    .iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |at| at + 1)
            };
            let begin = end_of(&std::fs::read(&journal).expect("a journal"));
            put("newer").await;
            let sound = std::fs::read(&journal).expect("a journal");
            let mut counted = 0;
            for at in begin..end_of(&sound) {
                let mut bytes = sound.clone();
                bytes[at] ^= 1;
                std::fs::write(&journal, &bytes).expect("a flip");
                match Meta::open(&directory) {
                    // It may hit what nobody reads.
                    Ok(meta) => assert_eq!(
                        meta.get("vote").as_deref(),
                        Some(&b"newer"[..]),
                        "byte {at}"
                    ),
                    Err(refused) => {
                        let refused = refused.to_string();
                        counted += usize::from(refused.contains("of 2 writes only 1 are there"));
                    }
                }
                // fjall cuts what it takes for a torn end.
                std::fs::write(&journal, &sound).expect("as it was");
            }
            assert!(counted > 0, "fjall tells every one by itself");
            let meta = Meta::open(&directory).expect("open");
            assert_eq!(meta.get("vote").as_deref(), Some(&b"newer"[..]));
        });
    }
}
