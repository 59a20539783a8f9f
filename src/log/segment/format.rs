//! Bytes of segment headers, frames and records. The table stands in the parent's module doc.

use crc32fast::Hasher;

use super::super::{Position, Record};
use crate::rt::file::{AlignedBuffer, BLOCK_BYTES};

/// Bytes of a segment's header: one block, so that the first frame begins on the second.
pub(super) const SEGMENT_HEADER_BYTES: u64 = BLOCK_BYTES as u64;
pub(super) const FRAME_HEADER_BYTES: usize = 48;
pub(super) const RECORD_HEADER_BYTES: usize = 40;
/// Frames and records begin at multiples of this.
pub(super) const ALIGNMENT_BYTES: usize = 8;

pub(super) const SEGMENT_MAGIC: [u8; 8] = *b"quoraseg";
pub(super) const FRAME_MAGIC: [u8; 4] = *b"qFrm";
const VERSION: u8 = 1;

/// Bytes of a purge's payload.
pub(super) const PURGE_BYTES: usize = 32;

const TAG_RECORD: u8 = 0;
const TAG_TRUNCATE: u8 = 1;
const TAG_TRUNCATE_ALL: u8 = 2;
const TAG_PURGE: u8 = 3;

/// What every checksum of one segment starts from: a hash of the segment's sequence number and of
/// a number drawn anew in each life of the file, so that neither stale frames of a recycled file
/// nor a segment stored as a value inside another one ever validate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed(u32);

impl Seed {
    fn hasher(self) -> Hasher {
        Hasher::new_with_initial(self.0)
    }
}

/// A segment's header block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) sequence: u64,
    pub(super) salt: u64,
    /// Whether the file had an earlier life whose bytes may still lie behind the last frame.
    pub(super) recycled: bool,
}

/// Why a segment header cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentHeaderFlaw {
    Damaged,
    /// Written by a version that this one does not know.
    Version(u8),
}

impl SegmentHeader {
    pub(super) fn seed(&self) -> Seed {
        let mut hasher = Hasher::new();
        hasher.update(&self.sequence.to_le_bytes());
        hasher.update(&self.salt.to_le_bytes());
        Seed(hasher.finalize())
    }

    pub(super) fn encode(&self, block: &mut AlignedBuffer) {
        let mut header = [0; 32];
        header[..8].copy_from_slice(&SEGMENT_MAGIC);
        header[8] = VERSION;
        header[9] = u8::from(self.recycled);
        header[12..20].copy_from_slice(&self.sequence.to_le_bytes());
        header[20..28].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = crc32fast::hash(&header[..28]);
        header[28..].copy_from_slice(&checksum.to_le_bytes());
        block.clear();
        block.extend_from_slice(&header);
        block.pad_to(BLOCK_BYTES);
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, SegmentHeaderFlaw> {
        let header = bytes.get(..32).ok_or(SegmentHeaderFlaw::Damaged)?;
        if header[..8] != SEGMENT_MAGIC || crc32fast::hash(&header[..28]) != u32_at(header, 28) {
            return Err(SegmentHeaderFlaw::Damaged);
        }
        if header[8] != VERSION {
            return Err(SegmentHeaderFlaw::Version(header[8]));
        }
        Ok(SegmentHeader {
            sequence: u64_at(header, 12),
            salt: u64_at(header, 20),
            recycled: header[9] != 0,
        })
    }
}

/// One change of the log, as a frame carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change<'a> {
    Record {
        position: Position,
        kind: u8,
        payload: &'a [u8],
    },
    Truncate {
        last: Option<Position>,
    },
    Purge {
        through: Position,
        /// Sequence number of the oldest segment that is still needed.
        oldest_segment: u64,
        /// The log's last record at that moment (or `through`): what the next one follows, even
        /// once the segment that holds the last one is dropped.
        last: Position,
    },
}

/// Bytes that a record takes inside a frame.
pub(super) fn record_bytes(payload: usize) -> usize {
    (RECORD_HEADER_BYTES + payload).next_multiple_of(ALIGNMENT_BYTES)
}

/// Writes one frame into a buffer: records first, then `finish`.
pub(super) struct FrameEncoder<'a> {
    buffer: &'a mut AlignedBuffer,
    seed: Seed,
    offset: u64,
    count: u32,
    records: Hasher,
}

impl<'a> FrameEncoder<'a> {
    /// Begins a frame that will lie at `offset` of its segment. Clears `buffer`.
    pub(super) fn new(buffer: &'a mut AlignedBuffer, seed: Seed, offset: u64) -> Self {
        buffer.clear();
        buffer.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        FrameEncoder {
            buffer,
            seed,
            offset,
            count: 0,
            records: seed.hasher(),
        }
    }

    /// Adds a change, and gives its offset in the segment.
    pub(super) fn push(&mut self, change: Change<'_>) -> u64 {
        let purge_payload;
        let (tag, kind, position, payload): (u8, u8, Position, &[u8]) = match change {
            Change::Record {
                position,
                kind,
                payload,
            } => (TAG_RECORD, kind, position, payload),
            Change::Truncate { last: Some(last) } => (TAG_TRUNCATE, 0, last, &[]),
            Change::Truncate { last: None } => (TAG_TRUNCATE_ALL, 0, Position::default(), &[]),
            Change::Purge {
                through,
                oldest_segment,
                last,
            } => {
                purge_payload = encode_purge(oldest_segment, last);
                (TAG_PURGE, 0, through, &purge_payload)
            }
        };
        let start = self.buffer.len();
        let mut header = [0; RECORD_HEADER_BYTES];
        header[..8].copy_from_slice(&(payload.len() as u64).to_le_bytes());
        header[8..16].copy_from_slice(&position.term.to_le_bytes());
        header[16..24].copy_from_slice(&position.leader.to_le_bytes());
        header[24..32].copy_from_slice(&position.index.to_le_bytes());
        header[32] = tag;
        header[33] = kind;
        self.buffer.extend_from_slice(&header);
        self.buffer.extend_from_slice(payload);
        self.buffer.pad_to(ALIGNMENT_BYTES);
        let record = &mut self.buffer.as_mut_slice()[start..];
        let checksum = record_checksum(self.seed, record);
        record[36..40].copy_from_slice(&checksum.to_le_bytes());
        self.records.update(&record[..RECORD_HEADER_BYTES]);
        self.count += 1;
        self.offset + start as u64
    }

    /// Fills in the frame's header; the buffer then holds the whole frame.
    pub(super) fn finish(self, sequence: u64, watermark: u64) {
        let payload = (self.buffer.len() - FRAME_HEADER_BYTES) as u64;
        let records = self.records.finalize();
        let header = &mut self.buffer.as_mut_slice()[..FRAME_HEADER_BYTES];
        header[..4].copy_from_slice(&FRAME_MAGIC);
        header[4] = VERSION;
        header[8..16].copy_from_slice(&payload.to_le_bytes());
        header[16..24].copy_from_slice(&sequence.to_le_bytes());
        header[24..32].copy_from_slice(&watermark.to_le_bytes());
        header[32..36].copy_from_slice(&self.count.to_le_bytes());
        header[36..40].copy_from_slice(&records.to_le_bytes());
        let checksum = header_checksum(self.seed, self.offset, header);
        header[40..44].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// A frame's header, its checksum already verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) version: u8,
    pub(super) payload_bytes: u64,
    pub(super) sequence: u64,
    pub(super) watermark: u64,
    count: u32,
    records: u32,
}

impl FrameHeader {
    /// The header at `offset` of the segment whose bytes are `segment`, if a frame of this life of
    /// the file begins there.
    pub(super) fn find(segment: &[u8], offset: u64, seed: Seed) -> Option<Self> {
        let start = usize::try_from(offset).ok()?;
        let header = segment.get(start..start.checked_add(FRAME_HEADER_BYTES)?)?;
        if header[..4] != FRAME_MAGIC
            || header[44..] != [0; 4]
            || header_checksum(seed, offset, header) != u32_at(header, 40)
        {
            return None;
        }
        Some(FrameHeader {
            version: header[4],
            payload_bytes: u64_at(header, 8),
            sequence: u64_at(header, 16),
            watermark: u64_at(header, 24),
            count: u32_at(header, 32),
            records: u32_at(header, 36),
        })
    }

    /// Bytes of the frame, header included.
    pub(super) fn frame_bytes(&self) -> u64 {
        (FRAME_HEADER_BYTES as u64).saturating_add(self.payload_bytes)
    }

    /// The changes of the frame at `offset`, each with its own offset in the segment.
    ///
    /// # Errors
    /// The number of the first record, from 0, that is damaged or missing.
    pub(super) fn changes<'a>(
        &self,
        segment: &'a [u8],
        offset: u64,
        seed: Seed,
    ) -> Result<Vec<(u64, Change<'a>)>, u32> {
        let start = offset as usize + FRAME_HEADER_BYTES;
        let end = usize::try_from(self.payload_bytes)
            .ok()
            .and_then(|bytes| start.checked_add(bytes))
            .unwrap_or(usize::MAX);
        let mut at = start;
        let mut records = seed.hasher();
        let mut changes = Vec::new();
        for ordinal in 0..self.count {
            let rest = segment.get(at..end.min(segment.len())).ok_or(ordinal)?;
            let (change, bytes) = decode_change(rest, seed).ok_or(ordinal)?;
            records.update(&rest[..RECORD_HEADER_BYTES]);
            changes.push((at as u64, change));
            at += bytes;
        }
        if at != end || records.finalize() != self.records {
            return Err(self.count);
        }
        Ok(changes)
    }
}

/// Bytes of the record that begins at the start of `bytes`, going by its header alone.
pub(super) fn record_bytes_at(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..RECORD_HEADER_BYTES)?;
    let payload = usize::try_from(u64_at(header, 0)).ok()?;
    payload
        .checked_add(RECORD_HEADER_BYTES)?
        .checked_next_multiple_of(ALIGNMENT_BYTES)
}

/// The change at the start of `bytes` and the bytes it takes; `None` where it is damaged or cut.
pub(super) fn decode_change(bytes: &[u8], seed: Seed) -> Option<(Change<'_>, usize)> {
    let taken = record_bytes_at(bytes)?;
    let record = bytes.get(..taken)?;
    if record_checksum(seed, record) != u32_at(record, 36) {
        return None;
    }
    let payload_bytes = u64_at(record, 0) as usize;
    let payload = &record[RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + payload_bytes];
    let position = position_at(record, 8);
    let change = match record[32] {
        TAG_RECORD => Change::Record {
            position,
            kind: record[33],
            payload,
        },
        TAG_TRUNCATE => Change::Truncate {
            last: Some(position),
        },
        TAG_TRUNCATE_ALL => Change::Truncate { last: None },
        TAG_PURGE if payload.len() == PURGE_BYTES => Change::Purge {
            through: position,
            oldest_segment: u64_at(payload, 0),
            last: position_at(payload, 8),
        },
        _ => return None,
    };
    Some((change, taken))
}

/// Covers a record but for the checksum's own four bytes.
fn record_checksum(seed: Seed, record: &[u8]) -> u32 {
    let mut hasher = seed.hasher();
    hasher.update(&record[..36]);
    hasher.update(&record[40..]);
    hasher.finalize()
}

fn header_checksum(seed: Seed, offset: u64, header: &[u8]) -> u32 {
    let mut hasher = seed.hasher();
    hasher.update(&offset.to_le_bytes());
    hasher.update(&header[..40]);
    hasher.finalize()
}

pub(super) fn change_of(record: &Record) -> Change<'_> {
    Change::Record {
        position: record.position,
        kind: record.kind,
        payload: &record.payload,
    }
}

fn position_at(bytes: &[u8], at: usize) -> Position {
    Position {
        term: u64_at(bytes, at),
        leader: u64_at(bytes, at + 8),
        index: u64_at(bytes, at + 16),
    }
}

fn encode_purge(oldest_segment: u64, last: Position) -> [u8; PURGE_BYTES] {
    let mut payload = [0; PURGE_BYTES];
    let numbers = [oldest_segment, last.term, last.leader, last.index];
    for (slot, number) in payload.chunks_exact_mut(8).zip(numbers) {
        slot.copy_from_slice(&number.to_le_bytes());
    }
    payload
}

/// Little-endian number at `at`; the caller has checked the length.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}
