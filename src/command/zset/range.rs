//! Ranges read, counted, stored and removed.

use std::ops::Range;

use crate::command::argument::integer;
use crate::command::context::Context;
use crate::command::spec::Outcome;
use crate::resp::{Args, Error, Reply};
use crate::value::{Kind, SortedSet};

use super::bound::{Bounds, By};
use super::pairs::Pairs;

/// A range command's arguments from the key on.
struct Query<'a> {
    key: &'a [u8],
    bounds: Bounds<'a>,
    reverse: bool,
    /// Offset and count.
    limit: Option<(i64, i64)>,
    with_scores: bool,
}

/// What a command's name says already, so that its options may not.
#[derive(Clone, Copy, Default)]
struct Fixed {
    by: Option<By>,
    reverse: Option<bool>,
    /// Whether the range is stored, so that there is no `WITHSCORES`.
    store: bool,
}

impl<'a> Query<'a> {
    /// `args`: key, bounds, options.
    fn parse(args: Args<'a>, fixed: Fixed) -> Result<Self, Error> {
        let (mut by, mut reverse) = (fixed.by, fixed.reverse);
        let (mut limit, mut with_scores) = (None, false);
        let mut at = 3;
        while at < args.len() {
            if !fixed.store && args.is(at, "withscores") {
                with_scores = true;
            } else if args.is(at, "limit") && at + 2 < args.len() {
                limit = Some((integer(args.get(at + 1))?, integer(args.get(at + 2))?));
                at += 2;
            } else if reverse.is_none() && args.is(at, "rev") {
                reverse = Some(true);
            } else if by.is_none() && args.is(at, "bylex") {
                by = Some(By::Lex);
            } else if by.is_none() && args.is(at, "byscore") {
                by = Some(By::Score);
            } else {
                return Err(Error::SYNTAX);
            }
            at += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        // As Redis has it, ranks go with a count of -1, and then the offset means nothing.
        if by == By::Rank && limit.take_if(|(_, count)| *count == -1).is_none() && limit.is_some() {
            return Err(Error::fixed(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if by == By::Lex && with_scores {
            return Err(Error::fixed(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let (mut min, mut max) = (args.get(1), args.get(2));
        if reverse && by != By::Rank {
            (min, max) = (max, min);
        }
        Ok(Query {
            key: args.get(0),
            bounds: match by {
                By::Rank => Bounds::Rank(integer(min)?, integer(max)?),
                By::Score => Bounds::scores(min, max)?,
                By::Lex => Bounds::lex(min, max)?,
            },
            reverse,
            limit,
            with_scores,
        })
    }

    /// The ranks asked for, from the lowest member on.
    fn ranks(&self, set: &SortedSet) -> Range<usize> {
        let mut ranks = self.bounds.ranks(set, self.reverse);
        let Some((offset, count)) = self.limit else {
            return ranks;
        };
        // A negative offset skips everything, a negative count is no limit.
        let skip = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(ranks.len());
        let keep = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(ranks.len() - skip);
        if self.reverse {
            ranks.end -= skip;
            ranks.start = ranks.end - keep;
        } else {
            ranks.start += skip;
            ranks.end = ranks.start + keep;
        }
        ranks
    }
}

pub(super) fn zrange<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    answer(context, args, Fixed::default())
}

pub(super) fn zrevrange<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    answer(context, args, fixed(By::Rank, true))
}

pub(super) fn zrangebyscore<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    answer(context, args, fixed(By::Score, false))
}

pub(super) fn zrevrangebyscore<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    answer(context, args, fixed(By::Score, true))
}

pub(super) fn zrangebylex<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    answer(context, args, fixed(By::Lex, false))
}

pub(super) fn zrevrangebylex<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    answer(context, args, fixed(By::Lex, true))
}

fn fixed(by: By, reverse: bool) -> Fixed {
    Fixed {
        by: Some(by),
        reverse: Some(reverse),
        store: false,
    }
}

fn answer<'k>(context: &'k mut Context<'_>, args: Args<'_>, fixed: Fixed) -> Outcome<'k> {
    let query = Query::parse(args.skip(1), fixed)?;
    let resp3 = context.resp3;
    let Some(set) = context.read::<SortedSet>(query.key)? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let ranks = query.ranks(set);
    let mut pairs = Pairs::new(query.with_scores, resp3, ranks.len());
    let members = set.range(ranks.start, ranks.end);
    if query.reverse {
        members
            .rev()
            .for_each(|(member, score)| pairs.push(member, score));
    } else {
        members.for_each(|(member, score)| pairs.push(member, score));
    }
    Ok(pairs.reply())
}

pub(super) fn zrangestore<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let fixed = Fixed {
        store: true,
        ..Fixed::default()
    };
    let query = Query::parse(args.skip(2), fixed)?;
    let mut result = SortedSet::default();
    if let Some(set) = context.read::<SortedSet>(query.key)? {
        let ranks = query.ranks(set);
        for (member, score) in set.range(ranks.start, ranks.end) {
            result.insert(member, score);
        }
    }
    let (destination, len) = (args.get(1), result.len());
    if len == 0 {
        context.remove(destination);
    } else {
        context.set(destination, result.into_value(), 0);
    }
    Ok(Reply::count(len))
}

pub(super) fn zcount<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    count(
        context,
        args.get(1),
        Bounds::scores(args.get(2), args.get(3))?,
    )
}

pub(super) fn zlexcount<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    count(context, args.get(1), Bounds::lex(args.get(2), args.get(3))?)
}

fn count<'k>(context: &'k mut Context<'_>, key: &[u8], bounds: Bounds<'_>) -> Outcome<'k> {
    let set = context.read::<SortedSet>(key)?;
    let members = set.map_or(0, |set| bounds.ranks(set, false).len());
    Ok(Reply::count(members))
}

pub(super) fn zremrangebyrank<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let bounds = Bounds::Rank(integer(args.get(2))?, integer(args.get(3))?);
    remove(context, args.get(1), bounds)
}

pub(super) fn zremrangebyscore<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    remove(
        context,
        args.get(1),
        Bounds::scores(args.get(2), args.get(3))?,
    )
}

pub(super) fn zremrangebylex<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    remove(context, args.get(1), Bounds::lex(args.get(2), args.get(3))?)
}

fn remove<'k>(context: &'k mut Context<'_>, key: &[u8], bounds: Bounds<'_>) -> Outcome<'k> {
    let Some(set) = context.read::<SortedSet>(key)? else {
        return Ok(Reply::Int(0));
    };
    let ranks = bounds.ranks(set, false);
    if ranks.len() == set.len() {
        context.remove(key);
    } else if !ranks.is_empty()
        && let Some(set) = context.change::<SortedSet>(key)?
    {
        for _ in ranks.clone() {
            set.remove_at(ranks.start);
        }
    }
    Ok(Reply::count(ranks.len()))
}
