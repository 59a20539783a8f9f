//! quorate: a Redis-protocol server in which an acknowledged write is on a quorum's disks and a
//! read is never stale unless asked.
//!
//! # Embedding
//! [`Node`] runs the engine inside an application: without client sockets, alone or as a member of
//! a cluster whose other members are applications like it, or servers. Commands go in by
//! [`Node::execute`] and [`Session::execute`], from any thread and any executor; the [`Call`] that
//! they give is a future, and [`Call::wait`] its blocking twin. Reads and writes work through every
//! member, at every level ([`Consistency`], [`Durability`]), as the server's do. An application
//! turns the feature `server` off.
//!
//! ```
//! use quorate::{Consistency, Durability, Node};
//!
//! # fn free() -> Vec<String> {
//! #     let bind = |_| std::net::TcpListener::bind("127.0.0.1:0").unwrap();
//! #     let free: Vec<_> = (0..6).map(bind).collect();
//! #     let port = |at: usize| free[at].local_addr().unwrap().port();
//! #     (0..3).map(|at| format!("127.0.0.1:{}@{}", port(2 * at), port(2 * at + 1))).collect()
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! // Three members, here in one process: `["10.0.0.1:7001", "10.0.0.2:7001", "10.0.0.3:7001"]`, say.
//! let addresses: Vec<String> = free();
//! let start = |number: usize| {
//!     Node::builder()
//!         .dir(folder.join(number.to_string()))
//!         .address(&addresses[number])
//!         .peers(&addresses)
//!         .secret("what strangers do not know")
//!         .start()
//! };
//! let nodes = [start(0)?, start(1)?, start(2)?];
//! for node in &nodes {
//!     node.ready().wait()?;
//! }
//!
//! // Written through one, on the disks of a quorum; seen through another, never stale.
//! nodes[0].execute(["SET", "greeting", "hello"]).wait()?;
//! let reply = nodes[1].execute(["GET", "greeting"]).at(Consistency::Linearizable).wait()?;
//! assert_eq!(reply.as_str(), Some("hello"));
//!
//! // One stops, be it the leader: the others go on. A write that may be done twice is tried until
//! // it is certain to have been done.
//! nodes[0].stop().wait()?;
//! let write = || nodes[1].execute(["SET", "greeting", "still here"]).with(Durability::High);
//! while let Err(error) = write().wait() {
//!     eprintln!("not yet: {error}");
//! }
//! let reply = nodes[2].execute(["GET", "greeting"]).wait()?;
//! assert_eq!(reply.as_str(), Some("still here"));
//! # for node in &nodes { node.stop(); }
//! # for node in &nodes { node.ended().wait()?; }
//! # Ok(())
//! # }
//! ```
//!
//! # How it is made
//! The binary is `src/main.rs` over this crate. [`node::start`] runs a node: cores, log, Raft group,
//! shards, checkpoints; what stands in front of it on each core is a [`node::Front`], of which
//! `server::Connections` (feature `server`) speaks RESP over TCP, and another takes the calls of an
//! embedding application.
//!
//! Where to begin to read: [`command`] says what the commands are, [`node`] how a request goes its
//! way, [`shard`] how commands over several cores become one point in time, [`log`](mod@log) what
//! lies on disk. What is no part of [embedding](#embedding) is public for the binary, the tests and the
//! benchmarks, and changes without notice.
//!
//! Modules are ranked; each imports only from strictly lower ranks (`tests/tidy` checks it). The
//! table of ranks, and the way of a GET and of a SET by file name, stand in `ARCHITECTURE.md`.

pub mod address;
pub mod clock;
pub mod error;
pub mod glob;
pub mod limits;
pub mod slot;

pub mod config;
pub mod database;
pub mod metrics;
pub mod resp;
pub mod rt;

pub mod checkpoint;
pub mod log;
pub mod value;

pub mod keyspace;
pub mod session;

pub mod command;
pub mod raft;

pub mod shard;

pub mod node;

mod embed;

pub use config::{Consistency, Durability};
pub use embed::{Builder, Call, Ending, Error, Node, Ready, Reply, Session};

#[cfg(feature = "server")]
pub mod server;
