//! What sets a string anew, and what takes one or moves its expiry.

use crate::resp::{Args, Error, Reply};
use crate::value::{Text, Value};

use super::super::context::Context;
use super::super::expiry::{Unit, expiry_at};
use super::super::spec::Outcome;

/// Options of `SET` and `GETEX`.
#[derive(Default)]
struct Options<'a> {
    only_absent: bool,
    only_present: bool,
    get: bool,
    keep_ttl: bool,
    persist: bool,
    expiry: Option<(Unit, &'a [u8])>,
}

impl<'a> Options<'a> {
    /// Reads the options from argument `first` on. Those that contradict one another, or that the
    /// command (`SET`, or else `GETEX`) does not know, are a syntax error.
    fn parse(args: Args<'a>, first: usize, is_set: bool) -> Result<Options<'a>, Error> {
        let mut options = Options::default();
        let mut at = first;
        while at < args.len() {
            let unit = Unit::of_option(args.get(at));
            if is_set && args.is(at, "nx") && !options.only_present {
                options.only_absent = true;
            } else if is_set && args.is(at, "xx") && !options.only_absent {
                options.only_present = true;
            } else if is_set && args.is(at, "get") {
                options.get = true;
            } else if is_set && args.is(at, "keepttl") && options.expiry.is_none() {
                options.keep_ttl = true;
            } else if !is_set && args.is(at, "persist") && options.expiry.is_none() {
                options.persist = true;
            } else if let (Some(unit), Some(time)) = (unit, args.at(at + 1))
                && !options.keep_ttl
                && !options.persist
                && options.expiry.is_none_or(|(before, _)| before == unit)
            {
                options.expiry = Some((unit, time));
                at += 1;
            } else {
                return Err(Error::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }
}

pub(super) fn set<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    if args.len() == 3 {
        let version = context.version;
        context
            .database_mut()
            .set_string(args.get(1), args.get(2), version);
        return Ok(Reply::Ok);
    }
    let key = args.get(1);
    let options = Options::parse(args, 3, true)?;
    let now_ms = context.now_ms;
    let mut expires_at_ms = match options.expiry {
        Some((unit, time)) => expiry_at(time, unit, now_ms, "set")?,
        None => 0,
    };
    let before = if options.get {
        Some(
            context
                .read::<Text>(key)?
                .map(|text| text.reply().into_owned()),
        )
    } else {
        None
    };
    let entry = context.entry(key);
    let is_refused = match entry {
        Some(_) => options.only_absent,
        None => options.only_present,
    };
    if options.keep_ttl {
        expires_at_ms = entry.map_or(0, |entry| entry.expires_at_ms);
    }
    if is_refused {
        return Ok(before.flatten().unwrap_or(Reply::Null));
    }
    store(context, key, args.get(2), expires_at_ms);
    Ok(match before {
        Some(before) => before.unwrap_or(Reply::Null),
        None => Reply::Ok,
    })
}

/// Sets `key` to a string that is gone at `expires_at_ms` (0 = never), which may have passed.
fn store(context: &mut Context<'_>, key: &[u8], bytes: &[u8], expires_at_ms: u64) {
    if expires_at_ms != 0 && expires_at_ms <= context.now_ms {
        context.remove(key);
    } else {
        context.set(key, Value::String(Text::value(bytes)), expires_at_ms);
    }
}

pub(super) fn setnx<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let is_absent = context.entry(args.get(1)).is_none();
    if is_absent {
        store(context, args.get(1), args.get(2), 0);
    }
    Ok(Reply::flag(is_absent))
}

pub(super) fn setex<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let expires_at_ms = expiry_at(args.get(2), Unit::Seconds, context.now_ms, "setex")?;
    store(context, args.get(1), args.get(3), expires_at_ms);
    Ok(Reply::Ok)
}

pub(super) fn psetex<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let expires_at_ms = expiry_at(args.get(2), Unit::Milliseconds, context.now_ms, "psetex")?;
    store(context, args.get(1), args.get(3), expires_at_ms);
    Ok(Reply::Ok)
}

pub(super) fn getset<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let before = context
        .read::<Text>(args.get(1))?
        .map(|text| text.reply().into_owned());
    store(context, args.get(1), args.get(2), 0);
    Ok(before.unwrap_or(Reply::Null))
}

pub(super) fn getdel<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let Some(text) = context.read::<Text>(args.get(1))? else {
        return Ok(Reply::Null);
    };
    let reply = text.reply().into_owned();
    context.remove(args.get(1));
    Ok(reply)
}

pub(super) fn getex<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let key = args.get(1);
    let options = Options::parse(args, 2, false)?;
    if context.read::<Text>(key)?.is_none() {
        return Ok(Reply::Null);
    }
    let now_ms = context.now_ms;
    if let Some((unit, time)) = options.expiry {
        let expires_at_ms = expiry_at(time, unit, now_ms, "getex")?;
        if expires_at_ms <= now_ms {
            return getdel(context, args);
        }
        context.set_expiry(key, expires_at_ms);
    } else if options.persist {
        context.set_expiry(key, 0);
    }
    let text = context.read::<Text>(key)?;
    Ok(text.map_or(Reply::Null, Text::reply))
}

pub(super) fn mset<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    check_pairs(args, "mset")?;
    set_all(context, args);
    Ok(Reply::Ok)
}

pub(super) fn msetnx<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    check_pairs(args, "msetnx")?;
    let mut keys = args.iter_from(1).step_by(2);
    if keys.any(|key| context.entry(key).is_some()) {
        return Ok(Reply::Int(0));
    }
    set_all(context, args);
    Ok(Reply::Int(1))
}

fn check_pairs(args: Args<'_>, command: &str) -> Result<(), Error> {
    if args.len().is_multiple_of(2) {
        return Err(Error::arity(command));
    }
    Ok(())
}

fn set_all(context: &mut Context<'_>, args: Args<'_>) {
    let version = context.version;
    for at in (1..args.len()).step_by(2) {
        context
            .database_mut()
            .set_string(args.get(at), args.get(at + 1), version);
    }
}
