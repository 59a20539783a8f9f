//! Sorted set commands.

mod add;
mod algebra;
mod bound;
mod pairs;
mod pop;
mod range;
mod score;

use super::spec::{Flags, Group, Keys, Spec};

const TWO_KEYS: Keys = Keys::from_first(2, 1);

/// A command on the key at 1; the fields that differ are given.
const fn spec(id: u16, name: &'static str, arity: i32, flags: Flags) -> Spec {
    Spec::on_key(Group::SortedSet, id, name, arity, flags)
}

pub(super) const SPECS: &[Spec] = &[
    Spec {
        handler: Some(add::zadd),
        since: "1.2.0",
        complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
        summary: "Adds one or more members to a sorted set, or updates their scores. Creates the key if it doesn't exist.",
        ..spec(250, "zadd", -4, Flags::GROW_FAST)
    },
    Spec {
        handler: Some(score::zscore),
        since: "1.2.0",
        summary: "Returns the score of a member in a sorted set.",
        ..spec(251, "zscore", 3, Flags::READ_FAST)
    },
    Spec {
        handler: Some(score::zmscore),
        since: "6.2.0",
        complexity: "O(N) where N is the number of members being requested.",
        summary: "Returns the score of one or more members in a sorted set.",
        ..spec(252, "zmscore", -3, Flags::READ_FAST)
    },
    Spec {
        handler: Some(add::zincrby),
        since: "1.2.0",
        complexity: "O(log(N)) where N is the number of elements in the sorted set.",
        summary: "Increments the score of a member in a sorted set.",
        ..spec(253, "zincrby", 4, Flags::GROW_FAST)
    },
    Spec {
        handler: Some(score::zcard),
        since: "1.2.0",
        summary: "Returns the number of members in a sorted set.",
        ..spec(254, "zcard", 2, Flags::READ_FAST)
    },
    Spec {
        handler: Some(add::zrem),
        since: "1.2.0",
        complexity: "O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to be removed.",
        summary: "Removes one or more members from a sorted set. Deletes the sorted set if all members were removed.",
        ..spec(255, "zrem", -3, Flags::WRITE_FAST)
    },
    Spec {
        handler: Some(score::zrank),
        since: "2.0.0",
        complexity: "O(log(N))",
        summary: "Returns the index of a member in a sorted set ordered by ascending scores.",
        ..spec(256, "zrank", -3, Flags::READ_FAST)
    },
    Spec {
        handler: Some(score::zrevrank),
        since: "2.0.0",
        complexity: "O(log(N))",
        summary: "Returns the index of a member in a sorted set ordered by descending scores.",
        ..spec(257, "zrevrank", -3, Flags::READ_FAST)
    },
    Spec {
        handler: Some(range::zrange),
        since: "1.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
        summary: "Returns members in a sorted set within a range of indexes.",
        ..spec(258, "zrange", -4, Flags::READ)
    },
    Spec {
        handler: Some(range::zrangestore),
        keys: TWO_KEYS,
        since: "6.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements stored into the destination key.",
        summary: "Stores a range of members from sorted set in a key.",
        ..spec(259, "zrangestore", -5, Flags::GROW)
    },
    Spec {
        handler: Some(range::zrevrange),
        since: "1.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
        summary: "Returns members in a sorted set within a range of indexes in reverse order.",
        ..spec(260, "zrevrange", -4, Flags::READ)
    },
    Spec {
        handler: Some(range::zrangebyscore),
        since: "1.0.5",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        summary: "Returns members in a sorted set within a range of scores.",
        ..spec(261, "zrangebyscore", -4, Flags::READ)
    },
    Spec {
        handler: Some(range::zrevrangebyscore),
        since: "2.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        summary: "Returns members in a sorted set within a range of scores in reverse order.",
        ..spec(262, "zrevrangebyscore", -4, Flags::READ)
    },
    Spec {
        handler: Some(range::zrangebylex),
        since: "2.8.9",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        summary: "Returns members in a sorted set within a lexicographical range.",
        ..spec(263, "zrangebylex", -4, Flags::READ)
    },
    Spec {
        handler: Some(range::zrevrangebylex),
        since: "2.8.9",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        summary: "Returns members in a sorted set within a lexicographical range in reverse order.",
        ..spec(264, "zrevrangebylex", -4, Flags::READ)
    },
    Spec {
        handler: Some(range::zcount),
        since: "2.0.0",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        summary: "Returns the count of members in a sorted set that have scores within a range.",
        ..spec(265, "zcount", 4, Flags::READ_FAST)
    },
    Spec {
        handler: Some(range::zlexcount),
        since: "2.8.9",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        summary: "Returns the number of members in a sorted set within a lexicographical range.",
        ..spec(266, "zlexcount", 4, Flags::READ_FAST)
    },
    Spec {
        handler: Some(pop::zpopmin),
        since: "5.0.0",
        complexity: "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
        summary: "Returns the lowest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.",
        ..spec(267, "zpopmin", -2, Flags::WRITE_FAST)
    },
    Spec {
        handler: Some(pop::zpopmax),
        since: "5.0.0",
        complexity: "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
        summary: "Returns the highest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.",
        ..spec(268, "zpopmax", -2, Flags::WRITE_FAST)
    },
    Spec {
        handler: Some(pop::zmpop),
        keys: Keys::Counted { at: 1, first: 0 },
        since: "7.0.0",
        complexity: "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
        summary: "Returns the highest- or lowest-scoring members from one or more sorted sets after removing them. Deletes the sorted set if the last member was popped.",
        ..spec(269, "zmpop", -4, Flags::WRITE.or(Flags::MOVABLE_KEYS))
    },
    Spec {
        handler: Some(range::zremrangebyrank),
        since: "2.0.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        summary: "Removes members in a sorted set within a range of indexes. Deletes the sorted set if all members were removed.",
        ..spec(270, "zremrangebyrank", 4, Flags::WRITE)
    },
    Spec {
        handler: Some(range::zremrangebyscore),
        since: "1.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        summary: "Removes members in a sorted set within a range of scores. Deletes the sorted set if all members were removed.",
        ..spec(271, "zremrangebyscore", 4, Flags::WRITE)
    },
    Spec {
        handler: Some(range::zremrangebylex),
        since: "2.8.9",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        summary: "Removes members in a sorted set within a lexicographical range. Deletes the sorted set if all members were removed.",
        ..spec(272, "zremrangebylex", 4, Flags::WRITE)
    },
    Spec {
        handler: Some(score::zrandmember),
        since: "6.2.0",
        complexity: "O(N) where N is the number of members returned",
        summary: "Returns one or more random members from a sorted set.",
        ..spec(273, "zrandmember", -2, Flags::READ)
    },
    Spec {
        handler: Some(algebra::zunion),
        keys: Keys::Counted { at: 1, first: 0 },
        since: "6.2.0",
        complexity: "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
        summary: "Returns the union of multiple sorted sets.",
        ..spec(274, "zunion", -3, Flags::READ.or(Flags::MOVABLE_KEYS))
    },
    Spec {
        handler: Some(algebra::zinter),
        keys: Keys::Counted { at: 1, first: 0 },
        since: "6.2.0",
        complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
        summary: "Returns the intersect of multiple sorted sets.",
        ..spec(275, "zinter", -3, Flags::READ.or(Flags::MOVABLE_KEYS))
    },
    Spec {
        handler: Some(algebra::zdiff),
        keys: Keys::Counted { at: 1, first: 0 },
        since: "6.2.0",
        complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
        summary: "Returns the difference between multiple sorted sets.",
        ..spec(276, "zdiff", -3, Flags::READ.or(Flags::MOVABLE_KEYS))
    },
    Spec {
        handler: Some(algebra::zunionstore),
        keys: Keys::Counted { at: 2, first: 1 },
        since: "2.0.0",
        complexity: "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
        summary: "Stores the union of multiple sorted sets in a key.",
        ..spec(277, "zunionstore", -4, Flags::GROW.or(Flags::MOVABLE_KEYS))
    },
    Spec {
        handler: Some(algebra::zinterstore),
        keys: Keys::Counted { at: 2, first: 1 },
        since: "2.0.0",
        complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
        summary: "Stores the intersect of multiple sorted sets in a key.",
        ..spec(278, "zinterstore", -4, Flags::GROW.or(Flags::MOVABLE_KEYS))
    },
    Spec {
        handler: Some(algebra::zdiffstore),
        keys: Keys::Counted { at: 2, first: 1 },
        since: "6.2.0",
        complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
        summary: "Stores the difference of multiple sorted sets in a key.",
        ..spec(279, "zdiffstore", -4, Flags::GROW.or(Flags::MOVABLE_KEYS))
    },
    Spec {
        handler: Some(algebra::zintercard),
        keys: Keys::Counted { at: 1, first: 0 },
        since: "7.0.0",
        complexity: "O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.",
        summary: "Returns the number of members of the intersect of multiple sorted sets.",
        ..spec(280, "zintercard", -3, Flags::READ.or(Flags::MOVABLE_KEYS))
    },
    Spec {
        handler: Some(score::zscan),
        since: "2.8.0",
        complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
        summary: "Iterates over members and scores of a sorted set.",
        ..spec(281, "zscan", -3, Flags::READ)
    },
];
