//! String commands.

use crate::resp::{Args, Error, Reply, parse_int};
use crate::value::{Text, Value};

use super::context::Context;
use super::spec::{Category, Flags, Group, Keys, Outcome, Route, Spec};

const KEY: Keys = Keys::Range {
    first: 1,
    last: 1,
    step: 1,
};

/// A string command on the key at 1; the fields that differ are given.
const fn spec(id: u16, name: &'static str, arity: i32, flags: Flags) -> Spec {
    Spec {
        id,
        name,
        arity,
        flags,
        keys: KEY,
        category: Category::NONE,
        group: Group::String,
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

const READ: Flags = Flags::READONLY.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);

pub(super) const SPECS: &[Spec] = &[
    Spec {
        handler: Some(get),
        summary: "Returns the string value of a key.",
        ..spec(1, "get", 2, READ)
    },
    Spec {
        handler: Some(set),
        summary: "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.",
        ..spec(2, "set", -3, WRITE)
    },
    Spec {
        handler: Some(incr),
        summary: "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
        ..spec(3, "incr", 2, WRITE.or(Flags::FAST))
    },
    Spec {
        handler: Some(mset),
        keys: Keys::Range {
            first: 1,
            last: -1,
            step: 2,
        },
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys to set.",
        summary: "Atomically creates or modifies the string values of one or more keys.",
        ..spec(4, "mset", -3, WRITE)
    },
    Spec {
        handler: Some(mget),
        keys: Keys::Range {
            first: 1,
            last: -1,
            step: 1,
        },
        complexity: "O(N) where N is the number of keys to retrieve.",
        summary: "Atomically returns the string values of one or more keys.",
        ..spec(5, "mget", -2, READ)
    },
];

fn get<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    Ok(match context.read::<Text>(args.get(1))? {
        Some(text) => text.reply(),
        None => Reply::Null,
    })
}

fn set<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    if args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let version = context.version;
    context
        .database_mut()
        .set_string(args.get(1), args.get(2), version);
    Ok(Reply::Ok)
}

fn incr<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    increment(context, args.get(1), 1)
}

/// Adds `by` to the number at `key`.
fn increment<'k>(context: &'k mut Context<'_>, key: &[u8], by: i64) -> Outcome<'k> {
    let Some(text) = context.read::<Text>(key)? else {
        context.set(key, Value::String(Text::int(by)), 0);
        return Ok(Reply::Int(by));
    };
    let before = text.as_int().ok_or(Error::NOT_INTEGER)?;
    let after = before.checked_add(by).ok_or(Error::OVERFLOW)?;
    if let Some(text) = context.change::<Text>(key)? {
        *text = Text::int(after);
    }
    Ok(Reply::Int(after))
}

fn mset<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    if args.len().is_multiple_of(2) {
        return Err(Error::arity("mset"));
    }
    let version = context.version;
    for at in (1..args.len()).step_by(2) {
        context
            .database_mut()
            .set_string(args.get(at), args.get(at + 1), version);
    }
    Ok(Reply::Ok)
}

fn mget<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let context = &*context;
    let values = args
        .iter_from(1)
        .map(|key| match context.read::<Text>(key) {
            Ok(Some(text)) => text.reply(),
            _ => Reply::Null,
        });
    Ok(Reply::Array(values.collect()))
}

/// A positive whole number, for commands that take a time or a count.
#[allow(dead_code)]
fn integer(argument: &[u8]) -> Result<i64, Error> {
    parse_int(argument).ok_or(Error::NOT_INTEGER)
}
