//! Levels: how durable a write is before it is acknowledged, how fresh a read must be.

use std::fmt;

/// What must have happened to a write before its reply goes out. Ordered from weak to strong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Durability {
    /// A quorum has it in memory; the operating system decides when to sync.
    Low,
    /// As `Low`, and synced at least every second.
    Medium,
    /// A quorum has synced it.
    #[default]
    High,
    /// Every voter has synced it.
    All,
}

impl Durability {
    pub const NAMES: [&'static str; 4] = ["low", "medium", "high", "all"];

    /// The level of this name, in any case.
    pub fn parse(word: &str) -> Option<Durability> {
        use Durability::{All, High, Low, Medium};
        [Low, Medium, High, All]
            .into_iter()
            .find(|level| word.eq_ignore_ascii_case(level.name()))
    }

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The level in the terms of Redis' `appendfsync`.
    pub fn as_appendfsync(self) -> &'static str {
        match self {
            Durability::Low => "no",
            Durability::Medium => "everysec",
            Durability::High | Durability::All => "always",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How fresh what a read sees must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Consistency {
    /// What this node has, at once.
    Stale,
    /// What this node has, when it is no older than so many milliseconds.
    Bounded(u32),
    /// The leader's state, without asking whether it still leads.
    Leader,
    /// Every write acknowledged before the read began is seen.
    #[default]
    Linearizable,
}

impl Consistency {
    /// What `parse` takes, for messages.
    pub const NAMES: [&'static str; 4] = ["stale", "bounded <ms>", "leader", "linearizable"];

    /// The level that these words name, in any case: one word, or `bounded` and milliseconds.
    ///
    /// Aliases: `eventual` and `low` = stale, `medium` = leader, `strong` and `high` =
    /// linearizable.
    pub fn parse<W: AsRef<str>>(words: &[W]) -> Option<Consistency> {
        let word = words.first()?.as_ref().to_ascii_lowercase();
        let rest = &words[1..];
        match (word.as_str(), rest) {
            ("stale" | "eventual" | "low", []) => Some(Consistency::Stale),
            ("bounded", [ms]) => ms.as_ref().parse().ok().map(Consistency::Bounded),
            ("leader" | "medium", []) => Some(Consistency::Leader),
            ("linearizable" | "strong" | "high", []) => Some(Consistency::Linearizable),
            _ => None,
        }
    }

    /// How many words the level beginning with `word` takes in a command (`WITH CONSISTENCY ..`).
    pub fn word_count(word: &[u8]) -> usize {
        1 + word.eq_ignore_ascii_case(b"bounded") as usize
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Consistency::Stale => f.write_str("stale"),
            Consistency::Bounded(ms) => write!(f, "bounded {ms}"),
            Consistency::Leader => f.write_str("leader"),
            Consistency::Linearizable => f.write_str("linearizable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_read_back() {
        for name in Durability::NAMES {
            assert_eq!(Durability::parse(name).unwrap().to_string(), name);
        }
        assert_eq!(Durability::parse("ALL"), Some(Durability::All));
        assert_eq!(Durability::parse("strong"), None);
        assert!(Durability::Low < Durability::Medium && Durability::High < Durability::All);
        for (text, level) in [
            ("stale", Consistency::Stale),
            ("bounded 250", Consistency::Bounded(250)),
            ("leader", Consistency::Leader),
            ("linearizable", Consistency::Linearizable),
        ] {
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(Consistency::parse(&words), Some(level));
            assert_eq!(level.to_string(), text);
        }
    }

    #[test]
    fn aliases_and_nonsense() {
        assert_eq!(Consistency::parse(&["Eventual"]), Some(Consistency::Stale));
        assert_eq!(
            Consistency::parse(&["STRONG"]),
            Some(Consistency::Linearizable)
        );
        assert_eq!(Consistency::parse(&["medium"]), Some(Consistency::Leader));
        for bad in [
            &["bounded"][..],
            &["bounded", "-1"],
            &["bounded", "x"],
            &["stale", "1"],
            &[],
            &["bounded", "4294967296"],
        ] {
            assert_eq!(Consistency::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Consistency::word_count(b"BOUNDED"), 2);
        assert_eq!(Consistency::word_count(b"leader"), 1);
    }
}
