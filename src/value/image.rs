//! Values to bytes and back: what a checkpoint and a snapshot hold, and what a digest is taken
//! over.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | kind: 0 string, 1 list, 2 set, 3 hash, 4 sorted set |
//! | .. | content of the kind; every count and length is a 32-bit little-endian number |
//!
//! A string is a length-prefixed field. The others begin with a byte that says which representation
//! Redis would have, and a count; then come fields: elements of a list in order, members of a set in
//! order, field and value of a hash, member of a sorted set and its score (8 bytes, the bits of the
//! double). A change of this layout bumps the
//! version byte of the checkpoint.

use super::{Hash, Kind, List, Set, SortedSet, Text, Value};

const STRING: u8 = 0;
const LIST: u8 = 1;
const SET: u8 = 2;
const HASH: u8 = 3;
const SORTED_SET: u8 = 4;

/// Bytes that are no image of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageError(pub &'static str);

/// Reads fields off the front of an image.
pub struct ImageReader<'a>(&'a [u8]);

impl<'a> ImageReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        ImageReader(bytes)
    }

    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], ImageError> {
        let (head, tail) = self
            .0
            .split_at_checked(count)
            .ok_or(ImageError("too short"))?;
        self.0 = tail;
        Ok(head)
    }

    pub fn byte(&mut self) -> Result<u8, ImageError> {
        Ok(self.take(1)?[0])
    }

    pub fn u32(&mut self) -> Result<u32, ImageError> {
        let bytes = self
            .take(4)?
            .try_into()
            .map_err(|_| ImageError("too short"))?;
        Ok(u32::from_le_bytes(bytes))
    }

    pub fn u64(&mut self) -> Result<u64, ImageError> {
        let bytes = self
            .take(8)?
            .try_into()
            .map_err(|_| ImageError("too short"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub fn f64(&mut self) -> Result<f64, ImageError> {
        Ok(f64::from_bits(self.u64()?))
    }

    /// A length-prefixed field.
    pub fn field(&mut self) -> Result<&'a [u8], ImageError> {
        let length = self.u32()? as usize;
        self.take(length)
    }
}

/// Appends a count.
pub(super) fn put_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(count as u32).to_le_bytes());
}

/// Appends a length-prefixed field.
pub(super) fn put_field(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

impl Value {
    /// Appends the value's image to `out`. O(size of the value).
    pub fn write_image(&self, out: &mut Vec<u8>) {
        match self {
            Value::String(text) => {
                out.push(STRING);
                put_field(&text.as_bytes(), out);
            }
            Value::List(list) => {
                out.push(LIST);
                list.write_image(out);
            }
            Value::Set(set) => {
                out.push(SET);
                set.write_image(out);
            }
            Value::Hash(hash) => {
                out.push(HASH);
                hash.write_image(out);
            }
            Value::SortedSet(set) => {
                out.push(SORTED_SET);
                set.write_image(out);
            }
        }
    }

    /// The value of an image, which may be followed by other bytes.
    ///
    /// # Errors
    /// When the bytes are no image.
    pub fn read_image(reader: &mut ImageReader<'_>) -> Result<Value, ImageError> {
        match reader.byte()? {
            STRING => Ok(Value::String(Text::value(reader.field()?))),
            LIST => List::read_image(reader).map(Kind::into_value),
            SET => Set::read_image(reader).map(Kind::into_value),
            HASH => Hash::read_image(reader).map(Kind::into_value),
            SORTED_SET => SortedSet::read_image(reader).map(Kind::into_value),
            _ => Err(ImageError("unknown kind")),
        }
    }
}
