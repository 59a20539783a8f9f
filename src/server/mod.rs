//! The wires in front of the engine: TCP connections that speak RESP.
//!
//! Invariants
//! - Requests are decoded in the buffer that the kernel wrote them to; only what is left of an
//!   incomplete one, or of a connection that has to wait, is copied.
//! - A connection has one send under way at most; what is written meanwhile goes out with the next.
//! - A connection that does not read its replies, or whose requests wait, is not read: first its
//!   receive is cancelled, then, past the output limit, it is closed.
//! - A slot is used again only when the kernel is through with the old connection's operations.
//!
//! Not done here: TLS, Unix sockets.

mod connection;
mod connections;

pub use connections::{Connections, Limits};
