//! Frames: how requests and answers are told apart on a connection.
//!
//! ```text
//! length u32 | crc32 u32 | version u8 | kind u8 | request id u64 | payload
//! ```
//!
//! Integers are little-endian. The length counts everything behind the checksum, which covers the
//! same bytes. Nothing of a frame is believed but its length before the checksum was right, and
//! memory is taken as bytes arrive, not as a length claims.

use std::fmt;

use bytes::Bytes;

use crate::limits::{ENTRY_BYTES_SOFT, REPLICATE_BYTES_MAX};

/// Of the whole protocol: handshake, frames and requests.
pub(super) const VERSION: u8 = 1;

const LENGTH_AT: usize = 0;
const CHECKSUM_AT: usize = 4;
const VERSION_AT: usize = 8;
const KIND_AT: usize = 9;
const ID_AT: usize = 10;
/// Bytes in front of the payload.
pub(super) const HEADER_BYTES: usize = 18;
/// What the length counts of them.
const COUNTED_BYTES: usize = HEADER_BYTES - VERSION_AT;

/// Bytes reserved for a frame that comes in pieces, before more of it is there: an append of entries
/// at their soft limits is not moved while it grows.
const RESERVE_BYTES_MAX: usize = REPLICATE_BYTES_MAX + ENTRY_BYTES_SOFT;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub kind: u8,
    pub id: u64,
    pub payload: Bytes,
}

/// Why bytes are no frame: the connection is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Garbage {
    Length(u32),
    Checksum,
    Version(u8),
    /// A frame that has no place here.
    Kind(u8),
    /// A request whose fields make no sense.
    Content(u8),
}

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Garbage::Length(length) => write!(f, "a frame of {length} bytes"),
            Garbage::Checksum => f.write_str("a wrong checksum"),
            Garbage::Version(version) => write!(f, "protocol version {version}, not {VERSION}"),
            Garbage::Kind(kind) => write!(f, "an unexpected frame of kind {kind}"),
            Garbage::Content(kind) => write!(f, "a malformed frame of kind {kind}"),
        }
    }
}

impl std::error::Error for Garbage {}

/// Appends a frame whose payload `write_payload` appends. Answers whether it fits into one; where
/// it does not, `out` is as before.
pub(super) fn put_frame(
    out: &mut Vec<u8>,
    kind: u8,
    id: u64,
    write_payload: impl FnOnce(&mut Vec<u8>),
) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0; VERSION_AT]);
    out.extend_from_slice(&[VERSION, kind]);
    out.extend_from_slice(&id.to_le_bytes());
    write_payload(out);
    let counted = &out[start + VERSION_AT..];
    let Ok(length) = u32::try_from(counted.len()) else {
        out.truncate(start);
        return false;
    };
    let checksum = crc32fast::hash(counted);
    out[start + LENGTH_AT..start + CHECKSUM_AT].copy_from_slice(&length.to_le_bytes());
    out[start + CHECKSUM_AT..start + VERSION_AT].copy_from_slice(&checksum.to_le_bytes());
    true
}

/// Finds the frames in bytes as they come.
pub(super) struct Deframer {
    /// The beginning of a frame that came in pieces.
    partial: Vec<u8>,
    payload_bytes_max: usize,
}

impl Deframer {
    pub(super) fn new(payload_bytes_max: usize) -> Self {
        Deframer {
            partial: Vec::new(),
            payload_bytes_max,
        }
    }

    /// What frames may carry from here on.
    pub(super) fn allow(&mut self, payload_bytes_max: usize) {
        self.payload_bytes_max = payload_bytes_max;
    }

    /// Takes `bytes` in and hands out each frame that is whole.
    ///
    /// # Errors
    /// What is no frame. Nothing of this connection means anything after it.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut hand_out: impl FnMut(Frame),
    ) -> Result<(), Garbage> {
        while !bytes.is_empty() {
            if self.partial.is_empty()
                && let Some(whole) = self.whole_bytes(bytes)?
                && whole <= bytes.len()
            {
                let (frame, rest) = bytes.split_at(whole);
                // A copy of its own size: what is kept of a small frame holds no large buffer.
                hand_out(parse(Bytes::copy_from_slice(frame))?);
                bytes = rest;
                continue;
            }
            let wanted = match self.whole_bytes(&self.partial)? {
                Some(whole) => whole,
                None => CHECKSUM_AT,
            };
            let missing = (wanted - self.partial.len()).min(bytes.len());
            let (front, rest) = bytes.split_at(missing);
            if self.partial.capacity() < wanted.min(RESERVE_BYTES_MAX) {
                let whole = wanted.min(RESERVE_BYTES_MAX);
                self.partial.reserve_exact(whole - self.partial.len());
            }
            self.partial.extend_from_slice(front);
            bytes = rest;
            if self.whole_bytes(&self.partial)? == Some(self.partial.len()) {
                hand_out(parse(Bytes::from(std::mem::take(&mut self.partial)))?);
            }
        }
        Ok(())
    }

    /// How many bytes the frame that begins with `bytes` has, where they tell.
    fn whole_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, Garbage> {
        let Some(length) = bytes.first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length);
        let bytes_max = COUNTED_BYTES.saturating_add(self.payload_bytes_max);
        match usize::try_from(length) {
            Ok(counted) if (COUNTED_BYTES..=bytes_max).contains(&counted) => {
                Ok(Some(VERSION_AT + counted))
            }
            _ => Err(Garbage::Length(length)),
        }
    }
}

/// Reads a whole frame, whose length was checked.
fn parse(bytes: Bytes) -> Result<Frame, Garbage> {
    let short = Garbage::Length(bytes.len() as u32);
    let checksum = bytes.get(CHECKSUM_AT..VERSION_AT).ok_or(short)?;
    let counted = bytes.get(VERSION_AT..).ok_or(short)?;
    if checksum != crc32fast::hash(counted).to_le_bytes() {
        return Err(Garbage::Checksum);
    }
    let id = bytes
        .get(ID_AT..)
        .and_then(|rest| rest.first_chunk())
        .ok_or(short)?;
    let (version, kind, id) = (bytes[VERSION_AT], bytes[KIND_AT], u64::from_le_bytes(*id));
    if version != VERSION {
        return Err(Garbage::Version(version));
    }
    Ok(Frame {
        kind,
        id,
        payload: bytes.slice(HEADER_BYTES..),
    })
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    fn frames() -> (Vec<Frame>, Vec<u8>) {
        let frames: Vec<Frame> = [0, 1, 5, 300, 2000]
            .iter()
            .zip(0..)
            .map(|(length, id)| Frame {
                kind: id as u8,
                id: u64::MAX - id,
                payload: (0..*length).map(|byte| byte as u8).collect(),
            })
            .collect();
        let mut bytes = Vec::new();
        for frame in &frames {
            let put = put_frame(&mut bytes, frame.kind, frame.id, |out| {
                out.extend_from_slice(&frame.payload);
            });
            assert!(put);
        }
        (frames, bytes)
    }

    #[test]
    fn frames_come_out_whole_wherever_they_are_split() {
        let (frames, bytes) = frames();
        for split in 0..=bytes.len() {
            let (mut deframer, mut found) = (Deframer::new(2000), Vec::new());
            for part in [&bytes[..split], &bytes[split..]] {
                deframer.feed(part, |frame| found.push(frame)).unwrap();
            }
            assert_eq!(found, frames, "split at {split}");
        }
        let (mut deframer, mut found) = (Deframer::new(2000), Vec::new());
        for byte in &bytes {
            deframer.feed(&[*byte], |frame| found.push(frame)).unwrap();
        }
        assert_eq!(found, frames, "byte by byte");
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let (_, bytes) = frames();
        let mut rng = rand::rng();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << rng.random_range(0..8);
            let (mut deframer, mut found) = (Deframer::new(2000), 0);
            let fed = deframer.feed(&changed, |_| found += 1);
            // A length may claim more than there is: then the rest is waited for, or is garbage.
            assert!(fed.is_err() || found < 5, "byte {at}");
        }
    }

    #[test]
    fn garbage_ends_in_an_error_and_takes_no_memory() {
        let mut rng = rand::rng();
        for _ in 0..20_000 {
            let noise: Vec<u8> = (0..rng.random_range(1..100))
                .map(|_| rng.random())
                .collect();
            let mut deframer = Deframer::new(usize::MAX);
            let _ = deframer.feed(&noise, |_| {});
            assert!(deframer.partial.capacity() <= RESERVE_BYTES_MAX + 200);
        }
        let mut deframer = Deframer::new(1000);
        let http = deframer.feed(b"GET / HTTP/1.1\r\n", |_| {});
        assert!(matches!(http, Err(Garbage::Length(_))));
        let (_, mut bytes) = frames();
        bytes[VERSION_AT] = 2;
        let checksum = crc32fast::hash(&bytes[VERSION_AT..HEADER_BYTES]);
        bytes[CHECKSUM_AT..VERSION_AT].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(
            Deframer::new(2000).feed(&bytes, |_| {}),
            Err(Garbage::Version(2))
        );
    }
}
