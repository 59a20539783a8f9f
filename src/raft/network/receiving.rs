//! A checkpoint on its way in: kept on disk until it is whole, then installed.
//!
//! What came is kept when the connection breaks, for whoever sends the same checkpoint next, and
//! forgotten when the disk takes no more of it: it may be what fills the disk. The group hears of a
//! checkpoint only once it is whole: a half replaced state must not exist.
//!
//! ```text
//! on the disk, for each chunk     length u32 | crc32 u32 | bytes
//! ```

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes};
use crc32fast::Hasher;
use futures::channel::oneshot;
use futures::future::{FutureExt, LocalBoxFuture, Shared};
use futures::stream::{self, StreamExt};
use openraft::raft::SnapshotResponse;
use openraft::storage::Snapshot;

use super::counters::Counters;
use super::sending::{Announced, Had};
use super::serving::{Served, refuse, written};
use crate::limits::{PEER_CHECKPOINT_KEPT_MS, PEER_CHUNK_BYTES_MAX};
use crate::raft::Group;
use crate::raft::applier::Chunks;
use crate::raft::types::{LogId, Types, Vote};
use crate::raft::wire::{self, Meta};
use crate::rt;
use crate::rt::scratch::Scratch;

/// Bytes in front of a chunk on the disk.
const HEADER_BYTES: usize = 8;

/// The one checkpoint that this node may be receiving.
pub(super) struct Receiver {
    folder: PathBuf,
    counters: Rc<Counters>,
    current: RefCell<Option<Receiving>>,
}

struct Receiving {
    meta: Meta,
    /// Its leader's, of the newest announcement.
    vote: Vote,
    /// The connection that announced it last: only this one may go on.
    connection: u64,
    scratch: Scratch,
    scratch_bytes: u64,
    chunks: u64,
    checksum: Hasher,
    heard: Instant,
    installing: Option<Installing>,
}

type Installing = Shared<LocalBoxFuture<'static, Result<Bytes, String>>>;

impl Receiver {
    pub(super) fn new(folder: PathBuf, counters: Rc<Counters>) -> Rc<Self> {
        Rc::new(Receiver {
            folder,
            counters,
            current: RefCell::new(None),
        })
    }

    /// A sender is about to send a checkpoint, or the rest of it.
    pub(super) fn announce(
        self: Rc<Self>,
        group: Group,
        connection: u64,
        vote: Vote,
        meta: Meta,
    ) -> Served {
        async move {
            let announced = self.announced(&group, connection, vote, meta).await?;
            written(Ok::<_, String>(announced), |out, announced| {
                announced.put(out);
            })
        }
        .boxed_local()
    }

    async fn announced(
        &self,
        group: &Group,
        connection: u64,
        vote: Vote,
        meta: Meta,
    ) -> Result<Announced, String> {
        let (own_vote, committed) = look(group).await?;
        if own_vote > vote {
            return Ok(Announced::Done(SnapshotResponse::new(own_vote)));
        }
        if meta.last_log_id <= committed {
            // Nothing of it is needed; openraft takes the leader's claim in and says so.
            let nothing = stream::empty().boxed_local();
            let installed = install(group, vote, meta, nothing).await;
            return installed.map(Announced::Done);
        }
        let index = |id: Option<LogId>| id.map(|id| id.index);
        if committed.is_some() && index(meta.last_log_id) <= index(committed) {
            return Err("the checkpoint contradicts what is committed here".into());
        }
        let mut current = self.current.borrow_mut();
        let receiving = match &mut *current {
            Some(receiving) if receiving.meta == meta => receiving,
            _ => {
                let scratch = Scratch::create(&self.folder).map_err(|error| {
                    let folder = self.folder.display();
                    format!("no room for a checkpoint in {folder}: {error}")
                })?;
                current.insert(Receiving {
                    meta,
                    vote,
                    connection,
                    scratch,
                    scratch_bytes: 0,
                    chunks: 0,
                    checksum: Hasher::new(),
                    heard: Instant::now(),
                    installing: None,
                })
            }
        };
        receiving.vote = vote;
        receiving.connection = connection;
        receiving.heard = Instant::now();
        Ok(Announced::Send(receiving.had()))
    }

    /// Keeps a chunk: a number of 64 bits, then its bytes.
    pub(super) fn chunk(self: &Rc<Self>, connection: u64, payload: Bytes) -> Served {
        let Some((number, bytes)) = payload.split_first_chunk() else {
            return refuse("a chunk without a number");
        };
        let number = u64::from_le_bytes(*number);
        let length = bytes.len();
        let mut current = self.current.borrow_mut();
        let receiving = match expected(&mut current, connection, number) {
            Ok(receiving) => receiving,
            Err(why) => return refuse(why),
        };
        let mut block = Vec::with_capacity(HEADER_BYTES + length);
        block.put_u32_le(length as u32);
        block.put_u32_le(crc32fast::hash(bytes));
        block.put_slice(bytes);
        let (scratch, offset) = (receiving.scratch.clone(), receiving.scratch_bytes);
        let receiver = self.clone();
        async move {
            let (kept, block) = scratch.write(block, offset).await;
            // Meanwhile another sender may have taken over, and sent the same chunk.
            let mut current = receiver.current.borrow_mut();
            let receiving = expected(&mut current, connection, number)?;
            if let Err(error) = kept {
                *current = None;
                return Err(format!("a chunk could not be kept: {error}"));
            }
            receiving.chunks += 1;
            receiving.scratch_bytes += block.len() as u64;
            receiving.checksum.update(&block[HEADER_BYTES..]);
            let bytes = length as u64;
            let counters = &receiver.counters;
            counters.change(|counters| counters.checkpoint_bytes_received += bytes);
            Ok(Bytes::new())
        }
        .boxed_local()
    }

    /// Everything was sent, says the sender: installs it if that is what is here.
    pub(super) fn install(self: Rc<Self>, group: Group, connection: u64, payload: Bytes) -> Served {
        let Ok(sent) = Had::read(&payload) else {
            return refuse("an order to install without a count");
        };
        let mut current = self.current.borrow_mut();
        let Some(receiving) = &mut *current else {
            return refuse("no checkpoint was announced");
        };
        if receiving.connection != connection {
            return refuse("another sender has taken over");
        }
        if let Some(installing) = &receiving.installing {
            return installing.clone().boxed_local();
        }
        if receiving.had() != sent {
            *current = None;
            return refuse("what came is not what was sent: it is forgotten");
        }
        let chunks = receiving.chunks();
        let (vote, meta) = (receiving.vote, receiving.meta.clone());
        let receiver = self.clone();
        let installing = async move {
            let answer = install(&group, vote, meta.clone(), chunks).await;
            receiver
                .current
                .borrow_mut()
                .take_if(|now| now.meta == meta);
            written(answer, wire::put_installed)
        };
        let installing = installing.boxed_local().shared();
        receiving.installing = Some(installing.clone());
        // It goes on whether or not the sender stays.
        rt::spawn(installing.clone().map(drop));
        installing.boxed_local()
    }

    /// Forgets what nobody has gone on with for long.
    pub(super) fn look_after(&self, now: Instant) {
        let kept = Duration::from_millis(PEER_CHECKPOINT_KEPT_MS);
        self.current.borrow_mut().take_if(|receiving| {
            receiving.installing.is_none() && now.duration_since(receiving.heard) > kept
        });
    }

    pub(super) fn forget(&self) {
        self.current.borrow_mut().take();
    }

    /// Lets what is being received meet a full disk.
    #[cfg(test)]
    pub(super) fn fill_disk(&self) {
        let full = Scratch::full();
        let mut current = self.current.borrow_mut();
        current.as_mut().expect("one is being received").scratch = full;
    }
}

/// What is being received, if chunk `number` of this connection is what comes next.
fn expected(
    current: &mut Option<Receiving>,
    connection: u64,
    number: u64,
) -> Result<&mut Receiving, &'static str> {
    let receiving = current.as_mut().ok_or("no checkpoint was announced")?;
    if receiving.connection != connection || receiving.installing.is_some() {
        return Err("another sender has taken over");
    }
    if receiving.chunks != number {
        return Err("a chunk out of its order");
    }
    receiving.heard = Instant::now();
    Ok(receiving)
}

impl Receiving {
    fn had(&self) -> Had {
        Had {
            chunks: self.chunks,
            checksum: self.checksum.clone().finalize(),
        }
    }

    /// The chunks as they came, read back one at a time.
    fn chunks(&self) -> Chunks {
        let rest = (self.scratch.clone(), 0, self.chunks);
        let chunks = stream::try_unfold(rest, async |(scratch, offset, chunks)| {
            if chunks == 0 {
                return Ok(None);
            }
            let chunk = read_chunk(&scratch, offset).await?;
            let offset = offset + (HEADER_BYTES + chunk.len()) as u64;
            Ok(Some((chunk, (scratch, offset, chunks - 1))))
        });
        chunks.boxed_local()
    }
}

async fn read_chunk(scratch: &Scratch, offset: u64) -> io::Result<Bytes> {
    let damaged = || {
        let text = "a received checkpoint changed while it lay on the disk";
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    let header = scratch.read(offset, HEADER_BYTES).await?;
    let (length, checksum) = header.split_at(4);
    let length = length.try_into().map(u32::from_le_bytes);
    let length = length.map_err(|_| damaged())? as usize;
    if length > PEER_CHUNK_BYTES_MAX {
        return Err(damaged());
    }
    let chunk = scratch.read(offset + HEADER_BYTES as u64, length).await?;
    if checksum != crc32fast::hash(&chunk).to_le_bytes() {
        return Err(damaged());
    }
    Ok(Bytes::from(chunk))
}

async fn install(
    group: &Group,
    vote: Vote,
    meta: Meta,
    snapshot: Chunks,
) -> Result<SnapshotResponse<Types>, String> {
    // Meanwhile more may have been committed; what contradicts it would stop the core.
    let (_, committed) = look(group).await?;
    let index = |id: Option<LogId>| id.map(|id| id.index);
    if meta.last_log_id > committed && index(meta.last_log_id) <= index(committed) {
        return Err("the checkpoint contradicts what is committed here".into());
    }
    let checkpoint = Snapshot { meta, snapshot };
    let installed = group.answer_install(vote, checkpoint).await;
    installed.map_err(|error| error.to_string())
}

/// The group's vote, and what it knows to be committed and has.
async fn look(group: &Group) -> Result<(Vote, Option<LogId>), String> {
    let (sender, looked) = oneshot::channel();
    let asked = group.raft.external_request(move |state| {
        // Whoever asked may be gone with its connection.
        let _ = sender.send((*state.vote_ref(), state.local_committed().copied()));
    });
    asked.await.map_err(|fatal| fatal.to_string())?;
    looked.await.map_err(|_| "the group stopped".to_string())
}
