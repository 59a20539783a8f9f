//! Rows of an image.
//!
//! | key bytes | meaning |
//! |---|---|
//! | 2 | slot, big-endian; [`OTHER_SLOT`] for what is of no slot |
//! | 1 | database |
//! | 1 | form |
//! | .. | form 0, an entry: its key |
//! | 8, 4 | form 1, part of an entry: number of the entry in the image, number of the part, both big-endian |
//! | 8 | form 2, a record that is no entry: its number in the image, big-endian |
//!
//! Form 1 is for entries of which the key or the record is too long for one row. A value is
//! XXH3-64 of the rest, seeded by that of the row's key, then the rest: a record of a chunk, or a part of one. The
//! first part begins with the length of the whole record, 8 bytes.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::limits::CHECKPOINT_ROW_BYTES;
use crate::slot::{SLOTS, slot_of};
use crate::value::ImageError;
use crate::value::chunk::{Record, read_record};

/// Stands where a slot would, behind all of them.
pub(super) const OTHER_SLOT: u16 = SLOTS as u16;

/// Longest key of an entry that is kept in one row. The storage engine takes keys of 65535 bytes.
const KEY_BYTES_MAX: usize = 60_000;

const WHOLE: u8 = 0;
const PART: u8 = 1;
const OTHER: u8 = 2;

const CHECKSUM_BYTES: usize = 8;

const _: () = assert!(SLOTS < u16::MAX as usize);

/// Where the rows of a record stand among all rows. Entries in one row of the same place are in
/// the order of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    slot: u16,
    db: u8,
    form: u8,
    /// Unique in the image; 0 for an entry in one row.
    number: u64,
}

impl Place {
    /// The place of a record, `bytes` long. `numbers` counts those of an image that need one.
    pub fn of(record: &Record<'_>, bytes: usize, numbers: &mut u64) -> Place {
        let (slot, db, form) = match record {
            Record::Entry(entry) => {
                let whole = entry.key.len() <= KEY_BYTES_MAX && bytes <= CHECKPOINT_ROW_BYTES;
                let form = if whole { WHOLE } else { PART };
                (slot_of(entry.key), entry.db, form)
            }
            Record::Tombstones(tombs) => (OTHER_SLOT, tombs.db, OTHER),
            Record::Database { db, .. } => (OTHER_SLOT, *db, OTHER),
        };
        *numbers += (form != WHOLE) as u64;
        Place {
            slot,
            db,
            form,
            number: if form == WHOLE { 0 } else { *numbers },
        }
    }

    /// Gives `emit` the rows (key, value) of the record at this place, in their order. `name` is
    /// an entry's key.
    pub fn rows<E>(
        &self,
        name: &[u8],
        record: &[u8],
        mut emit: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut key = Vec::with_capacity(16 + name.len());
        key.extend_from_slice(&self.slot.to_be_bytes());
        key.extend_from_slice(&[self.db, self.form]);
        if self.form == WHOLE {
            key.extend_from_slice(name);
            return emit(&key, &sealed(&key, &[record]));
        }
        key.extend_from_slice(&self.number.to_be_bytes());
        if self.form == OTHER {
            return emit(&key, &sealed(&key, &[record]));
        }
        let stem = key.len();
        let length = (record.len() as u64).to_le_bytes();
        for (part, content) in (0u32..).zip(record.chunks(CHECKPOINT_ROW_BYTES)) {
            key.truncate(stem);
            key.extend_from_slice(&part.to_be_bytes());
            let head = if part == 0 { &length[..] } else { &[] };
            emit(&key, &sealed(&key, &[head, content]))?;
        }
        Ok(())
    }
}

fn checksum(key: &[u8], content: &[u8]) -> [u8; CHECKSUM_BYTES] {
    xxh3_64_with_seed(content, xxh3_64(key)).to_le_bytes()
}

fn sealed(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut value = Vec::with_capacity(CHECKSUM_BYTES + length);
    value.extend_from_slice(&[0; CHECKSUM_BYTES]);
    parts.iter().for_each(|part| value.extend_from_slice(part));
    let sum = checksum(key, &value[CHECKSUM_BYTES..]);
    value[..CHECKSUM_BYTES].copy_from_slice(&sum);
    value
}

/// Puts the rows of an image, in their order, back together to records.
#[derive(Default)]
pub(super) struct RowReader {
    /// The entry whose parts are coming.
    parts: Option<Parts>,
}

struct Parts {
    stem: Vec<u8>,
    next: u32,
    length: usize,
    bytes: Vec<u8>,
}

impl RowReader {
    /// Takes the next row; gives `emit` the record that it completes.
    ///
    /// # Errors
    /// When the row is damaged, or does not follow the one before.
    pub fn read(
        &mut self,
        key: &[u8],
        value: &[u8],
        emit: impl FnOnce(Record<'_>, &[u8]),
    ) -> Result<(), ImageError> {
        let (sum, content) = value
            .split_first_chunk::<CHECKSUM_BYTES>()
            .ok_or(ImageError("too short"))?;
        if checksum(key, content) != *sum {
            return Err(ImageError("its checksum does not fit"));
        }
        let (head, name) = key
            .split_first_chunk::<4>()
            .ok_or(ImageError("key too short"))?;
        if head[3] != PART {
            self.finish()?;
            let record = whole_record(content)?;
            if let (WHOLE, Record::Entry(entry)) = (head[3], &record)
                && entry.key != name
            {
                return Err(ImageError("it holds another key"));
            }
            emit(record, content);
            return Ok(());
        }
        let (stem, part) = key
            .split_last_chunk::<4>()
            .ok_or(ImageError("key too short"))?;
        self.read_part(stem, u32::from_be_bytes(*part), content, emit)
    }

    fn read_part(
        &mut self,
        stem: &[u8],
        part: u32,
        content: &[u8],
        emit: impl FnOnce(Record<'_>, &[u8]),
    ) -> Result<(), ImageError> {
        let mut content = content;
        if part == 0 {
            self.finish()?;
            let (length, rest) = content
                .split_first_chunk::<8>()
                .ok_or(ImageError("too short"))?;
            content = rest;
            let length =
                usize::try_from(u64::from_le_bytes(*length)).map_err(|_| ImageError("too long"))?;
            self.parts = Some(Parts {
                stem: stem.to_vec(),
                next: 0,
                length,
                bytes: Vec::new(),
            });
        }
        let parts = self
            .parts
            .as_mut()
            .filter(|parts| parts.stem == stem && parts.next == part)
            .ok_or(ImageError("the part before it is missing"))?;
        parts.next += 1;
        parts.bytes.extend_from_slice(content);
        if parts.bytes.len() < parts.length {
            return Ok(());
        }
        let Some(parts) = self.parts.take() else {
            return Ok(());
        };
        if parts.bytes.len() > parts.length {
            return Err(ImageError("longer than it says"));
        }
        emit(whole_record(&parts.bytes)?, &parts.bytes);
        Ok(())
    }

    /// To be called at the end.
    ///
    /// # Errors
    /// When parts of an entry are missing.
    pub fn finish(&mut self) -> Result<(), ImageError> {
        match self.parts.take() {
            None => Ok(()),
            Some(_) => Err(ImageError("parts before it are missing")),
        }
    }
}

fn whole_record(bytes: &[u8]) -> Result<Record<'_>, ImageError> {
    match read_record(bytes)? {
        (record, length) if length == bytes.len() => Ok(record),
        _ => Err(ImageError("bytes behind its record")),
    }
}
