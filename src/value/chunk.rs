//! Chunks: how the content of a keyspace travels to a checkpoint, out of one, and to a follower.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | layout version, [`CHUNK_VERSION`] |
//! | .. | records to the end |
//!
//! Numbers are little-endian. A record is one of
//!
//! | kind | fields behind the kind byte |
//! |---|---|
//! | 1 entry | version u64, db u8, expires_at_ms u64, key bytes u32, image bytes u64, key, value image |
//! | 2 tombstones | db u8, first slot u16, slots u16, version u64 of each slot |
//! | 3 database | db u8, entries u64, cleared version u64 |
//!
//! An entry's digest is taken over its fields from `db` on, so that they lie side by side. A
//! database record counts the entries of one shard's part of a database: what a reader must find.

use super::image::{ImageError, ImageReader};
use super::{Digest, Value};

/// Layout that this build writes and reads. It also stands for the layout of value images.
pub const CHUNK_VERSION: u8 = 1;

const ENTRY: u8 = 1;
const TOMBSTONES: u8 = 2;
const DATABASE: u8 = 3;

/// Where an entry's digested fields begin: behind kind and version.
const DIGESTED_FROM: usize = 9;

/// Where an entry's key begins in its record.
pub const ENTRY_KEY_AT: usize = DIGESTED_FROM + 1 + 8 + 4 + 8;

/// One record of a chunk.
#[derive(Debug, Clone, Copy)]
pub enum Record<'c> {
    Entry(EntryImage<'c>),
    Tombstones(Tombs<'c>),
    /// What one shard holds of database `db`.
    Database {
        db: u8,
        entries: u64,
        cleared_version: u64,
    },
}

/// An entry as it was at the position of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryImage<'c> {
    pub db: u8,
    pub key: &'c [u8],
    /// Unix time in ms; 0 = never.
    pub expires_at_ms: u64,
    pub version: u64,
    /// Bytes for [`Value::read_image`].
    pub value: &'c [u8],
    digested: &'c [u8],
}

impl EntryImage<'_> {
    /// The entry's share of the keyspace's digest. O(length).
    pub fn digest(&self) -> Digest {
        Digest::of_entry(self.digested)
    }
}

/// Versions at which keys were last deleted, by slot.
#[derive(Debug, Clone, Copy)]
pub struct Tombs<'c> {
    pub db: u8,
    slot_first: u16,
    versions: &'c [u8],
}

impl Tombs<'_> {
    /// (slot, version) of every slot in which a key was deleted.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        let versions = self.versions.as_chunks::<8>().0.iter();
        (self.slot_first..)
            .zip(versions.map(|bytes| u64::from_le_bytes(*bytes)))
            .filter(|&(_, version)| version != 0)
    }
}

/// Makes sure that `chunk` begins as a chunk does. Call before the first record.
pub fn begin_chunk(chunk: &mut Vec<u8>) {
    if chunk.is_empty() {
        chunk.push(CHUNK_VERSION);
    }
}

/// Appends an entry. O(size of the value).
pub fn put_entry(
    out: &mut Vec<u8>,
    db: u8,
    key: &[u8],
    expires_at_ms: u64,
    version: u64,
    value: &Value,
) {
    out.push(ENTRY);
    out.extend_from_slice(&version.to_le_bytes());
    out.push(db);
    out.extend_from_slice(&expires_at_ms.to_le_bytes());
    out.extend_from_slice(&(key.len() as u32).to_le_bytes());
    let length_at = out.len();
    out.extend_from_slice(&0u64.to_le_bytes());
    out.extend_from_slice(key);
    let image_at = out.len();
    value.write_image(out);
    // Known only now.
    let length = (out.len() - image_at) as u64;
    out[length_at..length_at + 8].copy_from_slice(&length.to_le_bytes());
}

/// Appends the tombstones of the slots from `slot_first` on.
pub fn put_tombstones(out: &mut Vec<u8>, db: u8, slot_first: u16, versions: &[u64]) {
    out.push(TOMBSTONES);
    out.push(db);
    out.extend_from_slice(&slot_first.to_le_bytes());
    out.extend_from_slice(&(versions.len() as u16).to_le_bytes());
    for version in versions {
        out.extend_from_slice(&version.to_le_bytes());
    }
}

/// Appends what a shard holds of a database.
pub fn put_database(out: &mut Vec<u8>, db: u8, entries: u64, cleared_version: u64) {
    out.push(DATABASE);
    out.push(db);
    out.extend_from_slice(&entries.to_le_bytes());
    out.extend_from_slice(&cleared_version.to_le_bytes());
}

/// Reads a chunk record by record.
pub struct ChunkReader<'c>(ImageReader<'c>);

impl<'c> ChunkReader<'c> {
    /// # Errors
    /// When the chunk is of another layout.
    pub fn new(chunk: &'c [u8]) -> Result<Self, ImageError> {
        let mut reader = ImageReader::new(chunk);
        match reader.byte()? {
            CHUNK_VERSION => Ok(ChunkReader(reader)),
            _ => Err(ImageError("layout of another version")),
        }
    }

    /// Bytes that were not read yet.
    pub fn rest_bytes(&self) -> usize {
        self.0.rest().len()
    }

    /// The next record and its bytes, `None` at the end.
    ///
    /// # Errors
    /// When the bytes are no record. What follows cannot be read.
    pub fn next_record(&mut self) -> Result<Option<(Record<'c>, &'c [u8])>, ImageError> {
        let bytes = self.0.rest();
        if bytes.is_empty() {
            return Ok(None);
        }
        let (record, length) = read_record(bytes)?;
        self.0.take(length)?;
        Ok(Some((record, &bytes[..length])))
    }
}

/// The record that `bytes` begin with, and its length.
///
/// # Errors
/// When they begin with none.
pub fn read_record(bytes: &[u8]) -> Result<(Record<'_>, usize), ImageError> {
    let mut reader = ImageReader::new(bytes);
    let record = match reader.byte()? {
        ENTRY => {
            let version = reader.u64()?;
            let db = reader.byte()?;
            let expires_at_ms = reader.u64()?;
            let key_length = reader.u32()? as usize;
            let value_length =
                usize::try_from(reader.u64()?).map_err(|_| ImageError("too long"))?;
            let key = reader.take(key_length)?;
            let value = reader.take(value_length)?;
            Record::Entry(EntryImage {
                db,
                key,
                expires_at_ms,
                version,
                value,
                digested: &bytes[DIGESTED_FROM..bytes.len() - reader.rest().len()],
            })
        }
        TOMBSTONES => {
            let db = reader.byte()?;
            let slot_first = u16::from_le_bytes([reader.byte()?, reader.byte()?]);
            let slots = u16::from_le_bytes([reader.byte()?, reader.byte()?]) as usize;
            if slot_first as usize + slots > crate::slot::SLOTS {
                return Err(ImageError("slot out of range"));
            }
            let versions = reader.take(slots * 8)?;
            Record::Tombstones(Tombs {
                db,
                slot_first,
                versions,
            })
        }
        DATABASE => Record::Database {
            db: reader.byte()?,
            entries: reader.u64()?,
            cleared_version: reader.u64()?,
        },
        _ => return Err(ImageError("unknown kind of record")),
    };
    Ok((record, bytes.len() - reader.rest().len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Text;

    fn sample() -> Vec<u8> {
        let mut chunk = Vec::new();
        begin_chunk(&mut chunk);
        begin_chunk(&mut chunk);
        put_database(&mut chunk, 3, 1, 7);
        let value = Value::String(Text::value(b"value"));
        put_entry(&mut chunk, 3, b"key", 99, 1 << 40, &value);
        put_tombstones(&mut chunk, 3, 256, &[0, 5, 0, 6]);
        chunk
    }

    #[test]
    fn records_come_back() {
        let chunk = sample();
        let mut reader = ChunkReader::new(&chunk).unwrap();
        let (record, _) = reader.next_record().unwrap().unwrap();
        assert!(matches!(
            record,
            Record::Database {
                db: 3,
                entries: 1,
                cleared_version: 7
            }
        ));
        let (Record::Entry(entry), bytes) = reader.next_record().unwrap().unwrap() else {
            panic!("an entry");
        };
        assert_eq!((entry.db, entry.key), (3, &b"key"[..]));
        assert_eq!((entry.expires_at_ms, entry.version), (99, 1 << 40));
        assert_eq!(&bytes[ENTRY_KEY_AT..][..3], b"key");
        assert_eq!(read_record(bytes).unwrap().1, bytes.len());
        let (Record::Tombstones(tombs), _) = reader.next_record().unwrap().unwrap() else {
            panic!("tombstones");
        };
        assert_eq!(tombs.iter().collect::<Vec<_>>(), [(257, 5), (259, 6)]);
        assert!(reader.next_record().unwrap().is_none());
    }

    #[test]
    fn a_cut_at_any_byte_is_an_error_or_an_earlier_end() {
        let chunk = sample();
        let mut ends = 0;
        for cut in 1..chunk.len() {
            let mut reader = ChunkReader::new(&chunk[..cut]).unwrap();
            loop {
                match reader.next_record() {
                    Ok(Some(_)) => {}
                    Ok(None) => break ends += 1,
                    Err(_) => break,
                }
            }
        }
        assert_eq!(ends, 3, "cuts between records");
        assert!(ChunkReader::new(&[]).is_err());
        assert!(ChunkReader::new(&[9]).is_err());
    }
}
