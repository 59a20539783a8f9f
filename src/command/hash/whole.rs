//! Hashes as a whole.

use crate::command::argument::negatable;
use crate::command::context::Context;
use crate::command::draw;
use crate::command::scan;
use crate::command::spec::Outcome;
use crate::resp::{Args, Error, Reply};
use crate::value::Hash;

pub(super) fn hlen<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let hash = context.read::<Hash>(args.get(1))?;
    Ok(Reply::count(hash.map_or(0, Hash::len)))
}

pub(super) fn hgetall<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let Some(hash) = context.read::<Hash>(args.get(1))? else {
        return Ok(Reply::Map(Vec::new()));
    };
    let mut pairs = Vec::with_capacity(2 * hash.len());
    for (field, value) in hash.iter() {
        pairs.push(Reply::bulk(field));
        pairs.push(Reply::bulk(value));
    }
    Ok(Reply::Map(pairs))
}

pub(super) fn hkeys<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let hash = context.read::<Hash>(args.get(1))?;
    let fields = hash.into_iter().flat_map(Hash::iter);
    Ok(Reply::Array(
        fields.map(|(field, _)| Reply::bulk(field)).collect(),
    ))
}

pub(super) fn hvals<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let hash = context.read::<Hash>(args.get(1))?;
    let fields = hash.into_iter().flat_map(Hash::iter);
    Ok(Reply::Array(
        fields.map(|(_, value)| Reply::bulk(value)).collect(),
    ))
}

pub(super) fn hrandfield<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let count = args.at(2).map(negatable).transpose()?;
    let with_values = args.is(3, "withvalues");
    if args.len() > 4 || (args.len() == 4 && !with_values) {
        return Err(Error::SYNTAX);
    }
    if with_values && count.is_some_and(|count| count.unsigned_abs() > i64::MAX as u64 / 2) {
        return Err(Error::fixed("ERR value is out of range"));
    }
    let (mut rng, nested) = (context.rng.clone(), context.resp3);
    let Some(hash) = context.read::<Hash>(args.get(1))? else {
        return Ok(match count {
            Some(_) => Reply::Array(Vec::new()),
            None => Reply::Null,
        });
    };
    let Some(count) = count else {
        let drawn = hash.at(rng.below(hash.len()));
        return Ok(drawn.map_or(Reply::Null, |(field, _)| Reply::bulk(field)));
    };
    let mut replies = Vec::new();
    for index in draw::indexes(hash.len(), count, &mut rng)? {
        let Some((field, value)) = hash.at(index) else {
            continue;
        };
        match (with_values, nested) {
            (false, _) => replies.push(Reply::bulk(field)),
            (true, false) => replies.extend([Reply::bulk(field), Reply::bulk(value)]),
            (true, true) => {
                replies.push(Reply::Array(vec![Reply::bulk(field), Reply::bulk(value)]))
            }
        }
    }
    Ok(Reply::Array(replies))
}

pub(super) fn hscan<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let cursor = scan::cursor(args)?;
    let Some(hash) = context.read::<Hash>(args.get(1))? else {
        return Ok(scan::reply(0, Vec::new()));
    };
    let options = scan::Options::parse(args)?;
    let (next, fields) = hash.scan(cursor, options.count);
    let found = fields
        .filter(|(field, _)| options.select(field))
        .flat_map(|(field, value)| [Reply::bulk(field), Reply::bulk(value)]);
    Ok(scan::reply(next, found.collect()))
}
