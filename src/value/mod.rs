//! The data structures behind keys, with their small forms. Synchronous, no clock, no randomness.
//!
//! Invariants
//! - Equal histories give equal structures, iteration order included: what a replica does may
//!   depend on the order of a set's members, so no structure iterates in the order of a hash.
//! - A collection is never empty while it is in the keyspace.
//! - Every structure round-trips through [`Value::write_image`] and [`Value::read_image`], order
//!   included.
//!
//! Not done here: what commands make of them (`command/`), expiry (`keyspace/`).

pub mod chunk;
mod digest;
mod extended;
mod hash;
mod image;
mod list;
mod members;
mod order;
mod set;
mod text;
mod zset;

pub use digest::{DIGEST_BYTES, Digest};
pub use extended::Extended;
pub use hash::Hash;
pub use image::{ImageError, ImageReader};
pub use list::List;
pub use set::Set;
pub use text::Text;
pub use zset::SortedSet;

/// The value of a key.
#[derive(Debug, Clone)]
pub enum Value {
    String(Text),
    List(Box<List>),
    Set(Box<Set>),
    Hash(Box<Hash>),
    SortedSet(Box<SortedSet>),
}

impl Value {
    /// Redis' name of the type (`TYPE`).
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::String(_) => "string",
            Value::List(_) => "list",
            Value::Set(_) => "set",
            Value::Hash(_) => "hash",
            Value::SortedSet(_) => "zset",
        }
    }

    /// Redis' name of the representation (`OBJECT ENCODING`).
    pub fn encoding(&self) -> &'static str {
        match self {
            Value::String(text) => text.encoding(),
            Value::List(list) => list.encoding(),
            Value::Set(set) => set.encoding(),
            Value::Hash(hash) => hash.encoding(),
            Value::SortedSet(set) => set.encoding(),
        }
    }

    /// Whether a collection has no element left, so that its key must go.
    pub fn is_empty_collection(&self) -> bool {
        match self {
            Value::String(_) => false,
            Value::List(list) => list.is_empty(),
            Value::Set(set) => set.is_empty(),
            Value::Hash(hash) => hash.is_empty(),
            Value::SortedSet(set) => set.is_empty(),
        }
    }

    /// Bytes that the value takes beyond its place in the table, estimated. O(1).
    pub fn heap_bytes(&self) -> usize {
        match self {
            Value::String(text) => text.heap_bytes(),
            Value::List(list) => list.heap_bytes(),
            Value::Set(set) => set.heap_bytes(),
            Value::Hash(hash) => hash.heap_bytes(),
            Value::SortedSet(set) => set.heap_bytes(),
        }
    }
}

/// A structure that a [`Value`] can hold: lets the keyspace hand out a typed reference or refuse
/// with `WRONGTYPE`.
pub trait Kind: Sized {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn into_value(self) -> Value;
}

impl Kind for Text {
    fn of(value: &Value) -> Option<&Self> {
        match value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    fn of_mut(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        Value::String(self)
    }
}
