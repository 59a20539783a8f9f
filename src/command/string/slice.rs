//! Parts of strings.

use std::ops::Range;

use crate::resp::{Args, Error, Reply, parse_int};
use crate::value::{Text, Value};

use super::super::context::Context;
use super::super::spec::Outcome;
use super::check_length;

pub(super) fn append<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (key, tail) = (args.get(1), args.get(2));
    let Some(text) = context.read::<Text>(key)? else {
        context.set(key, Value::String(Text::value(tail)), 0);
        return Ok(Reply::count(tail.len()));
    };
    let length = text.len() + tail.len();
    check_length(length)?;
    if let Some(text) = context.change::<Text>(key)? {
        text.make_mut().extend_from_slice(tail);
    }
    Ok(Reply::count(length))
}

pub(super) fn getrange<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let first = parse_int(args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let last = parse_int(args.get(3)).ok_or(Error::NOT_INTEGER)?;
    let Some(text) = context.read::<Text>(args.get(1))? else {
        return Ok(Reply::bulk(b""));
    };
    let range = byte_range(first, last, text.len());
    Ok(match text.bytes() {
        Some(bytes) => Reply::bulk(&bytes[range]),
        None => Reply::bulk_owned(&text.as_bytes()[range]),
    })
}

/// The places from `first` to `last`, both counted from the end when negative, in `length` bytes.
fn byte_range(first: i64, last: i64, length: usize) -> Range<usize> {
    if first < 0 && last < 0 && first > last {
        return 0..0;
    }
    let place = |index: i64| match index {
        ..0 => length.saturating_sub(index.unsigned_abs() as usize),
        _ => index as usize,
    };
    let (start, end) = (place(first), place(last).saturating_add(1).min(length));
    if start < end { start..end } else { 0..0 }
}

pub(super) fn setrange<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (key, patch) = (args.get(1), args.get(3));
    let offset = parse_int(args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let offset = usize::try_from(offset).map_err(|_| Error::fixed("ERR offset is out of range"))?;
    let before = context.read::<Text>(key)?.map(Text::len);
    if patch.is_empty() {
        return Ok(Reply::count(before.unwrap_or(0)));
    }
    let end = offset.saturating_add(patch.len());
    check_length(end)?;
    let text = context.change_or_create(key, || Text::key(b""))?;
    let bytes = text.make_mut();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(patch);
    Ok(Reply::count(bytes.len()))
}
