//! `instantaneous_ops_per_sec` and its like: a rate over the last few samples of a total.

/// Samples that the rate is taken over, as Redis (`STATS_METRIC_SAMPLES`).
const SAMPLES: usize = 16;

/// A rate per second, from samples of a counter taken every 100 ms or so.
#[derive(Debug, Clone, Default)]
pub struct Rate {
    /// Time and total of each sample, in a ring.
    samples: [(u64, u64); SAMPLES],
    taken: usize,
}

impl Rate {
    /// Takes a sample: the total so far. A time not later than the last sample's is left out.
    pub fn sample(&mut self, now_ms: u64, total: u64) {
        if self.taken > 0 && now_ms <= self.at(self.taken - 1).0 {
            return;
        }
        self.samples[self.taken % SAMPLES] = (now_ms, total);
        self.taken += 1;
    }

    /// The increase per second between the oldest sample kept and the newest; 0 before the second
    /// one. A total that went back (`CONFIG RESETSTAT`) counts as no increase.
    pub fn per_second(&self) -> f64 {
        if self.taken < 2 {
            return 0.0;
        }
        let (from_ms, from) = self.at(self.taken.saturating_sub(SAMPLES));
        let (to_ms, to) = self.at(self.taken - 1);
        to.saturating_sub(from) as f64 * 1000.0 / (to_ms - from_ms).max(1) as f64
    }

    fn at(&self, sample: usize) -> (u64, u64) {
        self.samples[sample % SAMPLES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let mut rate = Rate::default();
        rate.sample(1000, 50);
        assert_eq!(rate.per_second(), 0.0);
        rate.sample(1000, 70);
        rate.sample(1500, 100);
        assert_eq!(rate.per_second(), 100.0);
        for step in 1..=100 {
            rate.sample(1500 + step * 100, 100 + step * 20);
        }
        assert_eq!(rate.per_second(), 200.0);
        rate.sample(20_000, 0);
        assert_eq!(rate.per_second(), 0.0);
    }
}
