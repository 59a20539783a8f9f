//! `BITFIELD`: numbers of any width in a string.

use crate::resp::{Args, Error, Reply, parse_int};
use crate::value::Text;

use super::super::context::Context;
use super::super::spec::Outcome;
use super::{bits, bytes_of, grow, offset};

/// What a number becomes that does not fit.
#[derive(Clone, Copy)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// `i1` to `i64`, `u1` to `u63`.
#[derive(Clone, Copy)]
struct Width {
    signed: bool,
    bits: u32,
}

impl Width {
    fn parse(argument: &[u8]) -> Option<Width> {
        let (signed, digits) = match argument {
            [b'i', digits @ ..] => (true, digits),
            [b'u', digits @ ..] => (false, digits),
            _ => return None,
        };
        let bits = parse_int(digits)?;
        let most = if signed { 64 } else { 63 };
        (1..=most).contains(&bits).then_some(Width {
            signed,
            bits: bits as u32,
        })
    }

    /// The number that the field's bits stand for.
    fn value(self, field: u64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed {
            (field << unused) as i64 >> unused
        } else {
            field as i64
        }
    }

    /// The number that is kept for `number`; `None` when it does not fit and must not be kept.
    fn fit(self, number: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = if self.signed {
            (-(1i128 << (self.bits - 1)), (1i128 << (self.bits - 1)) - 1)
        } else {
            (0, (1i128 << self.bits) - 1)
        };
        let kept = number.clamp(least, most);
        match overflow {
            _ if kept == number => Some(kept as i64),
            Overflow::Saturate => Some(kept as i64),
            Overflow::Wrap => {
                let mask = u64::MAX >> (64 - self.bits);
                Some(self.value(number as u64 & mask))
            }
            Overflow::Fail => None,
        }
    }
}

enum Action {
    Get,
    Set(i64),
    IncrBy(i64),
}

struct Operation {
    action: Action,
    width: Width,
    offset: usize,
    overflow: Overflow,
}

impl Operation {
    /// Bytes that the string needs to hold the field.
    fn length(&self) -> usize {
        (self.offset + self.width.bits as usize).div_ceil(8)
    }

    fn is_write(&self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// The number to keep and the number to answer, of a field that is `before`; `None` when the
    /// field must stay.
    fn apply(&self, before: i64) -> Option<(i64, i64)> {
        match self.action {
            Action::Get => Some((before, before)),
            Action::Set(number) => {
                // A negative number is a large one to an unsigned field.
                let number = match self.width.signed {
                    true => number as i128,
                    false => number as u64 as i128,
                };
                Some((self.width.fit(number, self.overflow)?, before))
            }
            Action::IncrBy(by) => {
                let after = before as i128 + by as i128;
                let after = self.width.fit(after, self.overflow)?;
                Some((after, after))
            }
        }
    }
}

fn parse(args: Args<'_>) -> Result<Vec<Operation>, Error> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut at = 2;
    while at < args.len() {
        let left = args.len() - at - 1;
        if args.is(at, "overflow") && left >= 1 {
            overflow = match args.get(at + 1).to_ascii_lowercase().as_slice() {
                b"wrap" => Overflow::Wrap,
                b"sat" => Overflow::Saturate,
                b"fail" => Overflow::Fail,
                _ => return Err(Error::fixed("ERR Invalid OVERFLOW type specified")),
            };
            at += 2;
            continue;
        }
        let action: fn(i64) -> Action = match args.get(at).to_ascii_lowercase().as_slice() {
            b"get" if left >= 2 => |_| Action::Get,
            b"set" if left >= 3 => Action::Set,
            b"incrby" if left >= 3 => Action::IncrBy,
            _ => return Err(Error::SYNTAX),
        };
        let width = Width::parse(args.get(at + 1)).ok_or(Error::fixed(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported \
             but i64 is.",
        ))?;
        let offset = offset(args.get(at + 2), Some(width.bits))?;
        let is_get = args.is(at, "get");
        let number = match is_get {
            true => 0,
            false => parse_int(args.get(at + 3)).ok_or(Error::NOT_INTEGER)?,
        };
        operations.push(Operation {
            action: action(number),
            width,
            offset,
            overflow,
        });
        at += if is_get { 3 } else { 4 };
    }
    Ok(operations)
}

pub(super) fn bitfield<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let operations = parse(args)?;
    run(context, args.get(1), &operations)
}

pub(super) fn bitfield_ro<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let operations = parse(args)?;
    if operations.iter().any(Operation::is_write) {
        return Err(Error::fixed(
            "ERR BITFIELD_RO only supports the GET subcommand",
        ));
    }
    run(context, args.get(1), &operations)
}

fn run<'k>(context: &mut Context<'_>, key: &[u8], operations: &[Operation]) -> Outcome<'k> {
    context.read::<Text>(key)?;
    let writes = operations.iter().filter(|operation| operation.is_write());
    if let Some(length) = writes.map(Operation::length).max() {
        grow(context, key, length)?;
    }
    let mut replies = Vec::with_capacity(operations.len());
    for operation in operations {
        let Operation { width, offset, .. } = *operation;
        let field = bits::get_field(&bytes_of(context, key)?, offset, width.bits);
        let before = width.value(field);
        let Some((after, answer)) = operation.apply(before) else {
            replies.push(Reply::Null);
            continue;
        };
        if after != before
            && let Some(text) = context.change::<Text>(key)?
        {
            bits::set_field(text.make_mut(), offset, width.bits, after as u64);
        }
        replies.push(Reply::Int(answer));
    }
    Ok(Reply::Array(replies))
}
