//! Key to slot to shard: CRC16 (XMODEM) of the key or its hash tag, modulo 16384, as the
//! [Redis Cluster specification](https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/).

/// Slots of the key space.
pub const SLOTS: usize = 16384;

/// The slot of a key, `0..16384`. O(length of the key or of its tag).
///
/// The tag is what stands between the first `{` and the next `}` when that is not empty.
pub fn slot_of(key: &[u8]) -> u16 {
    let tag = memchr::memchr(b'{', key)
        .and_then(|open| {
            let rest = &key[open + 1..];
            match memchr::memchr(b'}', rest) {
                Some(0) | None => None,
                Some(close) => Some(&rest[..close]),
            }
        })
        .unwrap_or(key);
    crc16(tag) & (SLOTS as u16 - 1)
}

/// The shard, `0..shards`, that owns `slot` when a node has `shards` of them: equal contiguous
/// ranges of slots.
#[inline]
pub fn shard_of(slot: u16, shards: usize) -> usize {
    slot as usize * shards / SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (crc << 8) ^ CRC16[((crc >> 8) as u8 ^ byte) as usize]
    })
}

const CRC16: [u16; 256] = {
    let mut table = [0u16; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = (i as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 {
                (crc << 1) ^ 0x1021
            } else {
                crc << 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{}{bar}"), crc16(b"foo{}{bar}") & 16383);
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        assert_eq!(slot_of(b"foo{bar}{zap}"), slot_of(b"bar"));
        assert_eq!(slot_of(b""), 0);
    }

    #[test]
    fn shards_are_equal_ranges() {
        for shards in [1, 2, 3, 4, 8, 127] {
            let mut counts = vec![0usize; shards];
            for slot in 0..SLOTS as u16 {
                counts[shard_of(slot, shards)] += 1;
            }
            let (low, high) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(high - low <= 1, "{shards}: {low}..{high}");
        }
    }
}
