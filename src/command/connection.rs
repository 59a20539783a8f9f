//! Commands on the connection itself. The node answers them from the session; what stands here is
//! what they are.

use super::spec::{Flags, Group, Keys, Route, Spec};

/// A command that the core of the connection answers; the fields that differ are given.
pub(super) const fn session(
    id: u16,
    name: &'static str,
    arity: i32,
    flags: Flags,
    group: Group,
    summary: &'static str,
) -> Spec {
    Spec {
        keys: Keys::None,
        route: Route::Session,
        summary,
        ..Spec::on_key(group, id, name, arity, flags)
    }
}

const fn spec(
    id: u16,
    name: &'static str,
    arity: i32,
    flags: Flags,
    summary: &'static str,
) -> Spec {
    session(id, name, arity, flags, Group::Connection, summary)
}

/// May be sent at any time, and costs nothing.
pub(super) const QUICK: Flags = Flags::LOADING.or(Flags::STALE).or(Flags::FAST);
/// A subcommand that reports or changes something of the connection.
pub(super) const PLAIN: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE);
/// A subcommand for whoever runs the server.
pub(super) const ADMIN: Flags = PLAIN.or(Flags::ADMIN);
/// `HELP` of a container.
pub(super) const HELP: Flags = Flags::LOADING.or(Flags::STALE);

const GREETING: Flags = QUICK
    .or(Flags::NOSCRIPT)
    .or(Flags::NO_AUTH)
    .or(Flags::ALLOW_BUSY);

pub(super) const HELP_SUMMARY: &str = "Returns helpful text about the different subcommands.";
pub(super) const CONTAINER: &str = "Depends on subcommand.";

pub(super) const SPECS: &[Spec] = &[
    spec(
        400,
        "ping",
        -1,
        Flags::FAST,
        "Returns the server's liveliness response.",
    ),
    spec(401, "echo", 2, QUICK, "Returns the given string."),
    Spec {
        since: "6.0.0",
        ..spec(402, "hello", -1, GREETING, "Handshakes with the server.")
    },
    spec(403, "select", 2, QUICK, "Changes the selected database."),
    spec(404, "quit", -1, GREETING, "Closes the connection."),
    Spec {
        since: "6.2.0",
        ..spec(405, "reset", 1, GREETING, "Resets the connection.")
    },
    Spec {
        complexity: "O(N) where N is the number of passwords defined for the user",
        ..spec(406, "auth", -2, GREETING, "Authenticates the connection.")
    },
    Spec {
        since: "2.4.0",
        complexity: CONTAINER,
        subcommands: CLIENT,
        ..spec(
            407,
            "client",
            -2,
            Flags::NONE,
            "A container for client connection commands.",
        )
    },
    Spec {
        since: "3.0.0",
        ..spec(
            430,
            "readonly",
            1,
            QUICK,
            "Lets the connection's reads be answered by any node, stale ones included.",
        )
    },
    Spec {
        since: "3.0.0",
        ..spec(
            431,
            "readwrite",
            1,
            QUICK,
            "Brings the connection's reads back to the server's consistency.",
        )
    },
    Spec {
        keys: Keys::Custom(super::levels::keys_of_with),
        complexity: "That of the command.",
        ..spec(
            432,
            "with",
            -4,
            Flags::NOSCRIPT.or(Flags::MOVABLE_KEYS),
            "Runs one command at its own durability or consistency.",
        )
    },
];

const CLIENT: &[Spec] = &[
    Spec {
        since: "5.0.0",
        ..spec(
            408,
            "client|id",
            2,
            PLAIN,
            "Returns the unique client ID of the connection.",
        )
    },
    Spec {
        since: "6.2.0",
        ..spec(
            409,
            "client|info",
            2,
            PLAIN,
            "Returns information about the connection.",
        )
    },
    Spec {
        since: "2.4.0",
        complexity: "O(N) where N is the number of client connections",
        ..spec(410, "client|list", -2, ADMIN, "Lists open connections.")
    },
    Spec {
        since: "2.4.0",
        complexity: "O(N) where N is the number of client connections",
        ..spec(
            411,
            "client|kill",
            -3,
            ADMIN,
            "Terminates open connections.",
        )
    },
    Spec {
        since: "2.6.9",
        ..spec(412, "client|setname", 3, PLAIN, "Sets the connection name.")
    },
    Spec {
        since: "2.6.9",
        ..spec(
            413,
            "client|getname",
            2,
            PLAIN,
            "Returns the name of the connection.",
        )
    },
    Spec {
        since: "7.2.0",
        ..spec(
            414,
            "client|setinfo",
            4,
            PLAIN,
            "Sets information specific to the client or connection.",
        )
    },
    Spec {
        since: "7.0.0",
        ..spec(
            415,
            "client|no-evict",
            3,
            ADMIN,
            "Sets the client eviction mode of the connection.",
        )
    },
    Spec {
        since: "7.2.0",
        ..spec(
            416,
            "client|no-touch",
            3,
            PLAIN,
            "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.",
        )
    },
    Spec {
        since: "3.2.0",
        ..spec(
            417,
            "client|reply",
            3,
            PLAIN,
            "Instructs the server whether to reply to commands.",
        )
    },
    Spec {
        since: "3.0.0",
        ..spec(
            418,
            "client|pause",
            -3,
            ADMIN,
            "Suspends commands processing.",
        )
    },
    Spec {
        since: "6.2.0",
        complexity: "O(N) Where N is the number of paused clients",
        ..spec(
            419,
            "client|unpause",
            2,
            ADMIN,
            "Resumes processing commands from paused clients.",
        )
    },
    Spec {
        since: "5.0.0",
        complexity: "O(log N) where N is the number of client connections",
        ..spec(
            420,
            "client|unblock",
            -3,
            ADMIN,
            "Unblocks a client blocked by a blocking command from a different connection.",
        )
    },
    Spec {
        since: "5.0.0",
        ..spec(421, "client|help", 2, HELP, HELP_SUMMARY)
    },
    spec(
        422,
        "client|consistency",
        -2,
        PLAIN,
        "Returns or sets the consistency of the connection's reads.",
    ),
    spec(
        423,
        "client|durability",
        -2,
        PLAIN,
        "Returns or sets the durability of the connection's writes.",
    ),
];
