//! Fields one by one.

use crate::command::argument::integer;
use crate::command::context::Context;
use crate::command::spec::Outcome;
use crate::resp::{Args, Error, Reply, parse_int};
use crate::value::{Extended, Hash, Kind};

pub(super) fn hset<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    set(context, args, "hset").map(Reply::count)
}

pub(super) fn hmset<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    set(context, args, "hmset").map(|_| Reply::Ok)
}

/// Sets pairs of field and value; answers how many fields are new.
#[inline]
fn set(context: &mut Context<'_>, args: Args<'_>, name: &str) -> Result<usize, Error> {
    if !args.len().is_multiple_of(2) {
        return Err(Error::arity(name));
    }
    let fill = |hash: &mut Hash| {
        (2..args.len())
            .step_by(2)
            .filter(|at| hash.insert(args.get(*at), args.get(at + 1)))
            .count()
    };
    let key = args.get(1);
    if let Some(hash) = context.change::<Hash>(key)? {
        return Ok(fill(hash));
    }
    let mut hash = Hash::default();
    let added = fill(&mut hash);
    context.set(key, hash.into_value(), 0);
    Ok(added)
}

pub(super) fn hsetnx<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (key, field) = (args.get(1), args.get(2));
    if let Some(hash) = context.read::<Hash>(key)?
        && hash.get(field).is_some()
    {
        return Ok(Reply::Int(0));
    }
    context
        .change_or_create(key, Hash::default)?
        .insert(field, args.get(3));
    Ok(Reply::Int(1))
}

pub(super) fn hget<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let hash = context.read::<Hash>(args.get(1))?;
    let value = hash.and_then(|hash| hash.get(args.get(2)));
    Ok(value.map_or(Reply::Null, Reply::bulk))
}

pub(super) fn hmget<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let hash = context.read::<Hash>(args.get(1))?;
    let value = |field| hash.and_then(|hash| hash.get(field));
    let values = args
        .iter_from(2)
        .map(|field| value(field).map_or(Reply::Null, Reply::bulk));
    Ok(Reply::Array(values.collect()))
}

pub(super) fn hdel<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let key = args.get(1);
    let Some(entry) = context.entry_mut(key) else {
        return Ok(Reply::Int(0));
    };
    let hash = Hash::of(entry.value()).ok_or(Error::WRONG_TYPE)?;
    if !args.iter_from(2).any(|field| hash.get(field).is_some()) {
        return Ok(Reply::Int(0));
    }
    let hash = Hash::of_mut(entry.change()).ok_or(Error::WRONG_TYPE)?;
    let removed = args.iter_from(2).filter(|f| hash.remove(f)).count();
    if hash.is_empty() {
        context.remove(key);
    }
    Ok(Reply::count(removed))
}

pub(super) fn hexists<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let hash = context.read::<Hash>(args.get(1))?;
    Ok(Reply::flag(
        hash.is_some_and(|hash| hash.get(args.get(2)).is_some()),
    ))
}

pub(super) fn hstrlen<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let hash = context.read::<Hash>(args.get(1))?;
    let value = hash.and_then(|hash| hash.get(args.get(2)));
    Ok(Reply::count(value.map_or(0, <[u8]>::len)))
}

pub(super) fn hincrby<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let by = integer(args.get(3))?;
    let (key, field) = (args.get(1), args.get(2));
    let hash = context.read::<Hash>(key)?;
    let before = match hash.and_then(|hash| hash.get(field)) {
        Some(value) => parse_int(value).ok_or(Error::fixed("ERR hash value is not an integer"))?,
        None => 0,
    };
    let after = before.checked_add(by).ok_or(Error::OVERFLOW)?;
    context
        .change_or_create(key, Hash::default)?
        .insert(field, after.to_string().as_bytes());
    Ok(Reply::Int(after))
}

pub(super) fn hincrbyfloat<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let by = Extended::parse(args.get(3)).ok_or(Error::NOT_FLOAT)?;
    if !by.is_finite() {
        return Err(Error::fixed("ERR value is NaN or Infinity"));
    }
    let (key, field) = (args.get(1), args.get(2));
    let hash = context.read::<Hash>(key)?;
    let before = hash.and_then(|hash| hash.get(field)).unwrap_or(b"0");
    let after = Extended::parse(before)
        .ok_or(Error::fixed("ERR hash value is not a float"))?
        .plus(by)
        .filter(|sum| sum.is_finite())
        .ok_or(Error::fixed("ERR increment would produce NaN or Infinity"))?
        .print();
    context
        .change_or_create(key, Hash::default)?
        .insert(field, after.as_bytes());
    Ok(Reply::bulk_owned(after))
}
