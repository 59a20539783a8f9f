//! `--name value` pairs of the command line.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// The given options; each is taken once, what is left over is an error.
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Pairs up `arguments`.
    ///
    /// # Errors
    /// A word that is no option, an option without value, one given twice.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments;
        let mut options = BTreeMap::new();
        while let Some(word) = arguments.next() {
            let name = word
                .strip_prefix("--")
                .ok_or_else(|| format!("unexpected '{word}'"))?;
            let value = arguments
                .next()
                .ok_or_else(|| format!("--{name} needs a value"))?;
            if options.insert(name.to_owned(), value).is_some() {
                return Err(format!("--{name} given twice"));
            }
        }
        Ok(Self(options))
    }

    /// The value of `name`, or `default`.
    ///
    /// # Errors
    /// When it does not parse.
    pub fn take<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        match self.0.remove(name) {
            None => Ok(default),
            Some(value) => value
                .parse()
                .map_err(|_| format!("--{name}: cannot read '{value}'")),
        }
    }

    /// Seconds, fractions allowed.
    ///
    /// # Errors
    /// When it is no number of seconds.
    pub fn take_seconds(&mut self, name: &str, default: f64) -> Result<Duration, String> {
        Duration::try_from_secs_f64(self.take(name, default)?)
            .map_err(|error| format!("--{name}: {error}"))
    }

    /// Process ids, separated by commas; none by default.
    ///
    /// # Errors
    /// When one is no number.
    pub fn take_pids(&mut self, name: &str) -> Result<Vec<u32>, String> {
        let list: String = self.take(name, String::new())?;
        list.split(',')
            .filter(|pid| !pid.is_empty())
            .map(|pid| {
                pid.parse()
                    .map_err(|_| format!("--{name}: '{pid}' is no process id"))
            })
            .collect()
    }

    /// Ends the taking.
    ///
    /// # Errors
    /// Names an option that nobody took.
    pub fn finish(self) -> Result<(), String> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("unknown option --{name}")),
        }
    }
}
