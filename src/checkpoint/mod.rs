//! The durable image: a keyspace as it was at one position of the log, on disk in fjall.
//!
//! A checkpoint is written beside the one before it, in a keyspace of the storage engine of its
//! own (`image-<generation>`). Only when all its rows are on disk does the manifest name it; only
//! then is the one before dropped. So there is a whole image at every moment, or none yet.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `manifest` | `newest` | the [`CheckpointMeta`], see `meta.rs` |
//! | `image-<generation>` | slot, database, form, .. see `row.rs` | checksum, record of a chunk |
//!
//! Rows are in the order of slots, each entry in a row of its own, so that a node with any number of
//! shards, or a follower that takes over a range of slots, reads what it needs side by side.
//!
//! A checkpoint also comes from another node: an [`Export`] there, piece by piece (`piece.rs`), into
//! an [`Import`] here, which writes an image like any other, and a [`Supply`] that hands it to the
//! shards of the running node.
//!
//! Invariants
//! - The storage engine blocks, so it is only called on the thread of the [`Store`] (`checkpoint`),
//!   on the threads that a load, an export or a supply starts, and by [`Store::open`].
//! - What waits for the thread is bounded in bytes ([`crate::limits::CHECKPOINT_QUEUE_BYTES`]);
//!   who feeds it waits for room, without blocking.
//! - Each row carries its checksum, an image its number of entries and its digest. An image that
//!   is not whole is refused with the row named, never repaired.
//! - A checkpoint that fails leaves the one before as it was. The next attempt opens the storage
//!   engine anew, since a failed write poisons it.
//!
//! Not done here: when to write one, and what of the log can go then (`node/`); what the bytes of
//! a record mean to a keyspace (`keyspace/`). Writing only what changed since the last image will
//! come; an entry's row can be found by its key for that, unless the entry is of several rows.

#[cfg(not(feature = "sim"))]
mod export;
#[cfg(not(feature = "sim"))]
mod import;
#[cfg(not(feature = "sim"))]
mod load;
#[cfg_attr(feature = "sim", allow(dead_code))]
mod meta;
#[cfg(not(feature = "sim"))]
mod piece;
#[cfg(not(feature = "sim"))]
mod press;
#[cfg_attr(feature = "sim", allow(dead_code))]
mod queue;
#[cfg(not(feature = "sim"))]
mod row;
#[cfg(not(feature = "sim"))]
mod shelf;
#[cfg(feature = "sim")]
mod simulated;
#[cfg(not(feature = "sim"))]
mod store;
#[cfg(not(feature = "sim"))]
mod supply;
#[cfg(not(feature = "sim"))]
mod writer;

#[cfg(not(feature = "sim"))]
pub use export::Export;
#[cfg(not(feature = "sim"))]
pub use import::Import;
pub use meta::{CheckpointMeta, Origin};
pub use queue::Refused;
#[cfg(feature = "sim")]
pub use simulated::{Export, Feeder, Import, Shelf, Store, Supplied, Supply, Writer};
#[cfg(not(feature = "sim"))]
pub use store::Store;
#[cfg(not(feature = "sim"))]
pub use supply::{Supplied, Supply};
#[cfg(not(feature = "sim"))]
pub use writer::{Feeder, Writer};

#[cfg(test)]
mod import_tests;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod way_tests;
