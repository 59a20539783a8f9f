//! Lines for people, through `tracing`: to standard error or to `logfile`.
//!
//! Redis' four levels are tracing's trace, debug, info and warn. Other crates' lines are taken
//! from warnings on, and at `debug` from theirs on. The variable `QUORATE_LOG`, in the syntax of
//! `tracing-subscriber`'s `EnvFilter`, overrides all of it.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, OnceLock};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::Fatal;

use super::settings::Config;
use super::typed::LogLevel;

const VARIABLE: &str = "QUORATE_LOG";

/// The process' log: there is one, as its `tracing` subscriber.
static KEPT: OnceLock<Logging> = OnceLock::new();

/// The installed log, to change its level.
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    overridden: bool,
}

impl Logging {
    /// Installs the process' log. Once, before anything worth a line.
    ///
    /// # Errors
    /// When `logfile` cannot be opened or a log is installed already.
    pub fn install(config: &Config) -> Result<Logging, Fatal> {
        let variable = std::env::var(VARIABLE).ok();
        let directives = variable
            .clone()
            .unwrap_or_else(|| filter_of(config.log_level()).into());
        let filter = EnvFilter::try_new(&directives)
            .map_err(|error| Fatal::Setup(format!("{VARIABLE}={directives}: {error}")))?;
        let (filter, handle) = reload::Layer::new(filter);
        let lines = fmt::layer().with_target(false);
        let registry = tracing_subscriber::registry().with(filter);
        let installed = match config.log_file() {
            Some(path) => {
                let file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)
                    .map_err(|error| Fatal::io("opening the logfile", path, error))?;
                registry
                    .with(lines.with_ansi(false).with_writer(Mutex::new(file)))
                    .try_init()
            }
            None => {
                let colour = io::stderr().is_terminal();
                registry
                    .with(lines.with_ansi(colour).with_writer(io::stderr))
                    .try_init()
            }
        };
        installed.map_err(|error| Fatal::Setup(format!("installing the log: {error}")))?;
        Ok(Logging {
            filter: handle,
            overridden: variable.is_some(),
        })
    }

    /// Keeps the handle for the life of the process, so that [`Logging::follow`] finds it.
    pub fn keep(self) {
        // A second one is dropped: the first goes on.
        let _ = KEPT.set(self);
    }

    /// Changes the level of the log that was kept, if one was.
    pub fn follow(level: LogLevel) {
        if let Some(logging) = KEPT.get() {
            logging.set_level(level);
        }
    }

    /// Follows `CONFIG SET loglevel`, unless the environment decides.
    pub fn set_level(&self, level: LogLevel) {
        if !self.overridden {
            // Fails only when the log is gone, and then nothing is written anyway.
            let _ = self.filter.reload(EnvFilter::new(filter_of(level)));
        }
    }
}

fn filter_of(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug,quorate=trace",
        LogLevel::Verbose => "warn,openraft=error,quorate=debug",
        LogLevel::Notice => "warn,openraft=error,quorate=info",
        LogLevel::Warning => "warn,openraft=error,quorate=warn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_valid() {
        for level in [
            LogLevel::Debug,
            LogLevel::Verbose,
            LogLevel::Notice,
            LogLevel::Warning,
        ] {
            assert!(EnvFilter::try_new(filter_of(level)).is_ok());
        }
    }
}
