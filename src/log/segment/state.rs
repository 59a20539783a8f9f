//! The state of an open segment log, and every step of it that needs no waiting.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use futures::channel::oneshot;

use super::super::fault::{self, Access, Faults, Poison};
use super::super::mark::Mark;
use super::super::memory::{MaxByIndex, Memory};
use super::super::{Done, Options, Position, Record};
use super::file::SegmentFile;
use super::format::{self, Change, FRAME_HEADER_BYTES, FrameEncoder, SEGMENT_HEADER_BYTES};
use super::index::{Index, OFFSET_MAX};
use super::recovery::Recovered;
use super::supply::Supply;
use crate::limits;
use crate::rt::file::{AlignedBuffer, BLOCK_BYTES};

/// One thing that was asked of the log.
pub(super) enum Operation {
    Records(Vec<Record>),
    Truncate(Option<Position>),
    Purge(Position),
}

impl Operation {
    /// Bytes that it takes in a frame.
    fn frame_bytes(&self) -> u64 {
        match self {
            Operation::Records(records) => records_bytes(records),
            Operation::Truncate(_) => format::record_bytes(0) as u64,
            Operation::Purge(_) => format::record_bytes(format::PURGE_BYTES) as u64,
        }
    }
}

fn records_bytes(records: &[Record]) -> u64 {
    records
        .iter()
        .map(|record| format::record_bytes(record.payload.len()) as u64)
        .sum()
}

/// An operation that waits for its write, and who is told about it.
pub(super) struct Batch {
    pub(super) operation: Operation,
    pub(super) sync: bool,
    pub(super) done: Done,
}

/// What the writer task is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    /// A sync of frames written before: plain appends go on.
    Syncing,
    /// A write that others must queue behind.
    Writing,
}

pub(super) type SyncWaiter = oneshot::Sender<io::Result<()>>;

pub(super) struct State {
    pub(super) memory: Memory,
    index: Index,
    queue: VecDeque<Batch>,
    /// Truncations in the queue: until they are written the index may hold records that are gone.
    truncations_queued: usize,
    pub(super) phase: Phase,
    poison: Option<Poison>,

    segments: VecDeque<Arc<SegmentFile>>,
    /// Where the next frame may begin in the last segment.
    offset: u64,
    ready: Option<Arc<SegmentFile>>,
    preparing: Option<oneshot::Receiver<io::Result<Arc<SegmentFile>>>>,
    /// Segments with frames that were written and not synced, oldest first.
    unsynced: Vec<Arc<SegmentFile>>,

    frame_next: u64,
    /// The last frame known to be on disk.
    frame_synced: u64,
    index_synced: u64,
    /// The oldest segment that the purge in the frame being written still needs.
    purge_written: Option<u64>,
    /// The same of the last purge on disk: what lies before may be dropped.
    purge_durable: u64,
    pub(super) sync_waiters: Vec<SyncWaiter>,
    buffer: AlignedBuffer,
    mark: Mark,
    pub(super) faults: Option<Faults>,
}

/// How far the log had been written when a sync began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    frame: u64,
    index: u64,
}

impl State {
    pub(super) fn new(recovered: Recovered, mark: Mark, options: &Options) -> Self {
        let Recovered {
            index,
            segments,
            offset,
            ready,
            frame_next,
            ..
        } = recovered;
        State {
            memory: Memory::new(
                index.purged(),
                index.last(),
                index.start(),
                options.recent_bytes_max,
            ),
            index_synced: index.last().map_or(0, |last| last.index),
            index,
            queue: VecDeque::new(),
            truncations_queued: 0,
            phase: Phase::Idle,
            poison: None,
            segments,
            offset,
            ready,
            preparing: None,
            unsynced: Vec::new(),
            frame_next,
            frame_synced: frame_next - 1,
            purge_written: None,
            purge_durable: 0,
            sync_waiters: Vec::new(),
            buffer: AlignedBuffer::new(),
            mark,
            faults: options.faults.clone(),
        }
    }

    pub(super) fn poison(&self) -> Option<io::Error> {
        self.poison.as_ref().map(Poison::error)
    }

    /// Refuses everything from here on; the first reason stays.
    pub(super) fn set_poison(&mut self, doing: &str, error: &io::Error) -> io::Error {
        self.poison
            .get_or_insert_with(|| Poison::new(doing, error))
            .error()
    }

    pub(super) fn synced(&self) -> u64 {
        self.index_synced
    }

    /// Bytes of all segments in use; of the last one what its frames take.
    pub(super) fn bytes(&self) -> u64 {
        let full: u64 = self.segments.iter().map(|segment| segment.bytes()).sum();
        full - self.tail().bytes() + self.offset
    }

    /// The segment that takes the next frame. There is one from `open` on.
    pub(super) fn tail(&self) -> &Arc<SegmentFile> {
        &self.segments[self.segments.len() - 1]
    }

    /// Queues an operation for the writer task and lets readers see it. A poisoned log gives
    /// `done` back with the reason.
    pub(super) fn queue(
        &mut self,
        operation: Operation,
        sync: bool,
        done: Done,
    ) -> Option<(Done, io::Error)> {
        if let Some(error) = self.poison() {
            return Some((done, error));
        }
        match &operation {
            Operation::Records(records) => self.memory.append(records),
            Operation::Truncate(last) => {
                self.memory.truncate_after(*last);
                self.truncations_queued += 1;
            }
            Operation::Purge(through) => self.memory.purge(*through),
        }
        self.queue.push_back(Batch {
            operation,
            sync,
            done,
        });
        None
    }

    /// Where the next frame goes in the last segment.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What the next frame takes from the queue, with its bytes: as much as the soft bound allows.
    pub(super) fn take_turn(&mut self) -> (Vec<Batch>, u64) {
        let mut bytes = FRAME_HEADER_BYTES as u64;
        let mut turn = Vec::new();
        while let Some(batch) = self.queue.front() {
            let more = batch.operation.frame_bytes();
            if !turn.is_empty() && bytes + more > limits::LOG_FRAME_BYTES_SOFT as u64 {
                break;
            }
            bytes += more;
            if matches!(batch.operation, Operation::Truncate(_)) {
                self.truncations_queued -= 1;
            }
            turn.extend(self.queue.pop_front());
        }
        (turn, bytes)
    }

    pub(super) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(super) fn take_queue(&mut self) -> VecDeque<Batch> {
        self.truncations_queued = 0;
        std::mem::take(&mut self.queue)
    }

    /// Whether `records`, none of which asks for a sync, can be written at once.
    pub(super) fn takes_plain(&mut self, records: &[Record], supply: &Supply) -> bool {
        if self.phase == Phase::Writing || !self.queue.is_empty() {
            return false;
        }
        let bytes = FRAME_HEADER_BYTES as u64 + records_bytes(records);
        if bytes > limits::LOG_FRAME_BYTES_LARGE as u64 {
            return false;
        }
        self.prepare_ahead(supply);
        self.has_room(bytes) || (self.rotate_to_ready() && self.has_room(bytes))
    }

    /// Writes `records` through the page cache. The caller has asked `takes_plain`.
    pub(super) fn write_plain(&mut self, records: &[Record]) -> io::Result<()> {
        let result = self.write_records_plain(records);
        match result {
            Ok(()) => {
                self.evict();
                Ok(())
            }
            Err(error) => Err(self.set_poison("writing to the log", &error)),
        }
    }

    fn write_records_plain(&mut self, records: &[Record]) -> io::Result<()> {
        self.mark.relax()?;
        let mut buffer = std::mem::take(&mut self.buffer);
        self.encode_records(&mut buffer, records);
        let result = self.put_buffered(&buffer);
        self.buffer = buffer;
        result
    }

    fn encode_records(&mut self, buffer: &mut AlignedBuffer, records: &[Record]) {
        let tail = self.tail().clone();
        let mut encoder = FrameEncoder::new(buffer, tail.seed, self.offset);
        for record in records {
            push(
                &mut encoder,
                &mut self.index,
                tail.sequence,
                format::change_of(record),
            );
        }
        encoder.finish(self.frame_next, self.frame_synced);
    }

    /// Encodes a turn as the next frame and takes it into the index. The buffer must have come
    /// from [`State::take_buffer`].
    pub(super) fn encode_turn(&mut self, buffer: &mut AlignedBuffer, turn: &[Batch]) {
        let tail = self.tail().clone();
        let mut encoder = FrameEncoder::new(buffer, tail.seed, self.offset);
        for batch in turn {
            match &batch.operation {
                Operation::Records(records) => {
                    for record in records {
                        let change = format::change_of(record);
                        push(&mut encoder, &mut self.index, tail.sequence, change);
                    }
                }
                Operation::Truncate(last) => {
                    let change = Change::Truncate { last: *last };
                    push(&mut encoder, &mut self.index, tail.sequence, change);
                    let end = self.index.last().map_or(0, |last| last.index);
                    self.index_synced = self.index_synced.min(end);
                }
                Operation::Purge(through) => {
                    let last = self.index.last().max_by_index(Some(*through));
                    let change = |oldest_segment| Change::Purge {
                        through: *through,
                        oldest_segment,
                        last: last.unwrap_or(*through),
                    };
                    // Into the index first: what is still needed depends on it.
                    let _ = self.index.apply(&change(0), tail.sequence, 0);
                    let oldest = self.index.oldest_segment().unwrap_or(tail.sequence);
                    encoder.push(change(oldest));
                    self.purge_written = Some(oldest);
                }
            }
        }
        encoder.finish(self.frame_next, self.frame_synced);
    }

    pub(super) fn take_buffer(&mut self) -> AlignedBuffer {
        std::mem::take(&mut self.buffer)
    }

    pub(super) fn return_buffer(&mut self, mut buffer: AlignedBuffer) {
        buffer.shrink(limits::LOG_FRAME_BYTES_LARGE);
        self.buffer = buffer;
    }

    /// Writes an encoded frame through the page cache, at the offset it was encoded for.
    pub(super) fn put_buffered(&mut self, frame: &[u8]) -> io::Result<()> {
        fault::check(&self.faults, Access::Write)?;
        self.tail().write_at(frame, self.offset)?;
        self.advance(frame.len() as u64);
        self.note_unsynced();
        Ok(())
    }

    /// Counts the frame just written.
    pub(super) fn advance(&mut self, frame_bytes: u64) {
        self.offset += frame_bytes;
        self.frame_next += 1;
    }

    pub(super) fn note_unsynced(&mut self) {
        let tail = self.tail();
        if self
            .unsynced
            .last()
            .is_none_or(|last| last.sequence != tail.sequence)
        {
            let tail = tail.clone();
            self.unsynced.push(tail);
        }
    }

    pub(super) fn has_unsynced(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// Begins a sync: the segments to sync, and the point that will then be durable. The next
    /// frame begins on a fresh block, so that a synced one is never written again.
    pub(super) fn begin_sync(&mut self) -> (Vec<Arc<SegmentFile>>, Point) {
        self.align();
        (std::mem::take(&mut self.unsynced), self.point())
    }

    pub(super) fn align(&mut self) {
        self.offset = self.offset.next_multiple_of(BLOCK_BYTES as u64);
    }

    pub(super) fn point(&self) -> Point {
        Point {
            frame: self.frame_next - 1,
            index: self.index.last().map_or(0, |last| last.index),
        }
    }

    /// Everything up to `point` is on disk.
    pub(super) fn finish_sync(&mut self, point: Point) {
        self.frame_synced = self.frame_synced.max(point.frame);
        self.index_synced = self.index_synced.max(point.index);
    }

    /// Everything up to the frame just written is on disk, purges included.
    pub(super) fn finish_durable(&mut self) {
        self.finish_sync(self.point());
        if let Some(oldest) = self.purge_written.take() {
            self.purge_durable = oldest;
        }
    }

    pub(super) fn request_sync(&mut self) -> oneshot::Receiver<io::Result<()>> {
        let (sender, receiver) = oneshot::channel();
        match self.poison() {
            // The receiver is in hand: sending cannot fail.
            Some(error) => drop(sender.send(Err(error))),
            None => self.sync_waiters.push(sender),
        }
        receiver
    }

    /// Lets go of old records in memory that can be read from disk.
    pub(super) fn evict(&mut self) {
        if self.truncations_queued == 0
            && let Some(last) = self.index.last()
        {
            self.memory.evict(last.index);
        }
    }

    /// Sequence number and offset of a record on disk, and its file.
    pub(super) fn locate(&self, index: u64) -> Option<(Arc<SegmentFile>, u64)> {
        let (sequence, offset) = self.index.locate(index)?;
        let first = self.segments.front()?.sequence;
        let at = usize::try_from(sequence.checked_sub(first)?).ok()?;
        Some((self.segments.get(at)?.clone(), offset))
    }

    /// Takes the segments out that no live record needs, oldest first.
    pub(super) fn detach_purged(&mut self) -> Vec<Arc<SegmentFile>> {
        let mut dropped = Vec::new();
        while self.segments.len() > 1
            && self
                .segments
                .front()
                .is_some_and(|segment| segment.sequence < self.purge_durable)
        {
            dropped.extend(self.segments.pop_front());
        }
        dropped
    }

    /// Whether a frame of `bytes` goes into the last segment. One that no segment could take goes
    /// where it is and makes the file longer.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let tail = self.tail();
        let end = self.offset.next_multiple_of(BLOCK_BYTES as u64)
            + bytes.next_multiple_of(BLOCK_BYTES as u64);
        end <= tail.bytes() || (bytes > tail.capacity() && end <= OFFSET_MAX && self.is_roomy())
    }

    /// Whether the last segment is at its beginning or is a whole one; a short file (cut by
    /// someone) is left as soon as it is full.
    fn is_roomy(&self) -> bool {
        self.offset < self.tail().bytes()
    }

    /// Asks for the next segment once the last one is half full.
    pub(super) fn prepare_ahead(&mut self, supply: &Supply) {
        if let Some(answer) = &mut self.preparing {
            match answer.try_recv() {
                Ok(None) => {}
                Ok(Some(Ok(segment))) => {
                    self.ready = Some(segment);
                    self.preparing = None;
                }
                // Tried again, and reported, when the segment is needed.
                Ok(Some(Err(_))) | Err(_) => self.preparing = None,
            }
        }
        let half = SEGMENT_HEADER_BYTES + self.tail().capacity() / 2;
        if self.ready.is_none() && self.preparing.is_none() && self.offset > half {
            self.preparing = Some(supply.prepare(self.tail().sequence + 1));
        }
    }

    /// The answer to wait for before rotating, with the request made if need be.
    pub(super) fn take_preparing(
        &mut self,
        supply: &Supply,
    ) -> oneshot::Receiver<io::Result<Arc<SegmentFile>>> {
        let next = self.tail().sequence + 1;
        self.preparing
            .take()
            .unwrap_or_else(|| supply.prepare(next))
    }

    pub(super) fn set_ready(&mut self, segment: Arc<SegmentFile>) {
        self.ready = Some(segment);
    }

    /// Goes over to the next segment if it is ready.
    pub(super) fn rotate_to_ready(&mut self) -> bool {
        let Some(next) = self.ready.take() else {
            return false;
        };
        assert_eq!(
            next.sequence,
            self.tail().sequence + 1,
            "segments follow each other"
        );
        self.segments.push_back(next);
        self.offset = SEGMENT_HEADER_BYTES;
        true
    }

    pub(super) fn mark_relaxed(&mut self) -> io::Result<()> {
        self.mark.relax()
    }

    pub(super) fn mark_loss_kept(&mut self) -> io::Result<()> {
        self.mark.loss_kept()
    }

    pub(super) fn mark_closed(&mut self) -> io::Result<()> {
        self.mark.close(self.frame_next)
    }
}

/// Puts a change into the frame and the index. The order of appends was checked when they came,
/// so the index cannot refuse.
fn push(encoder: &mut FrameEncoder<'_>, index: &mut Index, sequence: u64, change: Change<'_>) {
    let offset = encoder.push(change);
    if let Err(expected) = index.apply(&change, sequence, offset) {
        panic!("a record was written where index {expected} should be");
    }
}
