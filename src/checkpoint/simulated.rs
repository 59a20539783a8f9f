//! Checkpoints in a simulation: as the [`Store`] on a disk, in memory, with a disk's delays and
//! without threads.
//!
//! What stands in a [`Shelf`] is durable; what was begun and not completed is gone with the process.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::future::poll_fn;
use futures::stream::{Stream, StreamExt};

use super::meta::{CheckpointMeta, Origin};
use super::queue::Refused;
use crate::error::Fatal;
use crate::rt::sim;
use crate::slot::{shard_of, slot_of};
use crate::value::Digest;
use crate::value::chunk::{ChunkReader, Record, begin_chunk};

/// The disk of a node's checkpoints, which outlives its processes.
#[derive(Default)]
pub struct Shelf(Mutex<Option<(CheckpointMeta, Vec<Bytes>)>>);

/// The checkpoints of one node.
pub struct Store {
    shelf: Arc<Shelf>,
    busy: Arc<Busy>,
}

#[derive(Default)]
struct Busy {
    is: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

/// A checkpoint under way.
struct Sheet {
    origin: Origin,
    received: bool,
    chunks: Mutex<Vec<Bytes>>,
    ended: AtomicBool,
    shelf: Arc<Shelf>,
    busy: Arc<Busy>,
}

impl Sheet {
    /// Puts the checkpoint in the place of the one before.
    fn publish(&self, chunks: Vec<Bytes>) -> io::Result<CheckpointMeta> {
        let digest = digest_of(&chunks)?;
        let mut shelf = locked(&self.shelf.0);
        let meta = CheckpointMeta {
            origin: self.origin.clone(),
            generation: shelf.as_ref().map_or(1, |(meta, _)| meta.generation + 1),
            digest,
            bytes: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            received: self.received,
        };
        *shelf = Some((meta.clone(), chunks));
        Ok(meta)
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        self.busy.is.store(false, Ordering::Release);
        locked(&self.busy.waiting).drain(..).for_each(Waker::wake);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn disk(us_max: u64) {
    sim::Sleep::new(Duration::from_micros(20 + sim::below(us_max))).await;
}

fn digest_of(chunks: &[Bytes]) -> io::Result<Digest> {
    let mut digest = Digest::default();
    for chunk in chunks {
        each_record(chunk, |record, _| {
            if let Record::Entry(entry) = record {
                digest += entry.digest();
            }
        })?;
    }
    Ok(digest)
}

fn each_record(chunk: &[u8], mut take: impl FnMut(&Record<'_>, &[u8])) -> io::Result<()> {
    let damaged = |error: crate::value::ImageError| io::Error::other(error.0.to_string());
    let mut reader = ChunkReader::new(chunk).map_err(damaged)?;
    while let Some((record, bytes)) = reader.next_record().map_err(damaged)? {
        take(&record, bytes);
    }
    Ok(())
}

/// The part of an image that shard `shard` of `shards` gets, as one chunk.
fn part_of(chunks: &[Bytes], shard: usize, shards: usize) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    begin_chunk(&mut part);
    for chunk in chunks {
        each_record(chunk, |record, bytes| {
            let wanted = match record {
                Record::Entry(entry) => shard_of(slot_of(entry.key), shards) == shard,
                Record::Tombstones(_) | Record::Database { .. } => true,
            };
            if wanted {
                part.extend_from_slice(bytes);
            }
        })?;
    }
    Ok(part)
}

impl Store {
    /// For who has no simulation: an empty one.
    ///
    /// # Errors
    /// None.
    pub fn open(_dir: &Path) -> Result<Store, Fatal> {
        Ok(Store::on(Arc::default()))
    }

    /// The store on this disk.
    pub fn on(shelf: Arc<Shelf>) -> Store {
        let busy = Arc::default();
        Store { shelf, busy }
    }

    /// # Errors
    /// Where the image is damaged.
    pub fn load<S>(
        &self,
        shards: usize,
        sink: impl Fn(usize) -> S + Sync,
        _progress: impl Fn(u64, u64) + Sync,
    ) -> Result<Option<CheckpointMeta>, Fatal>
    where
        S: FnMut(Vec<u8>) -> Result<(), Fatal>,
    {
        let Some((meta, chunks)) = locked(&self.shelf.0).clone() else {
            return Ok(None);
        };
        for shard in 0..shards {
            let part = part_of(&chunks, shard, shards);
            let part = part.map_err(|error| Fatal::Corrupt {
                what: error.to_string(),
            })?;
            sink(shard)(part)?;
        }
        Ok(Some(meta))
    }

    /// # Errors
    /// `WouldBlock` while another is being written.
    pub fn begin(&self, origin: Origin) -> io::Result<Writer> {
        self.begin_as(origin, false)
    }

    fn begin_as(&self, origin: Origin, received: bool) -> io::Result<Writer> {
        if self.busy.is.swap(true, Ordering::AcqRel) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Writer(Arc::new(Sheet {
            origin,
            received,
            chunks: Mutex::default(),
            ended: AtomicBool::new(false),
            shelf: self.shelf.clone(),
            busy: self.busy.clone(),
        })))
    }

    /// Resolves when no checkpoint is being written.
    pub async fn idle(&self) {
        poll_fn(|context| {
            if !self.busy.is.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            locked(&self.busy.waiting).push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The newest complete checkpoint.
    pub fn newest(&self) -> Option<CheckpointMeta> {
        let shelf = locked(&self.shelf.0);
        shelf.as_ref().map(|(meta, _)| meta.clone())
    }

    /// The newest checkpoint with its content.
    pub fn export(&self) -> Option<(CheckpointMeta, Export)> {
        let (meta, chunks) = locked(&self.shelf.0).clone()?;
        let mut pieces = vec![Bytes::copy_from_slice(&meta.digest.to_bytes())];
        pieces.extend(chunks);
        let pieces = pieces.into_iter();
        Some((meta, Export { pieces }))
    }

    /// # Errors
    /// `WouldBlock` while another is being written.
    pub fn import(&self, origin: Origin) -> io::Result<Import> {
        let writer = self.begin_as(origin, true)?;
        Ok(Import { writer })
    }

    /// # Errors
    /// When there is no checkpoint, or it is damaged.
    pub fn supply(&self, shards: usize) -> io::Result<Supply> {
        let shelf = locked(&self.shelf.0).clone();
        let none = || io::Error::other("there is no checkpoint to read");
        let (_, chunks) = shelf.ok_or_else(none)?;
        let part = |shard| part_of(&chunks, shard, shards).map(Some);
        let state = SupplyState {
            parts: (0..shards).map(part).collect::<io::Result<_>>()?,
            through: vec![false; shards],
            failed: None,
            waiting: Vec::new(),
        };
        Ok(Supply(Mutex::new(state)))
    }
}

/// A checkpoint's content, piece by piece: its digest, then its chunks.
pub struct Export {
    pieces: std::vec::IntoIter<Bytes>,
}

impl Stream for Export {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.pieces.next().map(Ok))
    }
}

/// A checkpoint that is being received.
pub struct Import {
    writer: Writer,
}

impl Import {
    /// # Errors
    /// When it is not what was announced.
    pub async fn take_all(
        &mut self,
        mut pieces: impl Stream<Item = io::Result<Bytes>> + Unpin,
    ) -> io::Result<()> {
        let early = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let announced = pieces.next().await.ok_or_else(early)??;
        while let Some(piece) = pieces.next().await {
            disk(300).await;
            locked(&self.writer.0.chunks).push(piece?);
        }
        let digest = digest_of(&locked(&self.writer.0.chunks))?;
        if digest.to_bytes()[..] != announced[..] {
            return Err(early());
        }
        Ok(())
    }

    /// # Errors
    /// None.
    pub async fn finish(self) -> io::Result<CheckpointMeta> {
        self.writer.finish().await
    }
}

/// A checkpoint that is being written.
pub struct Writer(Arc<Sheet>);

/// Brings chunks to it.
#[derive(Clone)]
pub struct Feeder(std::sync::Weak<Sheet>);

impl Writer {
    pub fn feeder(&self) -> Feeder {
        Feeder(Arc::downgrade(&self.0))
    }

    /// # Errors
    /// Where what was fed is damaged.
    pub async fn finish(self) -> io::Result<CheckpointMeta> {
        disk(20_000).await;
        self.0.ended.store(true, Ordering::Relaxed);
        let chunks = std::mem::take(&mut *locked(&self.0.chunks));
        let meta = self.0.publish(chunks)?;
        // The crash that comes now finds it complete.
        disk(500).await;
        Ok(meta)
    }

    pub fn abort(self) {}
}

impl Feeder {
    /// # Errors
    /// [`Refused::Failed`] where the checkpoint was given up.
    pub fn try_put(&self, chunk: Vec<u8>) -> Result<(), Refused> {
        match self.0.upgrade() {
            Some(sheet) if !sheet.ended.load(Ordering::Relaxed) => {
                locked(&sheet.chunks).push(chunk.into());
                Ok(())
            }
            _ => Err(Refused::Failed(io::Error::other("it was given up"))),
        }
    }

    pub async fn room(&self, _bytes: usize) {}

    /// # Errors
    /// As [`Feeder::try_put`].
    pub async fn put(&self, chunk: Vec<u8>) -> io::Result<()> {
        match self.try_put(chunk) {
            Err(Refused::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// An image for the shards of a running node.
pub struct Supply(Mutex<SupplyState>);

struct SupplyState {
    parts: Vec<Option<Vec<u8>>>,
    through: Vec<bool>,
    failed: Option<String>,
    waiting: Vec<Waker>,
}

/// What a shard gets.
#[derive(Debug)]
pub enum Supplied {
    Chunk(Vec<u8>),
    NotYet,
    Whole,
    Failed(String),
}

impl SupplyState {
    fn is_whole(&self) -> bool {
        self.failed.is_none() && self.through.iter().all(|through| *through)
    }

    fn wake_all(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

impl Supply {
    pub fn take(&self, shard: usize) -> Supplied {
        let mut state = locked(&self.0);
        if let Some(why) = &state.failed {
            return Supplied::Failed(why.clone());
        }
        if let Some(part) = state.parts[shard].take() {
            return Supplied::Chunk(part);
        }
        if !std::mem::replace(&mut state.through[shard], true) && state.is_whole() {
            state.wake_all();
        }
        match state.is_whole() {
            true => Supplied::Whole,
            false => Supplied::NotYet,
        }
    }

    pub fn fail(&self, why: String) {
        let mut state = locked(&self.0);
        state.failed.get_or_insert(why);
        state.wake_all();
    }

    async fn wait<T>(&self, news: impl Fn(&SupplyState) -> Option<T>) -> T {
        poll_fn(|context| {
            let mut state = locked(&self.0);
            if let Some(news) = news(&state) {
                return Poll::Ready(news);
            }
            state.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    pub async fn ready(&self, shard: usize) {
        self.wait(|state| {
            let news = state.parts[shard].is_some() || !state.through[shard];
            (news || state.is_whole() || state.failed.is_some()).then_some(())
        })
        .await;
    }

    /// # Errors
    /// When a shard could not take its part in.
    pub async fn whole(&self) -> io::Result<()> {
        self.wait(|state| match &state.failed {
            Some(why) => Some(Err(io::Error::other(why.clone()))),
            None => state.is_whole().then_some(Ok(())),
        })
        .await
    }
}
