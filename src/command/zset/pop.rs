//! The lowest and the highest members taken out.

use crate::command::argument::{at_least, count, counted_keys};
use crate::command::context::Context;
use crate::command::spec::Outcome;
use crate::resp::{Args, Error, Reply};
use crate::value::{SortedSet, Text};

/// An end of a sorted set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

pub(super) fn zpopmin<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    pop(context, args, End::Min)
}

pub(super) fn zpopmax<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    pop(context, args, End::Max)
}

fn pop<'k>(context: &'k mut Context<'_>, args: Args<'_>, end: End) -> Outcome<'k> {
    if args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let limit = args.at(2).map(count).transpose()?;
    let nested = context.resp3 && limit.is_some();
    let taken = take(context, args.get(1), end, limit.unwrap_or(1))?;
    let mut replies = Vec::with_capacity(2);
    for (member, score) in taken.into_iter().flatten() {
        let pair = [owned(&member), Reply::Double(score)];
        if nested {
            replies.push(Reply::Array(pair.into()));
        } else {
            replies.extend(pair);
        }
    }
    Ok(Reply::Array(replies))
}

pub(super) fn zmpop<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (keys, at) = counted_keys(args, 1)?;
    let end = if args.is(at, "min") {
        End::Min
    } else if args.is(at, "max") {
        End::Max
    } else {
        return Err(Error::SYNTAX);
    };
    let limit = match args.len() - at {
        1 => 1,
        3 if args.is(at + 1, "count") => {
            at_least(1, args.get(at + 2), "ERR count should be greater than 0")?
        }
        _ => return Err(Error::SYNTAX),
    };
    for key in keys {
        if let Some(taken) = take(context, key, end, limit)? {
            let pairs = taken
                .iter()
                .map(|(member, score)| Reply::Array(vec![owned(member), Reply::Double(*score)]));
            return Ok(Reply::Array(vec![
                Reply::bulk_owned(key),
                Reply::Array(pairs.collect()),
            ]));
        }
    }
    Ok(Reply::NullArray)
}

/// A member that left its set, as a reply.
fn owned(member: &Text) -> Reply<'static> {
    Reply::Bulk(member.as_bytes().into_owned().into())
}

/// Takes up to `limit` members out; `None` when there is no set.
fn take(
    context: &mut Context<'_>,
    key: &[u8],
    end: End,
    limit: usize,
) -> Result<Option<Vec<(Text, f64)>>, Error> {
    if limit == 0 {
        return Ok(context.read::<SortedSet>(key)?.map(|_| Vec::new()));
    }
    let Some(set) = context.change::<SortedSet>(key)? else {
        return Ok(None);
    };
    let limit = limit.min(set.len());
    let mut taken = Vec::with_capacity(limit);
    for _ in 0..limit {
        let rank = match end {
            End::Min => 0,
            End::Max => set.len() - 1,
        };
        taken.extend(set.remove_at(rank));
    }
    if set.is_empty() {
        context.remove(key);
    }
    Ok(Some(taken))
}
