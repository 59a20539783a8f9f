//! Strings as numbers.

use crate::resp::{Args, Error, Reply, parse_int};
use crate::value::{Extended, Text, Value};

use super::super::context::Context;
use super::super::spec::Outcome;

pub(super) fn incr<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    increment(context, args.get(1), 1)
}

pub(super) fn decr<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    increment(context, args.get(1), -1)
}

pub(super) fn incrby<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let by = parse_int(args.get(2)).ok_or(Error::NOT_INTEGER)?;
    increment(context, args.get(1), by)
}

pub(super) fn decrby<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let by = parse_int(args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let by = by
        .checked_neg()
        .ok_or(Error::fixed("ERR decrement would overflow"))?;
    increment(context, args.get(1), by)
}

/// Adds `by` to the number at `key`.
fn increment<'k>(context: &'k mut Context<'_>, key: &[u8], by: i64) -> Outcome<'k> {
    let Some(text) = context.read::<Text>(key)? else {
        context.set(key, Value::String(Text::int(by)), 0);
        return Ok(Reply::Int(by));
    };
    let before = text.as_int().ok_or(Error::NOT_INTEGER)?;
    let after = before.checked_add(by).ok_or(Error::OVERFLOW)?;
    if let Some(text) = context.change::<Text>(key)? {
        *text = Text::int(after);
    }
    Ok(Reply::Int(after))
}

pub(super) fn incrbyfloat<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let key = args.get(1);
    let before = match context.read::<Text>(key)? {
        Some(text) => text.as_bytes(),
        None => b"0".into(),
    };
    let before = Extended::parse(&before).ok_or(Error::NOT_FLOAT)?;
    let by = Extended::parse(args.get(2)).ok_or(Error::NOT_FLOAT)?;
    let after = before
        .plus(by)
        .filter(|sum| sum.is_finite())
        .ok_or(Error::fixed("ERR increment would produce NaN or Infinity"))?
        .print();
    // Kept as bytes even where it is whole, as Redis does.
    let text = Text::key(after.as_bytes());
    match context.change::<Text>(key)? {
        Some(old) => *old = text,
        None => context.set(key, Value::String(text), 0),
    }
    Ok(Reply::bulk_owned(after))
}
