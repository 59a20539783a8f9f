//! How a command uses its keys, in the terms of `COMMAND INFO`'s key specifications.
//!
//! What flags and route say is the default (a read: `RO access`; a write: `RW access update`); the
//! list here is of those that differ. Nothing but introspection reads it.

use crate::resp::Args;

use super::spec::{Flags, Route, Spec};

/// What a command does to one of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    mode: &'static str,
    effects: &'static [&'static str],
}

const fn access(mode: &'static str, effects: &'static [&'static str]) -> Access {
    Access { mode, effects }
}

/// Reads the value.
const READ: Access = access("RO", &["access"]);
/// Looks at the key without returning anything of its value.
const LOOK: Access = access("RO", &[]);
/// Returns something of the old value and changes it.
const MODIFY: Access = access("RW", &["access", "update"]);
/// Changes the value, whatever it was, into another.
const UPDATE: Access = access("RW", &["update"]);
/// Adds to the value.
const INSERT: Access = access("RW", &["insert"]);
/// Takes from the value.
const DELETE: Access = access("RW", &["delete"]);
/// Takes from the value and returns what it took.
const POP: Access = access("RW", &["access", "delete"]);
/// Writes over the value.
const OVERWRITE: Access = access("OW", &["update"]);
/// Writes a value where none was.
const CREATE: Access = access("OW", &["insert"]);
/// Removes the key.
const REMOVE: Access = access("RM", &["delete"]);
/// As `SET`: depends on the options.
const VARIABLE: Access = access("RW", &["access", "update", "variable_flags"]);

/// Names, what is done to the first key, and to those behind it where that differs.
const LIST: &[(&[&str], Access, Option<Access>)] = &[
    (
        &[
            "exists",
            "hexists",
            "hlen",
            "hstrlen",
            "llen",
            "memory|usage",
            "object|encoding",
            "object|freq",
            "object|idletime",
            "object|refcount",
            "scard",
            "sismember",
            "strlen",
            "touch",
            "type",
            "watch",
            "xlen",
            "zcard",
        ],
        LOOK,
        None,
    ),
    (
        &[
            "expire",
            "expireat",
            "geoadd",
            "hmset",
            "hset",
            "lset",
            "persist",
            "pexpire",
            "pexpireat",
            "setrange",
            "xadd",
            "zadd",
        ],
        UPDATE,
        None,
    ),
    (
        &[
            "append", "hsetnx", "linsert", "lpush", "lpushx", "pfadd", "rpush", "rpushx", "sadd",
        ],
        INSERT,
        None,
    ),
    (
        &[
            "hdel",
            "lrem",
            "ltrim",
            "srem",
            "xdel",
            "xtrim",
            "zrem",
            "zremrangebylex",
            "zremrangebyrank",
            "zremrangebyscore",
        ],
        DELETE,
        None,
    ),
    (
        &[
            "blmpop", "blpop", "brpop", "bzmpop", "bzpopmax", "bzpopmin", "getdel", "lmpop",
            "lpop", "rpop", "spop", "zmpop", "zpopmax", "zpopmin",
        ],
        POP,
        None,
    ),
    (
        &["blmove", "brpoplpush", "lmove", "rpoplpush", "smove"],
        POP,
        Some(INSERT),
    ),
    (&["mset", "psetex", "restore", "setex"], OVERWRITE, None),
    (&["msetnx", "setnx"], CREATE, None),
    (&["del", "unlink"], REMOVE, None),
    (&["rename"], POP, Some(OVERWRITE)),
    (&["renamenx"], POP, Some(CREATE)),
    (&["copy"], READ, Some(OVERWRITE)),
    (
        &[
            "bitop",
            "geosearchstore",
            "sdiffstore",
            "sinterstore",
            "sunionstore",
            "zdiffstore",
            "zinterstore",
            "zrangestore",
            "zunionstore",
        ],
        OVERWRITE,
        Some(READ),
    ),
    (&["set"], VARIABLE, None),
];

impl Access {
    /// What `spec` does to its first key, and to those behind it.
    pub fn of(spec: &Spec) -> (Access, Access) {
        let (first, rest) = LIST
            .iter()
            .find(|(names, _, _)| names.contains(&spec.name))
            .map_or_else(|| (Self::by_flags(spec), None), |entry| (entry.1, entry.2));
        (first, rest.unwrap_or(first))
    }

    /// As [`Access::of`], for one request: what depends on its options is settled.
    pub fn of_request(spec: &Spec, args: Args<'_>) -> (Access, Access) {
        let (first, rest) = Self::of(spec);
        if first != VARIABLE {
            return (first, rest);
        }
        let gets = (3..args.len()).any(|at| args.is(at, "get"));
        let settled = if gets { MODIFY } else { OVERWRITE };
        (settled, settled)
    }

    fn by_flags(spec: &Spec) -> Access {
        let writes =
            spec.flags.has(Flags::WRITE) || matches!(spec.route, Route::Write | Route::WriteAll(_));
        if writes { MODIFY } else { READ }
    }

    /// The flags' names, in Redis' order.
    pub fn flags(self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.mode).chain(self.effects.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_once() {
        let mut names: Vec<&str> = LIST
            .iter()
            .flat_map(|(names, _, _)| *names)
            .copied()
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
