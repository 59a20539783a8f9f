//! What must hold for the decoder of requests, whatever bytes come.
//!
//! - It never panics and never reads past what came.
//! - However the bytes are split over reads, the same requests and the same error come out.
//! - A request that was decoded is the same when it is written down and decoded again.

use quorate::resp::{Args, Decoded, Decoder};

/// What a byte stream meant.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    requests: Vec<Vec<Vec<u8>>>,
    error: Option<String>,
}

/// Decodes `bytes` whole and in pieces. `cut` says how they are cut.
///
/// # Panics
/// When one of the properties above does not hold.
pub fn check(cut: u8, bytes: &[u8]) {
    let whole = decode(bytes, bytes.len().max(1));
    let pieces = decode(bytes, usize::from(cut % 61) + 1);
    assert_eq!(whole, pieces, "cut into pieces of {}", cut % 61 + 1);
    let again = decode(&written(&whole.requests), usize::MAX);
    assert_eq!(again.requests, whole.requests);
    assert_eq!(again.error, None);
}

/// Decodes `bytes` as if they came `step` at a time. What was taken is taken out of the buffer, as
/// a connection does.
fn decode(bytes: &[u8], step: usize) -> Meaning {
    let mut decoder = Decoder::default();
    let mut requests = Vec::new();
    let mut buffer = Vec::new();
    for piece in bytes.chunks(step.min(bytes.len().max(1))) {
        buffer.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let rest = &buffer[at..];
            let (used, args) = match decoder.decode(rest) {
                Ok(Decoded::Request(used)) => (used, Args::new(rest, decoder.spans())),
                Ok(Decoded::Inline(used)) => (used, Args::new(decoder.inline(), decoder.spans())),
                Ok(Decoded::Incomplete) => break,
                Err(error) => {
                    return Meaning {
                        requests,
                        error: Some(error.0),
                    };
                }
            };
            assert!(used > 0 && used <= rest.len());
            if !args.is_empty() {
                requests.push((0..args.len()).map(|at| args.get(at).to_vec()).collect());
            }
            at += used;
        }
        buffer.drain(..at);
    }
    Meaning {
        requests,
        error: None,
    }
}

fn written(requests: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for request in requests {
        bytes.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
        for argument in request {
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes
}
