//! Arguments as numbers, with Redis' errors where they are none.

use std::ops::Range;

use crate::resp::{Args, Error, parse_double, parse_int};

/// A whole number.
///
/// # Errors
/// `ERR value is not an integer or out of range`
#[inline]
pub fn integer(argument: &[u8]) -> Result<i64, Error> {
    parse_int(argument).ok_or(Error::NOT_INTEGER)
}

/// A whole number but the lowest, so that it can be negated.
pub fn negatable(argument: &[u8]) -> Result<i64, Error> {
    match integer(argument)? {
        i64::MIN => Err(Error::fixed(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )),
        number => Ok(number),
    }
}

/// A count of 0 or more.
pub fn count(argument: &[u8]) -> Result<usize, Error> {
    at_least(0, argument, "ERR value is out of range, must be positive")
}

/// A whole number from `least` on.
///
/// # Errors
/// `text` for anything else.
pub fn at_least(least: i64, argument: &[u8], text: &'static str) -> Result<usize, Error> {
    parse_int(argument)
        .filter(|number| *number >= least)
        .and_then(|number| usize::try_from(number).ok())
        .ok_or(Error::fixed(text))
}

/// A float.
///
/// # Errors
/// `ERR value is not a valid float`
pub fn float(argument: &[u8]) -> Result<f64, Error> {
    parse_double(argument).ok_or(Error::NOT_FLOAT)
}

/// The elements of `len` that `start..=end` names, both counted from the end where negative.
pub fn slice(start: i64, end: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let from_start = |index: i64| {
        if index < 0 {
            index.saturating_add(len)
        } else {
            index
        }
    };
    let start = from_start(start).max(0);
    let end = from_start(end).min(len - 1);
    if start > end {
        return 0..0;
    }
    start as usize..end as usize + 1
}

/// The keys behind a count of them at `at`, and the position of the argument behind them.
///
/// # Errors
/// `ERR numkeys should be greater than 0`; a syntax error when there are fewer.
pub fn counted_keys<'a>(args: Args<'a>, at: usize) -> Result<(Vec<&'a [u8]>, usize), Error> {
    let count = at_least(1, args.get(at), "ERR numkeys should be greater than 0")?;
    let behind = (at + 1).saturating_add(count);
    if behind > args.len() {
        return Err(Error::SYNTAX);
    }
    Ok((args.iter_from(at + 1).take(count).collect(), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_as_redis() {
        assert_eq!(slice(0, -1, 5), 0..5);
        assert_eq!(slice(-2, -1, 5), 3..5);
        assert_eq!(slice(-100, 1, 5), 0..2);
        assert_eq!(slice(3, 100, 5), 3..5);
        assert_eq!(slice(5, 100, 5), 0..0);
        assert_eq!(slice(2, 1, 5), 0..0);
        assert_eq!(slice(0, -6, 5), 0..0);
        assert_eq!(slice(i64::MIN, i64::MAX, 5), 0..5);
        assert_eq!(slice(0, -1, 0), 0..0);
    }
}
