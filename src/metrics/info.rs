//! `INFO`: a snapshot in Redis' sections and field names.

use std::fmt::{Display, Write};

use super::sections::{
    clients, cluster, commandstats, cpu, errorstats, keyspace, latencystats, memory, persistence,
    raft, replication, server, stats,
};
use super::snapshot::Snapshot;

/// A section: its name in a request, its heading, whether `INFO` alone shows it, its lines.
type Section = (&'static str, &'static str, bool, fn(&Snapshot, &mut Lines));

const SECTIONS: &[Section] = &[
    ("server", "Server", true, server),
    ("clients", "Clients", true, clients),
    ("memory", "Memory", true, memory),
    ("persistence", "Persistence", true, persistence),
    ("stats", "Stats", true, stats),
    ("replication", "Replication", true, replication),
    ("raft", "Raft", true, raft),
    ("cpu", "CPU", true, cpu),
    ("modules", "Modules", true, |_, _| {}),
    ("commandstats", "Commandstats", false, commandstats),
    ("errorstats", "Errorstats", true, errorstats),
    ("latencystats", "Latencystats", false, latencystats),
    ("cluster", "Cluster", true, cluster),
    ("keyspace", "Keyspace", true, keyspace),
];

/// The text of `INFO` for the sections named, in any case; none is `default`. `all` and
/// `everything` are all there are (Redis leaves modules out of `all`; so is it here). Unknown
/// names show nothing.
pub fn info<S: AsRef<str>>(sections: &[S], snapshot: &Snapshot) -> String {
    let named = |wanted: &str| {
        sections
            .iter()
            .any(|name| name.as_ref().eq_ignore_ascii_case(wanted))
    };
    let default = sections.is_empty() || named("default");
    let everything = named("everything");
    let all = everything || named("all");
    let mut lines = Lines(String::new());
    for &(name, heading, in_default, write) in SECTIONS {
        let asked =
            named(name) || (default && in_default) || (all && (everything || name != "modules"));
        if asked {
            if !lines.0.is_empty() {
                lines.0.push_str("\r\n");
            }
            let _ = write!(lines.0, "# {heading}\r\n");
            write(snapshot, &mut lines);
        }
    }
    lines.0
}

/// `name:value` lines.
pub(super) struct Lines(String);

impl Lines {
    pub fn add(&mut self, name: &str, value: impl Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
        self
    }

    /// Bytes, and once more for people.
    pub fn add_bytes(&mut self, name: &str, bytes: u64) -> &mut Self {
        self.add(name, bytes);
        self.add(&format!("{name}_human"), human(bytes))
    }

    pub fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.add(name, value as u8)
    }
}

/// Bytes as Redis writes them for people: `512B`, `1.50K`, `2.00M`.
fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    for unit in ["K", "M", "G", "T", "P"] {
        value /= 1024.0;
        if value < 1024.0 || unit == "P" {
            return format!("{value:.2}{unit}");
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
#[path = "info_tests.rs"]
mod tests;
