//! Hash commands: on fields (`fields`) and on all of a hash (`whole`).

mod fields;
mod whole;

use super::spec::{Flags, Group, Spec};

/// A command on the key at 1; the fields that differ are given.
const fn spec(id: u16, name: &'static str, arity: i32, flags: Flags) -> Spec {
    Spec::on_key(Group::Hash, id, name, arity, flags)
}

pub(super) const SPECS: &[Spec] = &[
    Spec {
        handler: Some(fields::hset),
        since: "2.0.0",
        complexity: "O(1) for each field/value pair added, so O(N) to add N field/value pairs when the command is called with multiple field/value pairs.",
        summary: "Creates or modifies the value of a field in a hash.",
        ..spec(200, "hset", -4, Flags::GROW_FAST)
    },
    Spec {
        handler: Some(fields::hmset),
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields being set.",
        summary: "Sets the values of multiple fields.",
        ..spec(201, "hmset", -4, Flags::GROW_FAST)
    },
    Spec {
        handler: Some(fields::hsetnx),
        since: "2.0.0",
        summary: "Sets the value of a field in a hash only when the field doesn't exist.",
        ..spec(202, "hsetnx", 4, Flags::GROW_FAST)
    },
    Spec {
        handler: Some(fields::hget),
        since: "2.0.0",
        summary: "Returns the value of a field in a hash.",
        ..spec(203, "hget", 3, Flags::READ_FAST)
    },
    Spec {
        handler: Some(fields::hmget),
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields being requested.",
        summary: "Returns the values of all fields in a hash.",
        ..spec(204, "hmget", -3, Flags::READ_FAST)
    },
    Spec {
        handler: Some(whole::hgetall),
        since: "2.0.0",
        complexity: "O(N) where N is the size of the hash.",
        summary: "Returns all fields and values in a hash.",
        ..spec(205, "hgetall", 2, Flags::READ)
    },
    Spec {
        handler: Some(fields::hdel),
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields to be removed.",
        summary: "Deletes one or more fields and their values from a hash. Deletes the hash if no fields remain.",
        ..spec(206, "hdel", -3, Flags::WRITE_FAST)
    },
    Spec {
        handler: Some(whole::hlen),
        since: "2.0.0",
        summary: "Returns the number of fields in a hash.",
        ..spec(207, "hlen", 2, Flags::READ_FAST)
    },
    Spec {
        handler: Some(fields::hexists),
        since: "2.0.0",
        summary: "Determines whether a field exists in a hash.",
        ..spec(208, "hexists", 3, Flags::READ_FAST)
    },
    Spec {
        handler: Some(whole::hkeys),
        since: "2.0.0",
        complexity: "O(N) where N is the size of the hash.",
        summary: "Returns all fields in a hash.",
        ..spec(209, "hkeys", 2, Flags::READ)
    },
    Spec {
        handler: Some(whole::hvals),
        since: "2.0.0",
        complexity: "O(N) where N is the size of the hash.",
        summary: "Returns all values in a hash.",
        ..spec(210, "hvals", 2, Flags::READ)
    },
    Spec {
        handler: Some(fields::hstrlen),
        since: "3.2.0",
        summary: "Returns the length of the value of a field.",
        ..spec(211, "hstrlen", 3, Flags::READ_FAST)
    },
    Spec {
        handler: Some(fields::hincrby),
        since: "2.0.0",
        summary: "Increments the integer value of a field in a hash by a number. Uses 0 as initial value if the field doesn't exist.",
        ..spec(212, "hincrby", 4, Flags::GROW_FAST)
    },
    Spec {
        handler: Some(fields::hincrbyfloat),
        since: "2.6.0",
        summary: "Increments the floating point value of a field by a number. Uses 0 as initial value if the field doesn't exist.",
        ..spec(213, "hincrbyfloat", 4, Flags::GROW_FAST)
    },
    Spec {
        handler: Some(whole::hrandfield),
        since: "6.2.0",
        complexity: "O(N) where N is the number of fields returned",
        summary: "Returns one or more random fields from a hash.",
        ..spec(214, "hrandfield", -2, Flags::READ)
    },
    Spec {
        handler: Some(whole::hscan),
        since: "2.8.0",
        complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
        summary: "Iterates over fields and values of a hash.",
        ..spec(215, "hscan", -3, Flags::READ)
    },
];
