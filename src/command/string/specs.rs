//! What the table says of string commands.

use super::super::spec::{Flags, Group, Keys, Spec};
use super::{get, lcs, mget, number, set, slice, strlen};

const fn keys(last: i32, step: i32) -> Keys {
    Keys::Range {
        first: 1,
        last,
        step,
    }
}

/// A string command on the key at 1; the fields that differ are given.
const fn spec(id: u16, name: &'static str, arity: i32, flags: Flags) -> Spec {
    Spec::on_key(Group::String, id, name, arity, flags)
}

const ALL: Keys = keys(-1, 1);
const PAIRS: Keys = keys(-1, 2);
const TWO: Keys = keys(2, 1);

const READ: Flags = Flags::READONLY.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);
const QUICK: Flags = WRITE.or(Flags::FAST);

pub(in crate::command) const SPECS: &[Spec] = &[
    Spec {
        handler: Some(get),
        summary: "Returns the string value of a key.",
        ..spec(1, "get", 2, READ)
    },
    Spec {
        handler: Some(set::set),
        summary: "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.",
        ..spec(2, "set", -3, WRITE)
    },
    Spec {
        handler: Some(number::incr),
        summary: "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
        ..spec(3, "incr", 2, QUICK)
    },
    Spec {
        handler: Some(set::mset),
        keys: PAIRS,
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys to set.",
        summary: "Atomically creates or modifies the string values of one or more keys.",
        ..spec(4, "mset", -3, WRITE)
    },
    Spec {
        handler: Some(mget),
        keys: ALL,
        complexity: "O(N) where N is the number of keys to retrieve.",
        summary: "Atomically returns the string values of one or more keys.",
        ..spec(5, "mget", -2, READ)
    },
    Spec {
        handler: Some(slice::append),
        since: "2.0.0",
        complexity: "O(1). The amortized time complexity is O(1) assuming the appended value is small and the already present value is of any size, since the string doubles the free space available on every reallocation.",
        summary: "Appends a string to the value of a key. Creates the key if it doesn't exist.",
        ..spec(6, "append", 3, QUICK)
    },
    Spec {
        handler: Some(number::decr),
        summary: "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
        ..spec(7, "decr", 2, QUICK)
    },
    Spec {
        handler: Some(number::decrby),
        summary: "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist.",
        ..spec(8, "decrby", 3, QUICK)
    },
    Spec {
        handler: Some(set::getdel),
        since: "6.2.0",
        summary: "Returns the string value of a key after deleting the key.",
        ..spec(9, "getdel", 2, Flags::WRITE.or(Flags::FAST))
    },
    Spec {
        handler: Some(set::getex),
        since: "6.2.0",
        summary: "Returns the string value of a key after setting its expiration time.",
        ..spec(10, "getex", -2, Flags::WRITE.or(Flags::FAST))
    },
    Spec {
        handler: Some(slice::getrange),
        since: "2.4.0",
        complexity: "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.",
        summary: "Returns a substring of the string stored at a key.",
        ..spec(11, "getrange", 4, Flags::READONLY)
    },
    Spec {
        handler: Some(set::getset),
        summary: "Returns the previous string value of a key after setting it to a new value.",
        ..spec(12, "getset", 3, QUICK)
    },
    Spec {
        handler: Some(number::incrby),
        summary: "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
        ..spec(13, "incrby", 3, QUICK)
    },
    Spec {
        handler: Some(number::incrbyfloat),
        since: "2.6.0",
        summary: "Increment the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
        ..spec(14, "incrbyfloat", 3, QUICK)
    },
    Spec {
        handler: Some(lcs::lcs),
        keys: TWO,
        since: "7.0.0",
        complexity: "O(N*M) where N and M are the lengths of s1 and s2, respectively",
        summary: "Finds the longest common substring.",
        ..spec(15, "lcs", -3, Flags::READONLY)
    },
    Spec {
        handler: Some(set::msetnx),
        keys: PAIRS,
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys to set.",
        summary: "Atomically modifies the string values of one or more keys only when all keys don't exist.",
        ..spec(16, "msetnx", -3, WRITE)
    },
    Spec {
        handler: Some(set::psetex),
        since: "2.6.0",
        summary: "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.",
        ..spec(17, "psetex", 4, WRITE)
    },
    Spec {
        handler: Some(set::setex),
        since: "2.0.0",
        summary: "Sets the string value and expiration time of a key. Creates the key if it doesn't exist.",
        ..spec(18, "setex", 4, WRITE)
    },
    Spec {
        handler: Some(set::setnx),
        summary: "Set the string value of a key only when the key doesn't exist.",
        ..spec(19, "setnx", 3, QUICK)
    },
    Spec {
        handler: Some(slice::setrange),
        since: "2.2.0",
        complexity: "O(1), not counting the time taken to copy the new string in place. Usually, this string is very small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length of the value argument.",
        summary: "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist.",
        ..spec(20, "setrange", 4, WRITE)
    },
    Spec {
        handler: Some(strlen),
        since: "2.2.0",
        summary: "Returns the length of a string value.",
        ..spec(21, "strlen", 2, READ)
    },
    Spec {
        handler: Some(slice::getrange),
        complexity: "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.",
        summary: "Returns a substring from a string value.",
        ..spec(22, "substr", 4, Flags::READONLY)
    },
];
