//! `client-output-buffer-limit`: how much a client that reads slowly may leave unread.

use std::fmt;

use super::value::{format_memory, parse_memory};

/// Limit of one class of clients. 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimit {
    /// Bytes at which the client is closed at once.
    pub hard_bytes: u64,
    /// Bytes at which it is closed when it stays above them for `soft_seconds`.
    pub soft_bytes: u64,
    pub soft_seconds: u64,
}

/// Limits of the three classes that Redis knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    /// Redis' replicas; here it has no clients.
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

const CLASS: &str = "Invalid client class specified in buffer limit configuration.";
const COUNT: &str = "Wrong number of arguments in buffer limit configuration.";
const NUMBER: &str = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";

impl OutputLimits {
    /// These limits with those that `words` name changed: groups of class, hard, soft, seconds.
    ///
    /// # Errors
    /// Redis' text for what is wrong; nothing is changed then.
    pub fn with(mut self, words: &[String]) -> Result<OutputLimits, String> {
        if words.is_empty() || !words.len().is_multiple_of(4) {
            return Err(COUNT.into());
        }
        for group in words.chunks_exact(4) {
            let class = match group[0].to_ascii_lowercase().as_str() {
                "normal" => &mut self.normal,
                "replica" | "slave" => &mut self.replica,
                "pubsub" => &mut self.pubsub,
                _ => return Err(CLASS.into()),
            };
            let bytes = |word: &String| parse_memory(word).ok_or(NUMBER.to_string());
            *class = OutputLimit {
                hard_bytes: bytes(&group[1])?,
                soft_bytes: bytes(&group[2])?,
                soft_seconds: group[3].parse().map_err(|_| NUMBER.to_string())?,
            };
        }
        Ok(self)
    }

    fn classes(&self) -> [(&'static str, OutputLimit); 3] {
        [
            ("normal", self.normal),
            ("slave", self.replica),
            ("pubsub", self.pubsub),
        ]
    }

    /// The arguments of one line per class, for the configuration file.
    pub fn lines(&self) -> Vec<String> {
        self.classes()
            .map(|(class, limit)| {
                format!(
                    "{} {} {} {}",
                    if class == "slave" { "replica" } else { class },
                    format_memory(limit.hard_bytes),
                    format_memory(limit.soft_bytes),
                    limit.soft_seconds
                )
            })
            .to_vec()
    }
}

/// As `CONFIG GET` shows them, in Redis' old class names.
impl fmt::Display for OutputLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (class, limit)) in self.classes().into_iter().enumerate() {
            let blank = if at == 0 { "" } else { " " };
            let OutputLimit {
                hard_bytes,
                soft_bytes,
                soft_seconds,
            } = limit;
            write!(f, "{blank}{class} {hard_bytes} {soft_bytes} {soft_seconds}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<OutputLimits, String> {
        let words: Vec<String> = text.split(' ').map(String::from).collect();
        OutputLimits::default().with(&words)
    }

    #[test]
    fn groups_change_their_class_only() {
        let limits = with("normal 1mb 512kb 10 PUBSUB 1 2 3").unwrap();
        assert_eq!(
            limits.to_string(),
            "normal 1048576 524288 10 slave 0 0 0 pubsub 1 2 3"
        );
        assert_eq!(limits.lines()[0], "normal 1mb 512kb 10");
        assert_eq!(with("normal 1 2").unwrap_err(), COUNT);
        assert_eq!(with("foo 1 2 3").unwrap_err(), CLASS);
        assert_eq!(with("normal 1 -2 3").unwrap_err(), NUMBER);
    }
}
