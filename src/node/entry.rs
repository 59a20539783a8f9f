//! The bytes of an entry: the batches that a leader took into it.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | version of this layout: 2 |
//! | 8 | the leader's time, Unix ms |
//! | 8 | the leader's seed |
//! | 2 | count of parts |
//! | .. | each part: 8 bytes node, 8 bytes number, 4 bytes length, then commands as `command::mutation` writes them |
//!
//! All numbers are little-endian. Node and number name the batch: the node that took it from its
//! clients answers them when it meets the batch in the log. Node 0 is none: its part has no commands,
//! and its number stands for the slice of the keyspace whose digest is taken behind the entry.

use std::ops::Range;

use bytes::Bytes;

const VERSION: u8 = 2;

/// Bytes before the first part.
const PREFIX_BYTES: usize = 19;

/// Bytes of a part before its commands.
const PART_BYTES: usize = 20;

/// Bytes before the commands of an entry with one part: what a batch leaves room for.
pub const HEAD_BYTES: usize = PREFIX_BYTES + PART_BYTES;

/// Stands where a node's id would, for the part that asks for a digest.
pub const DIGEST_NODE: u64 = 0;

/// What names a batch, in the log and between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchName {
    pub node: u64,
    /// Never used twice by a node, restarts included.
    pub number: u64,
}

/// Makes an entry of one batch in the batch's own buffer, which begins with [`HEAD_BYTES`] of room.
pub fn seal_one(mut buffer: Vec<u8>, name: BatchName, now_ms: u64, seed: u64) -> Bytes {
    let length = buffer.len() - HEAD_BYTES;
    write_prefix(&mut buffer, now_ms, seed, 1);
    write_part(&mut buffer[PREFIX_BYTES..], name, length);
    Bytes::from(buffer)
}

/// Collects batches into one entry.
pub struct EntryWriter {
    payload: Vec<u8>,
    parts: u16,
}

impl EntryWriter {
    /// Room for `bytes` of commands in `parts` parts.
    pub fn new(bytes: usize, parts: usize) -> Self {
        let mut payload = Vec::with_capacity(PREFIX_BYTES + parts * PART_BYTES + bytes);
        payload.resize(PREFIX_BYTES, 0);
        EntryWriter { payload, parts: 0 }
    }

    pub fn push(&mut self, name: BatchName, commands: &[u8]) {
        let start = self.payload.len();
        self.payload.resize(start + PART_BYTES, 0);
        write_part(&mut self.payload[start..], name, commands.len());
        self.payload.extend_from_slice(commands);
        self.parts += 1;
    }

    pub fn seal(mut self, now_ms: u64, seed: u64) -> Bytes {
        write_prefix(&mut self.payload, now_ms, seed, self.parts);
        Bytes::from(self.payload)
    }
}

fn write_prefix(payload: &mut [u8], now_ms: u64, seed: u64, parts: u16) {
    payload[0] = VERSION;
    payload[1..9].copy_from_slice(&now_ms.to_le_bytes());
    payload[9..17].copy_from_slice(&seed.to_le_bytes());
    payload[17..19].copy_from_slice(&parts.to_le_bytes());
}

fn write_part(head: &mut [u8], name: BatchName, length: usize) {
    head[..8].copy_from_slice(&name.node.to_le_bytes());
    head[8..16].copy_from_slice(&name.number.to_le_bytes());
    head[16..20].copy_from_slice(&(length as u32).to_le_bytes());
}

/// Time and seed of an entry.
pub fn stamps(payload: &[u8]) -> (u64, u64) {
    (
        number(payload, 1).unwrap_or_default(),
        number(payload, 9).unwrap_or_default(),
    )
}

/// The batches of an entry with the places of their commands; `None` where the bytes are no entry.
pub fn parts(payload: &[u8]) -> Option<Vec<(BatchName, Range<usize>)>> {
    if *payload.first()? != VERSION {
        return None;
    }
    let count = u16::from_le_bytes([*payload.get(17)?, *payload.get(18)?]);
    let mut at = PREFIX_BYTES;
    let mut parts = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let name = BatchName {
            node: number(payload, at)?,
            number: number(payload, at + 8)?,
        };
        let length = payload.get(at + 16..at + PART_BYTES)?.try_into().ok()?;
        let start = at + PART_BYTES;
        at = start + u32::from_le_bytes(length) as usize;
        payload.get(start..at)?;
        parts.push((name, start..at));
    }
    Some(parts)
}

fn number(payload: &[u8], at: usize) -> Option<u64> {
    let bytes = payload.get(at..at + 8)?.try_into().ok()?;
    Some(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u64) -> BatchName {
        BatchName { node: 7, number }
    }

    #[test]
    fn what_is_sealed_reads_back() {
        for count in [1, 2, 5] {
            let mut writer = EntryWriter::new(10, count);
            for number in 0..count {
                writer.push(name(number as u64), &vec![number as u8; number]);
            }
            let payload = writer.seal(11, 12);
            assert_eq!(stamps(&payload), (11, 12));
            let read = parts(&payload).unwrap();
            assert_eq!(read.len(), count);
            for (number, (found, range)) in read.into_iter().enumerate() {
                assert_eq!(found, name(number as u64));
                assert_eq!(payload[range], vec![number as u8; number]);
            }
        }
        let mut buffer = vec![0; HEAD_BYTES];
        buffer.extend_from_slice(b"commands");
        let payload = seal_one(buffer, name(3), 1, 2);
        let read = parts(&payload).unwrap();
        assert_eq!(read, [(name(3), HEAD_BYTES..HEAD_BYTES + 8)]);
    }

    #[test]
    fn what_is_cut_is_no_entry() {
        let mut writer = EntryWriter::new(10, 2);
        writer.push(name(1), b"one");
        writer.push(name(2), b"two");
        let payload = writer.seal(1, 2);
        for length in 0..payload.len() {
            assert!(parts(&payload[..length]).is_none(), "{length}");
        }
    }
}
