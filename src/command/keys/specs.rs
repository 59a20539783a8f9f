//! What the table says of commands on keys.

use super::super::spec::{Category, Combine, Flags, Group, Keys, Route, Spec};
use super::{databases, del, dump, exists, lifetime, object, place, scan, sort, type_of};

const fn keys(first: i32, last: i32) -> Keys {
    Keys::Range {
        first,
        last,
        step: 1,
    }
}

/// A command on the key at 1; the fields that differ are given.
pub(super) const fn spec(id: u16, name: &'static str, arity: i32, flags: Flags) -> Spec {
    Spec::on_key(Group::Generic, id, name, arity, flags)
}

/// Id of `__expire`, the removal of keys that are past their expiry: the leader proposes it.
pub const EXPIRE: u16 = 99;

const ALL: Keys = keys(1, -1);
const TWO: Keys = keys(1, 2);
pub(super) const SECOND: Keys = keys(2, 2);

const DANGEROUS: Category = Category(Category::KEYSPACE.0 | Category::DANGEROUS.0);

const SORTED: Category =
    Category(Category::SET.0 | Category::SORTEDSET.0 | Category::LIST.0 | Category::DANGEROUS.0);

const SORT_COMPLEXITY: &str = "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned elements. When the elements are not sorted, complexity is O(N).";

pub(in crate::command) const SPECS: &[Spec] = &[
    Spec {
        handler: Some(del),
        keys: ALL,
        complexity: "O(N) where N is the number of keys that will be removed. When a key to remove holds a value other than a string, the individual complexity for this key is O(M) where M is the number of elements in the list, set, sorted set or hash. Removing a single key that holds a string value is O(1).",
        summary: "Deletes one or more keys.",
        ..spec(50, "del", -2, Flags::WRITE)
    },
    Spec {
        handler: Some(databases::dbsize),
        keys: Keys::None,
        route: Route::ReadAll(Combine::Sum),
        group: Group::Server,
        category: Category::KEYSPACE,
        summary: "Returns the number of keys in the database.",
        ..spec(51, "dbsize", 1, Flags::READONLY.or(Flags::FAST))
    },
    Spec {
        handler: Some(del),
        keys: ALL,
        since: "4.0.0",
        complexity: "O(1) for each key removed regardless of its size. Then the command does O(N) work to reclaim memory, where N is the number of allocations the deleted objects where composed of.",
        summary: "Asynchronously deletes one or more keys.",
        ..spec(52, "unlink", -2, Flags::WRITE.or(Flags::FAST))
    },
    Spec {
        handler: Some(exists),
        keys: ALL,
        complexity: "O(N) where N is the number of keys to check.",
        summary: "Determines whether one or more keys exist.",
        ..spec(53, "exists", -2, Flags::READONLY.or(Flags::FAST))
    },
    Spec {
        handler: Some(exists),
        keys: ALL,
        since: "3.2.1",
        complexity: "O(N) where N is the number of keys that will be touched.",
        summary: "Returns the number of existing keys out of those specified after updating the time they were last accessed.",
        ..spec(54, "touch", -2, Flags::READONLY.or(Flags::FAST))
    },
    Spec {
        handler: Some(type_of),
        summary: "Determines the type of value stored at a key.",
        ..spec(55, "type", 2, Flags::READONLY.or(Flags::FAST))
    },
    Spec {
        handler: Some(lifetime::expire),
        summary: "Sets the expiration time of a key in seconds.",
        ..spec(56, "expire", -3, Flags::WRITE.or(Flags::FAST))
    },
    Spec {
        handler: Some(lifetime::pexpire),
        since: "2.6.0",
        summary: "Sets the expiration time of a key in milliseconds.",
        ..spec(57, "pexpire", -3, Flags::WRITE.or(Flags::FAST))
    },
    Spec {
        handler: Some(lifetime::expireat),
        since: "1.2.0",
        summary: "Sets the expiration time of a key to a Unix timestamp.",
        ..spec(58, "expireat", -3, Flags::WRITE.or(Flags::FAST))
    },
    Spec {
        handler: Some(lifetime::pexpireat),
        since: "2.6.0",
        summary: "Sets the expiration time of a key to a Unix milliseconds timestamp.",
        ..spec(59, "pexpireat", -3, Flags::WRITE.or(Flags::FAST))
    },
    Spec {
        handler: Some(lifetime::ttl),
        summary: "Returns the expiration time in seconds of a key.",
        ..spec(60, "ttl", 2, Flags::READONLY.or(Flags::FAST))
    },
    Spec {
        handler: Some(lifetime::pttl),
        since: "2.6.0",
        summary: "Returns the expiration time in milliseconds of a key.",
        ..spec(61, "pttl", 2, Flags::READONLY.or(Flags::FAST))
    },
    Spec {
        handler: Some(lifetime::expiretime),
        since: "7.0.0",
        summary: "Returns the expiration time of a key as a Unix timestamp.",
        ..spec(62, "expiretime", 2, Flags::READONLY.or(Flags::FAST))
    },
    Spec {
        handler: Some(lifetime::pexpiretime),
        since: "7.0.0",
        summary: "Returns the expiration time of a key as a Unix milliseconds timestamp.",
        ..spec(63, "pexpiretime", 2, Flags::READONLY.or(Flags::FAST))
    },
    Spec {
        handler: Some(lifetime::persist),
        since: "2.2.0",
        summary: "Removes the expiration time of a key.",
        ..spec(64, "persist", 2, Flags::WRITE.or(Flags::FAST))
    },
    Spec {
        handler: Some(place::rename),
        keys: TWO,
        summary: "Renames a key and overwrites the destination.",
        ..spec(65, "rename", 3, Flags::WRITE)
    },
    Spec {
        handler: Some(place::renamenx),
        keys: TWO,
        summary: "Renames a key only when the target key name doesn't exist.",
        ..spec(66, "renamenx", 3, Flags::WRITE.or(Flags::FAST))
    },
    Spec {
        handler: Some(place::copy),
        keys: TWO,
        since: "6.2.0",
        complexity: "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
        summary: "Copies the value of a key to a new key.",
        ..spec(67, "copy", -3, Flags::WRITE.or(Flags::DENYOOM))
    },
    Spec {
        handler: Some(place::move_),
        summary: "Moves a key to another database.",
        ..spec(68, "move", 3, Flags::WRITE.or(Flags::FAST))
    },
    Spec {
        handler: Some(scan::keys),
        keys: Keys::None,
        route: Route::ReadAll(Combine::Concat),
        category: Category::DANGEROUS,
        complexity: "O(N) with N being the number of keys in the database, under the assumption that the key names in the database and the given pattern have limited length.",
        summary: "Returns all key names that match a pattern.",
        ..spec(69, "keys", 2, Flags::READONLY)
    },
    Spec {
        handler: Some(scan::scan),
        keys: Keys::None,
        route: Route::ReadAll(Combine::Cursor),
        since: "2.8.0",
        complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
        summary: "Iterates over the key names in the database.",
        ..spec(70, "scan", -2, Flags::READONLY)
    },
    Spec {
        handler: Some(scan::randomkey),
        keys: Keys::None,
        route: Route::ReadAll(Combine::Pick),
        summary: "Returns a random key name from the database.",
        ..spec(71, "randomkey", 1, Flags::READONLY)
    },
    Spec {
        keys: Keys::None,
        route: Route::Session,
        subcommands: object::SUBCOMMANDS,
        since: "2.2.3",
        complexity: "Depends on subcommand.",
        summary: "A container for object introspection commands.",
        ..spec(72, "object", -2, Flags::NONE)
    },
    Spec {
        handler: Some(dump::dump),
        since: "2.6.0",
        complexity: "O(1) to access the key and additional O(N*M) to serialize it, where N is the number of objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1).",
        summary: "Returns a serialized representation of the value stored at a key.",
        ..spec(73, "dump", 2, Flags::READONLY)
    },
    Spec {
        handler: Some(dump::restore),
        category: Category::DANGEROUS,
        since: "2.6.0",
        complexity: "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where N is the number of objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). However for sorted set values the complexity is O(N*M*log(N)) because inserting values into sorted sets is O(log(N)).",
        summary: "Creates a key from the serialized representation of a value.",
        ..spec(74, "restore", -4, Flags::WRITE.or(Flags::DENYOOM))
    },
    Spec {
        handler: Some(databases::flushdb),
        keys: Keys::None,
        route: Route::WriteAll(Combine::First),
        group: Group::Server,
        category: DANGEROUS,
        complexity: "O(N) where N is the number of keys in the selected database",
        summary: "Remove all keys from the current database.",
        ..spec(75, "flushdb", -1, Flags::WRITE)
    },
    Spec {
        handler: Some(databases::flushall),
        keys: Keys::None,
        route: Route::WriteAll(Combine::First),
        group: Group::Server,
        category: DANGEROUS,
        complexity: "O(N) where N is the total number of keys in all databases",
        summary: "Removes all keys from all databases.",
        ..spec(76, "flushall", -1, Flags::WRITE)
    },
    Spec {
        handler: Some(databases::swapdb),
        keys: Keys::None,
        route: Route::WriteAll(Combine::First),
        group: Group::Server,
        category: DANGEROUS,
        since: "4.0.0",
        complexity: "O(N) where N is the count of clients watching or blocking on keys from both databases.",
        summary: "Swaps two databases.",
        ..spec(77, "swapdb", 3, Flags::WRITE.or(Flags::FAST))
    },
    Spec {
        handler: Some(sort::sort),
        keys: Keys::Custom(sort::positions),
        category: SORTED,
        complexity: SORT_COMPLEXITY,
        summary: "Sorts the elements in a list, a set, or a sorted set, optionally storing the result.",
        ..spec(
            78,
            "sort",
            -2,
            Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
        )
    },
    Spec {
        handler: Some(sort::sort_ro),
        category: SORTED,
        since: "7.0.0",
        complexity: SORT_COMPLEXITY,
        summary: "Returns the sorted elements of a list, a set, or a sorted set.",
        ..spec(79, "sort_ro", -2, Flags::READONLY.or(Flags::MOVABLE_KEYS))
    },
    Spec {
        handler: Some(lifetime::remove_expired),
        keys: ALL,
        since: "0.1.0",
        complexity: "O(N) where N is the number of keys.",
        summary: "Removes keys that are past their expiry; proposed by the leader.",
        ..spec(EXPIRE, "__expire", -2, Flags::WRITE.or(Flags::FAST))
    },
];
