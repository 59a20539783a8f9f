//! Lists: a deque of chunks.

use std::collections::VecDeque;

use super::image::{ImageError, ImageReader, put_count, put_field};
use super::members::raw;
use super::{Kind, Text, Value};

/// Most elements of a chunk: small enough that an insertion in the middle moves little, large
/// enough that reaching an index walks over few chunks.
const CHUNK_MAX: usize = 128;

/// Bytes of a listpack above which Redis speaks of a `quicklist` (`list-max-listpack-size -2`); it
/// turns back at half of that.
const LISTPACK_BYTES_MAX: usize = 8192;

/// A sequence of byte strings. O(1) at both ends, O(n / 128) to reach an index.
///
/// No chunk is empty and none has more than [`CHUNK_MAX`] elements.
#[derive(Debug, Clone, Default)]
pub struct List {
    chunks: VecDeque<VecDeque<Text>>,
    len: usize,
    /// Bytes that the elements take on the heap.
    heap_bytes: usize,
    /// Bytes that the elements would take in a listpack, all taken as strings.
    listpack_bytes: usize,
    quicklist: bool,
}

impl List {
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub fn push_back(&mut self, bytes: &[u8]) {
        let text = self.enter(bytes);
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK_MAX => chunk.push_back(text),
            last => {
                let mut chunk = new_chunk(last.is_none());
                chunk.push_back(text);
                self.chunks.push_back(chunk);
            }
        }
    }

    #[inline]
    pub fn push_front(&mut self, bytes: &[u8]) {
        let text = self.enter(bytes);
        match self.chunks.front_mut() {
            Some(chunk) if chunk.len() < CHUNK_MAX => chunk.push_front(text),
            first => {
                let mut chunk = new_chunk(first.is_none());
                chunk.push_front(text);
                self.chunks.push_front(chunk);
            }
        }
    }

    #[inline]
    pub fn pop_back(&mut self) -> Option<Text> {
        let chunk = self.chunks.back_mut()?;
        let text = chunk.pop_back()?;
        if chunk.is_empty() {
            self.chunks.pop_back();
        }
        self.leave(&text);
        Some(text)
    }

    #[inline]
    pub fn pop_front(&mut self) -> Option<Text> {
        let chunk = self.chunks.front_mut()?;
        let text = chunk.pop_front()?;
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
        self.leave(&text);
        Some(text)
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let (chunk, place) = self.locate(index)?;
        self.chunks[chunk].get(place).map(raw)
    }

    /// Replaces the element at `index`. Answers whether there is one.
    pub fn set(&mut self, index: usize, bytes: &[u8]) -> bool {
        let Some((chunk, place)) = self.locate(index) else {
            return false;
        };
        let text = self.enter(bytes);
        let old = std::mem::replace(&mut self.chunks[chunk][place], text);
        self.leave(&old);
        true
    }

    /// Puts an element before the one at `index`; `index == len()` puts it last.
    pub fn insert(&mut self, index: usize, bytes: &[u8]) {
        let Some((at, place)) = self.locate(index) else {
            return self.push_back(bytes);
        };
        let text = self.enter(bytes);
        self.chunks[at].insert(place, text);
        if self.chunks[at].len() > CHUNK_MAX {
            let behind = self.chunks[at].split_off(CHUNK_MAX / 2);
            self.chunks.insert(at + 1, behind);
        }
    }

    /// Takes out up to `limit` elements equal to `bytes`, from the back when `backward`. Answers
    /// how many. O(n).
    pub fn remove_equal(&mut self, bytes: &[u8], limit: usize, backward: bool) -> usize {
        let mut left = limit;
        if backward {
            for chunk in self.chunks.iter_mut().rev() {
                for place in (0..chunk.len()).rev() {
                    if left > 0 && raw(&chunk[place]) == bytes {
                        chunk.remove(place);
                        left -= 1;
                    }
                }
            }
        } else {
            for chunk in &mut self.chunks {
                chunk.retain(|text| {
                    let keep = left == 0 || raw(text) != bytes;
                    left -= !keep as usize;
                    keep
                });
            }
        }
        let removed = limit - left;
        if removed > 0 {
            let text = Text::key(bytes);
            for _ in 0..removed {
                self.leave(&text);
            }
            self.tidy();
        }
        removed
    }

    /// Keeps the elements `start..end` only. O(elements removed + n / 128).
    pub fn trim(&mut self, start: usize, end: usize) {
        let end = end.min(self.len);
        let start = start.min(end);
        for _ in end..self.len {
            self.pop_back();
        }
        for _ in 0..start {
            self.pop_front();
        }
    }

    /// All elements in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.chunks.iter().flatten().map(raw)
    }

    /// The elements `start..end`.
    pub fn range(&self, start: usize, end: usize) -> impl Iterator<Item = &[u8]> {
        let (chunk, place) = self.locate(start).unwrap_or((self.chunks.len(), 0));
        self.chunks
            .range(chunk..)
            .flatten()
            .skip(place)
            .take(end.saturating_sub(start))
            .map(raw)
    }

    pub(super) fn encoding(&self) -> &'static str {
        if self.quicklist {
            "quicklist"
        } else {
            "listpack"
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<List>()
            + self.chunks.len() * size_of::<VecDeque<Text>>()
            + self.len * size_of::<Text>()
            + self.heap_bytes
    }

    pub(super) fn write_image(&self, out: &mut Vec<u8>) {
        out.push(self.quicklist as u8);
        put_count(self.len, out);
        for element in self.iter() {
            put_field(element, out);
        }
    }

    pub(super) fn read_image(reader: &mut ImageReader<'_>) -> Result<List, ImageError> {
        let quicklist = reader.byte()? != 0;
        let mut list = List::default();
        for _ in 0..reader.u32()? {
            list.push_back(reader.field()?);
        }
        list.quicklist = quicklist;
        Ok(list)
    }

    /// Chunk and place in it of the element at `index`, walking from the nearer end.
    fn locate(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        if index <= self.len / 2 {
            let mut before = 0;
            for (at, chunk) in self.chunks.iter().enumerate() {
                if index < before + chunk.len() {
                    return Some((at, index - before));
                }
                before += chunk.len();
            }
        } else {
            let mut end = self.len;
            for (at, chunk) in self.chunks.iter().enumerate().rev() {
                end -= chunk.len();
                if index >= end {
                    return Some((at, index - end));
                }
            }
        }
        None
    }

    /// Drops empty chunks and joins small neighbours, so that few chunks are walked over.
    fn tidy(&mut self) {
        self.chunks.retain(|chunk| !chunk.is_empty());
        let mut at = 0;
        while at + 1 < self.chunks.len() {
            if self.chunks[at].len() + self.chunks[at + 1].len() <= CHUNK_MAX / 2 {
                if let Some(mut next) = self.chunks.remove(at + 1) {
                    self.chunks[at].append(&mut next);
                }
            } else {
                at += 1;
            }
        }
    }

    /// Accounts for an element that comes in.
    #[inline]
    fn enter(&mut self, bytes: &[u8]) -> Text {
        let text = Text::key(bytes);
        self.len += 1;
        self.heap_bytes += text.heap_bytes();
        self.listpack_bytes += listpack_bytes(bytes.len());
        if self.listpack_bytes > LISTPACK_BYTES_MAX {
            self.quicklist = true;
        }
        text
    }

    /// Accounts for an element that has gone.
    #[inline]
    fn leave(&mut self, text: &Text) {
        self.len -= 1;
        self.heap_bytes -= text.heap_bytes();
        self.listpack_bytes -= listpack_bytes(raw(text).len());
        if self.listpack_bytes <= LISTPACK_BYTES_MAX / 2 {
            self.quicklist = false;
        }
    }
}

/// A chunk; only the first of a list begins small.
fn new_chunk(first: bool) -> VecDeque<Text> {
    VecDeque::with_capacity(if first { 4 } else { CHUNK_MAX })
}

/// Bytes of a string in a listpack: its header, itself, and its length again for walking back.
#[inline]
fn listpack_bytes(len: usize) -> usize {
    let header = match len {
        0..64 => 1,
        64..4096 => 2,
        _ => 5,
    };
    let trailer = match header + len {
        0..128 => 1,
        128..16384 => 2,
        16384..2097152 => 3,
        _ => 4,
    };
    header + len + trailer
}

impl Kind for List {
    fn of(value: &Value) -> Option<&Self> {
        match value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    fn of_mut(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        Value::List(Box::new(self))
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
