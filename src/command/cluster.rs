//! Commands on the cluster: Redis' read-only ones, and `RAFT` for those that change it. The node
//! answers them.

use super::connection::{ADMIN, CONTAINER, HELP, PLAIN, session};
use super::server::help;
use super::spec::{Category, Flags, Group, Spec};

/// A command of the cluster group; the fields that differ are given.
const fn spec(
    id: u16,
    name: &'static str,
    arity: i32,
    flags: Flags,
    summary: &'static str,
) -> Spec {
    session(id, name, arity, flags, Group::Cluster, summary)
}

pub(super) const SPECS: &[Spec] = &[
    Spec {
        since: "3.0.0",
        category: Category::CONNECTION,
        ..spec(
            500,
            "asking",
            1,
            Flags::FAST,
            "Signals that the connection follows an -ASK redirect; there are none here.",
        )
    },
    Spec {
        since: "3.0.0",
        complexity: CONTAINER,
        subcommands: CLUSTER,
        ..spec(
            501,
            "cluster",
            -2,
            Flags::NONE,
            "A container for commands that show the cluster.",
        )
    },
    Spec {
        complexity: CONTAINER,
        subcommands: RAFT,
        ..spec(
            520,
            "raft",
            -2,
            Flags::NONE,
            "A container for commands on the Raft group.",
        )
    },
    raft(540, "raftaddpeer", -2, ADD_PEER),
    raft(541, "raftremovepeer", 2, REMOVE_PEER),
    asked(542, "raftpeers", 1, PEERS),
    asked(543, "raftleader", 1, LEADER),
    raft(544, "raftsnapshot", 1, SNAPSHOT),
    asked(545, "raftstate", 1, STATE),
    asked(546, "raftstats", 1, STATS),
];

const ADD_PEER: &str = "Takes a running node in: a learner, and a voter once it has caught up.";
const REMOVE_PEER: &str = "Removes a member from the cluster.";
const PEERS: &str = "Returns the members of the cluster and what is known of each.";
const LEADER: &str = "Returns the leader's address, or null where none is known.";
const SNAPSHOT: &str = "Takes a checkpoint on this node and waits for it.";
const STATE: &str = "Returns this node's role: leader, follower, candidate, learner, down.";
const STATS: &str = "Returns this node's view of the Raft group, as INFO raft.";

/// A command that only looks.
const fn asked(id: u16, name: &'static str, arity: i32, summary: &'static str) -> Spec {
    Spec {
        complexity: "O(N) where N is the number of members",
        ..spec(id, name, arity, HELP, summary)
    }
}

/// A command that changes the cluster, or makes a node work.
const fn raft(id: u16, name: &'static str, arity: i32, summary: &'static str) -> Spec {
    Spec {
        complexity: "O(N) where N is what has to be sent or written before it holds",
        ..spec(id, name, arity, ADMIN.or(Flags::NO_MULTI), summary)
    }
}

const RAFT: &[Spec] = &[
    asked(521, "raft|leader", 2, LEADER),
    asked(522, "raft|state", 2, STATE),
    asked(523, "raft|stats", 2, STATS),
    asked(524, "raft|peers", 2, PEERS),
    raft(525, "raft|addpeer", -3, ADD_PEER),
    raft(526, "raft|removepeer", 3, REMOVE_PEER),
    raft(
        527,
        "raft|promote",
        3,
        "Gives a learner a vote, once it has caught up.",
    ),
    raft(528, "raft|demote", 3, "Takes a voter's vote."),
    raft(
        529,
        "raft|transfer",
        -2,
        "Hands leadership to a voter: the one named, or the one that has most of the log.",
    ),
    raft(530, "raft|snapshot", 2, SNAPSHOT),
    asked(
        531,
        "raft|digest",
        2,
        "Returns how the members' digests compare: where they last agreed, and whether they \
         ever differed.",
    ),
    help(532, "raft|help"),
];

/// A subcommand of `CLUSTER` that shows members.
const fn cluster(id: u16, name: &'static str, since: &'static str, summary: &'static str) -> Spec {
    Spec {
        since,
        ..asked(id, name, 2, summary)
    }
}

const CLUSTER: &[Spec] = &[
    cluster(
        502,
        "cluster|info",
        "3.0.0",
        "Returns information about the state of the node's cluster.",
    ),
    cluster(
        503,
        "cluster|slots",
        "3.0.0",
        "Returns the leader as owner of all slots, and its followers.",
    ),
    cluster(
        504,
        "cluster|shards",
        "7.0.0",
        "Returns the only shard there is: all slots, and the members.",
    ),
    cluster(
        505,
        "cluster|nodes",
        "3.0.0",
        "Returns the members as lines of Redis Cluster's configuration.",
    ),
    cluster(506, "cluster|myid", "3.0.0", "Returns this node's id."),
    cluster(
        507,
        "cluster|myshardid",
        "7.2.0",
        "Returns the id that all members have in common.",
    ),
    Spec {
        since: "3.0.0",
        complexity: "O(N) where N is the number of bytes in the key",
        ..spec(
            508,
            "cluster|keyslot",
            3,
            PLAIN,
            "Returns the hash slot of a key.",
        )
    },
    Spec {
        since: "3.0.0",
        complexity: "O(N) where N is the number of keys in the slot's shard and database, \
                     in slices between other requests",
        ..spec(
            509,
            "cluster|countkeysinslot",
            3,
            Flags::STALE,
            "Returns the number of keys in a hash slot.",
        )
    },
    Spec {
        since: "3.0.0",
        complexity: "O(N) where N is the number of keys in the slot's shard and database, \
                     in slices between other requests, until enough are found",
        ..spec(
            510,
            "cluster|getkeysinslot",
            4,
            Flags::STALE,
            "Returns keys in a hash slot.",
        )
    },
    Spec {
        since: "5.0.0",
        ..help(511, "cluster|help")
    },
];
