//! What the table says of commands on bits.

use super::super::spec::{Flags, Group, Keys, Spec};
use super::{bitcount, bitop, bitpos, field, getbit, setbit};

const fn keys(first: i32, last: i32) -> Keys {
    Keys::Range {
        first,
        last,
        step: 1,
    }
}

/// A command on the bits of the key at 1; the fields that differ are given.
const fn spec(id: u16, name: &'static str, arity: i32, flags: Flags) -> Spec {
    Spec::on_key(Group::Bitmap, id, name, arity, flags)
}

const READ: Flags = Flags::READ;
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);

pub(in crate::command) const SPECS: &[Spec] = &[
    Spec {
        handler: Some(setbit),
        since: "2.2.0",
        summary: "Sets or clears the bit at offset of the string value. Creates the key if it doesn't exist.",
        ..spec(350, "setbit", 4, WRITE)
    },
    Spec {
        handler: Some(getbit),
        since: "2.2.0",
        summary: "Returns a bit value by offset.",
        ..spec(351, "getbit", 3, READ.or(Flags::FAST))
    },
    Spec {
        handler: Some(bitcount),
        since: "2.6.0",
        complexity: "O(N)",
        summary: "Counts the number of set bits (population counting) in a string.",
        ..spec(352, "bitcount", -2, READ)
    },
    Spec {
        handler: Some(bitpos),
        since: "2.8.7",
        complexity: "O(N)",
        summary: "Finds the first set (1) or clear (0) bit in a string.",
        ..spec(353, "bitpos", -3, READ)
    },
    Spec {
        handler: Some(bitop),
        keys: keys(2, -1),
        since: "2.6.0",
        complexity: "O(N)",
        summary: "Performs bitwise operations on multiple strings, and stores the result.",
        ..spec(354, "bitop", -4, WRITE)
    },
    Spec {
        handler: Some(field::bitfield),
        since: "3.2.0",
        complexity: "O(1) for each subcommand specified",
        summary: "Performs arbitrary bitfield integer operations on strings.",
        ..spec(355, "bitfield", -2, WRITE)
    },
    Spec {
        handler: Some(field::bitfield_ro),
        since: "6.0.0",
        complexity: "O(1) for each subcommand specified",
        summary: "Performs arbitrary read-only bitfield integer operations on strings.",
        ..spec(356, "bitfield_ro", -2, READ.or(Flags::FAST))
    },
];
