//! `OBJECT`: what is known of a value's inside.
//!
//! Not done here: times of access. Reads leave no trace in the keyspace (they would differ between
//! replicas), so that `IDLETIME` and `FREQ` answer with an error, as Redis does for the one of the
//! two that its `maxmemory-policy` does not track.

use crate::keyspace::Entry;
use crate::resp::{Args, Error, Reply};

use super::super::context::Context;
use super::super::spec::{Flags, Keys, Outcome, Spec};
use super::specs::{SECOND, spec};

pub(super) const SUBCOMMANDS: &[Spec] = &[
    Spec {
        handler: Some(encoding),
        keys: SECOND,
        since: "2.2.3",
        summary: "Returns the internal encoding of an object.",
        ..spec(80, "object|encoding", 3, Flags::READONLY)
    },
    Spec {
        handler: Some(freq),
        keys: SECOND,
        since: "4.0.0",
        summary: "Returns the logarithmic access frequency counter of an object.",
        ..spec(81, "object|freq", 3, Flags::READONLY)
    },
    Spec {
        handler: Some(help),
        keys: Keys::None,
        since: "6.2.0",
        summary: "Returns helpful text about the different subcommands.",
        ..spec(82, "object|help", 2, Flags::LOADING.or(Flags::STALE))
    },
    Spec {
        handler: Some(idletime),
        keys: SECOND,
        since: "2.2.3",
        summary: "Returns the time since the last access to an object.",
        ..spec(83, "object|idletime", 3, Flags::READONLY)
    },
    Spec {
        handler: Some(refcount),
        keys: SECOND,
        since: "2.2.3",
        summary: "Returns the reference count of a value of a key.",
        ..spec(84, "object|refcount", 3, Flags::READONLY)
    },
];

const HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Prints this help.",
];

pub(super) fn encoding<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    look(context, args, |entry| {
        Ok(Reply::bulk(entry.value.encoding().as_bytes()))
    })
}

pub(super) fn refcount<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    // No value is shared between keys.
    look(context, args, |_| Ok(Reply::Int(1)))
}

pub(super) fn idletime<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    look(context, args, |_| {
        Err(Error::fixed("ERR idle time is not tracked"))
    })
}

pub(super) fn freq<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    look(context, args, |_| {
        Err(Error::fixed(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
             note that when switching between policies at runtime LRU and LFU data will take some \
             time to adjust.",
        ))
    })
}

/// `show` of the key's entry; null where there is none.
fn look<'k>(
    context: &'k Context<'_>,
    args: Args<'_>,
    show: impl FnOnce(&'k Entry) -> Outcome<'k>,
) -> Outcome<'k> {
    context.entry(args.get(2)).map_or(Ok(Reply::Null), show)
}

pub(super) fn help<'k>(_context: &'k mut Context<'_>, _args: Args<'_>) -> Outcome<'k> {
    Ok(Reply::Array(
        HELP.iter().copied().map(Reply::Simple).collect(),
    ))
}
