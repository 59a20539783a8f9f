//! RESP2 and RESP3: bytes to requests, replies to bytes. No I/O, no clock.
//!
//! Invariants
//! - A request's arguments are slices of the buffer it was read into; nothing is copied.
//! - The decoder never looks at a byte twice: an incomplete request is resumed where it broke off.
//! - What a client claims (`*1000000`, `$536870912`) reserves no memory; only bytes that came do.
//! - Malformed input is a [`ProtocolError`] with Redis' text, never a panic.
//!
//! Not done here: replies from a server are not parsed (clients do that).

mod args;
mod decode;
mod encode;
mod number;
mod reply;

pub use args::{Args, Span};
pub use decode::{Decoded, Decoder, ProtocolError};
pub use encode::{Protocol, encode, encode_array_header, encode_bulk, encode_error, encode_int};
pub use number::{format_double, parse_double, parse_int};
pub use reply::{Error, Reply};
