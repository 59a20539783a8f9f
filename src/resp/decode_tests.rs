use super::super::args::Args;
use super::*;

/// Every request of `input`, fed in pieces cut at `cut`, or the error that ended it.
fn requests(input: &[u8], cut: usize) -> (Vec<Vec<Vec<u8>>>, Option<String>) {
    let mut decoder = Decoder::default();
    let (mut start, mut found) = (0, Vec::new());
    for end in [cut, input.len()] {
        loop {
            let rest = &input[start..end];
            let (buffer, used) = match decoder.decode(rest) {
                Ok(Decoded::Request(used)) => (rest, used),
                Ok(Decoded::Inline(used)) => (decoder.inline(), used),
                Ok(Decoded::Incomplete) => break,
                Err(error) => return (found, Some(error.0)),
            };
            let args = Args::new(buffer, decoder.spans());
            found.push(args.iter_from(0).map(<[u8]>::to_vec).collect());
            start += used;
        }
    }
    (found, None)
}

#[test]
fn split_at_every_byte() {
    let mut input =
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nhello\r\nworld\r\nPING \"a b\\x41\"\r\n*0\r\n"
            .to_vec();
    input.extend_from_slice(format!("*1\r\n$300\r\n{}\r\n", "x".repeat(300)).as_bytes());
    input.extend_from_slice(b"\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\nget k\n");
    let whole = requests(&input, input.len());
    assert_eq!(whole.1, None);
    assert_eq!(whole.0.len(), 7);
    assert_eq!(whole.0[0], [&b"SET"[..], b"k", b"hello\r\nworld"]);
    assert_eq!(whole.0[1], [&b"PING"[..], b"a bA"]);
    assert!(whole.0[2].is_empty() && whole.0[4].is_empty());
    assert_eq!(whole.0[5], [&b"ECHO"[..], b""]);
    for cut in 0..input.len() {
        assert_eq!(requests(&input, cut), whole, "cut at {cut}");
    }
}

#[test]
fn malformed_input_has_redis_texts() {
    let long = vec![b'a'; INLINE_BYTES_MAX + 2];
    for (input, text) in [
        (&b"*x\r\n"[..], "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*1\r\n!3\r\n", "expected '$', got '!'"),
        (b"*1\r\n$-5\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$abc\r\n", "invalid bulk length"),
        (b"PING \"a\r\n", "unbalanced quotes in request"),
        (&long, "too big inline request"),
    ] {
        assert_eq!(requests(input, input.len()).1.as_deref(), Some(text));
        // The stream of another connection may follow in the same decoder.
        let mut decoder = Decoder::default();
        assert!(decoder.decode(input).is_err() && !decoder.is_midway());
        assert_eq!(decoder.decode(b"PING\r\n"), Ok(Decoded::Inline(6)));
    }
}

#[test]
fn a_claim_reserves_nothing() {
    let mut decoder = Decoder::default();
    let input = b"*1000000\r\n$536870912\r\nabc";
    assert_eq!(decoder.decode(input), Ok(Decoded::Incomplete));
    assert!(decoder.spans.capacity() < 64);
    assert_eq!(decoder.wanted(input.len()), 536870912 + 2 - 3);
}
