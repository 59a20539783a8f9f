//! What the tests stand on: servers that end with their test, and connections that count bytes.
//!
//! - A server listens on a free port of the loopback and writes into a directory of its own.
//! - It ends with its test, also when the test panics or the test process is killed; what it said
//!   is shown when its test fails.
//! - Everything that waits has a deadline.

mod cluster;
mod link;
mod network;
mod node;
mod port;
mod seed;
mod server;
mod value;
mod wire;

pub use cluster::{Cluster, Entrance, SMALL};
pub use link::Connection;
pub use network::Way;
pub use node::{Ended, Node, program, run_to_end, signal};
pub use port::free_port;
pub use seed::{Seed, seed_of};
pub use server::Server;
pub use value::{Value, bulk, command, encode, error, field, integer, ok};
pub use wire::Wire;

use std::time::{Duration, Instant};

/// Longest that anything is waited for: a debug build on two busy cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a node's peer port lies above its port.
const PEER_OFFSET: u16 = 10_000;

/// Numbers of cores that most tests run at: everything on one; four shards beside a Raft core.
pub const CORES: [usize; 2] = [1, 5];

/// Runs a test at each of [`CORES`].
pub fn on_each(test: impl Fn(Server)) {
    for cores in CORES {
        test(Server::start(cores, &[]));
    }
}

/// Waits until `done` answers true.
///
/// # Panics
/// When that takes longer than [`PATIENCE`].
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
