//! Commands on the node: what they are. The node answers them.

use super::connection::{ADMIN, CONTAINER, HELP, HELP_SUMMARY, QUICK, session};
use super::spec::{Category, Flags, Group, Spec};

/// A command of the server group; the fields that differ are given.
pub(super) const fn spec(
    id: u16,
    name: &'static str,
    arity: i32,
    flags: Flags,
    summary: &'static str,
) -> Spec {
    session(id, name, arity, flags, Group::Server, summary)
}

/// `HELP` of a container.
pub(super) const fn help(id: u16, name: &'static str) -> Spec {
    Spec {
        since: "5.0.0",
        ..spec(id, name, 2, HELP, HELP_SUMMARY)
    }
}

/// Redis counts these as dangerous although their flags do not say admin.
const GUARDED: Category = Category(Category::ADMIN.0 | Category::DANGEROUS.0);

pub(super) const SPECS: &[Spec] = &[
    Spec {
        since: "2.6.0",
        ..spec(440, "time", 1, QUICK, "Returns the server time.")
    },
    Spec {
        category: Category::DANGEROUS,
        ..spec(
            441,
            "info",
            -1,
            HELP,
            "Returns information and statistics about the server.",
        )
    },
    Spec {
        since: "2.0.0",
        complexity: CONTAINER,
        subcommands: CONFIG,
        ..spec(
            442,
            "config",
            -2,
            Flags::NONE,
            "A container for server configuration commands.",
        )
    },
    Spec {
        since: "2.8.13",
        complexity: "O(N) where N is the total number of commands",
        category: Category::CONNECTION,
        subcommands: COMMAND,
        ..spec(
            450,
            "command",
            -1,
            HELP,
            "Returns detailed information about all commands.",
        )
    },
    Spec {
        group: Group::Generic,
        category: Category::CONNECTION,
        since: "3.0.0",
        ..spec(
            460,
            "wait",
            3,
            Flags::NOSCRIPT,
            "Blocks until the connection's writes are held by so many replicas. \
             Returns the number of replicas that hold them.",
        )
    },
    Spec {
        group: Group::Generic,
        category: Category::CONNECTION,
        since: "7.2.0",
        ..spec(
            461,
            "waitaof",
            4,
            Flags::NOSCRIPT,
            "Blocks until the connection's writes are on the disks of this node and of so many \
             replicas.",
        )
    },
    spec(
        462,
        "shutdown",
        -1,
        ADMIN.or(Flags::NO_MULTI).or(Flags::ALLOW_BUSY),
        "Takes what is acknowledged to the disk and stops the node.",
    ),
    Spec {
        since: "5.0.0",
        ..spec(
            475,
            "lolwut",
            -1,
            Flags::READONLY.or(Flags::FAST),
            "Displays computer art and the version.",
        )
    },
    Spec {
        since: "2.8.12",
        category: GUARDED,
        ..spec(
            476,
            "role",
            1,
            QUICK.or(Flags::NOSCRIPT),
            "Returns the replication role.",
        )
    },
    Spec {
        complexity: "O(N) where N is the number of keys changed since the last checkpoint",
        ..spec(
            477,
            "save",
            1,
            Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::NO_MULTI),
            "Takes a checkpoint and waits for it.",
        )
    },
    spec(
        478,
        "bgsave",
        -1,
        Flags::ADMIN.or(Flags::NOSCRIPT),
        "Begins a checkpoint.",
    ),
    spec(
        479,
        "bgrewriteaof",
        1,
        Flags::ADMIN.or(Flags::NOSCRIPT),
        "Begins a checkpoint, after which the log before it goes.",
    ),
    Spec {
        category: GUARDED,
        ..spec(
            480,
            "lastsave",
            1,
            QUICK,
            "Returns the Unix timestamp of the last checkpoint.",
        )
    },
];

const CONFIG: &[Spec] = &[
    Spec {
        since: "2.0.0",
        complexity: "O(N) when N is the number of configuration parameters provided",
        ..spec(
            443,
            "config|get",
            -3,
            ADMIN,
            "Returns the effective values of configuration parameters.",
        )
    },
    Spec {
        since: "2.0.0",
        complexity: "O(N) when N is the number of configuration parameters provided",
        ..spec(
            444,
            "config|set",
            -4,
            ADMIN,
            "Sets configuration parameters in-flight.",
        )
    },
    Spec {
        since: "2.0.0",
        ..spec(
            445,
            "config|resetstat",
            2,
            ADMIN,
            "Resets the server's statistics.",
        )
    },
    Spec {
        since: "2.8.0",
        ..spec(
            446,
            "config|rewrite",
            2,
            ADMIN,
            "Persists the effective configuration to file.",
        )
    },
    help(447, "config|help"),
];

/// A subcommand of `COMMAND`.
const fn command(id: u16, name: &'static str, arity: i32, summary: &'static str) -> Spec {
    Spec {
        since: "2.8.13",
        category: Category::CONNECTION,
        complexity: "O(N) where N is the number of commands to look up",
        ..spec(id, name, arity, HELP, summary)
    }
}

const COMMAND: &[Spec] = &[
    Spec {
        complexity: "O(1)",
        ..command(451, "command|count", 2, "Returns a count of commands.")
    },
    Spec {
        since: "7.0.0",
        ..command(
            452,
            "command|docs",
            -2,
            "Returns documentary information about one, multiple or all commands.",
        )
    },
    command(
        453,
        "command|info",
        -2,
        "Returns information about one, multiple or all commands.",
    ),
    Spec {
        since: "7.0.0",
        complexity: "O(N) where N is the total number of commands",
        ..command(454, "command|list", -2, "Returns a list of command names.")
    },
    Spec {
        complexity: "O(N) where N is the number of arguments to the command",
        ..command(
            455,
            "command|getkeys",
            -3,
            "Extracts the key names from an arbitrary command.",
        )
    },
    Spec {
        since: "7.0.0",
        complexity: "O(N) where N is the number of arguments to the command",
        ..command(
            456,
            "command|getkeysandflags",
            -3,
            "Extracts the key names and access flags for an arbitrary command.",
        )
    },
    Spec {
        category: Category::CONNECTION,
        ..help(457, "command|help")
    },
];
