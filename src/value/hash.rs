//! Hashes: fields with values.

use super::image::{ImageError, ImageReader, put_count, put_field};
use super::members::{Members, raw, scan_step};
use super::{Kind, Text, Value};

/// Fields, and bytes of a field or value, up to which Redis keeps a `listpack`.
const LISTPACK_MAX: usize = 512;
const LISTPACK_BYTES_MAX: usize = 64;

/// A map from byte strings to byte strings. Its order is its history's: see `members`.
#[derive(Debug, Clone)]
pub struct Hash {
    fields: Members<Text>,
    /// Bytes that the values take on the heap.
    value_bytes: usize,
    /// Whether Redis would have turned it into a `hashtable`; it never turns back.
    outgrown: bool,
}

impl Default for Hash {
    fn default() -> Self {
        Hash {
            fields: Members::new(),
            value_bytes: 0,
            outgrown: false,
        }
    }
}

impl Hash {
    #[inline]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field. O(1).
    #[inline]
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        self.fields.get(field).map(raw)
    }

    /// Sets a field. Answers whether it is new. O(1).
    #[inline]
    pub fn insert(&mut self, field: &[u8], value: &[u8]) -> bool {
        if field.len() > LISTPACK_BYTES_MAX || value.len() > LISTPACK_BYTES_MAX {
            self.outgrown = true;
        }
        let value = Text::key(value);
        self.value_bytes += value.heap_bytes();
        match self.fields.insert(field, value) {
            Some(old) => {
                self.value_bytes -= old.heap_bytes();
                false
            }
            None => {
                self.outgrown |= self.len() > LISTPACK_MAX;
                true
            }
        }
    }

    /// Takes a field out. Answers whether it was there. O(1).
    #[inline]
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match self.fields.remove(field) {
            Some(value) => {
                self.value_bytes -= value.heap_bytes();
                true
            }
            None => false,
        }
    }

    /// Field and value at `index`. O(1).
    #[inline]
    pub fn at(&self, index: usize) -> Option<(&[u8], &[u8])> {
        self.fields
            .at(index)
            .map(|(field, value)| (raw(field), raw(value)))
    }

    /// All fields with their values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|(field, value)| (raw(field), raw(value)))
    }

    /// One step of a scan: the next cursor (0: through) and the fields visited.
    pub fn scan(&self, cursor: u64, count: usize) -> (u64, impl Iterator<Item = (&[u8], &[u8])>) {
        let count = if self.outgrown { count } else { self.len() };
        let (next, indexes) = scan_step(self.len(), cursor, count);
        (next, indexes.filter_map(|index| self.at(index)))
    }

    pub(super) fn encoding(&self) -> &'static str {
        if self.outgrown {
            "hashtable"
        } else {
            "listpack"
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Hash>() + self.fields.heap_bytes() + self.value_bytes
    }

    pub(super) fn write_image(&self, out: &mut Vec<u8>) {
        out.push(self.outgrown as u8);
        put_count(self.len(), out);
        for (field, value) in self.iter() {
            put_field(field, out);
            put_field(value, out);
        }
    }

    pub(super) fn read_image(reader: &mut ImageReader<'_>) -> Result<Hash, ImageError> {
        let outgrown = reader.byte()? != 0;
        let mut hash = Hash::default();
        for _ in 0..reader.u32()? {
            let field = reader.field()?;
            hash.insert(field, reader.field()?);
        }
        hash.outgrown |= outgrown;
        Ok(hash)
    }
}

impl Kind for Hash {
    fn of(value: &Value) -> Option<&Self> {
        match value {
            Value::Hash(hash) => Some(hash),
            _ => None,
        }
    }

    fn of_mut(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::Hash(hash) => Some(hash),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        Value::Hash(Box::new(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_keeps_order_and_bytes() {
        let mut hash = Hash::default();
        for number in 0..600 {
            hash.insert(
                format!("field {number}").as_bytes(),
                &vec![b'v'; number % 40],
            );
        }
        for number in (0..600).step_by(5) {
            assert!(hash.remove(format!("field {number}").as_bytes()));
        }
        let mut image = Vec::new();
        hash.write_image(&mut image);
        let back = Hash::read_image(&mut ImageReader::new(&image)).unwrap();
        assert!(hash.iter().eq(back.iter()));
        assert_eq!(back.value_bytes, hash.value_bytes);
        assert_eq!(back.encoding(), "hashtable");
        assert_eq!(back.get(b"field 39"), Some(&[b'v'; 39][..]));
    }
}
