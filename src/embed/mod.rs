//! The engine inside an application: its own threads and tasks take the place of clients' sockets.
//!
//! ```text
//! application thread                         core
//! Node, Session -> Call -> line  ----------> seats -> node::Engine
//!                   ^      (one per core)      |
//!                   +---- reply, waker <-------+
//! ```
//!
//! Each core has a line ([`lane`]) in which calls wait for it, and a front ([`seats`]) that gives
//! each the [`node::Client`](crate::node::Client) that a connection would have.
//!
//! Invariants
//! - A call is carried out once or not at all, and its future always resolves: with the reply, or
//!   with what is known of it when the node stops.
//! - A future that is dropped before its core has taken its call takes it back; dropped later, only
//!   the reply is lost.
//! - A call's request and its reply belong to its future: what waits is bounded by the futures that
//!   there are, and a core takes over no more than the bounds in `limits` say.
//! - A session's calls are carried out and answered in the order in which they were first polled.
//! - No core waits for an application thread: what both touch is locked for a few moves at a time.
//! - Nothing here outlives the node but futures that were answered.
//!
//! Not done here: commands of the application's own, typed calls for each command, blocking and
//! pub/sub commands beyond what the command table has.

mod builder;
mod call;
mod ending;
mod error;
mod handle;
mod lane;
mod parse;
mod published;
mod reply;
mod request;
mod seats;
mod session;
mod wait;

#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use call::Call;
pub use ending::Ending;
pub use error::Error;
pub use handle::{Node, Ready};
pub use reply::Reply;
pub use session::Session;
