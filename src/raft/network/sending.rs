//! A checkpoint on its way out.
//!
//! ```text
//! announce   checkpoint (raft/wire.rs)      -> 0 chunks u64 | checksum u32    send what follows these
//!                                           -> 1 installed                    done, or a newer leader
//! chunk      number u64 | bytes             -> nothing, once it is kept
//! install    chunks u64 | checksum u32      -> installed                      as long as it takes
//! ```
//!
//! The checksum (crc32) runs over the chunks in their order. When the connection breaks the attempt
//! fails and openraft makes another, with a fresh stream of the newest checkpoint: where that is the
//! same one the receiver asks for the rest, and the checksum shows that both mean the same chunks.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use bytes::BufMut;
use crc32fast::Hasher;
use futures::StreamExt;
use openraft::raft::SnapshotResponse;

use super::lane::{Kind, Lane};
use super::link::{Target, Waiting, answered};
use super::peers::read_answer;
use super::transport::Transport;
use super::{Checkpoint, Peer};
use crate::limits::PEER_CHECKPOINT_WINDOW_BYTES;
use crate::raft::applier::Chunks;
use crate::raft::codec::Fields;
use crate::raft::types::{Types, Vote};
use crate::raft::wire;
use crate::rt;

/// Chunks at the beginning of a checkpoint that the receiver has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Had {
    pub chunks: u64,
    pub checksum: u32,
}

/// What the receiver says to an announcement.
pub(super) enum Announced {
    Send(Had),
    Done(SnapshotResponse<Types>),
}

impl Announced {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Announced::Send(had) => {
                out.put_u8(0);
                had.put(out);
            }
            Announced::Done(answer) => {
                out.put_u8(1);
                wire::put_installed(out, answer);
            }
        }
    }

    fn read(bytes: &[u8]) -> io::Result<Announced> {
        let mut fields = Fields::of(bytes, "answer to an announcement");
        match fields.u8()? {
            0 => Had::read(fields.rest()).map(Announced::Send),
            1 => wire::installed(fields.rest()).map(Announced::Done),
            _ => Err(fields.invalid()),
        }
    }
}

impl Had {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.chunks);
        out.put_u32_le(self.checksum);
    }

    pub(super) fn read(bytes: &[u8]) -> io::Result<Had> {
        let mut fields = Fields::of(bytes, "count of chunks");
        let (chunks, checksum) = (fields.u64()?, fields.u32()?);
        fields.end()?;
        Ok(Had { chunks, checksum })
    }
}

/// Sends a checkpoint and has it installed.
///
/// # Errors
/// Whatever kept it from being installed. The receiver keeps what it has for the next attempt.
pub(super) async fn send(
    transport: &Transport,
    to: &Peer,
    vote: Vote,
    checkpoint: Checkpoint,
) -> io::Result<SnapshotResponse<Types>> {
    let sending = Sending {
        transport,
        target: transport.target(to, Lane::Bulk)?,
    };
    let announce = |out: &mut Vec<u8>| wire::put_checkpoint(out, &vote, &checkpoint.meta);
    let announced = sending.request(Kind::Announce, announce);
    let had = match read_answer(announced, Announced::read).await? {
        Announced::Send(had) => had,
        Announced::Done(answer) => return Ok(answer),
    };
    let sent = sending.chunks(checkpoint.snapshot, had).await?;
    let installed = sending.request(Kind::Install, |out| sent.put(out));
    let answer = read_answer(installed, wire::installed).await?;
    if answer.vote == vote {
        let counters = &transport.0.own.counters;
        counters.change(|counters| counters.checkpoints_sent += 1);
    }
    Ok(answer)
}

struct Sending<'t> {
    transport: &'t Transport,
    target: Target,
}

impl Sending<'_> {
    fn request(
        &self,
        kind: Kind,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Waiting, super::CallError> {
        self.transport.request(self.target.clone(), kind, write)
    }

    /// Sends what follows the chunks that the receiver has, a window of them unacknowledged.
    async fn chunks(&self, mut chunks: Chunks, had: Had) -> io::Result<Had> {
        let counters = &self.transport.0.own.counters;
        let (mut checksum, mut number) = (Hasher::new(), 0);
        let mut window: VecDeque<(usize, Waiting)> = VecDeque::new();
        let mut window_bytes = 0;
        let mut pace = Pace::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            checksum.update(&chunk);
            number += 1;
            if number <= had.chunks {
                if number == had.chunks && checksum.clone().finalize() != had.checksum {
                    return Err(self.begin_anew().await);
                }
                counters.change(|counters| counters.checkpoint_chunks_resumed += 1);
                continue;
            }
            while window_bytes > PEER_CHECKPOINT_WINDOW_BYTES
                && let Some((bytes, waiting)) = window.pop_front()
            {
                answered(Ok(waiting)).await?;
                window_bytes -= bytes;
            }
            let bytes_per_second = self.transport.0.checkpoint_bytes_per_second.get();
            pace.wait(chunk.len(), bytes_per_second).await;
            let waiting = self.request(Kind::Chunk, |out| {
                out.put_u64_le(number - 1);
                out.put_slice(&chunk);
            })?;
            counters.change(|counters| counters.checkpoint_bytes_sent += chunk.len() as u64);
            window.push_back((chunk.len(), waiting));
            window_bytes += chunk.len();
        }
        for (_, waiting) in window {
            answered(Ok(waiting)).await?;
        }
        if number < had.chunks {
            return Err(self.begin_anew().await);
        }
        Ok(Had {
            chunks: number,
            checksum: checksum.finalize(),
        })
    }

    /// The receiver has the beginning of other chunks: has it forget them, for the next attempt.
    async fn begin_anew(&self) -> io::Error {
        let nothing = Had {
            chunks: u64::MAX,
            checksum: 0,
        };
        let refused = self.request(Kind::Install, |out| nothing.put(out));
        // It refuses in any case.
        let _ = answered(refused).await;
        io::Error::other("the receiver had another checkpoint's beginning and forgot it")
    }
}

/// Keeps to a number of bytes a second, in the long run.
struct Pace {
    next: Instant,
}

impl Pace {
    fn new() -> Self {
        Pace {
            next: Instant::now(),
        }
    }

    /// Waits until `bytes` more may go.
    async fn wait(&mut self, bytes: usize, bytes_per_second: u64) {
        if bytes_per_second == 0 {
            return;
        }
        let now = Instant::now();
        if self.next > now {
            rt::sleep(self.next - now).await;
        }
        let seconds = bytes as f64 / bytes_per_second as f64;
        // What was not used while the receiver was slow is not made up for.
        self.next = self.next.max(now) + Duration::from_secs_f64(seconds);
    }
}
