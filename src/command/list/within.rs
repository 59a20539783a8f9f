//! What looks into a list and changes it in the middle.

use crate::command::argument::{at_least, integer, negatable, slice};
use crate::command::context::Context;
use crate::command::spec::Outcome;
use crate::resp::{Args, Error, Reply};
use crate::value::List;

pub(super) fn llen<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let list = context.read::<List>(args.get(1))?;
    Ok(Reply::count(list.map_or(0, List::len)))
}

pub(super) fn lrange<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (start, end) = (integer(args.get(2))?, integer(args.get(3))?);
    let Some(list) = context.read::<List>(args.get(1))? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let range = slice(start, end, list.len());
    let mut elements = Vec::with_capacity(range.len());
    elements.extend(list.range(range.start, range.end).map(Reply::bulk));
    Ok(Reply::Array(elements))
}

/// The place that an index names, which counts from the end where it is negative.
fn place(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index + len as i64 } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

pub(super) fn lindex<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let Some(list) = context.read::<List>(args.get(1))? else {
        return Ok(Reply::Null);
    };
    let index = integer(args.get(2))?;
    let element = place(index, list.len()).and_then(|index| list.get(index));
    Ok(element.map_or(Reply::Null, Reply::bulk))
}

pub(super) fn lset<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let key = args.get(1);
    let list = context.read::<List>(key)?.ok_or(Error::NO_SUCH_KEY)?;
    let index = place(integer(args.get(2))?, list.len()).ok_or(Error::OUT_OF_RANGE)?;
    if let Some(list) = context.change::<List>(key)? {
        list.set(index, args.get(3));
    }
    Ok(Reply::Ok)
}

pub(super) fn linsert<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let behind = if args.is(2, "after") {
        1
    } else if args.is(2, "before") {
        0
    } else {
        return Err(Error::SYNTAX);
    };
    let (key, pivot) = (args.get(1), args.get(3));
    let Some(list) = context.read::<List>(key)? else {
        return Ok(Reply::Int(0));
    };
    let Some(index) = list.iter().position(|element| element == pivot) else {
        return Ok(Reply::Int(-1));
    };
    let Some(list) = context.change::<List>(key)? else {
        return Ok(Reply::Int(0));
    };
    list.insert(index + behind, args.get(4));
    Ok(Reply::count(list.len()))
}

pub(super) fn lrem<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let count = negatable(args.get(2))?;
    let (key, element) = (args.get(1), args.get(3));
    let Some(list) = context.read::<List>(key)? else {
        return Ok(Reply::Int(0));
    };
    if !list.iter().any(|found| found == element) {
        return Ok(Reply::Int(0));
    }
    let limit = match count {
        0 => usize::MAX,
        count => count.unsigned_abs() as usize,
    };
    let Some(list) = context.change::<List>(key)? else {
        return Ok(Reply::Int(0));
    };
    let removed = list.remove_equal(element, limit, count < 0);
    if list.is_empty() {
        context.remove(key);
    }
    Ok(Reply::count(removed))
}

pub(super) fn ltrim<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (start, end) = (integer(args.get(2))?, integer(args.get(3))?);
    let key = args.get(1);
    let Some(list) = context.read::<List>(key)? else {
        return Ok(Reply::Ok);
    };
    let kept = slice(start, end, list.len());
    if kept.is_empty() {
        context.remove(key);
    } else if kept.len() < list.len()
        && let Some(list) = context.change::<List>(key)?
    {
        list.trim(kept.start, kept.end);
    }
    Ok(Reply::Ok)
}

pub(super) fn lpos<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (mut rank, mut limit, mut length_max) = (1, None, 0);
    let mut at = 3;
    while at < args.len() {
        let value = args.at(at + 1).ok_or(Error::SYNTAX)?;
        if args.is(at, "rank") {
            rank = negatable(value)?;
            if rank == 0 {
                return Err(Error::fixed(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the \
                     second ... or use negative to start from the end of the list",
                ));
            }
        } else if args.is(at, "count") {
            limit = Some(at_least(0, value, "ERR COUNT can't be negative")?);
        } else if args.is(at, "maxlen") {
            length_max = at_least(0, value, "ERR MAXLEN can't be negative")?;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 2;
    }
    let none = || match limit {
        Some(_) => Reply::Array(Vec::new()),
        None => Reply::Null,
    };
    let Some(list) = context.read::<List>(args.get(1))? else {
        return Ok(none());
    };
    let skip = rank.unsigned_abs() as usize - 1;
    let take = match limit {
        None => 1,
        Some(0) => usize::MAX,
        Some(limit) => limit,
    };
    let compared = if length_max == 0 {
        usize::MAX
    } else {
        length_max
    };
    let element = args.get(2);
    let is_match = |(_, found): &(usize, &[u8])| *found == element;
    let mut found: Vec<Reply<'_>> = if rank > 0 {
        let matches = list.iter().enumerate().take(compared).filter(is_match);
        let places = matches.skip(skip).take(take);
        places.map(|(index, _)| Reply::count(index)).collect()
    } else {
        let matches = list
            .iter()
            .rev()
            .enumerate()
            .take(compared)
            .filter(is_match);
        let places = matches.skip(skip).take(take);
        let last = list.len() - 1;
        places
            .map(|(index, _)| Reply::count(last - index))
            .collect()
    };
    Ok(match limit {
        Some(_) => Reply::Array(found),
        None => found.pop().unwrap_or(Reply::Null),
    })
}
