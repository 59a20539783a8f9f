//! Whole databases. Each shard does its own part.

use crate::limits::DATABASES;
use crate::resp::{Args, Error, Reply};

use super::super::context::Context;
use super::super::spec::Outcome;
use super::place::database_index;

pub(super) fn dbsize<'k>(context: &'k mut Context<'_>, _args: Args<'_>) -> Outcome<'k> {
    Ok(Reply::count(context.database().len()))
}

pub(super) fn flushdb<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    check_flush(args)?;
    clear(context, context.db);
    Ok(Reply::Ok)
}

pub(super) fn flushall<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    check_flush(args)?;
    (0..DATABASES).for_each(|db| clear(context, db));
    Ok(Reply::Ok)
}

/// `SYNC` and `ASYNC` are taken and make no difference to what a client sees.
fn check_flush(args: Args<'_>) -> Result<(), Error> {
    let is_right = match args.len() {
        1 => true,
        2 => args.is(1, "sync") || args.is(1, "async"),
        _ => false,
    };
    if is_right { Ok(()) } else { Err(Error::SYNTAX) }
}

fn clear(context: &mut Context<'_>, db: usize) {
    let version = context.version;
    // An empty one too: another shard's part of the database need not be, and what WATCH compares
    // must not depend on how many shards there are.
    context.keyspace.db_mut(db).clear(version);
}

pub(super) fn swapdb<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let a = database_index(args.get(1), Some("ERR invalid first DB index"))?;
    let b = database_index(args.get(2), Some("ERR invalid second DB index"))?;
    context.keyspace.swap(a, b);
    Ok(Reply::Ok)
}
