//! Bytes to requests.

use crate::limits::{ARGS_MAX, BULK_BYTES_MAX, INLINE_BYTES_MAX, REQUEST_BYTES_MAX};

use super::args::Span;

/// Why a connection must be closed, with Redis' text behind `Protocol error: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolError(pub String);

/// What was found at the start of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole request of this many bytes; its arguments are [`Decoder::spans`].
    Request(usize),
    /// A whole inline command of this many bytes; its words lie in [`Decoder::inline`] and the
    /// spans refer to that buffer.
    Inline(usize),
    /// More bytes are needed.
    Incomplete,
}

/// Splits a byte stream into requests. An incomplete request is kept track of, so that the next
/// call with the same bytes and more goes on where this one stopped: O(new bytes).
#[derive(Debug, Default)]
pub struct Decoder {
    spans: Vec<Span>,
    /// Words of an inline command, quotes undone.
    inline: Vec<u8>,
    /// Arguments of the current array still to come.
    missing: usize,
    /// Where to go on in the current request.
    at: usize,
    /// Whether the array's header was read.
    begun: bool,
    /// Length of the argument being read, when its header was.
    bulk: Option<usize>,
}

impl Decoder {
    /// Arguments of the request decoded last.
    #[inline]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Buffer of the inline command decoded last.
    pub fn inline(&self) -> &[u8] {
        &self.inline
    }

    /// Whether a request has begun and is not complete.
    pub fn is_midway(&self) -> bool {
        self.begun || self.at > 0
    }

    /// Bytes that the current argument still needs behind `have`, when they are known: what a
    /// caller may reserve as they arrive.
    pub fn wanted(&self, have: usize) -> usize {
        self.bulk
            .map_or(0, |length| (self.at + length + 2).saturating_sub(have))
    }

    /// Decodes the request at the start of `input`, which begins with the same bytes as in the
    /// call before when that one was [`Decoded::Incomplete`].
    ///
    /// # Errors
    /// A [`ProtocolError`] after which the stream has no meaning; the decoder is as new, ready for
    /// another stream.
    #[inline]
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, ProtocolError> {
        let decoded = self.decode_on(input);
        if decoded.is_err() {
            *self = Decoder::default();
        }
        decoded
    }

    #[inline]
    fn decode_on(&mut self, input: &[u8]) -> Result<Decoded, ProtocolError> {
        if !self.begun {
            match input.first() {
                None => return Ok(Decoded::Incomplete),
                Some(b'*') => {
                    if !self.array_header(input)? {
                        return Ok(Decoded::Incomplete);
                    }
                }
                Some(_) => return self.inline_command(input),
            }
        }
        while self.missing > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => match self.bulk_header(input)? {
                    Some(length) => length,
                    None => return Ok(Decoded::Incomplete),
                },
            };
            let end = self.at + length;
            if input.len() < end + 2 {
                self.bulk = Some(length);
                return Ok(Decoded::Incomplete);
            }
            // The two bytes behind are skipped unseen, as Redis does.
            self.spans.push(Span {
                start: self.at as u32,
                end: end as u32,
            });
            self.at = end + 2;
            self.bulk = None;
            self.missing -= 1;
        }
        let used = self.at;
        self.at = 0;
        self.begun = false;
        Ok(Decoded::Request(used))
    }

    fn array_header(&mut self, input: &[u8]) -> Result<bool, ProtocolError> {
        let Some((line, next)) = line(input, 1) else {
            return too_long(input.len(), "too big mbulk count string").map(|()| false);
        };
        let count = small_number(line)
            .filter(|count| *count <= ARGS_MAX as i64)
            .ok_or_else(|| ProtocolError("invalid multibulk length".into()))?;
        self.spans.clear();
        self.missing = count.max(0) as usize;
        self.at = next;
        self.begun = true;
        Ok(true)
    }

    #[inline]
    fn bulk_header(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let rest = &input[self.at..];
        match rest.first() {
            None => return Ok(None),
            Some(b'$') => {}
            Some(other) => {
                return Err(ProtocolError(format!(
                    "expected '$', got '{}'",
                    char::from(*other)
                )));
            }
        }
        // One or two digits, the usual case, without a search for the line's end.
        let (length, used) = match *rest {
            [_, a @ b'0'..=b'9', b'\r', b'\n', ..] => ((a - b'0') as usize, 4),
            [_, a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => {
                ((a - b'0') as usize * 10 + (b - b'0') as usize, 5)
            }
            _ => {
                let Some((line, next)) = line(rest, 1) else {
                    return too_long(rest.len(), "too big bulk count string").map(|()| None);
                };
                let length = small_number(line)
                    .filter(|length| (0..=BULK_BYTES_MAX as i64).contains(length))
                    .ok_or_else(|| ProtocolError("invalid bulk length".into()))?;
                (length as usize, next)
            }
        };
        self.at += used;
        if self.at + length + 2 > REQUEST_BYTES_MAX {
            return Err(ProtocolError("too big request".into()));
        }
        Ok(Some(length))
    }

    /// A line that does not begin with `*`: words split at blanks, with quotes.
    fn inline_command(&mut self, input: &[u8]) -> Result<Decoded, ProtocolError> {
        let Some(newline) = memchr::memchr(b'\n', &input[self.at..]) else {
            self.at = input.len();
            return too_long(input.len(), "too big inline request").map(|()| Decoded::Incomplete);
        };
        let newline = self.at + newline;
        self.at = 0;
        let line = input[..newline]
            .strip_suffix(b"\r")
            .unwrap_or(&input[..newline]);
        if line.len() > INLINE_BYTES_MAX {
            return Err(ProtocolError("too big inline request".into()));
        }
        self.spans.clear();
        self.inline.clear();
        split_words(line, &mut self.inline, &mut self.spans)
            .ok_or_else(|| ProtocolError("unbalanced quotes in request".into()))?;
        Ok(Decoded::Inline(newline + 1))
    }
}

fn too_long(have: usize, what: &str) -> Result<(), ProtocolError> {
    if have > INLINE_BYTES_MAX {
        Err(ProtocolError(what.into()))
    } else {
        Ok(())
    }
}

/// The line from `start` to the next `\r\n`, and where the one after begins.
fn line(input: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let end = start + memchr::memchr(b'\r', &input[start..])?;
    (input.len() > end + 1).then(|| (&input[start..end], end + 2))
}

fn small_number(text: &[u8]) -> Option<i64> {
    super::number::parse_int(text)
}

/// Splits an inline command (Redis' `sdssplitargs`): blanks separate, `"` with escapes and `'`
/// quote. `None` when quotes do not balance.
fn split_words(line: &[u8], words: &mut Vec<u8>, spans: &mut Vec<Span>) -> Option<()> {
    let mut at = 0;
    loop {
        while line
            .get(at)
            .is_some_and(|byte| byte.is_ascii_whitespace() || *byte == 0)
        {
            at += 1;
        }
        if at >= line.len() {
            return Some(());
        }
        let start = words.len() as u32;
        while let Some(&byte) = line.get(at) {
            match byte {
                b'"' | b'\'' => {
                    at = unquote(line, at, words)?;
                    // A closing quote ends the word.
                    if line.get(at).is_some_and(|next| !next.is_ascii_whitespace()) {
                        return None;
                    }
                    break;
                }
                b' ' | b'\t' | b'\r' | b'\n' | 0 => break,
                other => {
                    words.push(other);
                    at += 1;
                }
            }
        }
        spans.push(Span {
            start,
            end: words.len() as u32,
        });
    }
}

/// Copies the quoted text at `at` and answers where it ends.
fn unquote(line: &[u8], at: usize, words: &mut Vec<u8>) -> Option<usize> {
    let quote = line[at];
    let mut at = at + 1;
    loop {
        match (line.get(at)?, line.get(at + 1)) {
            (byte, _) if *byte == quote => return Some(at + 1),
            (b'\\', Some(b'x')) if quote == b'"' => {
                let digits = line
                    .get(at + 2..at + 4)
                    .and_then(|hex| std::str::from_utf8(hex).ok());
                match digits.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    Some(byte) => {
                        words.push(byte);
                        at += 4;
                    }
                    None => {
                        words.push(b'x');
                        at += 2;
                    }
                }
            }
            (b'\\', Some(next)) if quote == b'"' => {
                words.push(match next {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                at += 2;
            }
            (b'\\', Some(b'\'')) => {
                words.push(b'\'');
                at += 2;
            }
            (byte, _) => {
                words.push(*byte);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
