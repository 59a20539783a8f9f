//! `COMMAND`: what the table says, in Redis 7.2's shapes.
//!
//! Pure functions of the arguments. Where Redis gives request and response policies for cluster
//! clients there are none here: any node takes any command whole.

use crate::glob;
use crate::resp::{Args, Error, Reply};

use super::access::Access;
use super::help::help;
use super::resolve::{by_full_name, resolve};
use super::spec::{Category, Flags, Group, Keys, Spec};
use super::table::public;

/// Answers `COMMAND` and its subcommands; `args` begin with `COMMAND` and passed
/// [`resolve`](super::resolve()).
///
/// # Errors
/// Redis' texts.
pub fn command(args: Args<'_>) -> Result<Reply<'static>, Error> {
    let Some(word) = args.at(1) else {
        return Ok(Reply::Array(public().map(info).collect()));
    };
    Ok(match word.to_ascii_lowercase().as_slice() {
        b"count" => Reply::count(public().count()),
        b"info" if args.len() == 2 => Reply::Array(public().map(info).collect()),
        b"info" => Reply::Array(
            args.iter_from(2)
                .map(|name| by_full_name(name).map_or(Reply::NullArray, info))
                .collect(),
        ),
        b"docs" if args.len() == 2 => docs_of(public()),
        b"docs" => docs_of(args.iter_from(2).filter_map(by_full_name)),
        b"list" => list(args)?,
        b"getkeys" => keys(args.skip(2), |key, _| Reply::bulk_owned(key))?,
        b"getkeysandflags" => keys(args.skip(2), |key, access| {
            Reply::Array(vec![Reply::bulk_owned(key), names(access.flags())])
        })?,
        b"help" => help("command"),
        _ => return Err(Error::SYNTAX),
    })
}

fn text(text: &'static str) -> Reply<'static> {
    Reply::bulk(text.as_bytes())
}

/// A set of status lines.
fn names(names: impl Iterator<Item = &'static str>) -> Reply<'static> {
    Reply::Set(names.map(Reply::Simple).collect())
}

/// The ten elements of `COMMAND INFO`.
fn info(spec: &Spec) -> Reply<'static> {
    let (first, last, step) = match spec.keys {
        Keys::Range { first, last, step } => (first, last, step),
        Keys::Counted { first, .. } if first != 0 => (first as i32, first as i32, 1),
        Keys::None | Keys::Counted { .. } | Keys::Custom(_) => (0, 0, 0),
    };
    let subcommands = if spec.subcommands.is_empty() {
        Reply::Set(vec![])
    } else {
        Reply::Array(spec.subcommands.iter().map(info).collect())
    };
    Reply::Array(vec![
        text(spec.name),
        Reply::Int(spec.arity as i64),
        names(flags(spec)),
        Reply::Int(first as i64),
        Reply::Int(last as i64),
        Reply::Int(step as i64),
        names(categories(spec)),
        Reply::Set(tip(spec.name).into_iter().map(text).collect()),
        Reply::Set(key_specs(spec)),
        subcommands,
    ])
}

fn flags(spec: &Spec) -> impl Iterator<Item = &'static str> {
    let mut bits = spec.flags.0;
    if matches!(spec.keys, Keys::Counted { .. } | Keys::Custom(_)) {
        bits |= Flags::MOVABLE_KEYS.0;
    }
    set_bits(bits, &Flags::NAMES)
}

fn categories(spec: &Spec) -> impl Iterator<Item = &'static str> {
    set_bits(spec.categories().0, &Category::NAMES)
}

fn set_bits(bits: u32, names: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
    names
        .iter()
        .enumerate()
        .filter(move |(bit, _)| bits & (1 << bit) != 0)
        .map(|(_, name)| *name)
}

/// What a client should know of replies that differ from call to call.
fn tip(name: &str) -> Option<&'static str> {
    match name {
        "client|info" | "client|list" | "dump" | "hrandfield" | "hscan" | "info" | "lastsave"
        | "latency|doctor" | "latency|histogram" | "latency|stages" | "memory|doctor"
        | "memory|stats" | "object|encoding" | "object|freq" | "object|idletime"
        | "object|refcount" | "pttl" | "randomkey" | "scan" | "slowlog|get" | "slowlog|len"
        | "spop" | "srandmember" | "sscan" | "time" | "ttl" | "xadd" | "zrandmember" | "zscan" => {
            Some("nondeterministic_output")
        }
        "command" | "command|docs" | "command|info" | "command|list" | "hgetall" | "hkeys"
        | "hvals" | "keys" | "sdiff" | "sinter" | "smembers" | "sunion" => {
            Some("nondeterministic_output_order")
        }
        _ => None,
    }
}

fn key_specs(spec: &Spec) -> Vec<Reply<'static>> {
    let (first_access, rest_access) = Access::of(spec);
    let alike = first_access == rest_access;
    match spec.keys {
        Keys::None => vec![],
        Keys::Range { first, last, step } if alike || last == first => {
            let last = if last < 0 { last } else { last - first };
            vec![key_spec(first_access, first, range(last, step))]
        }
        Keys::Range { first, last, step } => {
            let second = first + step;
            let last = if last < 0 { last } else { last - second };
            vec![
                key_spec(first_access, first, range(0, 1)),
                key_spec(rest_access, second, range(last, step)),
            ]
        }
        Keys::Counted { at, first } => {
            let destination =
                (first != 0).then(|| key_spec(first_access, first as i32, range(0, 1)));
            let counted = key_spec(rest_access, at as i32, counted());
            destination.into_iter().chain([counted]).collect()
        }
        Keys::Custom(_) => {
            let unknown = || pairs([("type", text("unknown")), ("spec", Reply::Map(vec![]))]);
            vec![pairs([
                ("flags", names(first_access.flags().chain(["incomplete"]))),
                ("begin_search", unknown()),
                ("find_keys", unknown()),
            ])]
        }
    }
}

/// One key specification: keys from argument `index` on, found as `find` says.
fn key_spec(access: Access, index: i32, find: Reply<'static>) -> Reply<'static> {
    pairs([
        ("flags", names(access.flags())),
        (
            "begin_search",
            pairs([
                ("type", text("index")),
                ("spec", pairs([("index", Reply::Int(index as i64))])),
            ]),
        ),
        ("find_keys", find),
    ])
}

fn range(last: i32, step: i32) -> Reply<'static> {
    let spec = pairs([
        ("lastkey", Reply::Int(last as i64)),
        ("keystep", Reply::Int(step as i64)),
        ("limit", Reply::Int(0)),
    ]);
    pairs([("type", text("range")), ("spec", spec)])
}

fn counted() -> Reply<'static> {
    let spec = pairs([
        ("keynumidx", Reply::Int(0)),
        ("firstkey", Reply::Int(1)),
        ("keystep", Reply::Int(1)),
    ]);
    pairs([("type", text("keynum")), ("spec", spec)])
}

fn pairs<const N: usize>(pairs: [(&'static str, Reply<'static>); N]) -> Reply<'static> {
    Reply::Map(
        pairs
            .into_iter()
            .flat_map(|(name, value)| [text(name), value])
            .collect(),
    )
}

fn docs_of(specs: impl Iterator<Item = &'static Spec>) -> Reply<'static> {
    Reply::Map(
        specs
            .flat_map(|spec| [text(spec.name), docs(spec)])
            .collect(),
    )
}

fn docs(spec: &'static Spec) -> Reply<'static> {
    let mut map = vec![
        text("summary"),
        text(spec.summary),
        text("since"),
        text(spec.since),
        text("group"),
        text(group(spec.group)),
        text("complexity"),
        text(spec.complexity),
    ];
    if !spec.subcommands.is_empty() {
        map.push(text("subcommands"));
        map.push(docs_of(spec.subcommands.iter()));
    }
    Reply::Map(map)
}

fn group(group: Group) -> &'static str {
    match group {
        Group::Generic => "generic",
        Group::String => "string",
        Group::List => "list",
        Group::Set => "set",
        Group::SortedSet => "sorted-set",
        Group::Hash => "hash",
        Group::PubSub => "pubsub",
        Group::Transactions => "transactions",
        Group::Connection => "connection",
        Group::Server => "server",
        Group::Scripting => "scripting",
        Group::HyperLogLog => "hyperloglog",
        Group::Cluster => "cluster",
        Group::Geo => "geo",
        Group::Stream => "stream",
        Group::Bitmap => "bitmap",
    }
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN glob]`.
fn list(args: Args<'_>) -> Result<Reply<'static>, Error> {
    let filter: Box<dyn Fn(&Spec) -> bool> = match args.len() {
        2 => Box::new(|_| true),
        5 if args.is(2, "filterby") && args.is(3, "module") => Box::new(|_| false),
        5 if args.is(2, "filterby") && args.is(3, "aclcat") => {
            let wanted = args.get(4).to_ascii_lowercase();
            Box::new(move |spec| categories(spec).any(|name| name.as_bytes()[1..] == wanted))
        }
        5 if args.is(2, "filterby") && args.is(3, "pattern") => {
            let pattern = args.get(4).to_vec();
            Box::new(move |spec| glob::matches(&pattern, spec.name.as_bytes(), true))
        }
        _ => return Err(Error::SYNTAX),
    };
    Ok(Reply::Array(
        public()
            .flat_map(|spec| std::iter::once(spec).chain(spec.subcommands))
            .filter(|spec| filter(spec))
            .map(|spec| text(spec.name))
            .collect(),
    ))
}

/// Keys of the command in `args`, each with what is done to it, as `each` shows them.
fn keys(
    args: Args<'_>,
    each: impl Fn(&[u8], Access) -> Reply<'static>,
) -> Result<Reply<'static>, Error> {
    let name = args.at(0).unwrap_or_default();
    let mut spec = super::by_name(name).ok_or(Error::fixed("ERR Invalid command specified"))?;
    if let (false, Some(word)) = (spec.subcommands.is_empty(), args.at(1)) {
        let full = [name, b"|", word].concat();
        spec = by_full_name(&full).ok_or(Error::fixed("ERR Invalid command specified"))?;
    }
    if matches!(spec.keys, Keys::None) {
        return Err(Error::fixed("ERR The command has no key arguments"));
    }
    if resolve(args).is_err() {
        return Err(Error::fixed(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let (first, rest) = Access::of_request(spec, args);
    let mut found = Vec::new();
    spec.each_key(args, |at| {
        let access = if found.is_empty() { first } else { rest };
        found.push(each(args.get(at), access));
    });
    if found.is_empty() {
        return Err(Error::fixed("ERR Invalid arguments specified for command"));
    }
    Ok(Reply::Array(found))
}

#[cfg(test)]
#[path = "introspect_tests.rs"]
mod tests;
