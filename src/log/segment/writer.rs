//! The task that writes what cannot be written at once: durable frames, syncs, and whatever queued
//! behind them. One turn of its loop is one frame.

use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::Shared;
use super::file::SegmentFile;
use super::format::SEGMENT_HEADER_BYTES;
use super::index::OFFSET_MAX;
use super::state::{Batch, Phase};
use super::supply;
use crate::limits;
use crate::log::fault::{self, Access};
use crate::log::signal::Signal;
use crate::rt::file::{self, AlignedBuffer, BLOCK_BYTES};

/// Runs until the log's handle is dropped.
pub(super) async fn run(signal: Rc<Signal>, log: Weak<Shared>) {
    loop {
        // Held only while there is work, so that dropping the handle drops the log.
        {
            let Some(shared) = log.upgrade() else { return };
            while shared.turn().await {}
        }
        signal.wait().await;
    }
}

impl Shared {
    /// Does one piece of work; `false` when there was none.
    async fn turn(&self) -> bool {
        if self.state.borrow().poison().is_some() {
            self.refuse_all();
            return false;
        }
        if self.state.borrow().has_queued() {
            self.write_turn().await;
            return true;
        }
        if !self.state.borrow().sync_waiters.is_empty() {
            self.sync_turn().await;
            return true;
        }
        false
    }

    /// Tells everybody who waits that the log is poisoned.
    fn refuse_all(&self) {
        let (queue, waiters, error) = {
            let mut state = self.state.borrow_mut();
            let Some(error) = state.poison() else { return };
            let waiters = std::mem::take(&mut state.sync_waiters);
            (state.take_queue(), waiters, error)
        };
        for batch in queue {
            (batch.done)(Err(copy(&error)));
        }
        for waiter in waiters {
            // Whoever stopped waiting needs no answer.
            let _ = waiter.send(Err(copy(&error)));
        }
    }

    /// Writes the next frame from the queue and tells its batches.
    async fn write_turn(&self) {
        let (turn, bytes) = {
            let mut state = self.state.borrow_mut();
            state.phase = Phase::Writing;
            state.take_turn()
        };
        let result = self.write_frame(&turn, bytes).await;
        {
            let mut state = self.state.borrow_mut();
            state.phase = Phase::Idle;
            match &result {
                Ok(()) => state.evict(),
                Err(error) => drop(state.set_poison("writing to the log", error)),
            }
        }
        for batch in turn {
            (batch.done)(match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(copy(error)),
            });
        }
    }

    async fn write_frame(&self, turn: &[Batch], bytes: u64) -> io::Result<()> {
        self.make_room(bytes).await?;
        let sync = turn.iter().any(|batch| batch.sync);
        let large = bytes > limits::LOG_FRAME_BYTES_LARGE as u64;
        let mut buffer = self.state.borrow_mut().take_buffer();
        let direct = {
            let mut state = self.state.borrow_mut();
            let direct = match sync && !large && !state.has_unsynced() {
                true => state.tail().direct_fd(),
                false => None,
            };
            if direct.is_some() {
                state.align();
            }
            if !sync {
                state.mark_relaxed()?;
            }
            state.encode_turn(&mut buffer, turn);
            direct
        };
        if direct.is_some() {
            return self.put_direct(buffer).await;
        }
        self.put_buffered(buffer, large).await?;
        if sync {
            self.sync_unsynced().await?;
            self.state.borrow_mut().finish_durable();
        }
        Ok(())
    }

    /// Writes an encoded frame straight to the disk. Nothing unsynced lies before it.
    async fn put_direct(&self, mut buffer: AlignedBuffer) -> io::Result<()> {
        let (segment, offset, faults) = {
            let state = self.state.borrow();
            (state.tail().clone(), state.offset(), state.faults.clone())
        };
        fault::check(&faults, Access::WriteDurable)?;
        let Some(fd) = segment.direct_fd() else {
            return Err(io::Error::other("the segment has no direct descriptor"));
        };
        let at_once = segment.syncs_with_write() || buffer.len() <= limits::LOG_FRAME_BYTES_SMALL;
        buffer.pad_to(BLOCK_BYTES);
        let bytes = buffer.len();
        let (written, buffer) = file::write_direct(fd, buffer, offset, at_once).await;
        self.state.borrow_mut().return_buffer(buffer);
        let written = written?;
        if written != bytes {
            return Err(io::Error::new(
                io::ErrorKind::WriteZero,
                format!("only {written} of {bytes} bytes were written"),
            ));
        }
        // The seam is the same whatever the disk needs.
        fault::check(&faults, Access::Sync)?;
        if !at_once {
            file::fdatasync(fd).await?;
        }
        segment.note_end(offset + bytes as u64);
        let mut state = self.state.borrow_mut();
        state.advance(bytes as u64);
        state.finish_durable();
        Ok(())
    }

    /// Writes an encoded frame through the page cache; a large one off the executor.
    async fn put_buffered(&self, buffer: AlignedBuffer, large: bool) -> io::Result<()> {
        if !large {
            let mut state = self.state.borrow_mut();
            let result = state.put_buffered(&buffer);
            state.return_buffer(buffer);
            return result;
        }
        let (segment, offset, faults) = {
            let state = self.state.borrow();
            (state.tail().clone(), state.offset(), state.faults.clone())
        };
        fault::check(&faults, Access::Write)?;
        let (result, buffer) = file::blocking(move || {
            let result = segment.write_at(&buffer, offset);
            (result, buffer)
        })
        .await;
        let mut state = self.state.borrow_mut();
        let bytes = buffer.len() as u64;
        state.return_buffer(buffer);
        result?;
        state.advance(bytes);
        state.note_unsynced();
        Ok(())
    }

    /// Sees to it that a frame of `bytes` fits behind the last one, waiting for a new segment
    /// where it must.
    async fn make_room(&self, bytes: u64) -> io::Result<()> {
        if bytes > OFFSET_MAX - 2 * SEGMENT_HEADER_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a log record of {bytes} bytes is too large for a segment"),
            ));
        }
        loop {
            let answer = {
                let mut state = self.state.borrow_mut();
                state.prepare_ahead(&self.supply);
                if state.has_room(bytes) {
                    return Ok(());
                }
                if state.rotate_to_ready() {
                    continue;
                }
                state.take_preparing(&self.supply)
            };
            let segment = file::answer(answer)
                .await
                .unwrap_or_else(|| Err(supply::gone()))?;
            self.state.borrow_mut().set_ready(segment);
        }
    }

    /// Makes what was written before durable, for those who asked; plain appends go on meanwhile.
    async fn sync_turn(&self) {
        let (segments, point, waiters) = {
            let mut state = self.state.borrow_mut();
            state.phase = Phase::Syncing;
            let waiters = std::mem::take(&mut state.sync_waiters);
            let (segments, point) = state.begin_sync();
            (segments, point, waiters)
        };
        let result = self.sync_segments(&segments).await;
        let result = {
            let mut state = self.state.borrow_mut();
            state.phase = Phase::Idle;
            match result {
                Ok(()) => {
                    state.finish_sync(point);
                    Ok(())
                }
                Err(error) => Err(state.set_poison("syncing the log", &error)),
            }
        };
        for waiter in waiters {
            // Whoever stopped waiting needs no answer.
            let _ = waiter.send(match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(copy(error)),
            });
        }
    }

    async fn sync_unsynced(&self) -> io::Result<()> {
        let (segments, _) = self.state.borrow_mut().begin_sync();
        self.sync_segments(&segments).await
    }

    async fn sync_segments(&self, segments: &[Arc<SegmentFile>]) -> io::Result<()> {
        let faults = self.state.borrow().faults.clone();
        for segment in segments {
            fault::check(&faults, Access::Sync)?;
            file::fdatasync(segment.buffered_fd()).await?;
        }
        Ok(())
    }
}

/// `io::Error` cannot be cloned: the same kind and text.
fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
