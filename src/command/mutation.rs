//! A command as bytes: what the log holds, and what cores hand each other.
//!
//! | bytes | meaning |
//! |---|---|
//! | 4 | length of the whole in bytes, this field included |
//! | 2 | id of the command |
//! | 2 | slot of its keys, or [`MANY`] |
//! | 1 | database |
//! | 1 | reserved, 0 |
//! | 4 | count of arguments, the name left out |
//! | .. | each argument: 4 bytes length, then its bytes |
//!
//! All numbers are little-endian.

use crate::resp::{Args, Span};

/// In place of a slot: keys of several slots, or no key.
pub const MANY: u16 = u16::MAX;

/// Bytes before the arguments.
pub const HEAD_BYTES: usize = 14;

/// What stands before the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the whole.
    pub length: usize,
    pub id: u16,
    pub slot: u16,
    pub db: u8,
    count: u32,
}

/// Appends a command. `args` begins with its name, which is not written. O(bytes).
#[inline]
pub fn write(out: &mut Vec<u8>, id: u16, slot: u16, db: u8, args: Args<'_>) {
    let count = args.len().saturating_sub(1);
    let length = HEAD_BYTES + 4 * count + args.skip(1).bytes();
    out.reserve(length);
    let mut head = [0u8; HEAD_BYTES];
    head[0..4].copy_from_slice(&(length as u32).to_le_bytes());
    head[4..6].copy_from_slice(&id.to_le_bytes());
    head[6..8].copy_from_slice(&slot.to_le_bytes());
    head[8] = db;
    head[10..14].copy_from_slice(&(count as u32).to_le_bytes());
    out.extend_from_slice(&head);
    for argument in args.iter_from(1) {
        out.extend_from_slice(&(argument.len() as u32).to_le_bytes());
        out.extend_from_slice(argument);
    }
}

/// Appends a command whose arguments (the name left out) are at hand as slices.
pub fn write_slices(out: &mut Vec<u8>, id: u16, slot: u16, db: u8, arguments: &[&[u8]]) {
    let mut buffer = Vec::new();
    let mut spans = vec![Span { start: 0, end: 0 }];
    for argument in arguments {
        let start = buffer.len() as u32;
        buffer.extend_from_slice(argument);
        spans.push(Span {
            start,
            end: buffer.len() as u32,
        });
    }
    write(out, id, slot, db, Args::new(&buffer, &spans));
}

/// The head of the command at the start of `bytes`; `None` when they are none.
#[inline]
pub fn head(bytes: &[u8]) -> Option<Head> {
    let head: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = number(0) as usize;
    (HEAD_BYTES..=bytes.len()).contains(&length).then(|| Head {
        length,
        id: u16::from_le_bytes([head[4], head[5]]),
        slot: u16::from_le_bytes([head[6], head[7]]),
        db: head[8],
        count: number(10),
    })
}

/// The first argument of the command at the start of `bytes`: its key, for most.
#[inline]
pub fn first_argument(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.get(HEAD_BYTES..HEAD_BYTES + 4)?;
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    bytes.get(HEAD_BYTES + 4..HEAD_BYTES + 4 + length)
}

/// The arguments of the command at the start of `bytes`, whose head was read; `spans` is used for
/// them. Argument 0, the name, is empty. `None` when the bytes contradict themselves.
#[inline]
pub fn args<'a>(bytes: &'a [u8], head: Head, spans: &'a mut Vec<Span>) -> Option<Args<'a>> {
    spans.clear();
    spans.push(Span { start: 0, end: 0 });
    let bytes = bytes.get(..head.length)?;
    let mut at = HEAD_BYTES;
    for _ in 0..head.count {
        let length = bytes.get(at..at + 4)?;
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let start = at + 4;
        at = start + length;
        if at > bytes.len() {
            return None;
        }
        spans.push(Span {
            start: start as u32,
            end: at as u32,
        });
    }
    (at == bytes.len()).then(|| Args::new(bytes, spans))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_back_and_damage_does_not() {
        let mut bytes = Vec::new();
        write_slices(&mut bytes, 7, 99, 3, &[b"key", b"", b"value"]);
        let mut spans = Vec::new();
        let found = head(&bytes).unwrap();
        assert_eq!(
            (found.id, found.slot, found.db, found.length),
            (7, 99, 3, bytes.len())
        );
        let read = args(&bytes, found, &mut spans).unwrap();
        let read: Vec<&[u8]> = read.iter_from(1).collect();
        assert_eq!(read, [&b"key"[..], b"", b"value"]);
        for cut in 0..bytes.len() {
            assert!(head(&bytes[..cut]).is_none());
        }
        for at in [10, 14, 21] {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            assert!(
                args(&bad, head(&bad).unwrap(), &mut spans).is_none(),
                "flip at {at}"
            );
        }
    }
}
