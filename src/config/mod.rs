//! Settings: Redis' configuration syntax, read at the start, changed and shown while running.
//!
//! Invariants
//! - The table of directives (`table.rs`) is the one source: defaults, ranges, `--help`,
//!   `CONFIG GET|SET|REWRITE` and the typed accessors of [`Config`] read it.
//! - A setting is what it says: what cannot be had is refused with the reason, what has no effect
//!   is noted at the start, and no value is shown that is not true.
//! - `Config` is plain data and knows no node: whoever changes it spreads the change.
//!
//! A value comes from the default, then the file (and what it includes), then standard input,
//! then the command line; the last one counts.
//!
//! Not done here: resolving `cores` against the machine (`main`), acting on a change (`node/`).

mod cluster;
mod directive;
mod file;
mod foreign;
mod help;
mod level;
mod logging;
mod output_limit;
mod rewrite;
mod settings;
mod startup;
mod table;
mod typed;
mod value;
mod words;

pub use cluster::FollowerMode;
pub use level::{Consistency, Durability};
pub use logging::Logging;
pub use output_limit::{OutputLimit, OutputLimits};
pub use settings::{Changes, Config, SetError};
pub use startup::{Startup, VERSION};
pub use table::Name;
pub use typed::{LogBackend, LogLevel, RaftCore};
