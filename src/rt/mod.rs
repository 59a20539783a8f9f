//! The glommio seam: placement, tasks, timers, our own io_uring ring, cross-core rings, wakes.
//!
//! Each core runs one stock glommio executor, for its tasks. Sockets and files go through a ring of
//! our own ([`ring`]): glommio's lacks COOP_TASKRUN, and its TCP streams cost a poll and two calls a
//! request. The core's main task ends its turns there ([`Ring::rest`]): the executor's other tasks
//! run, timers fire ([`timer`]), and when nothing is left the thread sleeps in our ring, where the
//! kernel and other cores' doorbells ([`park`]) wake it. glommio's own reactor, at whose rings a sleep
//! and a wake cost some fifteen system calls, does not run at all.
//!
//! Invariants
//! - `glommio::` is named here and in `raft/runtime` alone.
//! - A ring is entered by one thread only, the one that made it (SINGLE_ISSUER).
//! - A buffer that the kernel may write to or read from is owned by the ring until its completion.
//! - A core that is about to sleep has said so before it looked at its queues for the last time, so
//!   that whoever pushes after that look rings its doorbell.
//! - What other threads wake is awaited through [`cross_thread`].
//!
//! Not done here: what the bytes mean (`resp/`, `log/`), and an epoll fallback for kernels before
//! 6.1.

pub mod buffers;
mod cross;
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
pub mod timer;

pub use cross::{Crossing, cross_thread};
pub use executor::{Placement, Settings, counted, sleep, spawn, yield_now};
pub use park::{Doorbell, Parker};
pub use ring::{Completion, Ring};
#[cfg(feature = "sim")]
pub use sim::{net, park, scratch};
