//! Times that arguments name: `EX`, `PXAT`, `EXPIRE` and the like.

use crate::resp::{Error, parse_int};

/// How a time is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// From now on.
    Seconds,
    Milliseconds,
    /// Since the Unix epoch.
    UnixSeconds,
    UnixMilliseconds,
}

impl Unit {
    /// The unit of an option of `SET` and `GETEX`.
    pub fn of_option(option: &[u8]) -> Option<Unit> {
        let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
        if is(b"ex") {
            Some(Unit::Seconds)
        } else if is(b"px") {
            Some(Unit::Milliseconds)
        } else if is(b"exat") {
            Some(Unit::UnixSeconds)
        } else if is(b"pxat") {
            Some(Unit::UnixMilliseconds)
        } else {
            None
        }
    }

    /// The Unix time in ms that `time` stands for; it may lie in the past or before the epoch.
    /// `None` when it does not fit.
    pub fn resolve(self, time: i64, now_ms: u64) -> Option<i64> {
        let time_ms = match self {
            Unit::Seconds | Unit::UnixSeconds => time.checked_mul(1000)?,
            Unit::Milliseconds | Unit::UnixMilliseconds => time,
        };
        match self {
            Unit::Seconds | Unit::Milliseconds => time_ms.checked_add_unsigned(now_ms),
            Unit::UnixSeconds | Unit::UnixMilliseconds => Some(time_ms),
        }
    }
}

/// The expiry that an option of `command` names, which must be above zero, as Unix time in ms. It
/// may have passed.
///
/// # Errors
/// Redis' when the time is no number, not above zero or too large.
pub(super) fn expiry_at(time: &[u8], unit: Unit, now_ms: u64, command: &str) -> Result<u64, Error> {
    let time = parse_int(time).ok_or(Error::NOT_INTEGER)?;
    Some(time)
        .filter(|time| *time > 0)
        .and_then(|time| unit.resolve(time, now_ms))
        .map(|at_ms| at_ms as u64)
        .ok_or_else(|| invalid_time(command))
}

/// Redis' text for a time that cannot be.
pub(super) fn invalid_time(command: &str) -> Error {
    Error::new(format!("ERR invalid expire time in '{command}' command"))
}
