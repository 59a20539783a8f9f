//! Reading records: recent ones from memory, older ones from their segments.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::super::Record;
use super::file::SegmentFile;
use super::format::{Change, decode_change, record_bytes_at};
use super::state::State;
use crate::limits;
use crate::rt::file;

/// See [`crate::log::Log::read`].
pub(super) async fn read(
    state: &RefCell<State>,
    range: Range<u64>,
    bytes_max: usize,
) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    let (mut next, end) = {
        let state = state.borrow();
        let range = state.memory.clamp(range);
        state.memory.collect(range.clone(), bytes_max, &mut records);
        if !records.is_empty() || range.is_empty() {
            return Ok(records);
        }
        (range.start, range.end)
    };
    let mut bytes = 0;
    let mut window: Option<Window> = None;
    while next < end {
        let located = {
            let state = state.borrow();
            // Appends, truncations and purges may have come while a chunk was read.
            if next >= state.memory.recent_start() {
                let range = state.memory.clamp(next..end);
                state.memory.collect(range, bytes_max, &mut records);
                break;
            }
            state.locate(next)
        };
        let Some((segment, offset)) = located else {
            break;
        };
        let Some(record) = read_one(&mut window, &segment, offset).await? else {
            let purged = state.borrow().memory.purged();
            if purged.is_some_and(|purged| purged.index >= next) {
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("log index {next} was purged while it was read"),
                ));
            }
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} at byte {offset}: the record of index {next} does not match its checksum",
                    segment.path.display()
                ),
            ));
        };
        if record.position.index != next {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("log index {next} was replaced while it was read"),
            ));
        }
        bytes += record.payload.len();
        if bytes > bytes_max && !records.is_empty() {
            break;
        }
        records.push(record);
        next += 1;
    }
    Ok(records)
}

/// A stretch of one segment in memory.
struct Window {
    sequence: u64,
    offset: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn from(&self, sequence: u64, offset: u64) -> Option<&[u8]> {
        let at = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        (self.sequence == sequence).then(|| self.bytes.get(at..))?
    }
}

/// The record at `offset`; `None` where what lies there is no longer, or not validly, a record.
async fn read_one(
    window: &mut Option<Window>,
    segment: &Arc<SegmentFile>,
    offset: u64,
) -> io::Result<Option<Record>> {
    let mut wanted = limits::LOG_READ_BYTES;
    let mut fresh = false;
    loop {
        if let Some(bytes) = window
            .as_ref()
            .and_then(|w| w.from(segment.sequence, offset))
        {
            let needed = record_bytes_at(bytes);
            if needed.is_some_and(|needed| needed <= bytes.len()) {
                let record = decode_change(bytes, segment.seed).and_then(|(change, _)| own(change));
                // What was loaded for an earlier record may be older than this one.
                if record.is_some() || fresh {
                    return Ok(record);
                }
            } else if fresh && needed.is_none_or(|needed| needed <= wanted) {
                return Ok(None);
            }
            // A damaged length must not ask for more than the file has.
            let left = segment.bytes().saturating_sub(offset);
            match needed {
                Some(needed) if needed as u64 <= left => wanted = wanted.max(needed),
                _ if fresh => return Ok(None),
                _ => {}
            }
        }
        let file = segment.clone();
        let bytes = file::blocking(move || file.read_at(offset, wanted)).await?;
        *window = Some(Window {
            sequence: segment.sequence,
            offset,
            bytes,
        });
        fresh = true;
    }
}

fn own(change: Change<'_>) -> Option<Record> {
    match change {
        Change::Record {
            position,
            kind,
            payload,
        } => Some(Record {
            position,
            kind,
            sync: false,
            payload: Bytes::copy_from_slice(payload),
        }),
        Change::Truncate { .. } | Change::Purge { .. } => None,
    }
}
