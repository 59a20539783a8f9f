//! The engine's encoded replies, back to [`Reply`]. It writes them for sockets; here they cross
//! from a core to an application's thread in one piece, and are taken apart there.

use crate::resp::{parse_double, parse_int};

use super::reply::Reply;

/// Replies within replies, at most. The engine's own go three deep.
const DEPTH_MAX: usize = 32;

/// Bytes of the reply that `bytes` begins with, if it is there whole. O(elements).
pub(super) fn reply_bytes(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut missing = 1usize;
    while missing > 0 {
        missing -= 1;
        let (kind, text, used) = header(bytes.get(at..)?)?;
        at += used;
        match kind {
            b'$' | b'=' => {
                let length = parse_int(text)?;
                if length >= 0 {
                    at = at.checked_add(usize::try_from(length).ok()? + 2)?;
                }
            }
            b'*' | b'~' | b'>' => missing += parse_int(text)?.max(0) as usize,
            b'%' => missing += 2 * parse_int(text)?.max(0) as usize,
            _ => {}
        }
    }
    (at <= bytes.len()).then_some(at)
}

/// The reply that `bytes` begins with. `None` where that is none.
pub(super) fn parse(bytes: &[u8]) -> Option<Reply> {
    Parser { bytes }.reply(DEPTH_MAX)
}

/// Kind and text of a line, and its bytes with the line's end.
fn header(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (kind, rest) = bytes.split_first()?;
    let end = memchr::memchr(b'\r', rest)?;
    Some((*kind, &rest[..end], end + 3))
}

struct Parser<'b> {
    bytes: &'b [u8],
}

impl<'b> Parser<'b> {
    fn reply(&mut self, depth: usize) -> Option<Reply> {
        let (kind, text, used) = header(self.bytes)?;
        self.bytes = self.bytes.get(used..)?;
        let words = || String::from_utf8_lossy(text).into_owned();
        let count = || parse_int(text);
        Some(match kind {
            b'+' => Reply::Status(words()),
            b'-' => Reply::Error(words()),
            b':' => Reply::Int(count()?),
            b',' => Reply::Double(parse_double(text)?),
            b'#' => Reply::Bool(text == b"t"),
            b'_' => Reply::Nil,
            b'$' | b'*' if count()? < 0 => Reply::Nil,
            b'$' => Reply::Bytes(self.text(count()?)?.to_vec()),
            // The first four bytes say what kind of text follows.
            b'=' => Reply::Bytes(self.text(count()?)?.get(4..)?.to_vec()),
            b'*' | b'>' => Reply::Array(self.items(count()?, depth)?),
            b'~' => Reply::Set(self.items(count()?, depth)?),
            b'%' => {
                let mut all = self.items(count()?.checked_mul(2)?, depth)?.into_iter();
                let mut pairs = Vec::with_capacity(all.len() / 2);
                while let (Some(key), Some(value)) = (all.next(), all.next()) {
                    pairs.push((key, value));
                }
                Reply::Map(pairs)
            }
            _ => return None,
        })
    }

    fn text(&mut self, length: i64) -> Option<&'b [u8]> {
        let (text, rest) = self.bytes.split_at_checked(usize::try_from(length).ok()?)?;
        self.bytes = rest.get(2..)?;
        Some(text)
    }

    fn items(&mut self, count: i64, depth: usize) -> Option<Vec<Reply>> {
        let depth = depth.checked_sub(1)?;
        (0..count).map(|_| self.reply(depth)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{self, Protocol, encode};

    fn encoded(reply: &resp::Reply<'_>, protocol: Protocol) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(reply, protocol, &mut bytes);
        bytes
    }

    #[test]
    fn what_is_encoded_reads_back() {
        use Reply::*;
        let bulk = |text: &str| resp::Reply::bulk_owned(text);
        let value = |text: &str| Bytes(text.into());
        for (reply, expected) in [
            (resp::Reply::Ok, Status("OK".into())),
            (resp::Reply::Simple("PONG"), Status("PONG".into())),
            (resp::Reply::Int(-7), Int(-7)),
            (resp::Reply::BulkInt(70), value("70")),
            (resp::Reply::Double(1.5), Double(1.5)),
            (
                resp::Reply::Double(f64::NEG_INFINITY),
                Double(f64::NEG_INFINITY),
            ),
            (resp::Reply::Bool(true), Bool(true)),
            (resp::Reply::Null, Nil),
            (resp::Reply::NullArray, Nil),
            (bulk("a\r\nb"), value("a\r\nb")),
            (bulk(""), value("")),
            (
                resp::Reply::Verbatim("two\nlines".into()),
                value("two\nlines"),
            ),
            (
                resp::Error::new("ERR no").into(),
                Reply::Error("ERR no".into()),
            ),
            (
                resp::Reply::Array(vec![
                    resp::Reply::Map(vec![bulk("k"), resp::Reply::Int(1)]),
                    resp::Reply::Set(vec![resp::Reply::Null]),
                    resp::Reply::Array(vec![]),
                ]),
                Array(vec![
                    Map(vec![(value("k"), Int(1))]),
                    Set(vec![Nil]),
                    Array(vec![]),
                ]),
            ),
        ] {
            let mut bytes = encoded(&reply, Protocol::Resp3);
            let length = bytes.len();
            for end in 0..length {
                assert_eq!(
                    reply_bytes(&bytes[..end]),
                    None,
                    "{expected:?} cut at {end}"
                );
                assert_eq!(parse(&bytes[..end]), None, "{expected:?} cut at {end}");
            }
            bytes.extend_from_slice(b":1\r\n");
            assert_eq!(reply_bytes(&bytes), Some(length), "{expected:?}");
            assert_eq!(parse(&bytes), Some(expected));
        }
        let null = encoded(&resp::Reply::Null, Protocol::Resp2);
        assert_eq!((reply_bytes(&null), parse(&null)), (Some(5), Some(Nil)));
    }

    #[test]
    fn depth_has_an_end() {
        let deep = [&b"*1\r\n".repeat(100_000)[..], b":1\r\n"].concat();
        assert_eq!(reply_bytes(&deep), Some(deep.len()));
        assert_eq!(parse(&deep), None);
    }
}
