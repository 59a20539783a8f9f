//! Pieces: how the chunks of an image travel to another node.
//!
//! | bytes | meaning |
//! |---|---|
//! | 8 | XXH3-64 of the rest, seeded by that of the piece before (0 for the first) |
//! | 1 | kind |
//! | 8 | number of the piece, from 0 |
//! | .. | kind 1, the first: version of this layout, 1; version of the chunks; digest, 24; bytes of the rows, 8 |
//! | .. | kind 2, a part of a chunk that goes on in the next piece |
//! | .. | kind 3, the last part of a chunk, most often all of it |
//! | .. | kind 4, the last: nothing |
//!
//! Numbers are little-endian. Checksums form a chain, so a piece fits only behind all those that
//! were sent before it: one that is damaged, missing, or of another image is refused.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::limits::CHECKPOINT_PIECE_BYTES;
use crate::value::chunk::CHUNK_VERSION;
use crate::value::{DIGEST_BYTES, Digest, ImageError, ImageReader};

const PIECES_VERSION: u8 = 1;

const HEAD: u8 = 1;
const PART: u8 = 2;
const CHUNK: u8 = 3;
const END: u8 = 4;

const SUM_BYTES: usize = 8;
/// Bytes before a piece's content.
const PREFIX_BYTES: usize = SUM_BYTES + 1 + 8;

/// What is said of an image before its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub digest: Digest,
    /// Bytes of its rows.
    pub bytes: u64,
}

/// Cuts an image into pieces.
#[derive(Default)]
pub(super) struct Cutter(Chain);

/// Where in the chain of checksums a stream stands.
#[derive(Default, Clone, Copy)]
struct Chain {
    sum: u64,
    number: u64,
}

impl Cutter {
    pub fn head(&mut self, head: Head) -> Vec<u8> {
        let mut content = vec![PIECES_VERSION, CHUNK_VERSION];
        content.extend_from_slice(&head.digest.to_bytes());
        content.extend_from_slice(&head.bytes.to_le_bytes());
        self.piece(HEAD, &content)
    }

    /// The pieces of a chunk, in order.
    pub fn chunk<'c>(&'c mut self, chunk: &'c [u8]) -> impl Iterator<Item = Vec<u8>> + 'c {
        let parts = chunk.chunks(CHECKPOINT_PIECE_BYTES);
        let last = parts.len().saturating_sub(1);
        let kind = move |part| if part == last { CHUNK } else { PART };
        parts
            .enumerate()
            .map(move |(part, content)| self.piece(kind(part), content))
    }

    pub fn end(&mut self) -> Vec<u8> {
        self.piece(END, &[])
    }

    fn piece(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut piece = Vec::with_capacity(PREFIX_BYTES + content.len());
        piece.extend_from_slice(&[0; SUM_BYTES]);
        piece.push(kind);
        piece.extend_from_slice(&self.0.number.to_le_bytes());
        piece.extend_from_slice(content);
        self.0.sum = xxh3_64_with_seed(&piece[SUM_BYTES..], self.0.sum);
        piece[..SUM_BYTES].copy_from_slice(&self.0.sum.to_le_bytes());
        self.0.number += 1;
        piece
    }
}

/// Puts pieces back together.
#[derive(Default)]
pub(super) struct Joiner {
    chain: Chain,
    /// The chunk of which parts came.
    chunk: Vec<u8>,
}

/// What a piece brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    Head(Head),
    Part,
    /// This chunk is complete.
    Chunk(Vec<u8>),
    End,
}

impl Joiner {
    /// Pieces taken so far.
    pub fn pieces(&self) -> u64 {
        self.chain.number
    }

    /// Bytes that wait for the rest of their chunk.
    pub fn bytes(&self) -> usize {
        self.chunk.len()
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// When it is damaged or does not fit behind the one before. It was not taken.
    pub fn take(&mut self, piece: &Bytes) -> Result<Joined, ImageError> {
        let mut reader = ImageReader::new(piece);
        let sum = reader.u64()?;
        let (kind, number) = (reader.byte()?, reader.u64()?);
        if number != self.chain.number {
            return Err(ImageError("it is not the next one"));
        }
        if xxh3_64_with_seed(&piece[SUM_BYTES..], self.chain.sum) != sum {
            return Err(ImageError("its checksum does not fit"));
        }
        let joined = match kind {
            HEAD if number == 0 => Joined::Head(read_head(&mut reader)?),
            PART | CHUNK if number > 0 => {
                self.chunk.extend_from_slice(reader.rest());
                if kind == PART {
                    Joined::Part
                } else {
                    Joined::Chunk(std::mem::take(&mut self.chunk))
                }
            }
            END if number > 0 && self.chunk.is_empty() => Joined::End,
            _ => return Err(ImageError("a piece of this kind cannot be here")),
        };
        self.chain = Chain {
            sum,
            number: number + 1,
        };
        Ok(joined)
    }
}

fn read_head(reader: &mut ImageReader<'_>) -> Result<Head, ImageError> {
    if (reader.byte()?, reader.byte()?) != (PIECES_VERSION, CHUNK_VERSION) {
        return Err(ImageError("sent by another version of quorate"));
    }
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(reader.take(DIGEST_BYTES)?);
    Ok(Head {
        digest: Digest::from_bytes(&digest),
        bytes: reader.u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(head: Head, chunks: &[Vec<u8>]) -> Vec<Bytes> {
        let mut cutter = Cutter::default();
        let mut pieces = vec![cutter.head(head)];
        for chunk in chunks {
            pieces.extend(cutter.chunk(chunk));
        }
        pieces.push(cutter.end());
        pieces.into_iter().map(Bytes::from).collect()
    }

    fn sample() -> Head {
        Head {
            digest: Digest::from_bytes(&[3; DIGEST_BYTES]),
            bytes: 77,
        }
    }

    #[test]
    fn chunks_of_any_length_come_back() {
        let lengths = [1, 9, CHECKPOINT_PIECE_BYTES, 3 * CHECKPOINT_PIECE_BYTES + 1];
        let chunks: Vec<Vec<u8>> = lengths.map(|length| vec![length as u8; length]).to_vec();
        let pieces = stream(sample(), &chunks);
        assert_eq!(pieces.len(), 1 + 1 + 1 + 1 + 4 + 1);
        let mut joiner = Joiner::default();
        let mut came = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            match joiner.take(piece).unwrap() {
                Joined::Head(head) => assert_eq!((number, head), (0, sample())),
                Joined::Chunk(chunk) => came.push(chunk),
                Joined::End => assert_eq!(number, pieces.len() - 1),
                Joined::Part => {}
            }
            assert!(joiner.take(piece).is_err(), "each comes once");
        }
        assert!(came == chunks);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_not_taken() {
        let pieces = stream(sample(), &[vec![1; 40], vec![2; 40]]);
        let other = stream(sample(), &[vec![3; 40], vec![2; 40]]);
        let mut joiner = Joiner::default();
        for (number, piece) in pieces.iter().enumerate() {
            for at in 0..piece.len() {
                let mut flipped = piece.to_vec();
                flipped[at] ^= 0x80;
                assert!(joiner.take(&flipped.into()).is_err(), "{number}, byte {at}");
                assert!(
                    joiner.take(&piece.slice(..at)).is_err(),
                    "{number}, cut {at}"
                );
            }
            if let Some(later) = pieces.get(number + 1) {
                assert!(joiner.take(later).is_err(), "a hole");
            }
            if number > 1 {
                assert!(joiner.take(&other[number]).is_err(), "of another image");
            }
            joiner.take(piece).unwrap();
        }
    }
}
