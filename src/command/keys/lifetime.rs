//! When keys go: `EXPIRE`, `TTL`, `PERSIST` and their like.

use crate::resp::{Args, Error, Reply, parse_int};

use super::super::context::Context;
use super::super::expiry::{Unit, invalid_time};
use super::super::spec::Outcome;

/// Which expiries a new one may take the place of.
#[derive(Default)]
struct Conditions {
    only_absent: bool,
    only_present: bool,
    only_later: bool,
    only_earlier: bool,
}

impl Conditions {
    fn parse(args: Args<'_>) -> Result<Conditions, Error> {
        let mut conditions = Conditions::default();
        for option in args.iter_from(3) {
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            if is(b"nx") {
                conditions.only_absent = true;
            } else if is(b"xx") {
                conditions.only_present = true;
            } else if is(b"gt") {
                conditions.only_later = true;
            } else if is(b"lt") {
                conditions.only_earlier = true;
            } else {
                let option = String::from_utf8_lossy(option);
                return Err(Error::new(format!("ERR Unsupported option {option}")));
            }
        }
        let Conditions {
            only_absent,
            only_present,
            only_later,
            only_earlier,
        } = conditions;
        if only_absent && (only_present || only_later || only_earlier) {
            return Err(Error::fixed(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if only_later && only_earlier {
            return Err(Error::fixed(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(conditions)
    }

    /// Whether the expiry `before` (0 = none, which is later than any) may become `after`.
    fn allow(&self, before: u64, after: i64) -> bool {
        let before = (before != 0).then_some(before as i64);
        !(self.only_absent && before.is_some()
            || self.only_present && before.is_none()
            || self.only_later && before.is_none_or(|before| after <= before)
            || self.only_earlier && before.is_some_and(|before| after >= before))
    }
}

pub(super) fn expire<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    move_expiry(context, args, Unit::Seconds, "expire")
}

pub(super) fn pexpire<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    move_expiry(context, args, Unit::Milliseconds, "pexpire")
}

pub(super) fn expireat<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    move_expiry(context, args, Unit::UnixSeconds, "expireat")
}

pub(super) fn pexpireat<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    move_expiry(context, args, Unit::UnixMilliseconds, "pexpireat")
}

fn move_expiry<'k>(
    context: &'k mut Context<'_>,
    args: Args<'_>,
    unit: Unit,
    command: &str,
) -> Outcome<'k> {
    let key = args.get(1);
    let conditions = Conditions::parse(args)?;
    let time = parse_int(args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let at_ms = unit
        .resolve(time, context.now_ms)
        .ok_or_else(|| invalid_time(command))?;
    let Some(entry) = context.entry(key) else {
        return Ok(Reply::Int(0));
    };
    if !conditions.allow(entry.expires_at_ms, at_ms) {
        return Ok(Reply::Int(0));
    }
    match u64::try_from(at_ms) {
        Ok(at_ms) if at_ms > context.now_ms => context.set_expiry(key, at_ms),
        _ => {
            context.remove(key);
        }
    }
    Ok(Reply::Int(1))
}

pub(super) fn persist<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let entry = context.entry(args.get(1));
    let is_volatile = entry.is_some_and(|entry| entry.expires_at_ms != 0);
    if is_volatile {
        context.set_expiry(args.get(1), 0);
    }
    Ok(Reply::flag(is_volatile))
}

pub(super) fn ttl<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let now_ms = context.now_ms;
    time_of(context, args, |at_ms| rounded_s(at_ms - now_ms))
}

pub(super) fn pttl<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let now_ms = context.now_ms;
    time_of(context, args, |at_ms| at_ms - now_ms)
}

pub(super) fn expiretime<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    time_of(context, args, rounded_s)
}

pub(super) fn pexpiretime<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    time_of(context, args, |at_ms| at_ms)
}

/// `show` of the key's expiry; -1 where it has none, -2 where there is no key.
fn time_of<'k>(context: &Context<'_>, args: Args<'_>, show: impl Fn(u64) -> u64) -> Outcome<'k> {
    Ok(Reply::Int(match context.entry(args.get(1)) {
        None => -2,
        Some(entry) if entry.expires_at_ms == 0 => -1,
        Some(entry) => show(entry.expires_at_ms) as i64,
    }))
}

fn rounded_s(time_ms: u64) -> u64 {
    (time_ms + 500) / 1000
}

/// `__expire key ..`: what the leader proposes for keys that it found past their expiry. A key
/// that was set anew since is left alone.
pub(super) fn remove_expired<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (now_ms, version) = (context.now_ms, context.version);
    let database = context.database_mut();
    let removed = args
        .iter_from(1)
        .filter(|key| database.remove_expired(key, now_ms, version))
        .count();
    Ok(Reply::count(removed))
}
