//! What happens at the two ends of a list.

use crate::command::argument::{at_least, count, counted_keys};
use crate::command::context::Context;
use crate::command::spec::Outcome;
use crate::resp::{Args, Error, Reply};
use crate::value::{Kind, List, Text};

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Left,
    Right,
}

impl End {
    fn parse(argument: &[u8]) -> Result<End, Error> {
        if argument.eq_ignore_ascii_case(b"left") {
            Ok(End::Left)
        } else if argument.eq_ignore_ascii_case(b"right") {
            Ok(End::Right)
        } else {
            Err(Error::SYNTAX)
        }
    }

    #[inline]
    fn push(self, list: &mut List, bytes: &[u8]) {
        match self {
            End::Left => list.push_front(bytes),
            End::Right => list.push_back(bytes),
        }
    }

    #[inline]
    fn pop(self, list: &mut List) -> Option<Text> {
        match self {
            End::Left => list.pop_front(),
            End::Right => list.pop_back(),
        }
    }
}

pub(super) fn lpush<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    push(context, args, End::Left, true)
}

pub(super) fn rpush<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    push(context, args, End::Right, true)
}

pub(super) fn lpushx<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    push(context, args, End::Left, false)
}

pub(super) fn rpushx<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    push(context, args, End::Right, false)
}

#[inline]
fn push<'k>(context: &'k mut Context<'_>, args: Args<'_>, end: End, create: bool) -> Outcome<'k> {
    let key = args.get(1);
    if let Some(list) = context.change::<List>(key)? {
        args.iter_from(2).for_each(|bytes| end.push(list, bytes));
        return Ok(Reply::count(list.len()));
    }
    if !create {
        return Ok(Reply::Int(0));
    }
    let mut list = List::default();
    args.iter_from(2)
        .for_each(|bytes| end.push(&mut list, bytes));
    let len = list.len();
    context.set(key, list.into_value(), 0);
    Ok(Reply::count(len))
}

pub(super) fn lpop<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    pop(context, args, End::Left, "lpop")
}

pub(super) fn rpop<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    pop(context, args, End::Right, "rpop")
}

#[inline]
fn pop<'k>(context: &'k mut Context<'_>, args: Args<'_>, end: End, name: &str) -> Outcome<'k> {
    if args.len() > 3 {
        return Err(Error::arity(name));
    }
    let limit = args.at(2).map(count).transpose()?;
    let key = args.get(1);
    match limit {
        None => Ok(match take_one(context, key, end)? {
            Some(text) => owned(text),
            None => Reply::Null,
        }),
        Some(limit) => Ok(match take(context, key, end, limit)? {
            Some(elements) => Reply::Array(elements),
            None => Reply::NullArray,
        }),
    }
}

/// Takes one element off a list, and the key away with the last one.
#[inline]
fn take_one(context: &mut Context<'_>, key: &[u8], end: End) -> Result<Option<Text>, Error> {
    let Some(list) = context.change::<List>(key)? else {
        return Ok(None);
    };
    let text = end.pop(list);
    if list.is_empty() {
        context.remove(key);
    }
    Ok(text)
}

/// Takes up to `limit` elements off a list; `None` when there is no list.
fn take(
    context: &mut Context<'_>,
    key: &[u8],
    end: End,
    limit: usize,
) -> Result<Option<Vec<Reply<'static>>>, Error> {
    if limit == 0 {
        return Ok(context.read::<List>(key)?.map(|_| Vec::new()));
    }
    let Some(list) = context.change::<List>(key)? else {
        return Ok(None);
    };
    let limit = limit.min(list.len());
    let elements = (0..limit)
        .filter_map(|_| end.pop(list))
        .map(owned)
        .collect();
    if list.is_empty() {
        context.remove(key);
    }
    Ok(Some(elements))
}

/// An element that left its list, as a reply.
fn owned(text: Text) -> Reply<'static> {
    Reply::Bulk(text.as_bytes().into_owned().into())
}

pub(super) fn lmove<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let from = End::parse(args.get(3))?;
    let to = End::parse(args.get(4))?;
    transfer(context, args, from, to)
}

pub(super) fn rpoplpush<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    transfer(context, args, End::Right, End::Left)
}

fn transfer<'k>(context: &'k mut Context<'_>, args: Args<'_>, from: End, to: End) -> Outcome<'k> {
    let (source, destination) = (args.get(1), args.get(2));
    if context.read::<List>(source)?.is_none() {
        return Ok(Reply::Null);
    }
    context.read::<List>(destination)?;
    // A list of one that moves onto itself must not lose its key (and its expiry) in between.
    if source == destination {
        let Some(list) = context.change::<List>(source)? else {
            return Ok(Reply::Null);
        };
        let Some(text) = from.pop(list) else {
            return Ok(Reply::Null);
        };
        to.push(list, &text.as_bytes());
        return Ok(owned(text));
    }
    let Some(text) = take_one(context, source, from)? else {
        return Ok(Reply::Null);
    };
    let list = context.change_or_create(destination, List::default)?;
    to.push(list, &text.as_bytes());
    Ok(owned(text))
}

pub(super) fn lmpop<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (keys, at) = counted_keys(args, 1)?;
    let end = End::parse(args.at(at).ok_or(Error::SYNTAX)?)?;
    let limit = match args.len() - at {
        1 => 1,
        3 if args.is(at + 1, "count") => {
            at_least(1, args.get(at + 2), "ERR count should be greater than 0")?
        }
        _ => return Err(Error::SYNTAX),
    };
    for key in keys {
        if let Some(elements) = take(context, key, end, limit)? {
            return Ok(Reply::Array(vec![
                Reply::bulk_owned(key),
                Reply::Array(elements),
            ]));
        }
    }
    Ok(Reply::NullArray)
}
