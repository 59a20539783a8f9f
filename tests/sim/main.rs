//! The whole replicated machine in one thread under one seed.
//!
//! Three or five nodes as they are in the product (boot, transport, openraft, sequencer, forwarding,
//! shards, checkpoints, commands) on a virtual clock, network and disk, with clients on every node
//! and a nemesis that cuts, slows, kills and fills. A seed gives the same run, poll for poll; a run
//! ends with everything healed and then has to hold:
//!
//! - every node answers one write and a read of every key, and a node that runs has answered
//!   whatever it was asked, if only that it does not know;
//! - single keys are linearizable (`porcupine`), the reads at the end on every node included;
//! - transactions over several keys are strictly serializable (`adya`);
//! - every node has the same dataset at the same log index;
//! - so no write was lost that was acknowledged at a level that promised to keep it.
//!
//! `cargo test --features sim --test sim` runs the seeds of every change. At length:
//! `QUORATE_SIM_STEPS=5000000 cargo test --features sim --test sim -- --ignored at_length`, from
//! `QUORATE_SIM_SEED` on. One seed with everything the nodes say:
//! `QUORATE_SIM_SEED=17 QUORATE_SIM_LOG=debug cargo test --features sim --test sim -- --ignored one_seed`.
//!
//! Not simulated: the log's files and fjall (a model of what they promise stands in: `disk`), the
//! kernel's TCP (`rt::sim::net`), client sockets, the turns of `node::Core` (followed in
//! `node::simulated`), and threads: all cores of a node share the one.

mod bugs;
mod check;
mod client;
mod cluster;
mod disk;
mod ending;
#[path = "../history/mod.rs"]
mod history;
mod nemesis;
mod record;
mod reply;
mod run;
mod seeds;
mod stories;
mod system;
mod workload;
