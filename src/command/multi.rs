//! Transactions: what their commands are. The session queues, the node proposes the whole as one
//! mutation.

use super::connection::{PLAIN, QUICK, session};
use super::spec::{Flags, Group, Keys, Spec};

const fn spec(
    id: u16,
    name: &'static str,
    arity: i32,
    flags: Flags,
    summary: &'static str,
) -> Spec {
    session(id, name, arity, flags, Group::Transactions, summary)
}

const QUEUEING: Flags = QUICK.or(Flags::NOSCRIPT).or(Flags::ALLOW_BUSY);

pub(super) const SPECS: &[Spec] = &[
    Spec {
        since: "1.2.0",
        ..spec(320, "multi", 1, QUEUEING, "Starts a transaction.")
    },
    Spec {
        since: "1.2.0",
        complexity: "Depends on commands in the transaction",
        ..spec(
            321,
            "exec",
            1,
            PLAIN,
            "Executes all commands in a transaction.",
        )
    },
    Spec {
        since: "2.0.0",
        complexity: "O(N), when N is the number of queued commands",
        ..spec(322, "discard", 1, QUEUEING, "Discards a transaction.")
    },
    Spec {
        since: "2.2.0",
        complexity: "O(1) for every key.",
        keys: Keys::Range {
            first: 1,
            last: -1,
            step: 1,
        },
        ..spec(
            323,
            "watch",
            -2,
            QUEUEING,
            "Monitors changes to keys to determine the execution of a transaction.",
        )
    },
    Spec {
        since: "2.2.0",
        ..spec(
            324,
            "unwatch",
            1,
            QUEUEING,
            "Forgets about watched keys of a transaction.",
        )
    },
];
