//! Ranges of a sorted set: by rank, by score, by bytes.

use std::ops::Range;

use crate::command::argument::slice;
use crate::resp::{Error, parse_double};
use crate::value::SortedSet;

/// What the two bounds of a range are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Lex,
}

/// A range, lower bound first.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bounds<'a> {
    /// First and last rank, negative ones from the end, in the direction of the query.
    Rank(i64, i64),
    Score(ScoreBound, ScoreBound),
    Lex(LexBound<'a>, LexBound<'a>),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ScoreBound {
    score: f64,
    exclusive: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum LexBound<'a> {
    /// `-`
    Lowest,
    /// `+`
    Highest,
    Inclusive(&'a [u8]),
    Exclusive(&'a [u8]),
}

impl<'a> Bounds<'a> {
    /// # Errors
    /// `ERR min or max is not a float`
    pub(super) fn scores(min: &[u8], max: &[u8]) -> Result<Self, Error> {
        let bounds = ScoreBound::parse(min).zip(ScoreBound::parse(max));
        let (min, max) = bounds.ok_or(Error::fixed("ERR min or max is not a float"))?;
        Ok(Bounds::Score(min, max))
    }

    /// # Errors
    /// `ERR min or max not valid string range item`
    pub(super) fn lex(min: &'a [u8], max: &'a [u8]) -> Result<Self, Error> {
        let bounds = LexBound::parse(min).zip(LexBound::parse(max));
        let text = "ERR min or max not valid string range item";
        let (min, max) = bounds.ok_or(Error::fixed(text))?;
        Ok(Bounds::Lex(min, max))
    }

    /// The ranks within the bounds, counted from the lowest member. `reverse` matters to bounds
    /// that are ranks: those count from the highest then. O(log n).
    pub(super) fn ranks(self, set: &SortedSet, reverse: bool) -> Range<usize> {
        let (start, end) = match self {
            Bounds::Rank(first, last) => {
                let len = set.len();
                let ranks = slice(first, last, len);
                if reverse {
                    return len - ranks.end..len - ranks.start;
                }
                return ranks;
            }
            Bounds::Score(min, max) => (
                set.partition_point(|_, score| min.is_above(score)),
                set.partition_point(|_, score| !max.is_below(score)),
            ),
            Bounds::Lex(min, max) => (
                set.partition_point(|member, _| min.is_above(member)),
                set.partition_point(|member, _| !max.is_below(member)),
            ),
        };
        start..end.max(start)
    }
}

impl ScoreBound {
    fn parse(argument: &[u8]) -> Option<ScoreBound> {
        let (number, exclusive) = match argument {
            [b'(', number @ ..] => (number, true),
            number => (number, false),
        };
        // Nothing counts as zero: Redis reads bounds with `strtod`.
        let score = if number.is_empty() {
            0.0
        } else {
            parse_double(number)?
        };
        Some(ScoreBound { score, exclusive })
    }

    /// As a lower bound: whether it shuts `score` out.
    fn is_above(self, score: f64) -> bool {
        score < self.score || (self.exclusive && score == self.score)
    }

    /// As an upper bound: whether it shuts `score` out.
    fn is_below(self, score: f64) -> bool {
        score > self.score || (self.exclusive && score == self.score)
    }
}

impl<'a> LexBound<'a> {
    fn parse(argument: &'a [u8]) -> Option<LexBound<'a>> {
        match argument {
            b"-" => Some(LexBound::Lowest),
            b"+" => Some(LexBound::Highest),
            [b'[', bytes @ ..] => Some(LexBound::Inclusive(bytes)),
            [b'(', bytes @ ..] => Some(LexBound::Exclusive(bytes)),
            _ => None,
        }
    }

    /// As a lower bound: whether it shuts `member` out.
    fn is_above(self, member: &[u8]) -> bool {
        match self {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Inclusive(bytes) => member < bytes,
            LexBound::Exclusive(bytes) => member <= bytes,
        }
    }

    /// As an upper bound: whether it shuts `member` out.
    fn is_below(self, member: &[u8]) -> bool {
        match self {
            LexBound::Lowest => true,
            LexBound::Highest => false,
            LexBound::Inclusive(bytes) => member > bytes,
            LexBound::Exclusive(bytes) => member >= bytes,
        }
    }
}
