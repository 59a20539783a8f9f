//! `OBJECT`: what is known of a value's inside.
//!
//! Not done here: times of access. Reads leave no trace in the keyspace (they would differ between
//! replicas), so that `IDLETIME` and `FREQ` answer with an error, as Redis does for the one of the
//! two that its `maxmemory-policy` does not track.

use crate::keyspace::Entry;
use crate::resp::{Args, Error, Reply};

use super::super::context::Context;
use super::super::spec::Outcome;
use super::specs::OBJECT_SUBCOMMANDS;

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

pub(super) fn object<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let name = args.get(1);
    let spec = OBJECT_SUBCOMMANDS.iter().find(|spec| {
        spec.name
            .split_once('|')
            .is_some_and(|(_, own)| own.as_bytes().eq_ignore_ascii_case(name))
    });
    match spec {
        None => Err(Error::new(format!(
            "ERR unknown subcommand '{}'. Try OBJECT HELP.",
            String::from_utf8_lossy(&name[..name.len().min(128)])
        ))),
        Some(spec) if !spec.accepts(args.len()) => Err(Error::arity(spec.name)),
        Some(spec) => match spec.handler {
            Some(handler) => handler(context, args),
            None => Err(Error::SYNTAX),
        },
    }
}

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
