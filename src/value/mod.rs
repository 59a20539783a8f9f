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
mod image;
mod text;

pub use digest::{DIGEST_BYTES, Digest};
pub use extended::Extended;
pub use image::{ImageError, ImageReader};
pub use text::Text;

/// The value of a key.
#[derive(Debug, Clone)]
pub enum Value {
    String(Text),
}

impl Value {
    /// Redis' name of the type (`TYPE`).
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::String(_) => "string",
        }
    }

    /// Redis' name of the representation (`OBJECT ENCODING`).
    pub fn encoding(&self) -> &'static str {
        match self {
            Value::String(text) => text.encoding(),
        }
    }

    /// Whether a collection has no element left, so that its key must go.
    pub fn is_empty_collection(&self) -> bool {
        match self {
            Value::String(_) => false,
        }
    }

    /// Bytes that the value takes beyond its place in the table, estimated. O(1).
    pub fn heap_bytes(&self) -> usize {
        match self {
            Value::String(text) => text.heap_bytes(),
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
            #[allow(unreachable_patterns)]
            _ => None,
        }
    }

    fn of_mut(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::String(text) => Some(text),
            #[allow(unreachable_patterns)]
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        Value::String(self)
    }
}
