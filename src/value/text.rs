//! A byte string in 24 bytes: a number, up to 22 bytes in place, or on the heap.

use std::borrow::Cow;
use std::fmt;

use crate::resp::{Reply, parse_int};

const INLINE_MAX: usize = 22;

/// Longest byte string that Redis calls `embstr`.
const EMBEDDED_MAX: usize = 44;

/// A byte string of 0 to 512 MB. Used for values and for keys.
#[derive(Clone)]
pub struct Text(Form);

#[derive(Clone)]
enum Form {
    Int(i64),
    Inline {
        len: u8,
        bytes: [u8; INLINE_MAX],
    },
    Boxed(Box<[u8]>),
    /// A string that was changed in place and may be again: capacity to spare.
    #[allow(clippy::box_collection)]
    Growing(Box<Vec<u8>>),
}

impl Text {
    /// A value: numbers in their canonical form are kept as such (Redis' `int` encoding).
    #[inline]
    pub fn value(bytes: &[u8]) -> Text {
        // Only what begins like a number is worth a parse.
        if bytes.len() <= 20
            && matches!(bytes.first(), Some(b'0'..=b'9' | b'-'))
            && let Some(number) = parse_int(bytes)
        {
            return Text(Form::Int(number));
        }
        Text::key(bytes)
    }

    /// A byte string that is always kept as bytes, so that [`Text::as_bytes`] borrows.
    #[inline]
    pub fn key(bytes: &[u8]) -> Text {
        if bytes.len() <= INLINE_MAX {
            let mut inline = [0; INLINE_MAX];
            inline[..bytes.len()].copy_from_slice(bytes);
            Text(Form::Inline {
                len: bytes.len() as u8,
                bytes: inline,
            })
        } else {
            Text(Form::Boxed(bytes.into()))
        }
    }

    /// A number.
    pub fn int(number: i64) -> Text {
        Text(Form::Int(number))
    }

    /// Replaces the content, reusing the allocation where the length is the same.
    #[inline]
    pub fn assign(&mut self, bytes: &[u8]) {
        if let Form::Boxed(old) = &mut self.0
            && old.len() == bytes.len()
        {
            old.copy_from_slice(bytes);
            return;
        }
        *self = Text::value(bytes);
    }

    /// The bytes when they are kept as such; `None` for a number.
    #[inline]
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Int(_) => None,
            Form::Inline { len, bytes } => Some(&bytes[..*len as usize]),
            Form::Boxed(bytes) => Some(bytes),
            Form::Growing(bytes) => Some(bytes),
        }
    }

    /// The bytes, made for a number. O(1), or O(digits).
    #[inline]
    pub fn as_bytes(&self) -> Cow<'_, [u8]> {
        match &self.0 {
            Form::Int(number) => {
                Cow::Owned(itoa::Buffer::new().format(*number).as_bytes().to_vec())
            }
            _ => Cow::Borrowed(self.bytes().unwrap_or_default()),
        }
    }

    /// As a bulk reply, without a copy.
    #[inline]
    pub fn reply(&self) -> Reply<'_> {
        match &self.0 {
            Form::Int(number) => Reply::BulkInt(*number),
            _ => Reply::bulk(self.bytes().unwrap_or_default()),
        }
    }

    /// The number that the text is, in canonical form.
    pub fn as_int(&self) -> Option<i64> {
        match &self.0 {
            Form::Int(number) => Some(*number),
            _ => parse_int(self.bytes()?),
        }
    }

    /// Length in bytes. O(1), or O(digits).
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Int(number) => itoa::Buffer::new().format(*number).len(),
            _ => self.bytes().map_or(0, <[u8]>::len),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The content for changing in place. From then on the text keeps capacity to spare.
    pub fn make_mut(&mut self) -> &mut Vec<u8> {
        if !matches!(self.0, Form::Growing(_)) {
            self.0 = Form::Growing(Box::new(self.as_bytes().into_owned()));
        }
        match &mut self.0 {
            Form::Growing(bytes) => bytes,
            _ => unreachable!("made growing above"),
        }
    }

    /// Redis' name of the representation.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Form::Int(_) => "int",
            Form::Growing(_) => "raw",
            _ if self.len() <= EMBEDDED_MAX => "embstr",
            _ => "raw",
        }
    }

    /// The bytes where they are on the heap and not in place.
    #[inline]
    pub fn heap(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Boxed(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Int(_) | Form::Inline { .. } => 0,
            Form::Boxed(bytes) => bytes.len(),
            Form::Growing(bytes) => bytes.capacity() + size_of::<Vec<u8>>(),
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Form::Int(a), Form::Int(b)) => a == b,
            _ => self.as_bytes() == other.as_bytes(),
        }
    }
}

impl Eq for Text {}

impl PartialEq<[u8]> for Text {
    #[inline]
    fn eq(&self, other: &[u8]) -> bool {
        match self.bytes() {
            Some(bytes) => bytes == other,
            None => *self.as_bytes() == *other,
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

const _: () = assert!(size_of::<Text>() == 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_the_same_bytes() {
        for bytes in [
            &b""[..],
            b"12",
            b"-7",
            b"012",
            b"abc",
            &[b'x'; 22],
            &[b'y'; 23],
            &[b'z'; 50],
        ] {
            let mut text = Text::value(bytes);
            assert_eq!(&*text.as_bytes(), bytes);
            assert_eq!(text.len(), bytes.len());
            assert_eq!(text, Text::key(bytes));
            text.make_mut().push(b'!');
            assert_eq!(text.len(), bytes.len() + 1);
        }
        assert_eq!(Text::value(b"12").encoding(), "int");
        assert_eq!(Text::value(b"012").encoding(), "embstr");
        assert_eq!(Text::value(&[0; 45]).encoding(), "raw");
        let mut text = Text::value(&[b'a'; 40]);
        text.assign(&[b'b'; 40]);
        assert_eq!(&*text.as_bytes(), &[b'b'; 40]);
        text.assign(b"7");
        assert_eq!(text.as_int(), Some(7));
    }
}
