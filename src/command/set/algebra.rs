//! Several sets at once.

use crate::command::argument::at_least;
use crate::command::context::Context;
use crate::command::spec::Outcome;
use crate::resp::{Args, Error, Reply};
use crate::value::{Kind, Set};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

pub(super) fn sinter<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    answer(context, args, Operation::Intersection)
}

pub(super) fn sunion<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    answer(context, args, Operation::Union)
}

pub(super) fn sdiff<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    answer(context, args, Operation::Difference)
}

pub(super) fn sinterstore<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    store(context, args, Operation::Intersection)
}

pub(super) fn sunionstore<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    store(context, args, Operation::Union)
}

pub(super) fn sdiffstore<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    store(context, args, Operation::Difference)
}

pub(super) fn sintercard<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let count = at_least(1, args.get(1), "ERR numkeys should be greater than 0")?;
    if count > args.len() - 2 {
        return Err(Error::fixed(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    let limit = match args.len() - 2 - count {
        0 => 0,
        2 if args.is(2 + count, "limit") => {
            at_least(0, args.get(3 + count), "ERR LIMIT can't be negative")?
        }
        _ => return Err(Error::SYNTAX),
    };
    let sets = sets(context, args.iter_from(2).take(count))?;
    let limit = if limit == 0 { usize::MAX } else { limit };
    Ok(Reply::count(intersection(sets).take(limit).count()))
}

/// The sets behind the keys; `None` where there is none.
fn sets<'c, 'a>(
    context: &'c Context<'_>,
    keys: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Option<&'c Set>>, Error> {
    keys.map(|key| context.read::<Set>(key)).collect()
}

fn answer<'k>(context: &'k mut Context<'_>, args: Args<'_>, operation: Operation) -> Outcome<'k> {
    let sets = sets(context, args.iter_from(1))?;
    Ok(Reply::Set(match operation {
        Operation::Intersection => intersection(sets).map(Reply::bulk).collect(),
        Operation::Difference => difference(sets).map(Reply::bulk).collect(),
        Operation::Union => {
            let union = union(sets);
            union.iter().map(Reply::bulk_owned).collect()
        }
    }))
}

fn store<'k>(context: &'k mut Context<'_>, args: Args<'_>, operation: Operation) -> Outcome<'k> {
    let sets = sets(context, args.iter_from(2))?;
    let mut result = Set::default();
    match operation {
        Operation::Intersection => intersection(sets).for_each(|member| {
            result.insert(member);
        }),
        Operation::Difference => difference(sets).for_each(|member| {
            result.insert(member);
        }),
        Operation::Union => result = union(sets),
    }
    let destination = args.get(1);
    let len = result.len();
    if len == 0 {
        context.remove(destination);
    } else {
        context.set(destination, result.into_value(), 0);
    }
    Ok(Reply::count(len))
}

/// The members that every set has, in the order of the smallest. O(N * M) for N members of the
/// smallest of M sets.
fn intersection<'c>(sets: Vec<Option<&'c Set>>) -> impl Iterator<Item = &'c [u8]> {
    // One set that is absent leaves nothing.
    let mut sets: Vec<&'c Set> = sets
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .unwrap_or_default();
    sets.sort_by_key(|set| set.len());
    let smallest = sets.first().copied();
    smallest
        .into_iter()
        .flat_map(Set::iter)
        .filter(move |member| sets[1..].iter().all(|set| set.contains(member)))
}

/// The members of the first set that no other has.
fn difference(sets: Vec<Option<&Set>>) -> impl Iterator<Item = &[u8]> {
    let first = sets.first().copied().flatten();
    first
        .into_iter()
        .flat_map(Set::iter)
        .filter(move |member| !sets[1..].iter().flatten().any(|set| set.contains(member)))
}

fn union(sets: Vec<Option<&Set>>) -> Set {
    let mut union = Set::default();
    for member in sets.into_iter().flatten().flat_map(Set::iter) {
        union.insert(member);
    }
    union
}
