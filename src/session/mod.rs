//! One connection's state, whatever carries it: protocol, database, transaction, levels, names.
//!
//! - It lives on the core that accepted the connection, and no other core sees it.
//! - Nothing of it is replicated: what a command needs of it travels with the command.
//!
//! Not done here: sockets (`server/`), and which commands change it (`node/`).

use crate::resp::Protocol;

/// What is kept of a connection between its commands.
#[derive(Debug, Default)]
pub struct Session {
    /// `CLIENT ID`: unique in the node, never reused.
    pub id: u64,
    pub protocol: Protocol,
    pub db: u8,
    pub name: Vec<u8>,
    pub library: Vec<u8>,
    pub library_version: Vec<u8>,
    pub address: String,
    pub local_address: String,
    /// Unix time in ms.
    pub connected_at_ms: u64,
    pub last_active_ms: u64,
    /// Name of the last command, for `CLIENT LIST`.
    pub last_command: &'static str,
    /// Replies are left out (`CLIENT REPLY OFF`), or the next one is (`SKIP`).
    pub reply_mode: ReplyMode,
    pub transaction: Option<Transaction>,
    pub watched: Vec<Watched>,
    /// Bytes of what is watched, keys included of which the version is still awaited.
    pub watched_bytes: usize,
    /// Level of writes where it differs from the server's.
    pub durability: Option<crate::config::Durability>,
    /// Level of reads where it differs from the server's.
    pub consistency: Option<crate::config::Consistency>,
}

/// A key that a connection watches, with the version it had then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    pub db: u8,
    pub version: u64,
    pub key: Vec<u8>,
}

/// Which replies a connection gets (`CLIENT REPLY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// Leave the next reply out.
    SkipNext,
}

/// A transaction being queued.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Database at MULTI, where a discarded transaction leaves the connection.
    pub db: u8,
    /// Commands as mutations, in order.
    pub queued: Vec<Vec<u8>>,
    /// Bytes queued.
    pub bytes: usize,
    /// A command was refused while queueing: EXEC will refuse all.
    pub broken: bool,
    /// Whether one of them writes.
    pub writes: bool,
}

impl Session {
    /// Back to what it was when the connection was made (`RESET`); name and levels included.
    pub fn reset(&mut self) {
        self.protocol = Protocol::Resp2;
        self.db = 0;
        self.name.clear();
        self.reply_mode = ReplyMode::On;
        self.transaction = None;
        self.unwatch();
        self.durability = None;
        self.consistency = None;
    }

    /// Watches nothing any more. Answers what it watched.
    pub fn unwatch(&mut self) -> Vec<Watched> {
        self.watched_bytes = 0;
        std::mem::take(&mut self.watched)
    }
}

impl Watched {
    /// What watching `key` takes, here and in the transaction.
    pub fn bytes_of(key: &[u8]) -> usize {
        size_of::<Watched>() + key.len()
    }
}
