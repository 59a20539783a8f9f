//! Keys that come to stand elsewhere: under another name or in another database.

use crate::limits::DATABASES;
use crate::resp::{Args, Error, Reply, parse_int};

use super::super::context::Context;
use super::super::spec::Outcome;

const SAME_OBJECT: Error = Error::fixed("ERR source and destination objects are the same");

/// The number of a database. `message` stands for what is no number of 32 bits.
///
/// # Errors
/// Redis' when it is no number, or names no database.
pub(super) fn database_index(
    argument: &[u8],
    message: Option<&'static str>,
) -> Result<usize, Error> {
    let index = match (parse_int(argument), message) {
        (Some(index), _) if i32::try_from(index).is_ok() => index,
        (_, Some(message)) => return Err(Error::fixed(message)),
        (None, None) => return Err(Error::NOT_INTEGER),
        (Some(_), None) => {
            return Err(Error::fixed(
                "ERR value is out of range, value must between -2147483648 and 2147483647",
            ));
        }
    };
    usize::try_from(index)
        .ok()
        .filter(|index| *index < DATABASES)
        .ok_or(Error::fixed("ERR DB index is out of range"))
}

pub(super) fn rename<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (from, to) = (args.get(1), args.get(2));
    if context.entry(from).is_none() {
        return Err(Error::NO_SUCH_KEY);
    }
    if from != to {
        carry(context, from, to);
    }
    Ok(Reply::Ok)
}

pub(super) fn renamenx<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (from, to) = (args.get(1), args.get(2));
    if context.entry(from).is_none() {
        return Err(Error::NO_SUCH_KEY);
    }
    let is_free = context.entry(to).is_none();
    if is_free {
        carry(context, from, to);
    }
    Ok(Reply::flag(is_free))
}

/// Moves what stands at `from` to `to`.
fn carry(context: &mut Context<'_>, from: &[u8], to: &[u8]) {
    let version = context.version;
    if let Some(entry) = context.database_mut().remove(from, version) {
        context.set(to, entry.value, entry.expires_at_ms);
    }
}

pub(super) fn copy<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (from, to) = (args.get(1), args.get(2));
    let (mut destination, mut replace) = (context.db, false);
    let mut at = 3;
    while at < args.len() {
        if args.is(at, "replace") {
            replace = true;
        } else if args.is(at, "db") && at + 1 < args.len() {
            destination = database_index(args.get(at + 1), None)?;
            at += 1;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    if destination == context.db && from == to {
        return Err(SAME_OBJECT);
    }
    let (now_ms, version) = (context.now_ms, context.version);
    let Some(entry) = context.entry(from) else {
        return Ok(Reply::Int(0));
    };
    let is_free = context.keyspace.db(destination).get(to, now_ms).is_none();
    if !is_free && !replace {
        return Ok(Reply::Int(0));
    }
    let (value, expires_at_ms) = (entry.value.clone(), entry.expires_at_ms);
    let database = context.keyspace.db_mut(destination);
    database.set(to, value, expires_at_ms, version);
    Ok(Reply::Int(1))
}

pub(super) fn move_<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let key = args.get(1);
    let destination = database_index(args.get(2), None)?;
    if destination == context.db {
        return Err(SAME_OBJECT);
    }
    let (now_ms, version) = (context.now_ms, context.version);
    let is_free = context.keyspace.db(destination).get(key, now_ms).is_none();
    if context.entry(key).is_none() || !is_free {
        return Ok(Reply::Int(0));
    }
    if let Some(entry) = context.database_mut().remove(key, version) {
        let database = context.keyspace.db_mut(destination);
        database.set(key, entry.value, entry.expires_at_ms, version);
    }
    Ok(Reply::Int(1))
}
