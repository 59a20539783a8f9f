//! Scores and ranks of members.

use crate::command::argument::negatable;
use crate::command::context::Context;
use crate::command::draw;
use crate::command::scan;
use crate::command::spec::Outcome;
use crate::resp::{Args, Error, Reply, format_double};
use crate::value::SortedSet;

use super::pairs::Pairs;

pub(super) fn zscore<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let set = context.read::<SortedSet>(args.get(1))?;
    let score = set.and_then(|set| set.score(args.get(2)));
    Ok(score.map_or(Reply::Null, Reply::Double))
}

pub(super) fn zmscore<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let set = context.read::<SortedSet>(args.get(1))?;
    let scores = args.iter_from(2).map(|member| {
        let score = set.and_then(|set| set.score(member));
        score.map_or(Reply::Null, Reply::Double)
    });
    Ok(Reply::Array(scores.collect()))
}

pub(super) fn zcard<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let set = context.read::<SortedSet>(args.get(1))?;
    Ok(Reply::count(set.map_or(0, SortedSet::len)))
}

pub(super) fn zrank<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    rank(context, args, false, "zrank")
}

pub(super) fn zrevrank<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    rank(context, args, true, "zrevrank")
}

fn rank<'k>(
    context: &'k mut Context<'_>,
    args: Args<'_>,
    reverse: bool,
    name: &str,
) -> Outcome<'k> {
    if args.len() > 4 {
        return Err(Error::arity(name));
    }
    let with_score = args.is(3, "withscore");
    if args.len() == 4 && !with_score {
        return Err(Error::SYNTAX);
    }
    let set = context.read::<SortedSet>(args.get(1))?;
    let found = set.and_then(|set| {
        let (rank, score) = set.rank(args.get(2))?;
        Some((if reverse { set.len() - 1 - rank } else { rank }, score))
    });
    Ok(match (found, with_score) {
        (Some((rank, _)), false) => Reply::count(rank),
        (Some((rank, score)), true) => Reply::Array(vec![Reply::count(rank), Reply::Double(score)]),
        (None, false) => Reply::Null,
        (None, true) => Reply::NullArray,
    })
}

pub(super) fn zrandmember<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let count = args.at(2).map(negatable).transpose()?;
    let with_scores = args.is(3, "withscores");
    if args.len() > 4 || (args.len() == 4 && !with_scores) {
        return Err(Error::SYNTAX);
    }
    if with_scores && count.is_some_and(|count| count.unsigned_abs() > i64::MAX as u64 / 2) {
        return Err(Error::fixed("ERR value is out of range"));
    }
    let (mut rng, resp3) = (context.rng.clone(), context.resp3);
    let Some(set) = context.read::<SortedSet>(args.get(1))? else {
        return Ok(match count {
            Some(_) => Reply::Array(Vec::new()),
            None => Reply::Null,
        });
    };
    let Some(count) = count else {
        let drawn = set.at(rng.below(set.len()));
        return Ok(drawn.map_or(Reply::Null, |(member, _)| Reply::bulk(member)));
    };
    let indexes = draw::indexes(set.len(), count, &mut rng)?;
    let mut pairs = Pairs::new(with_scores, resp3, indexes.len());
    for index in indexes {
        if let Some((member, score)) = set.at(index) {
            pairs.push(member, score);
        }
    }
    Ok(pairs.reply())
}

pub(super) fn zscan<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let cursor = scan::cursor(args)?;
    let Some(set) = context.read::<SortedSet>(args.get(1))? else {
        return Ok(scan::reply(0, Vec::new()));
    };
    let options = scan::Options::parse(args)?;
    let (next, members) = set.scan(cursor, options.count);
    let found = members
        .filter(|(member, _)| options.select(member))
        .flat_map(|(member, score)| {
            // Never a RESP3 double, in either protocol.
            let score = format_double(score);
            [Reply::bulk(member), Reply::bulk_owned(score)]
        });
    Ok(scan::reply(next, found.collect()))
}
