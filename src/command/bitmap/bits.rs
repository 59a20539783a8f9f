//! Reading and writing bits in bytes. What lies beyond the end is zero.

use std::ops::Range;

/// The bit at `offset`.
pub fn get(bytes: &[u8], offset: usize) -> bool {
    bytes
        .get(offset / 8)
        .is_some_and(|byte| byte & 0x80 >> (offset % 8) != 0)
}

/// How many bits of `range`, which lies within, are set. O(bytes).
pub fn count(bytes: &[u8], range: Range<usize>) -> usize {
    let whole = range.start.next_multiple_of(8)..range.end / 8 * 8;
    if whole.start >= whole.end {
        return range.filter(|&offset| get(bytes, offset)).count();
    }
    let edges = (range.start..whole.start).chain(whole.end..range.end);
    let at_edges = edges.filter(|&offset| get(bytes, offset)).count();
    // Eight bytes at a time: one instruction each.
    let words = bytes[whole.start / 8..whole.end / 8].chunks(8);
    let inside: u32 = words
        .map(|word| {
            let mut padded = [0; 8];
            padded[..word.len()].copy_from_slice(word);
            u64::from_le_bytes(padded).count_ones()
        })
        .sum();
    at_edges + inside as usize
}

/// The first place in `range`, which lies within, where the bit is `bit`. O(bytes).
pub fn position(bytes: &[u8], range: Range<usize>, bit: bool) -> Option<usize> {
    let passed = if bit { 0 } else { 0xFF };
    let mut offset = range.start;
    while offset < range.end {
        if offset.is_multiple_of(8) && bytes[offset / 8] == passed {
            let rest = &bytes[offset / 8..];
            let run = rest.iter().take_while(|byte| **byte == passed).count();
            offset += run * 8;
        } else if get(bytes, offset) == bit {
            return Some(offset);
        } else {
            offset += 1;
        }
    }
    None
}

/// The number of `width` bits, at most 64, at `offset`, the highest first.
pub fn get_field(bytes: &[u8], offset: usize, width: u32) -> u64 {
    (offset..offset + width as usize).fold(0, |number, at| number << 1 | get(bytes, at) as u64)
}

/// Writes the low `width` bits of `number` at `offset`, all of which lie within.
pub fn set_field(bytes: &mut [u8], offset: usize, width: u32, number: u64) {
    for index in 0..width {
        let at = offset + index as usize;
        let mask = 0x80 >> (at % 8);
        if number >> (width - 1 - index) & 1 == 1 {
            bytes[at / 8] |= mask;
        } else {
            bytes[at / 8] &= !mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_and_finding_agree_with_looking_at_each_bit() {
        let bytes: Vec<u8> = (0..40u32).map(|n| ((n * n * 37) >> 3) as u8).collect();
        let bytes = [&[0; 11][..], &bytes, &[0xFF; 9]].concat();
        for start in 0..bytes.len() * 8 {
            for end in (start..=bytes.len() * 8).step_by(7) {
                let mut set = (start..end).filter(|&at| get(&bytes, at));
                assert_eq!(count(&bytes, start..end), set.clone().count());
                assert_eq!(position(&bytes, start..end, true), set.next());
                let clear = (start..end).find(|&at| !get(&bytes, at));
                assert_eq!(position(&bytes, start..end, false), clear);
            }
        }
    }

    #[test]
    fn fields_read_back() {
        for offset in 0..20 {
            for width in 1..=64 {
                let mut bytes = [0xA5; 16];
                let number = 0xDEAD_BEEF_0123_4567u64 >> (64 - width);
                set_field(&mut bytes, offset, width, number);
                assert_eq!(get_field(&bytes, offset, width), number);
                let changed = offset..offset + width as usize;
                let untouched = (0..128).filter(|at| !changed.contains(at));
                for at in untouched {
                    assert_eq!(get(&bytes, at), get(&[0xA5; 16], at));
                }
            }
        }
    }
}
