//! A histogram of durations with a bounded relative error, in fixed memory.
//!
//! Log-linear, the idea of Gil Tene's HdrHistogram: every power of two is divided into 32 equal
//! places, so a value is known to 1/32 (3 %). Up to 2^37 ns (137 s); longer ones count as that.

use std::fmt;

/// Places per power of two, as bits.
const SUB_BITS: u32 = 5;
const SUBS: usize = 1 << SUB_BITS;
/// Values from 2^37 on are counted as the largest one below.
const BITS_MAX: u32 = 37;
const PLACES: usize = (BITS_MAX - SUB_BITS + 1) as usize * SUBS;

/// Counts of nanoseconds. 8.5 KiB.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; PLACES]>,
    count: u64,
    sum_ns: u64,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: Box::new([0; PLACES]),
            count: 0,
            sum_ns: 0,
            max_ns: 0,
        }
    }
}

impl Histogram {
    /// Counts one duration. A few instructions, no branch that depends on what was counted before.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.record_many(ns, 1);
    }

    /// Counts `count` durations of the same length.
    #[inline]
    pub fn record_many(&mut self, ns: u64, count: u64) {
        self.counts[place_of(ns)] += count;
        self.count += count;
        self.sum_ns = self.sum_ns.saturating_add(ns.saturating_mul(count));
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds what another one counted. O(places).
    pub fn merge(&mut self, other: &Histogram) {
        for (to, from) in self.counts.iter_mut().zip(other.counts.iter()) {
            *to += from;
        }
        self.count += other.count;
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    pub fn reset(&mut self) {
        self.counts.fill(0);
        (self.count, self.sum_ns, self.max_ns) = (0, 0, 0);
    }

    /// Durations counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Nanoseconds of all together.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// Nanoseconds of the longest.
    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// Nanoseconds on average; 0 when nothing was counted.
    pub fn mean_ns(&self) -> u64 {
        self.sum_ns.checked_div(self.count).unwrap_or(0)
    }

    /// Nanoseconds that `share` of the durations (0.0 to 1.0) do not exceed, at most 3 % above the
    /// true value; 0 when nothing was counted. O(places).
    pub fn quantile_ns(&self, share: f64) -> u64 {
        let rank = (share.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return highest_of(place).min(self.max_ns);
            }
        }
        0
    }

    /// How many durations lie below 1024, 2048, 4096 .. nanoseconds: the bound and the count up to
    /// it, for the bounds that more durations lie below than below the one before. O(places).
    pub fn cumulative(&self) -> Vec<(u64, u64)> {
        let mut steps = Vec::new();
        let (mut seen, mut told) = (0, 0);
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            let bound = highest_of(place) + 1;
            if bound.is_power_of_two() && bound >= 1024 && seen > told {
                steps.push((bound, seen));
                told = seen;
            }
        }
        steps
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count)
            .field("p50_ns", &self.quantile_ns(0.5))
            .field("p99_ns", &self.quantile_ns(0.99))
            .field("max_ns", &self.max_ns)
            .finish()
    }
}

/// Where a value is counted: itself below 32, then 32 places for each power of two.
#[inline]
fn place_of(ns: u64) -> usize {
    let ns = ns.min((1 << BITS_MAX) - 1);
    // What lies below 32 makes the first row, as if it had bit 4 set.
    let exponent = (ns | (SUBS as u64 / 2)).ilog2();
    let row = exponent + 1 - SUB_BITS;
    let shift = row.saturating_sub(1);
    let within = ((ns >> shift) as usize) & (SUBS - 1);
    row as usize * SUBS + within
}

/// The largest value that is counted in a place.
fn highest_of(place: usize) -> u64 {
    let (row, within) = (place / SUBS, (place % SUBS) as u64);
    match row {
        0 => within,
        row => {
            let shift = row - 1;
            ((SUBS as u64 + within + 1) << shift) - 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_cover_every_value_once() {
        let mut before = None;
        for place in 0..PLACES {
            let highest = highest_of(place);
            assert_eq!(place_of(highest), place);
            if let Some(before) = before {
                assert_eq!(place_of(before + 1), place);
                assert!(highest > before);
            }
            before = Some(highest);
        }
        assert_eq!(before, Some((1 << BITS_MAX) - 1));
        assert_eq!(place_of(u64::MAX), PLACES - 1);
        assert_eq!(place_of(0), 0);
    }

    #[test]
    fn quantiles_are_within_3_percent() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantile_ns(0.5), histogram.mean_ns()), (0, 0));
        for ns in 1..=100_000u64 {
            histogram.record(ns);
        }
        for share in [0.001, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = 100_000.0 * share;
            let found = histogram.quantile_ns(share) as f64;
            assert!(found >= exact && found <= exact * 1.032, "{share}: {found}");
        }
        assert_eq!(histogram.quantile_ns(0.0), 1);
        assert_eq!((histogram.count(), histogram.max_ns()), (100_000, 100_000));
        assert_eq!(histogram.mean_ns(), 50_000);
    }

    #[test]
    fn merging_is_as_recording_in_one() {
        let (mut one, mut a, mut b) = Default::default();
        for ns in [3, 77, 1_000, 50_000, 1 << 40] {
            Histogram::record(&mut one, ns);
            Histogram::record(if ns % 2 == 0 { &mut a } else { &mut b }, ns);
        }
        a.merge(&b);
        assert_eq!(a, one);
        a.reset();
        assert_eq!(a, Histogram::default());
    }

    #[test]
    fn cumulative_counts_by_powers_of_two() {
        let mut histogram = Histogram::default();
        for ns in [5, 1023, 1024, 1500, 9_000_000] {
            histogram.record(ns);
        }
        assert_eq!(histogram.cumulative(), [(1024, 2), (2048, 4), (1 << 24, 5)]);
    }
}
