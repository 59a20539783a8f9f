//! Settings.
mod level;
pub use level::{Consistency, Durability};
