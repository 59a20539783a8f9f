//! `LCS`: the longest common subsequence of two strings.

use std::borrow::Cow;

use crate::limits::BULK_BYTES_MAX;
use crate::resp::{Args, Error, Reply, parse_int};
use crate::value::Text;

use super::super::context::Context;
use super::super::spec::Outcome;

/// A run that both strings have: its first and last place in each.
type Match = ([usize; 2], [usize; 2]);

struct Options {
    length_only: bool,
    matches: bool,
    match_length_min: i64,
    with_match_lengths: bool,
}

pub(super) fn lcs<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let context = &*context;
    let text = |key| match context.read::<Text>(key) {
        Ok(None) => Ok(Cow::Borrowed(&b""[..])),
        Ok(Some(text)) => Ok(text.as_bytes()),
        Err(_) => Err(Error::fixed(
            "ERR The specified keys must contain string values",
        )),
    };
    let (a, b) = (text(args.get(1))?, text(args.get(2))?);
    let options = parse(args)?;
    let cells = (a.len() + 1).saturating_mul(b.len() + 1);
    if cells.saturating_mul(size_of::<u32>()) > BULK_BYTES_MAX {
        return Err(Error::fixed(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    let lengths = lengths(&a, &b);
    let total = lengths.last().copied().unwrap_or(0) as usize;
    if options.length_only {
        return Ok(Reply::count(total));
    }
    let (common, matches) = walk(&a, &b, &lengths);
    if !options.matches {
        return Ok(Reply::bulk_owned(common));
    }
    let replies = matches.into_iter().filter_map(|(in_a, in_b)| {
        let length = in_a[1] - in_a[0] + 1;
        if (length as i64) < options.match_length_min {
            return None;
        }
        let place =
            |[first, last]: [usize; 2]| Reply::Array(vec![Reply::count(first), Reply::count(last)]);
        let mut parts = vec![place(in_a), place(in_b)];
        if options.with_match_lengths {
            parts.push(Reply::count(length));
        }
        Some(Reply::Array(parts))
    });
    Ok(Reply::Map(vec![
        Reply::bulk(b"matches"),
        Reply::Array(replies.collect()),
        Reply::bulk(b"len"),
        Reply::count(total),
    ]))
}

fn parse(args: Args<'_>) -> Result<Options, Error> {
    let mut options = Options {
        length_only: false,
        matches: false,
        match_length_min: 0,
        with_match_lengths: false,
    };
    let mut at = 3;
    while at < args.len() {
        if args.is(at, "idx") {
            options.matches = true;
        } else if args.is(at, "len") {
            options.length_only = true;
        } else if args.is(at, "withmatchlen") {
            options.with_match_lengths = true;
        } else if args.is(at, "minmatchlen") && at + 1 < args.len() {
            options.match_length_min = parse_int(args.get(at + 1)).ok_or(Error::NOT_INTEGER)?;
            at += 1;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    if options.matches && options.length_only {
        return Err(Error::fixed(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    Ok(options)
}

/// Lengths for every pair of prefixes, row by row: `(a.len() + 1) * (b.len() + 1)` of them.
fn lengths(a: &[u8], b: &[u8]) -> Vec<u32> {
    let width = b.len() + 1;
    let mut lengths = vec![0; (a.len() + 1) * width];
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            lengths[i * width + j] = if a[i - 1] == b[j - 1] {
                lengths[(i - 1) * width + j - 1] + 1
            } else {
                lengths[(i - 1) * width + j].max(lengths[i * width + j - 1])
            };
        }
    }
    lengths
}

/// The subsequence, and its runs from the last to the first, as Redis lists them.
fn walk(a: &[u8], b: &[u8], lengths: &[u32]) -> (Vec<u8>, Vec<Match>) {
    let width = b.len() + 1;
    let (mut i, mut j) = (a.len(), b.len());
    let (mut common, mut matches) = (Vec::new(), Vec::<Match>::new());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            (i, j) = (i - 1, j - 1);
            common.push(a[i]);
            match matches.last_mut() {
                Some(([first_a, _], [first_b, _])) if *first_a == i + 1 && *first_b == j + 1 => {
                    (*first_a, *first_b) = (i, j);
                }
                _ => matches.push(([i, i], [j, j])),
            }
        } else if lengths[(i - 1) * width + j] > lengths[i * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    common.reverse();
    (common, matches)
}
