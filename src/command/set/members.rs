//! Single sets.

use crate::command::argument::{count, negatable};
use crate::command::context::Context;
use crate::command::draw;
use crate::command::scan;
use crate::command::spec::Outcome;
use crate::resp::{Args, Error, Reply};
use crate::value::{Kind, Set};

pub(super) fn sadd<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let key = args.get(1);
    let members = args.iter_from(2);
    if let Some(entry) = context.entry_mut(key) {
        let set = Set::of(entry.value()).ok_or(Error::WRONG_TYPE)?;
        if args.iter_from(2).all(|member| set.contains(member)) {
            return Ok(Reply::Int(0));
        }
        let set = Set::of_mut(entry.change()).ok_or(Error::WRONG_TYPE)?;
        return Ok(Reply::count(members.filter(|m| set.insert(m)).count()));
    }
    let mut set = Set::default();
    let added = members.filter(|member| set.insert(member)).count();
    context.set(key, set.into_value(), 0);
    Ok(Reply::count(added))
}

pub(super) fn srem<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let key = args.get(1);
    let Some(entry) = context.entry_mut(key) else {
        return Ok(Reply::Int(0));
    };
    let set = Set::of(entry.value()).ok_or(Error::WRONG_TYPE)?;
    if !args.iter_from(2).any(|member| set.contains(member)) {
        return Ok(Reply::Int(0));
    }
    let set = Set::of_mut(entry.change()).ok_or(Error::WRONG_TYPE)?;
    let removed = args.iter_from(2).filter(|m| set.remove(m)).count();
    if set.is_empty() {
        context.remove(key);
    }
    Ok(Reply::count(removed))
}

pub(super) fn scard<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let set = context.read::<Set>(args.get(1))?;
    Ok(Reply::count(set.map_or(0, Set::len)))
}

pub(super) fn sismember<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let set = context.read::<Set>(args.get(1))?;
    Ok(Reply::flag(set.is_some_and(|s| s.contains(args.get(2)))))
}

pub(super) fn smismember<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let set = context.read::<Set>(args.get(1))?;
    let flags = args
        .iter_from(2)
        .map(|member| Reply::flag(set.is_some_and(|set| set.contains(member))));
    Ok(Reply::Array(flags.collect()))
}

pub(super) fn smembers<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let members = match context.read::<Set>(args.get(1))? {
        Some(set) => set.iter().map(Reply::bulk).collect(),
        None => Vec::new(),
    };
    Ok(Reply::Set(members))
}

pub(super) fn smove<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (source, destination, member) = (args.get(1), args.get(2), args.get(3));
    let Some(set) = context.read::<Set>(source)? else {
        return Ok(Reply::Int(0));
    };
    let there = set.contains(member);
    context.read::<Set>(destination)?;
    if !there || source == destination {
        return Ok(Reply::flag(there));
    }
    if let Some(set) = context.change::<Set>(source)? {
        set.remove(member);
    }
    context.remove_if_empty(source);
    let there = context
        .read::<Set>(destination)?
        .is_some_and(|set| set.contains(member));
    if !there {
        context
            .change_or_create(destination, Set::default)?
            .insert(member);
    }
    Ok(Reply::Int(1))
}

pub(super) fn spop<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    if args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let key = args.get(1);
    let limit = args.at(2).map(count).transpose()?;
    let none = match limit {
        Some(_) => Reply::Set(Vec::new()),
        None => Reply::Null,
    };
    let Some(set) = context.read::<Set>(key)? else {
        return Ok(none);
    };
    let len = set.len();
    let taken = limit.unwrap_or(1).min(len);
    if taken == 0 {
        return Ok(none);
    }
    let mut rng = context.rng.clone();
    let Some(set) = context.change::<Set>(key)? else {
        return Ok(none);
    };
    let mut members = (0..taken)
        .filter_map(|gone| set.remove_at(rng.below(len - gone)))
        .map(|member| Reply::bulk_owned(&*member.as_bytes()));
    let reply = match limit {
        Some(_) => Reply::Set(members.collect()),
        None => members.next().unwrap_or(Reply::Null),
    };
    if taken == len {
        context.remove(key);
    }
    context.rng = rng;
    Ok(reply)
}

pub(super) fn srandmember<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    if args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let count = args.at(2).map(negatable).transpose()?;
    let mut rng = context.rng.clone();
    let Some(set) = context.read::<Set>(args.get(1))? else {
        return Ok(match count {
            Some(_) => Reply::Array(Vec::new()),
            None => Reply::Null,
        });
    };
    let member = |index| set.at(index).map_or(Reply::Null, Reply::bulk);
    Ok(match count {
        Some(count) => {
            let indexes = draw::indexes(set.len(), count, &mut rng)?;
            Reply::Array(indexes.into_iter().map(member).collect())
        }
        None => member(rng.below(set.len())),
    })
}

pub(super) fn sscan<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let cursor = scan::cursor(args)?;
    let Some(set) = context.read::<Set>(args.get(1))? else {
        return Ok(scan::reply(0, Vec::new()));
    };
    let options = scan::Options::parse(args)?;
    let (next, members) = set.scan(cursor, options.count);
    let found = members.filter(|member| options.select(member));
    Ok(scan::reply(next, found.map(Reply::bulk).collect()))
}
