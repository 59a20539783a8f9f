//! Commands on keys whatever they hold: existence, expiry, renaming, scanning.

use crate::resp::{Args, Reply};

use super::context::Context;
use super::spec::{Category, Combine, Flags, Group, Keys, Outcome, Route, Spec};

/// A command on keys from 1 to the last; the fields that differ are given.
const fn spec(id: u16, name: &'static str, arity: i32, flags: Flags) -> Spec {
    Spec {
        id,
        name,
        arity,
        flags,
        keys: Keys::Range {
            first: 1,
            last: -1,
            step: 1,
        },
        category: Category::NONE,
        group: Group::Generic,
        route: if flags.has(Flags::WRITE) {
            Route::Write
        } else {
            Route::Read
        },
        handler: None,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "",
        subcommands: &[],
    }
}

pub(super) const SPECS: &[Spec] = &[
    Spec {
        handler: Some(del),
        complexity: "O(N) where N is the number of keys that will be removed.",
        summary: "Deletes one or more keys.",
        ..spec(50, "del", -2, Flags::WRITE)
    },
    Spec {
        handler: Some(dbsize),
        keys: Keys::None,
        route: Route::ReadAll(Combine::Sum),
        group: Group::Server,
        category: Category::KEYSPACE,
        summary: "Returns the number of keys in the database.",
        ..spec(51, "dbsize", 1, Flags::READONLY.or(Flags::FAST))
    },
];

fn del<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let removed = args.iter_from(1).filter(|key| context.remove(key)).count();
    Ok(Reply::count(removed))
}

fn dbsize<'k>(context: &'k mut Context<'_>, _args: Args<'_>) -> Outcome<'k> {
    Ok(Reply::count(context.database().len()))
}

/// The shard that a cursor of SCAN goes on in.
pub fn cursor_shard(_cursor: u64, _shards: usize) -> usize {
    0
}

/// Id of the removal of a key that is past its expiry.
pub const EXPIRE: u16 = 99;
