//! Random numbers from a seed, so that what failed can be had again.

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

/// The same numbers in every run and release: SplitMix64 (Steele et al., OOPSLA 2014).
#[derive(Clone)]
pub struct Seed(u64);

/// The seed that this variable of the environment names, or a new one.
pub fn seed_of(variable: &str) -> u64 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    match std::env::var(variable) {
        Ok(seed) => seed.parse().expect("a number as the seed"),
        Err(_) => clock.map_or(0, |time| time.as_nanos() as u64),
    }
}

impl Seed {
    pub fn new(seed: u64) -> Seed {
        Seed(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`.
    pub fn below<N>(&mut self, bound: N) -> N
    where
        N: TryInto<u64, Error: Debug> + TryFrom<u64, Error: Debug>,
    {
        let bound: u64 = bound.try_into().expect("a bound above zero");
        N::try_from(self.next() % bound).expect("less than the bound")
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}
