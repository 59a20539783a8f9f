//! Strings as rows of bits: bit 0 is the highest of byte 0.
//!
//! Invariants
//! - A string reads as if zeros followed it for ever; writing beyond its end makes it longer.
//! - A write that neither changes a bit nor the length changes no version.

mod bits;
mod field;
mod specs;

pub(super) use specs::SPECS;

use std::borrow::Cow;

use crate::limits::BULK_BYTES_MAX;
use crate::resp::{Args, Error, Reply, parse_int};
use crate::value::{Text, Value};

use super::context::Context;
use super::spec::Outcome;

/// The bytes at `key`, none where it is absent.
fn bytes_of<'c>(context: &'c Context<'_>, key: &[u8]) -> Result<Cow<'c, [u8]>, Error> {
    let text = context.read::<Text>(key)?;
    Ok(text.map_or(Cow::Borrowed(&[]), Text::as_bytes))
}

/// A place in bits. `unit` is what a `#` before the number counts in, if it may stand there.
fn offset(argument: &[u8], unit: Option<u32>) -> Result<usize, Error> {
    let (digits, scale) = match (argument, unit) {
        ([b'#', digits @ ..], Some(bits)) => (digits, bits as i64),
        _ => (argument, 1),
    };
    parse_int(digits)
        .and_then(|number| number.checked_mul(scale))
        .and_then(|offset| usize::try_from(offset).ok())
        .filter(|offset| offset / 8 < BULK_BYTES_MAX)
        .ok_or(Error::fixed(
            "ERR bit offset is not an integer or out of range",
        ))
}

/// Makes the string at `key`, which is created if need be, at least `length` bytes long.
fn grow(context: &mut Context<'_>, key: &[u8], length: usize) -> Result<(), Error> {
    let before = context.read::<Text>(key)?.map(Text::len);
    if before.is_none_or(|before| before < length) {
        let text = context.change_or_create(key, || Text::key(b""))?;
        text.make_mut().resize(length, 0);
    }
    Ok(())
}

fn setbit<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let key = args.get(1);
    let offset = offset(args.get(2), None)?;
    let bit = match args.get(3) {
        b"0" => false,
        b"1" => true,
        _ => {
            return Err(Error::fixed("ERR bit is not an integer or out of range"));
        }
    };
    grow(context, key, offset / 8 + 1)?;
    let before = bits::get(&bytes_of(context, key)?, offset);
    if before != bit
        && let Some(text) = context.change::<Text>(key)?
    {
        text.make_mut()[offset / 8] ^= 0x80 >> (offset % 8);
    }
    Ok(Reply::flag(before))
}

fn getbit<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let offset = offset(args.get(2), None)?;
    let bytes = bytes_of(context, args.get(1))?;
    Ok(Reply::flag(bits::get(&bytes, offset)))
}

/// A range as it was given: both ends may count from the end, in bytes or in bits.
struct Range {
    first: i64,
    last: Option<i64>,
    in_bits: bool,
}

impl Range {
    /// Reads `first [last [BYTE | BIT]]` from argument `at` on; the whole string where there is
    /// none.
    fn parse(args: Args<'_>, at: usize) -> Result<Range, Error> {
        let number = |index| match args.at(index) {
            Some(argument) => parse_int(argument).map(Some).ok_or(Error::NOT_INTEGER),
            None => Ok(None),
        };
        let first = number(at)?.unwrap_or(0);
        let last = number(at + 1)?;
        let in_bits = args.is(at + 2, "bit");
        let is_known = in_bits || args.is(at + 2, "byte") || args.len() == at + 2;
        if args.len() > at + 3 || (args.len() > at + 2 && !is_known) {
            return Err(Error::SYNTAX);
        }
        Ok(Range {
            first,
            last,
            in_bits,
        })
    }

    /// The places in bits, of a string of `length` bytes.
    fn resolve(&self, length: usize) -> std::ops::Range<usize> {
        let length = length as i64 * if self.in_bits { 8 } else { 1 };
        let place = |index: i64| match index {
            ..0 => (length + index.max(-length)).max(0),
            _ => index,
        };
        let (first, last) = (place(self.first), place(self.last.unwrap_or(-1)));
        let last = last.min(length - 1);
        if first > last {
            return 0..0;
        }
        let scale = if self.in_bits { 1 } else { 8 };
        first as usize * scale..(last as usize + 1) * scale
    }
}

fn bitcount<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    if args.len() == 3 {
        return Err(Error::SYNTAX);
    }
    let range = Range::parse(args, 2)?;
    let bytes = bytes_of(context, args.get(1))?;
    // Two ends behind the start in the wrong order are an empty range, however short the string.
    if range.first < 0
        && range
            .last
            .is_some_and(|last| last < 0 && range.first > last)
    {
        return Ok(Reply::Int(0));
    }
    let range = range.resolve(bytes.len());
    Ok(Reply::count(bits::count(&bytes, range)))
}

fn bitpos<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let bit = match parse_int(args.get(2)).ok_or(Error::NOT_INTEGER)? {
        0 => false,
        1 => true,
        _ => return Err(Error::fixed("ERR The bit argument must be 1 or 0.")),
    };
    let given = Range::parse(args, 3)?;
    let Some(text) = context.read::<Text>(args.get(1))? else {
        return Ok(Reply::Int(if bit { -1 } else { 0 }));
    };
    let bytes = text.as_bytes();
    let range = given.resolve(bytes.len());
    let found = bits::position(&bytes, range.clone(), bit);
    Ok(Reply::Int(match found {
        Some(place) => place as i64,
        // A string whose end was not named goes on with zeros.
        None if !bit && given.last.is_none() && !range.is_empty() => range.end as i64,
        None => -1,
    }))
}

fn bitop<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let combine: fn(u8, u8) -> u8 = match args.get(1).to_ascii_lowercase().as_slice() {
        b"and" => |a, b| a & b,
        b"or" => |a, b| a | b,
        b"xor" => |a, b| a ^ b,
        b"not" if args.len() == 4 => |a, _| !a,
        b"not" => {
            return Err(Error::fixed(
                "ERR BITOP NOT must be called with a single source key.",
            ));
        }
        _ => return Err(Error::SYNTAX),
    };
    let sources = args
        .iter_from(3)
        .map(|key| bytes_of(context, key))
        .collect::<Result<Vec<_>, _>>()?;
    let length = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut result = sources[0].to_vec();
    result.resize(length, 0);
    if sources.len() == 1 {
        result
            .iter_mut()
            .for_each(|byte| *byte = combine(*byte, *byte));
    }
    for source in &sources[1..] {
        let (common, beyond) = result.split_at_mut(source.len());
        for (byte, other) in common.iter_mut().zip(source.iter()) {
            *byte = combine(*byte, *other);
        }
        beyond.iter_mut().for_each(|byte| *byte = combine(*byte, 0));
    }
    if result.is_empty() {
        context.remove(args.get(2));
    } else {
        let mut text = Text::key(b"");
        *text.make_mut() = result;
        context.set(args.get(2), Value::String(text), 0);
    }
    Ok(Reply::count(length))
}
