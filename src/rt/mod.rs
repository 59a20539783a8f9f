//! The glommio seam: placement, tasks, timers, our own io_uring ring, cross-core rings, wakes.
//!
//! Each core runs one stock glommio executor. Sockets and files go through a second ring of our
//! own ([`ring`]): glommio's lacks COOP_TASKRUN, and its TCP streams cost a poll and two calls a
//! request. The core's main task polls that ring once a turn and lets the executor's other tasks
//! run in between ([`yield_now`]), once a millisecond its reactor too ([`visit_reactor`]): glommio's
//! own preemption is off, for the reason given in [`executor`]. When nothing is left it parks on an
//! eventfd that the kernel signals on completions and other cores ring ([`park`]).
//!
//! Invariants
//! - `glommio::` is named here and in `raft/runtime` alone.
//! - A ring is entered by one thread only, the one that made it (SINGLE_ISSUER).
//! - A buffer that the kernel may write to or read from is owned by the ring until its completion.
//! - A core that is about to park has said so before it looked at its queues for the last time, so
//!   that whoever pushes after that look rings its doorbell.
//!
//! Not done here: what the bytes mean (`resp/`, `log/`), and an epoll fallback for kernels before
//! 6.1.

pub mod buffers;
pub mod executor;
pub mod file;
pub mod mesh;
#[cfg(not(feature = "sim"))]
pub mod net;
#[cfg(not(feature = "sim"))]
pub mod park;
pub mod ring;
#[cfg(not(feature = "sim"))]
pub mod scratch;
#[cfg(feature = "sim")]
pub mod sim;
pub mod socket;

pub use executor::{Placement, Settings, sleep, spawn, visit_reactor, yield_now};
pub use park::{Doorbell, Parker};
pub use ring::{Completion, Ring};
#[cfg(feature = "sim")]
pub use sim::{net, park, scratch};
