//! MULTI .. EXEC as one mutation: what was queued, and what was watched.
//!
//! The client's own EXEC is answered by the node; what travels and is applied is [`EXEC`], whose
//! first argument lists the watched keys and whose others are commands as `mutation` writes them.

use std::borrow::Cow;

use crate::resp::{Args, Error, Reply, Span};
use crate::session::Watched;
use crate::value::ImageReader;

use super::context::{Context, Rng};
use super::mutation;
use super::spec::{Category, Combine, Flags, Group, Keys, Outcome, Route, Spec};
use super::table::by_id;

/// Id of the transaction as a mutation.
pub const EXEC: u16 = 330;

/// Id of a queued command whose reply was known when it was queued (`PING`).
pub const FIXED_REPLY: u16 = 331;

/// Id of the question for a key's version.
pub const VERSION: u16 = 332;

/// Id of the digest of everything (`DEBUG DIGEST`).
pub const DIGEST: u16 = 333;

const INTERNAL: Spec = Spec {
    id: EXEC,
    name: "__exec",
    arity: -2,
    flags: Flags::WRITE.or(Flags::NOSCRIPT),
    keys: Keys::None,
    category: Category::NONE,
    group: Group::Transactions,
    route: Route::Write,
    handler: Some(exec),
    since: "7.2.0",
    complexity: "That of the queued commands.",
    summary: "Runs a transaction as one mutation. Internal.",
    subcommands: &[],
};

pub(super) const SPECS: &[Spec] = &[
    INTERNAL,
    Spec {
        id: FIXED_REPLY,
        name: "__reply",
        flags: Flags::READONLY,
        route: Route::Read,
        handler: Some(fixed_reply),
        complexity: "O(1)",
        summary: "Answers what it is given. Internal.",
        ..INTERNAL
    },
    Spec {
        id: VERSION,
        name: "__version",
        arity: 2,
        flags: Flags::READONLY,
        keys: Keys::Range {
            first: 1,
            last: 1,
            step: 1,
        },
        route: Route::Read,
        handler: Some(version),
        complexity: "O(1)",
        summary: "Returns the version of a key. Internal.",
        ..INTERNAL
    },
    Spec {
        id: DIGEST,
        name: "__digest",
        arity: 1,
        flags: Flags::READONLY,
        route: Route::ReadAll(Combine::Digest),
        handler: Some(digest),
        complexity: "O(N) where N is the size of the data.",
        summary: "Returns the digest of the data. Internal.",
        ..INTERNAL
    },
];

/// The argument that lists what was watched.
pub fn write_watched(watched: &[Watched]) -> Vec<u8> {
    let mut out = Vec::new();
    for watch in watched {
        out.push(watch.db);
        out.extend_from_slice(&watch.version.to_le_bytes());
        out.extend_from_slice(&(watch.key.len() as u32).to_le_bytes());
        out.extend_from_slice(&watch.key);
    }
    out
}

/// Calls `each` with (database, key, version) of what was watched.
fn each_watched(list: &[u8], mut each: impl FnMut(u8, &[u8], u64)) {
    let mut reader = ImageReader::new(list);
    while let (Ok(db), Ok(version)) = (reader.byte(), reader.u64()) {
        match reader.field() {
            Ok(key) => each(db, key, version),
            Err(_) => break,
        }
    }
}

/// Calls `each` with (database, key) of every key that the command may touch, keys watched and
/// keys of queued commands included. Answers whether it touches all keys of a database besides.
pub fn each_place(spec: &Spec, db: u8, args: Args<'_>, each: &mut dyn FnMut(u8, &[u8])) -> bool {
    if spec.id != EXEC {
        spec.each_key(args, |at| each(db, args.get(at)));
        // The two commands with a key in another database.
        let other = match spec.name {
            "copy" => {
                let option = (3..args.len().saturating_sub(1))
                    .rev()
                    .find(|&at| args.is(at, "db"));
                option.map(|at| (2, at + 1))
            }
            "move" => Some((1, 2)),
            _ => None,
        };
        if let Some((key, number)) = other
            && let Some(number) = args.at(number).and_then(crate::resp::parse_int)
            && let Ok(other) = u8::try_from(number)
            && (other as usize) < crate::limits::DATABASES
        {
            each(other, args.get(key));
        }
        return matches!(spec.route, Route::ReadAll(_) | Route::WriteAll(_));
    }
    each_watched(args.get(1), |db, key, _| each(db, key));
    let mut spans = Vec::new();
    let mut all = false;
    for queued in args.iter_from(2) {
        if let Some((spec, db, args)) = queued_command(queued, &mut spans) {
            all |= each_place(spec, db, args, each);
        }
    }
    all
}

/// A queued command's spec, database and arguments.
fn queued_command<'a>(
    bytes: &'a [u8],
    spans: &'a mut Vec<Span>,
) -> Option<(&'static Spec, u8, Args<'a>)> {
    let head = mutation::head(bytes)?;
    let spec = by_id(head.id)?;
    Some((spec, head.db, mutation::args(bytes, head, spans)?))
}

/// Goes through a transaction: null when `is_unchanged` denies one of what was watched, else what
/// `run` answers to each queued command in turn. A command's own error does not stop the others,
/// as in Redis.
pub fn run_transaction<S: ?Sized>(
    args: Args<'_>,
    state: &mut S,
    is_unchanged: impl Fn(&S, u8, &[u8], u64) -> bool,
    mut run: impl FnMut(&mut S, &'static Spec, u8, Args<'_>) -> Reply<'static>,
) -> Reply<'static> {
    let mut unchanged = true;
    each_watched(args.get(1), |db, key, version| {
        unchanged &= is_unchanged(state, db, key, version);
    });
    if !unchanged {
        return Reply::NullArray;
    }
    let mut spans = Vec::new();
    let replies = args
        .iter_from(2)
        .map(|queued| match queued_command(queued, &mut spans) {
            Some((spec, db, args)) => run(state, spec, db, args),
            None => Reply::Error(Error::fixed("ERR unreadable command in a transaction")),
        });
    Reply::Array(replies.collect())
}

fn exec<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let outer = context.db;
    // As `shard::whole` draws, so that a transaction comes out the same on any number of shards.
    let mut rng = context.rng.clone();
    let reply = run_transaction(
        args,
        context,
        |context, db, key, version| {
            context
                .keyspace
                .db(db as usize)
                .version_of(key, context.now_ms)
                == version
        },
        |context, spec, db, args| {
            context.db = db as usize;
            context.rng = Rng::new(rng.number());
            match spec.handler {
                Some(handler) => handler(context, args)
                    .unwrap_or_else(Reply::Error)
                    .into_owned(),
                None => Reply::Error(Error::fixed("ERR command not allowed in a transaction")),
            }
        },
    );
    context.db = outer;
    Ok(reply)
}

fn fixed_reply<'k>(_context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    Ok(Reply::Raw(Cow::Owned(args.get(1).to_vec())))
}

fn version<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    Ok(Reply::Int(
        context.database().version_of(args.get(1), context.now_ms) as i64,
    ))
}

fn digest<'k>(context: &'k mut Context<'_>, _args: Args<'_>) -> Outcome<'k> {
    let digest = context.keyspace.digest();
    Ok(match context.shards {
        1 => Reply::Raw(format!("+{digest}\r\n").into_bytes().into()),
        _ => Reply::bulk_owned(digest.to_bytes()),
    })
}
