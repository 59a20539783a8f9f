//! The settings of one node.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::glob;

use super::directive::{Effect, Kind};
use super::foreign;
use super::level::Durability;
use super::table::{DIRECTIVES, Name, defaults};
use super::value::Value;
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
                if unusual {
                    self.note(directive.name, why);
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

    /// Remembers that a setting has no effect, once.
    pub(super) fn note(&mut self, name: &str, why: &str) {
        let notice = format!("{name} has no effect: {why}");
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
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
        if level < Durability::High {
            // A file made for Redis says so by default; nobody may lose a promise unnoticed.
            let notice = format!("appendfsync {} means durability {level}", value.show());
            self.notices.push(notice);
        }
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
                if foreign::reason(name).is_some() {
                    continue;
                }
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

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
