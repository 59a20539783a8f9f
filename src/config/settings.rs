//! The settings of one node.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::glob;

use super::directive::{Effect, Kind};
use super::level::{Consistency, Durability};
use super::output_limit::OutputLimits;
use super::table::{DIRECTIVES, Name, defaults};
use super::value::{Value, parse_core_list};
use super::words;

/// Every setting of a node. Plain data: each core keeps a copy, and the node spreads changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// In the order of the table.
    values: Vec<Value>,
    /// The file that it was read from, absolute; what `CONFIG REWRITE` writes.
    file: Option<PathBuf>,
    /// Settings that were taken and have no effect, with the reason.
    notices: Vec<String>,
}

/// Where the Raft tasks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RaftCore {
    /// Their own core from three cores on.
    Auto,
    /// On the executor of shard 0.
    Shared,
    /// On a core of their own.
    Dedicated,
}

/// What holds the replicated log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogBackend {
    Segment,
    Fjall,
}

/// What is worth a line, from much to little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// The settings that a `CONFIG SET` changed, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes(pub Vec<Name>);

/// Why a `CONFIG SET` changed nothing, in Redis' words without the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetError {
    Unknown(String),
    Refused { name: String, why: String },
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::Unknown(name) => write!(
                f,
                "Unknown option or number of arguments for CONFIG SET - '{name}'"
            ),
            SetError::Refused { name, why } => write!(
                f,
                "CONFIG SET failed (possibly related to argument '{name}') - {why}"
            ),
        }
    }
}

impl std::error::Error for SetError {}

impl Default for Config {
    fn default() -> Self {
        Config {
            values: defaults(),
            file: None,
            notices: Vec::new(),
        }
    }
}

impl Config {
    /// Sets one directive from the words behind its name, as a line of a file does.
    ///
    /// # Errors
    /// What is wrong; nothing is changed then.
    pub(super) fn assign(&mut self, name: Name, words: &[String]) -> Result<(), String> {
        let directive = name.directive();
        let value = directive.read(words, &self.values[name as usize])?;
        match directive.effect {
            Effect::Only(why) if value != self.values[name as usize] => Err(format!(
                "only '{}' is possible: {why}",
                self.values[name as usize].show()
            )),
            Effect::Ignored(why) => {
                let unusual = value != defaults()[name as usize]
                    || (matches!(directive.kind, Kind::SavePoints) && has_words(words));
                let notice = format!("{name} has no effect: {why}");
                if unusual && !self.notices.contains(&notice) {
                    self.notices.push(notice);
                }
                self.values[name as usize] = value;
                Ok(())
            }
            _ if name == Name::Appendfsync => {
                self.set_appendfsync(&value);
                Ok(())
            }
            _ => {
                self.values[name as usize] = value;
                Ok(())
            }
        }
    }

    /// `appendfsync` is another name of `durability`: it has no value of its own.
    fn set_appendfsync(&mut self, value: &Value) {
        let current = self.durability();
        let level = match value.show().as_str() {
            // `all` is `always` and more.
            "always" => current.max(Durability::High),
            "everysec" => Durability::Medium,
            _ => Durability::Low,
        };
        self.values[Name::Durability as usize] = Value::Durability(level);
    }

    /// The value of one directive as `CONFIG GET` shows it.
    pub fn show(&self, name: Name) -> String {
        match name {
            Name::Appendfsync => self.durability().as_appendfsync().into(),
            name => self.values[name as usize].show(),
        }
    }

    /// Names and values of the directives that match a glob pattern, in any case (`CONFIG GET`).
    pub fn get(&self, pattern: &str) -> Vec<(String, String)> {
        DIRECTIVES
            .iter()
            .filter(|directive| glob::matches(pattern.as_bytes(), directive.name.as_bytes(), true))
            .map(|directive| (directive.name.to_string(), self.show(directive.id)))
            .collect()
    }

    /// As [`Config::get`] for several patterns, each directive once.
    pub fn get_any<'p>(
        &self,
        patterns: impl IntoIterator<Item = &'p str>,
    ) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        for pair in patterns.into_iter().flat_map(|pattern| self.get(pattern)) {
            if !found.contains(&pair) {
                found.push(pair);
            }
        }
        found
    }

    /// Changes the running node's settings (`CONFIG SET`): all of them, or none.
    ///
    /// # Errors
    /// The first that cannot be set; nothing is changed then.
    pub fn set(&mut self, pairs: &[(&str, &str)]) -> Result<Changes, SetError> {
        let mut next = self.clone();
        let mut named: Vec<Name> = Vec::new();
        for &(name, text) in pairs {
            let Some(found) = Name::find(name) else {
                return Err(SetError::Unknown(name.into()));
            };
            let refused = |why: String| SetError::Refused {
                name: name.into(),
                why,
            };
            if named.contains(&found) {
                return Err(refused("duplicate parameter".into()));
            }
            named.push(found);
            let words = if found.directive().takes_many() {
                words::split(text).ok_or_else(|| refused("unbalanced quotes".into()))?
            } else {
                vec![text.to_string()]
            };
            if matches!(found.directive().effect, Effect::Start) {
                return Err(refused("can't set immutable config".into()));
            }
            next.assign(found, &words).map_err(refused)?;
        }
        let changed = DIRECTIVES
            .iter()
            .map(|directive| directive.id)
            .filter(|&name| self.show(name) != next.show(name))
            .collect();
        // Notices are for the start.
        next.notices.clone_from(&self.notices);
        *self = next;
        Ok(Changes(changed))
    }

    /// Settings that were taken and have no effect, one line each, to be logged at the start.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The file that it was read from.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    pub(super) fn set_file(&mut self, file: PathBuf) {
        self.file = Some(file);
    }

    pub(super) fn value(&self, name: Name) -> &Value {
        &self.values[name as usize]
    }

    /// Whether a directive differs from its default.
    pub(super) fn is_changed(&self, name: Name) -> bool {
        Config::default().value(name) != self.value(name)
    }
}

/// Whether any word says something: `save ""` does not.
fn has_words(words: &[String]) -> bool {
    words.iter().any(|word| !word.is_empty())
}

/// Typed access. The table's kinds make the variants certain; a mismatch would be a mistake in
/// the table, which the test of all accessors finds.
impl Config {
    fn int(&self, name: Name) -> i64 {
        match self.value(name) {
            Value::Int(value) => *value,
            other => unreachable!("{name} is {other:?}"),
        }
    }

    fn text(&self, name: Name) -> &str {
        match self.value(name) {
            Value::Text(text) => text,
            Value::Word(word) => word,
            other => unreachable!("{name} is {other:?}"),
        }
    }

    fn seconds(&self, name: Name) -> Option<Duration> {
        let seconds = self.int(name) as u64;
        (seconds != 0).then(|| Duration::from_secs(seconds))
    }

    pub fn port(&self) -> u16 {
        self.int(Name::Port) as u16
    }

    /// Addresses to listen on, `*` and a leading `-` as in Redis.
    pub fn bind(&self) -> &[String] {
        match self.value(Name::Bind) {
            Value::List(items) => items,
            other => unreachable!("bind is {other:?}"),
        }
    }

    pub fn protected_mode(&self) -> bool {
        matches!(self.value(Name::ProtectedMode), Value::Flag(true))
    }

    pub fn tcp_backlog(&self) -> u32 {
        self.int(Name::TcpBacklog) as u32
    }

    /// Time between probes of a silent peer.
    pub fn tcp_keepalive(&self) -> Option<Duration> {
        self.seconds(Name::TcpKeepalive)
    }

    /// Idle time after which a client is closed.
    pub fn timeout(&self) -> Option<Duration> {
        self.seconds(Name::Timeout)
    }

    pub fn clients_max(&self) -> usize {
        self.int(Name::Maxclients) as usize
    }

    pub fn output_limits(&self) -> OutputLimits {
        match self.value(Name::ClientOutputBufferLimit) {
            Value::OutputLimits(limits) => *limits,
            other => unreachable!("client-output-buffer-limit is {other:?}"),
        }
    }

    pub fn query_bytes_max(&self) -> usize {
        self.int(Name::ClientQueryBufferLimit) as usize
    }

    /// Executors; `None` takes every CPU that the process may use. A `core-list` alone says it.
    pub fn cores(&self) -> Option<usize> {
        match (self.int(Name::Cores), self.core_list().len()) {
            (0, 0) => None,
            (0, listed) => Some(listed),
            (cores, _) => Some(cores as usize),
        }
    }

    /// CPUs to pin to, in order; empty when none were named.
    pub fn core_list(&self) -> Vec<usize> {
        parse_core_list(self.text(Name::CoreList)).unwrap_or_default()
    }

    pub fn raft_core(&self) -> RaftCore {
        match self.text(Name::RaftCore) {
            "shared" => RaftCore::Shared,
            "dedicated" => RaftCore::Dedicated,
            _ => RaftCore::Auto,
        }
    }

    /// How long an idle core looks for work before it sleeps.
    pub fn spin(&self) -> Duration {
        Duration::from_micros(self.int(Name::SpinUs) as u64)
    }

    pub fn durability(&self) -> Durability {
        match self.value(Name::Durability) {
            Value::Durability(level) => *level,
            other => unreachable!("durability is {other:?}"),
        }
    }

    pub fn consistency(&self) -> Consistency {
        match self.value(Name::Consistency) {
            Value::Consistency(level) => *level,
            other => unreachable!("consistency is {other:?}"),
        }
    }

    /// Where the data lies, as it was given.
    pub fn dir(&self) -> &Path {
        Path::new(self.text(Name::Dir))
    }

    pub fn log_backend(&self) -> LogBackend {
        match self.text(Name::LogBackend) {
            "fjall" => LogBackend::Fjall,
            _ => LogBackend::Segment,
        }
    }

    pub fn log_segment_bytes(&self) -> u64 {
        self.int(Name::LogSegmentSize) as u64
    }

    /// Bytes of log at which a checkpoint is taken.
    pub fn checkpoint_log_bytes(&self) -> u64 {
        self.int(Name::CheckpointLogSize) as u64
    }

    /// Longest that a checkpoint keeps a shard from serving.
    pub fn checkpoint_slice(&self) -> Duration {
        Duration::from_micros(self.int(Name::CheckpointSliceUs) as u64)
    }

    pub fn log_level(&self) -> LogLevel {
        match self.text(Name::Loglevel) {
            "debug" => LogLevel::Debug,
            "verbose" => LogLevel::Verbose,
            "warning" => LogLevel::Warning,
            _ => LogLevel::Notice,
        }
    }

    /// Where log lines go; `None` is standard error.
    pub fn log_file(&self) -> Option<&Path> {
        Some(self.text(Name::Logfile))
            .filter(|path| !path.is_empty())
            .map(Path::new)
    }

    /// Microseconds from which a command is kept in the slow log; `None` keeps none.
    pub fn slowlog_us_min(&self) -> Option<u64> {
        u64::try_from(self.int(Name::SlowlogLogSlowerThan)).ok()
    }

    pub fn slowlog_len_max(&self) -> usize {
        self.int(Name::SlowlogMaxLen) as usize
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
