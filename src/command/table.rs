//! All commands by name and by id.
//!
//! | ids | family |
//! |---|---|
//! | 1-49 | string |
//! | 50-99 | keys |
//! | 100-149 | list |
//! | 150-199 | set |
//! | 200-249 | hash |
//! | 250-319 | sorted set |
//! | 320-349 | transaction |
//! | 350-369 | bitmap |
//! | 400-499 | connection and server |
//! | 500-549 | cluster |

use std::collections::HashMap;
use std::sync::LazyLock;

use super::spec::Spec;
use super::{
    bitmap, cluster, connection, diagnostics, hash, keys, list, multi, server, set, string,
    transaction, zset,
};

const FAMILIES: &[&[Spec]] = &[
    string::SPECS,
    keys::SPECS,
    bitmap::SPECS,
    list::SPECS,
    set::SPECS,
    hash::SPECS,
    zset::SPECS,
    transaction::SPECS,
    multi::SPECS,
    connection::SPECS,
    server::SPECS,
    diagnostics::SPECS,
    cluster::SPECS,
];

/// Longest name that the fast look-up takes; others go by the map.
const SHORT_MAX: usize = 16;

/// Places of the fast look-up: a power of two well above the number of commands.
const PLACES: usize = 2048;

struct Table {
    all: Vec<&'static Spec>,
    by_id: Vec<Option<&'static Spec>>,
    by_name: HashMap<&'static str, &'static Spec>,
    /// Open addressing by the folded name.
    places: Vec<Option<(u128, &'static Spec)>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let all: Vec<&'static Spec> = FAMILIES.iter().flat_map(|family| family.iter()).collect();
    let numbered: Vec<&'static Spec> = all
        .iter()
        .flat_map(|&spec| std::iter::once(spec).chain(spec.subcommands))
        .collect();
    let highest = numbered.iter().map(|spec| spec.id).max().unwrap_or(0);
    let mut by_id = vec![None; highest as usize + 1];
    let mut places = vec![None; PLACES];
    for spec in numbered {
        assert!(by_id[spec.id as usize].is_none(), "id {} twice", spec.id);
        by_id[spec.id as usize] = Some(spec);
    }
    for &spec in &all {
        // Internal commands have no name that a client could send.
        if spec.name.starts_with("__") {
            continue;
        }
        if let Some(folded) = fold(spec.name.as_bytes()) {
            let mut place = place_of(folded);
            while places[place].is_some() {
                place = (place + 1) % PLACES;
            }
            places[place] = Some((folded, spec));
        }
    }
    let public = all.iter().filter(|spec| !spec.name.starts_with("__"));
    let by_name = public.map(|&spec| (spec.name, spec)).collect();
    Table {
        all,
        by_id,
        by_name,
        places,
    }
});

/// The commands that a client can send, in the order of the families.
pub fn public() -> impl Iterator<Item = &'static Spec> {
    let internal = |spec: &&&'static Spec| spec.name.starts_with("__");
    TABLE
        .all
        .iter()
        .filter(move |spec| !internal(spec))
        .copied()
}

/// Every command, in the order of the families, internal ones included.
pub fn table() -> &'static [&'static Spec] {
    &TABLE.all
}

/// The command or subcommand with this id, as the log and the statistics number them.
#[inline]
pub fn by_id(id: u16) -> Option<&'static Spec> {
    TABLE.by_id.get(id as usize).copied().flatten()
}

/// The command of this name, in any case. O(1).
#[inline]
pub fn by_name(name: &[u8]) -> Option<&'static Spec> {
    let Some(folded) = fold(name) else {
        let lower = name.to_ascii_lowercase();
        return TABLE
            .by_name
            .get(std::str::from_utf8(&lower).ok()?)
            .copied();
    };
    let mut place = place_of(folded);
    while let Some((found, spec)) = TABLE.places[place] {
        if found == folded && spec.name.len() == name.len() {
            return Some(spec);
        }
        place = (place + 1) % PLACES;
    }
    None
}

/// A name of up to 16 bytes as a number, upper case made lower. With the name's length it says
/// all of the name.
#[inline]
fn fold(name: &[u8]) -> Option<u128> {
    let word = |at: usize| {
        name[at..]
            .first_chunk()
            .map(|bytes| u64::from_le_bytes(*bytes))
    };
    let half = |at: usize| {
        let bytes = name[at..]
            .first_chunk()
            .map(|bytes| u32::from_le_bytes(*bytes));
        u64::from(bytes.unwrap_or_default())
    };
    // Two loads that may overlap, in place of a copy of unknown length.
    let (low, high) = match name.len() {
        0 => (0, 0),
        // First, middle and last: all of them up to three.
        len @ 1..=3 => {
            let byte = |at: usize| u64::from(name[at]);
            (byte(0) | byte(len / 2) << 8 | byte(len - 1) << 16, 0)
        }
        len @ 4..=7 => (half(0) | half(len - 4) << 32, 0),
        len @ 8..=SHORT_MAX => (
            word(0).unwrap_or_default(),
            word(len - 8).unwrap_or_default(),
        ),
        _ => return None,
    };
    Some(u128::from(lower(low)) | u128::from(lower(high)) << 64)
}

/// Eight bytes with the upper case letters among them made lower.
#[inline]
fn lower(bytes: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low_bits = bytes & (0x7F * EACH);
    // The top bit of each byte says: at least 'A', above 'Z', ASCII.
    let from_a = low_bits + (0x80 - b'A' as u64) * EACH;
    let above_z = low_bits + (0x7F - b'Z' as u64) * EACH;
    let upper = (from_a & !above_z & !bytes) & (0x80 * EACH);
    bytes | upper >> 2
}

#[inline]
fn place_of(folded: u128) -> usize {
    let mixed = (folded as u64 ^ (folded >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Flags, Route};

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(by_name(b"get").unwrap().name, "get");
        assert_eq!(by_name(b"GeT").unwrap().name, "get");
        assert!(by_name(b"get\0").is_none());
        assert!(by_name(b"no-such-command-at-all").is_none());
        for spec in table() {
            let found = by_name(spec.name.to_uppercase().as_bytes());
            assert_eq!(found.is_none(), spec.name.starts_with("__"));
            assert!(found.is_none_or(|found| std::ptr::eq(found, *spec)));
            assert!(std::ptr::eq(by_id(spec.id).unwrap(), *spec));
        }
    }

    #[test]
    fn specs_agree_with_themselves() {
        for spec in table() {
            assert_eq!(spec.name, spec.name.to_lowercase());
            let writes = matches!(spec.route, Route::Write | Route::WriteAll(_));
            assert_eq!(spec.flags.has(Flags::WRITE), writes, "{}", spec.name);
            assert_eq!(
                spec.handler.is_none(),
                spec.route == Route::Session,
                "{}",
                spec.name
            );
            assert!(
                !(writes && spec.flags.has(Flags::READONLY)),
                "{}",
                spec.name
            );
            assert!(spec.arity != 0 && !spec.summary.is_empty() && !spec.since.is_empty());
        }
    }
}
