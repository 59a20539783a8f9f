//! Commands that look into the node: latencies, memory, the slow log. The node answers them, but
//! for `MEMORY USAGE`, which looks at a key.

use crate::resp::{Args, Error, Reply, parse_int};

use super::connection::{ADMIN, CONTAINER, HELP};
use super::context::Context;
use super::server::{help, spec};
use super::spec::{Flags, Keys, Outcome, Route, Spec};

pub(super) const SPECS: &[Spec] = &[
    Spec {
        complexity: CONTAINER,
        ..spec(
            463,
            "debug",
            -2,
            ADMIN,
            "A container for debugging commands.",
        )
    },
    Spec {
        since: "2.8.13",
        complexity: CONTAINER,
        subcommands: LATENCY,
        ..spec(
            464,
            "latency",
            -2,
            Flags::NONE,
            "A container for latency diagnostics commands.",
        )
    },
    Spec {
        since: "4.0.0",
        complexity: CONTAINER,
        subcommands: MEMORY,
        ..spec(
            470,
            "memory",
            -2,
            Flags::NONE,
            "A container for memory diagnostics commands.",
        )
    },
    Spec {
        since: "2.2.12",
        complexity: CONTAINER,
        subcommands: SLOWLOG,
        ..spec(
            481,
            "slowlog",
            -2,
            Flags::NONE,
            "A container for slow log commands.",
        )
    },
];

const LATENCY: &[Spec] = &[
    Spec {
        since: "2.8.13",
        ..spec(
            465,
            "latency|doctor",
            2,
            ADMIN,
            "Returns a human-readable report of where the time of a write goes.",
        )
    },
    Spec {
        since: "7.0.0",
        complexity: "O(N) where N is the number of commands with latency information being \
                     retrieved.",
        ..spec(
            466,
            "latency|histogram",
            -2,
            ADMIN,
            "Returns the cumulative distribution of latencies of a subset or all commands.",
        )
    },
    Spec {
        since: "2.8.13",
        ..spec(467, "latency|reset", -2, ADMIN, "Resets the latency data.")
    },
    spec(
        468,
        "latency|stages",
        2,
        ADMIN,
        "Returns the latencies of the stages of a write.",
    ),
    Spec {
        since: "2.8.13",
        ..help(469, "latency|help")
    },
];

const MEMORY: &[Spec] = &[
    Spec {
        since: "4.0.0",
        keys: Keys::Range {
            first: 2,
            last: 2,
            step: 1,
        },
        route: Route::Read,
        handler: Some(memory_usage),
        ..spec(
            471,
            "memory|usage",
            -3,
            Flags::READONLY,
            "Estimates the memory usage of a key.",
        )
    },
    Spec {
        since: "4.0.0",
        ..spec(
            472,
            "memory|doctor",
            2,
            Flags::NONE,
            "Outputs a memory problems report.",
        )
    },
    Spec {
        since: "4.0.0",
        ..spec(
            473,
            "memory|stats",
            2,
            Flags::NONE,
            "Returns details about memory usage.",
        )
    },
    Spec {
        since: "4.0.0",
        ..help(474, "memory|help")
    },
];

/// A subcommand of `SLOWLOG`.
const fn slowlog(id: u16, name: &'static str, arity: i32, summary: &'static str) -> Spec {
    Spec {
        since: "2.2.12",
        ..spec(id, name, arity, HELP.or(Flags::ADMIN), summary)
    }
}

const SLOWLOG: &[Spec] = &[
    Spec {
        complexity: "O(N) where N is the number of entries returned",
        ..slowlog(482, "slowlog|get", -2, "Returns the slow log's entries.")
    },
    slowlog(
        483,
        "slowlog|len",
        2,
        "Returns the number of entries in the slow log.",
    ),
    Spec {
        complexity: "O(N) where N is the number of entries in the slowlog",
        ..slowlog(
            484,
            "slowlog|reset",
            2,
            "Clears all entries from the slow log.",
        )
    },
    Spec {
        since: "6.2.0",
        ..help(485, "slowlog|help")
    },
];

/// `MEMORY USAGE key [SAMPLES count]`: nothing is sampled, since structures count their bytes.
fn memory_usage<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    match args.len() {
        3 => {}
        5 if args.is(3, "samples") => {
            let samples = parse_int(args.get(4)).ok_or(Error::NOT_INTEGER)?;
            if samples < 0 {
                return Err(Error::SYNTAX);
            }
        }
        _ => return Err(Error::SYNTAX),
    }
    let key = args.get(2);
    Ok(match context.entry(key) {
        Some(entry) => {
            Reply::count(std::mem::size_of_val(entry) + key.len() + entry.value.heap_bytes())
        }
        None => Reply::Null,
    })
}
