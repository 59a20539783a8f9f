//! What SSCAN, HSCAN and ZSCAN have in common: cursor and options.

use crate::glob;
use crate::resp::{Args, Error, Reply, parse_int};

/// Members visited in one call unless `COUNT` says otherwise.
const COUNT: usize = 10;

/// The options behind the cursor.
pub struct Options<'a> {
    pattern: Option<&'a [u8]>,
    pub count: usize,
}

/// The cursor, argument 2.
///
/// # Errors
/// `ERR invalid cursor`
pub fn cursor(args: Args<'_>) -> Result<u64, Error> {
    std::str::from_utf8(args.get(2))
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Error::fixed("ERR invalid cursor"))
}

impl<'a> Options<'a> {
    /// The options from argument 3 on.
    ///
    /// # Errors
    /// A syntax error, also for a count below 1.
    pub fn parse(args: Args<'a>) -> Result<Self, Error> {
        let mut options = Options {
            pattern: None,
            count: COUNT,
        };
        for at in (3..args.len()).step_by(2) {
            let value = args.at(at + 1).ok_or(Error::SYNTAX)?;
            if args.is(at, "count") {
                let count = parse_int(value).ok_or(Error::NOT_INTEGER)?;
                if count < 1 {
                    return Err(Error::SYNTAX);
                }
                options.count = usize::try_from(count).unwrap_or(usize::MAX);
            } else if args.is(at, "match") {
                options.pattern = (value != b"*").then_some(value);
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(options)
    }

    /// Whether a member's name is asked for.
    pub fn select(&self, name: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, name, false))
    }
}

/// The reply of a scan: the next cursor and what was found.
pub fn reply<'k>(next: u64, found: Vec<Reply<'k>>) -> Reply<'k> {
    Reply::Array(vec![
        Reply::bulk_owned(next.to_string()),
        Reply::Array(found),
    ])
}
