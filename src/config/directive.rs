//! What the table says of a directive.

use super::table::Name;

/// How the words behind a directive's name are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A whole number, both ends included.
    Int {
        min: i64,
        max: i64,
    },
    /// Bytes, with an optional unit, both ends included.
    Memory {
        min: i64,
        max: i64,
    },
    /// `yes` or `no`.
    Flag,
    /// One of these.
    Word(&'static [&'static str]),
    /// Any one word.
    Text,
    /// Any words.
    List,
    /// Node addresses, at most so many, by blanks or commas.
    Addresses(usize),
    /// CPU numbers and ranges, `0-3,8`.
    CoreList,
    /// Redis' `save`: checked, and let go.
    SavePoints,
    Durability,
    Consistency,
    OutputLimits,
}

/// When a value takes effect, and which values can.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    /// `CONFIG SET` changes it in the running node.
    Live,
    /// Read when the node starts.
    Start,
    /// Nothing but the default is possible, for this reason.
    Only(&'static str),
    /// Taken from Redis' files and tools; changes nothing, for this reason.
    Ignored(&'static str),
}

/// One directive.
#[derive(Debug)]
pub(super) struct Directive {
    pub id: Name,
    pub name: &'static str,
    /// As it would stand in a file.
    pub default: &'static str,
    pub kind: Kind,
    pub effect: Effect,
    /// One line for `--help`.
    pub help: &'static str,
}

impl Directive {
    /// Whether several words may stand behind the name.
    pub fn takes_many(&self) -> bool {
        matches!(
            self.kind,
            Kind::List
                | Kind::Addresses(_)
                | Kind::SavePoints
                | Kind::Consistency
                | Kind::OutputLimits
        )
    }

    /// What may stand behind the name, for `--help`.
    pub fn range(&self) -> String {
        match self.kind {
            Kind::Int { min, max } if max == i64::MAX => format!("{min}.."),
            Kind::Int { min, max } => format!("{min}..{max}"),
            Kind::Memory { .. } => "bytes".into(),
            Kind::Flag => "yes|no".into(),
            Kind::Word(choices) => choices.join("|"),
            Kind::Text => "text".into(),
            Kind::List => "words".into(),
            Kind::Addresses(1) => "host:port".into(),
            Kind::Addresses(_) => "host:port,..".into(),
            Kind::CoreList => "0-3,8".into(),
            Kind::SavePoints => "seconds changes ..".into(),
            Kind::Durability => super::level::Durability::NAMES.join("|"),
            Kind::Consistency => super::level::Consistency::NAMES.join("|"),
            Kind::OutputLimits => "class hard soft seconds ..".into(),
        }
    }
}
