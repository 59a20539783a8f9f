//! Set commands: on one set (`members`) and on several (`algebra`).

mod algebra;
mod members;

use super::spec::{Flags, Group, Keys, Spec};

const TWO_KEYS: Keys = Keys::from_first(2, 1);

const EVERY_KEY: Keys = Keys::from_first(-1, 1);

/// A command on the key at 1; the fields that differ are given.
const fn spec(id: u16, name: &'static str, arity: i32, flags: Flags) -> Spec {
    Spec::on_key(Group::Set, id, name, arity, flags)
}

pub(super) const SPECS: &[Spec] = &[
    Spec {
        handler: Some(members::sadd),
        complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        summary: "Adds one or more members to a set. Creates the key if it doesn't exist.",
        ..spec(150, "sadd", -3, Flags::GROW_FAST)
    },
    Spec {
        handler: Some(members::srem),
        complexity: "O(N) where N is the number of members to be removed.",
        summary: "Removes one or more members from a set. Deletes the set if the last member was removed.",
        ..spec(151, "srem", -3, Flags::WRITE_FAST)
    },
    Spec {
        handler: Some(members::scard),
        summary: "Returns the number of members in a set.",
        ..spec(152, "scard", 2, Flags::READ_FAST)
    },
    Spec {
        handler: Some(members::sismember),
        summary: "Determines whether a member belongs to a set.",
        ..spec(153, "sismember", 3, Flags::READ_FAST)
    },
    Spec {
        handler: Some(members::smismember),
        since: "6.2.0",
        complexity: "O(N) where N is the number of elements being checked for membership",
        summary: "Determines whether multiple members belong to a set.",
        ..spec(154, "smismember", -3, Flags::READ_FAST)
    },
    Spec {
        handler: Some(members::smembers),
        complexity: "O(N) where N is the set cardinality.",
        summary: "Returns all members of a set.",
        ..spec(155, "smembers", 2, Flags::READ)
    },
    Spec {
        handler: Some(members::spop),
        complexity: "Without the count argument O(1), otherwise O(N) where N is the value of the passed count.",
        summary: "Returns one or more random members from a set after removing them. Deletes the set if the last member was popped.",
        ..spec(156, "spop", -2, Flags::WRITE_FAST)
    },
    Spec {
        handler: Some(members::srandmember),
        complexity: "Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed count.",
        summary: "Get one or multiple random members from a set",
        ..spec(157, "srandmember", -2, Flags::READ)
    },
    Spec {
        handler: Some(members::smove),
        keys: TWO_KEYS,
        summary: "Moves a member from one set to another.",
        ..spec(158, "smove", 4, Flags::WRITE_FAST)
    },
    Spec {
        handler: Some(algebra::sinter),
        keys: EVERY_KEY,
        complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        summary: "Returns the intersect of multiple sets.",
        ..spec(159, "sinter", -2, Flags::READ)
    },
    Spec {
        handler: Some(algebra::sunion),
        keys: EVERY_KEY,
        complexity: "O(N) where N is the total number of elements in all given sets.",
        summary: "Returns the union of multiple sets.",
        ..spec(160, "sunion", -2, Flags::READ)
    },
    Spec {
        handler: Some(algebra::sdiff),
        keys: EVERY_KEY,
        complexity: "O(N) where N is the total number of elements in all given sets.",
        summary: "Returns the difference of multiple sets.",
        ..spec(161, "sdiff", -2, Flags::READ)
    },
    Spec {
        handler: Some(algebra::sinterstore),
        keys: EVERY_KEY,
        complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        summary: "Stores the intersect of multiple sets in a key.",
        ..spec(162, "sinterstore", -3, Flags::GROW)
    },
    Spec {
        handler: Some(algebra::sunionstore),
        keys: EVERY_KEY,
        complexity: "O(N) where N is the total number of elements in all given sets.",
        summary: "Stores the union of multiple sets in a key.",
        ..spec(163, "sunionstore", -3, Flags::GROW)
    },
    Spec {
        handler: Some(algebra::sdiffstore),
        keys: EVERY_KEY,
        complexity: "O(N) where N is the total number of elements in all given sets.",
        summary: "Stores the difference of multiple sets in a key.",
        ..spec(164, "sdiffstore", -3, Flags::GROW)
    },
    Spec {
        handler: Some(algebra::sintercard),
        keys: Keys::Counted { at: 1, first: 0 },
        since: "7.0.0",
        complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        summary: "Returns the number of members of the intersect of multiple sets.",
        ..spec(165, "sintercard", -3, Flags::READ.or(Flags::MOVABLE_KEYS))
    },
    Spec {
        handler: Some(members::sscan),
        since: "2.8.0",
        complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
        summary: "Iterates over members of a set.",
        ..spec(166, "sscan", -3, Flags::READ)
    },
];
