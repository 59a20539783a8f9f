//! Scores given and taken: ZADD, ZINCRBY, ZREM.

use crate::command::argument::float;
use crate::command::context::Context;
use crate::command::spec::Outcome;
use crate::resp::{Args, Error, Reply};
use crate::value::{Kind, SortedSet};

const NOT_A_NUMBER: Error = Error::fixed("ERR resulting score is not a number (NaN)");

/// The options of ZADD.
#[derive(Debug, Clone, Copy, Default)]
struct Options {
    /// Only new members.
    nx: bool,
    /// Only members that are there.
    xx: bool,
    /// Only to a higher score.
    gt: bool,
    /// Only to a lower score.
    lt: bool,
    /// Count changed members too.
    ch: bool,
    /// Add to the score.
    incr: bool,
}

/// What one pair of score and member comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Effect {
    /// The options forbid it.
    None,
    /// The member has that score already.
    Same(f64),
    Added(f64),
    Updated(f64),
}

impl Options {
    /// Reads the options; answers the position of the first score too.
    fn parse(args: Args<'_>) -> (Options, usize) {
        let mut options = Options::default();
        let mut at = 2;
        while let Some(word) = args.at(at) {
            let option = match word.len() {
                2 => match [word[0].to_ascii_lowercase(), word[1].to_ascii_lowercase()] {
                    [b'n', b'x'] => &mut options.nx,
                    [b'x', b'x'] => &mut options.xx,
                    [b'g', b't'] => &mut options.gt,
                    [b'l', b't'] => &mut options.lt,
                    [b'c', b'h'] => &mut options.ch,
                    _ => break,
                },
                4 if word.eq_ignore_ascii_case(b"incr") => &mut options.incr,
                _ => break,
            };
            *option = true;
            at += 1;
        }
        (options, at)
    }

    fn check(self, elements: usize) -> Result<(), Error> {
        if elements == 0 || !elements.is_multiple_of(2) {
            return Err(Error::SYNTAX);
        }
        if self.nx && self.xx {
            return Err(Error::fixed(
                "ERR XX and NX options at the same time are not compatible",
            ));
        }
        if [self.gt, self.lt, self.nx]
            .into_iter()
            .filter(|on| *on)
            .count()
            > 1
        {
            return Err(Error::fixed(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if self.incr && elements > 2 {
            return Err(Error::fixed(
                "ERR INCR option supports a single increment-element pair",
            ));
        }
        Ok(())
    }

    /// What a pair comes to when the member's score is `current`.
    #[inline]
    fn effect(self, current: Option<f64>, score: f64) -> Result<Effect, Error> {
        let Some(current) = current else {
            return Ok(if self.xx {
                Effect::None
            } else {
                Effect::Added(score)
            });
        };
        if self.nx {
            return Ok(Effect::None);
        }
        let score = if self.incr { current + score } else { score };
        if score.is_nan() {
            return Err(NOT_A_NUMBER);
        }
        Ok(
            if (self.gt && score <= current) || (self.lt && score >= current) {
                Effect::None
            } else if score == current {
                Effect::Same(current)
            } else {
                Effect::Updated(score)
            },
        )
    }
}

pub(super) fn zadd<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let (options, at) = Options::parse(args);
    let elements = args.len() - at;
    options.check(elements)?;
    if elements == 2 {
        let score = float(args.get(at))?;
        return add_one(context, args.get(1), options, score, args.get(at + 1));
    }
    let pairs = (at..args.len())
        .step_by(2)
        .map(|at| Ok((float(args.get(at))?, args.get(at + 1))))
        .collect::<Result<Vec<_>, Error>>()?;
    add_many(context, args.get(1), options, &pairs)
}

pub(super) fn zincrby<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let options = Options {
        incr: true,
        ..Options::default()
    };
    let by = float(args.get(2))?;
    add_one(context, args.get(1), options, by, args.get(3))
}

fn add_one<'k>(
    context: &'k mut Context<'_>,
    key: &[u8],
    options: Options,
    score: f64,
    member: &[u8],
) -> Outcome<'k> {
    let effect = match context.entry_mut(key) {
        Some(entry) => {
            let set = SortedSet::of(entry.value()).ok_or(Error::WRONG_TYPE)?;
            let effect = options.effect(set.score(member), score)?;
            if let Effect::Added(score) | Effect::Updated(score) = effect {
                let set = SortedSet::of_mut(entry.change()).ok_or(Error::WRONG_TYPE)?;
                set.insert(member, score);
            }
            effect
        }
        None => {
            let effect = options.effect(None, score)?;
            if let Effect::Added(score) = effect {
                let mut set = SortedSet::default();
                set.insert(member, score);
                context.set(key, set.into_value(), 0);
            }
            effect
        }
    };
    Ok(match effect {
        Effect::None if options.incr => Reply::Null,
        Effect::Same(score) | Effect::Added(score) | Effect::Updated(score) if options.incr => {
            Reply::Double(score)
        }
        Effect::Added(_) => Reply::Int(1),
        Effect::Updated(_) => Reply::flag(options.ch),
        _ => Reply::Int(0),
    })
}

fn add_many<'k>(
    context: &'k mut Context<'_>,
    key: &[u8],
    options: Options,
    pairs: &[(f64, &[u8])],
) -> Outcome<'k> {
    let Some(set) = context.read::<SortedSet>(key)? else {
        if options.xx {
            return Ok(Reply::Int(0));
        }
        let mut set = SortedSet::default();
        let changed = fill(&mut set, options, pairs);
        context.set(key, set.into_value(), 0);
        return changed;
    };
    // What no pair changes by itself, all of them together do not change either.
    let mut changes = false;
    for (score, member) in pairs {
        let effect = options.effect(set.score(member), *score)?;
        changes |= matches!(effect, Effect::Added(_) | Effect::Updated(_));
    }
    if !changes {
        return Ok(Reply::Int(0));
    }
    match context.change::<SortedSet>(key)? {
        Some(set) => fill(set, options, pairs),
        None => Ok(Reply::Int(0)),
    }
}

fn fill(set: &mut SortedSet, options: Options, pairs: &[(f64, &[u8])]) -> Outcome<'static> {
    let mut counted = 0;
    for (score, member) in pairs {
        match options.effect(set.score(member), *score)? {
            Effect::Added(score) => {
                set.insert(member, score);
                counted += 1;
            }
            Effect::Updated(score) => {
                set.insert(member, score);
                counted += options.ch as usize;
            }
            Effect::None | Effect::Same(_) => {}
        }
    }
    Ok(Reply::count(counted))
}

pub(super) fn zrem<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let key = args.get(1);
    let Some(entry) = context.entry_mut(key) else {
        return Ok(Reply::Int(0));
    };
    let set = SortedSet::of(entry.value()).ok_or(Error::WRONG_TYPE)?;
    if !args.iter_from(2).any(|member| set.score(member).is_some()) {
        return Ok(Reply::Int(0));
    }
    let set = SortedSet::of_mut(entry.change()).ok_or(Error::WRONG_TYPE)?;
    let removed = args
        .iter_from(2)
        .filter(|member| set.remove(member).is_some())
        .count();
    if set.is_empty() {
        context.remove(key);
    }
    Ok(Reply::count(removed))
}
