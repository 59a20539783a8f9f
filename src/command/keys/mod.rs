//! Commands on keys whatever they hold: existence, expiry, renaming, scanning.
//!
//! Invariants
//! - A key whose expiry is set to a time that has passed is removed at once, as Redis does: none
//!   is in the keyspace whose expiry had passed when it was set.
//! - What is copied or renamed takes its expiry along.
//!
//! Not done here: that the keys a command names are in this keyspace, in whichever database
//! (`transaction::each_place` and the loans of `shard/`).

mod databases;
mod dump;
mod lifetime;
mod object;
mod place;
mod scan;
mod sort;
mod specs;

pub use scan::cursor_shard;
pub use specs::EXPIRE;
pub(super) use specs::SPECS;

use crate::resp::{Args, Reply};

use super::context::Context;
use super::spec::Outcome;

fn del<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let removed = args.iter_from(1).filter(|key| context.remove(key)).count();
    Ok(Reply::count(removed))
}

/// `EXISTS` and `TOUCH`: a key named twice counts twice.
fn exists<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let keys = args.iter_from(1);
    let count = keys.filter(|key| context.entry(key).is_some()).count();
    Ok(Reply::count(count))
}

fn type_of<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let entry = context.entry(args.get(1));
    Ok(Reply::Simple(
        entry.map_or("none", |entry| entry.value.type_name()),
    ))
}
