//! Levels as commands name them: `WITH`, `CLIENT CONSISTENCY`, `CLIENT DURABILITY`.

use crate::config::{Consistency, Durability};
use crate::resp::{Args, Error};

use super::resolve::resolve;

/// The levels that a command asks for; `None` leaves the connection's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Levels {
    pub durability: Option<Durability>,
    pub consistency: Option<Consistency>,
}

/// Splits `WITH DURABILITY x | CONSISTENCY y .. command argument ..`: the levels, each at most
/// once and in any order, and where the command begins.
///
/// # Errors
/// A level that there is not, one that is given twice, no command, or a `WITH` in a `WITH`.
pub fn split_with(args: Args<'_>) -> Result<(Levels, usize), Error> {
    let mut levels = Levels::default();
    let mut at = 1;
    loop {
        if args.is(at, "durability") {
            if levels.durability.is_some() {
                return Err(Error::SYNTAX);
            }
            levels.durability = Some(read_durability(args.at(at + 1).ok_or(Error::SYNTAX)?)?);
            at += 2;
        } else if args.is(at, "consistency") {
            if levels.consistency.is_some() {
                return Err(Error::SYNTAX);
            }
            let (level, used) = read_consistency(args.skip(at + 1))?;
            levels.consistency = Some(level);
            at += 1 + used;
        } else {
            break;
        }
    }
    if levels == Levels::default() || at >= args.len() || args.is(at, "with") {
        return Err(Error::SYNTAX);
    }
    Ok((levels, at))
}

/// A durability by name.
///
/// # Errors
/// A name that is none.
pub fn read_durability(word: &[u8]) -> Result<Durability, Error> {
    std::str::from_utf8(word)
        .ok()
        .and_then(Durability::parse)
        .ok_or_else(|| {
            Error::new(format!(
                "ERR durability must be one of the following: {}",
                Durability::NAMES.join(", ")
            ))
        })
}

/// The consistency that `args` begin with, and how many arguments it took.
///
/// # Errors
/// A name that is none, or `bounded` without milliseconds.
pub fn read_consistency(args: Args<'_>) -> Result<(Consistency, usize), Error> {
    let count = Consistency::word_count(args.at(0).unwrap_or_default());
    args.iter_from(0)
        .take(count)
        .map(|word| std::str::from_utf8(word).ok())
        .collect::<Option<Vec<&str>>>()
        .and_then(|words| Consistency::parse(&words))
        .map(|level| (level, count))
        .ok_or_else(|| {
            Error::new(format!(
                "ERR consistency must be one of the following: {}",
                Consistency::NAMES.join(", ")
            ))
        })
}

/// The keys of `WITH` are those of the command in it.
pub(super) fn keys_of_with(args: Args<'_>, positions: &mut Vec<usize>) {
    if let Ok((_, at)) = split_with(args) {
        let inner = args.skip(at);
        if let Ok(spec) = resolve(inner) {
            spec.each_key(inner, |key| positions.push(at + key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::resolve::tests::request;

    fn split(line: &str) -> Result<(Levels, usize), String> {
        request(line, |args| {
            split_with(args).map_err(|error| error.0.into_owned())
        })
    }

    #[test]
    fn levels_come_before_the_command() {
        let low = Levels {
            durability: Some(Durability::Low),
            consistency: None,
        };
        assert_eq!(split("WITH durability LOW set k v"), Ok((low, 3)));
        let both = Levels {
            consistency: Some(Consistency::Bounded(5)),
            ..low
        };
        for line in [
            "with consistency bounded 5 durability low get k",
            "with durability low consistency bounded 5 get k",
        ] {
            assert_eq!(split(line), Ok((both, 6)), "{line}");
        }
        for bad in [
            "with get k",
            "with durability low",
            "with durability low durability low",
            "with durability low with durability low get k",
            "with consistency bounded",
        ] {
            assert!(split(bad).is_err(), "{bad}");
        }
        assert_eq!(
            split("with durability strong get k"),
            Err("ERR durability must be one of the following: low, medium, high, all".into())
        );
    }

    #[test]
    fn its_keys_are_the_commands() {
        request("with durability low mset a 1 b 2", |args| {
            let mut keys = Vec::new();
            resolve(args).unwrap().each_key(args, |at| keys.push(at));
            assert_eq!(keys, [4, 6]);
        });
    }
}
