//! Whether the replies of one shard and of several tell the same.

use super::{Check, Replies, Script};

pub(super) fn agree(check: &Check, one: &[u8], many: &[u8]) -> bool {
    match check {
        Check::Same | Check::RowLength => one == many,
        Check::Elements | Check::Whole => sorted(one) == sorted(many),
        Check::Each(checks) if one.starts_with(b"*") && !one.starts_with(b"*-1") => {
            let (one, many) = (elements(one), elements(many));
            one.len() == many.len()
                && checks.len() == one.len()
                && checks
                    .iter()
                    .zip(one.iter().zip(many))
                    .all(|(check, (one, many))| agree(check, one, many))
        }
        Check::Each(_) => one == many,
        Check::Scan | Check::Key => true,
    }
}

/// What the cursors and RANDOMKEY found is what KEYS finds at the same place.
pub(super) fn check_looks(script: &Script, replies: &Replies) {
    let (mut scanned, mut drawn): (Vec<&[u8]>, Vec<&[u8]>) = Default::default();
    for (number, check) in &script.checks {
        let bytes = &replies.0[number].1[..];
        match check {
            Check::Scan => scanned.extend(elements(elements(bytes)[1])),
            Check::Key => drawn.push(bytes),
            Check::Whole => {
                let all = sorted(bytes);
                scanned.sort_unstable();
                assert_eq!(scanned, all, "the cursors' keys");
                for key in drawn.drain(..) {
                    let none = key.starts_with(b"$-1") || key.starts_with(b"_");
                    assert!(all.contains(&key) || (none && all.is_empty()));
                }
                scanned.clear();
            }
            _ => {}
        }
    }
}

/// The elements of an array.
fn elements(bytes: &[u8]) -> Vec<&[u8]> {
    let mut at = bytes.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
    let mut found = Vec::new();
    while at < bytes.len() {
        let length = length_of(&bytes[at..]);
        found.push(&bytes[at..at + length]);
        at += length;
    }
    found
}

fn sorted(bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = elements(bytes);
    found.sort_unstable();
    found
}

/// Length in bytes of the reply at the start of `bytes`.
fn length_of(bytes: &[u8]) -> usize {
    let line = bytes.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
    let number = || -> i64 {
        let text = std::str::from_utf8(&bytes[1..line - 2]).unwrap();
        text.parse().unwrap()
    };
    let count = match bytes[0] {
        b'$' | b'=' if number() >= 0 => return line + number() as usize + 2,
        b'*' | b'~' | b'>' => number().max(0),
        b'%' => number() * 2,
        _ => 0,
    };
    (0..count).fold(line, |at, _| at + length_of(&bytes[at..]))
}
