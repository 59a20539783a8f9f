//! Replies to bytes.

use super::number::format_double;
use super::reply::{Error, Reply};

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

/// Appends `reply` to `out` as `protocol` writes it. O(bytes of the reply).
#[inline]
pub fn encode(reply: &Reply<'_>, protocol: Protocol, out: &mut Vec<u8>) {
    match reply {
        Reply::Ok => out.extend_from_slice(b"+OK\r\n"),
        Reply::Bulk(bytes) => encode_bulk(bytes, out),
        Reply::Int(value) => encode_int(*value, out),
        Reply::Null if protocol == Protocol::Resp2 => out.extend_from_slice(b"$-1\r\n"),
        other => encode_rare(other, protocol, out),
    }
}

fn encode_rare(reply: &Reply<'_>, protocol: Protocol, out: &mut Vec<u8>) {
    let resp3 = protocol == Protocol::Resp3;
    match reply {
        Reply::Ok | Reply::Bulk(_) | Reply::Int(_) => encode(reply, protocol, out),
        Reply::Simple(text) => line(b'+', text.as_bytes(), out),
        Reply::BulkInt(value) => {
            encode_bulk(itoa::Buffer::new().format(*value).as_bytes(), out);
        }
        Reply::Double(value) if resp3 => line(b',', format_double(*value).as_bytes(), out),
        Reply::Double(value) => encode_bulk(format_double(*value).as_bytes(), out),
        Reply::Bool(value) if resp3 => {
            out.extend_from_slice(if *value { b"#t\r\n" } else { b"#f\r\n" })
        }
        Reply::Bool(value) => encode_int(*value as i64, out),
        Reply::Null | Reply::NullArray if resp3 => out.extend_from_slice(b"_\r\n"),
        Reply::Null => out.extend_from_slice(b"$-1\r\n"),
        Reply::NullArray => out.extend_from_slice(b"*-1\r\n"),
        Reply::Array(items) => aggregate(b'*', items.len(), items, protocol, out),
        Reply::Set(items) => {
            aggregate(
                if resp3 { b'~' } else { b'*' },
                items.len(),
                items,
                protocol,
                out,
            );
        }
        Reply::Map(items) if resp3 => aggregate(b'%', items.len() / 2, items, protocol, out),
        Reply::Map(items) => aggregate(b'*', items.len(), items, protocol, out),
        Reply::Push(items) => {
            aggregate(
                if resp3 { b'>' } else { b'*' },
                items.len(),
                items,
                protocol,
                out,
            );
        }
        Reply::Verbatim(text) if resp3 => {
            header(b'=', text.len() as i64 + 4, out);
            out.extend_from_slice(b"txt:");
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Reply::Verbatim(text) => encode_bulk(text.as_bytes(), out),
        Reply::Error(error) => encode_error(error, out),
        Reply::Raw(bytes) => out.extend_from_slice(bytes),
    }
}

/// `$<length>\r\n<bytes>\r\n`
#[inline]
pub fn encode_bulk(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 32);
    header(b'$', bytes.len() as i64, out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// `:<value>\r\n`
#[inline]
pub fn encode_int(value: i64, out: &mut Vec<u8>) {
    header(b':', value, out);
}

/// `*<count>\r\n`, its items to follow.
pub fn encode_array_header(count: usize, out: &mut Vec<u8>) {
    header(b'*', count as i64, out);
}

/// `-<text>\r\n`, line breaks in the text turned into blanks.
pub fn encode_error(error: &Error, out: &mut Vec<u8>) {
    out.push(b'-');
    out.extend(error.0.bytes().map(|byte| match byte {
        b'\r' | b'\n' => b' ',
        other => other,
    }));
    out.extend_from_slice(b"\r\n");
}

fn aggregate(kind: u8, count: usize, items: &[Reply<'_>], protocol: Protocol, out: &mut Vec<u8>) {
    header(kind, count as i64, out);
    for item in items {
        encode(item, protocol, out);
    }
}

fn line(kind: u8, text: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn header(kind: u8, value: i64, out: &mut Vec<u8>) {
    if (0..100).contains(&value) {
        let (tens, ones) = (value as u8 / 10, value as u8 % 10);
        if tens == 0 {
            out.extend_from_slice(&[kind, b'0' + ones, b'\r', b'\n']);
        } else {
            out.extend_from_slice(&[kind, b'0' + tens, b'0' + ones, b'\r', b'\n']);
        }
        return;
    }
    line(kind, itoa::Buffer::new().format(value).as_bytes(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(reply: Reply<'_>, protocol: Protocol) -> String {
        let mut out = Vec::new();
        encode(&reply, protocol, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_protocols() {
        use Protocol::*;
        let pairs = vec![
            Reply::bulk(b"a"),
            Reply::Int(1),
            Reply::bulk(b"b"),
            Reply::Int(200),
        ];
        assert_eq!(
            bytes(Reply::Map(pairs.clone()), Resp2),
            "*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:200\r\n"
        );
        assert_eq!(
            bytes(Reply::Map(pairs), Resp3),
            "%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:200\r\n"
        );
        assert_eq!(bytes(Reply::Null, Resp2), "$-1\r\n");
        assert_eq!(bytes(Reply::Null, Resp3), "_\r\n");
        assert_eq!(bytes(Reply::NullArray, Resp2), "*-1\r\n");
        assert_eq!(bytes(Reply::Double(1.5), Resp2), "$3\r\n1.5\r\n");
        assert_eq!(bytes(Reply::Double(f64::INFINITY), Resp3), ",inf\r\n");
        assert_eq!(bytes(Reply::Int(-1), Resp2), ":-1\r\n");
        assert_eq!(bytes(Reply::BulkInt(12345), Resp2), "$5\r\n12345\r\n");
        assert_eq!(
            bytes(Reply::Verbatim("hi".into()), Resp3),
            "=6\r\ntxt:hi\r\n"
        );
        assert_eq!(
            bytes(Error::new("ERR a\r\nb").into(), Resp2),
            "-ERR a  b\r\n"
        );
        assert_eq!(
            bytes(Reply::bulk(&[b'x'; 123]), Resp2).len(),
            1 + 3 + 2 + 123 + 2
        );
    }
}
