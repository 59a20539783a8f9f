//! String commands, but for those on bits (`bitmap/`).
//!
//! Invariants
//! - A text that a command changes in place keeps its expiry; one that it sets anew loses it,
//!   unless the command says otherwise.
//! - A text never grows beyond [`BULK_BYTES_MAX`].

mod lcs;
mod number;
mod set;
mod slice;
mod specs;

pub(super) use specs::SPECS;

use crate::limits::BULK_BYTES_MAX;
use crate::resp::{Args, Error, Reply};
use crate::value::Text;

use super::context::Context;
use super::spec::Outcome;

fn get<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    Ok(match context.read::<Text>(args.get(1))? {
        Some(text) => text.reply(),
        None => Reply::Null,
    })
}

fn mget<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let context = &*context;
    let values = args
        .iter_from(1)
        .map(|key| match context.read::<Text>(key) {
            Ok(Some(text)) => text.reply(),
            _ => Reply::Null,
        });
    Ok(Reply::Array(values.collect()))
}

fn strlen<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let text = context.read::<Text>(args.get(1))?;
    Ok(Reply::count(text.map_or(0, Text::len)))
}

/// Whether a text of this many bytes may be.
pub(super) fn check_length(bytes: usize) -> Result<(), Error> {
    if bytes > BULK_BYTES_MAX {
        return Err(Error::fixed(
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        ));
    }
    Ok(())
}
