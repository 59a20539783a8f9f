//! How slow is memory just now?
//!
//! On a shared host the neighbours' use of the last-level cache and of memory does not show in
//! `/proc/stat`, yet it can double what a server pays per key. A chain of dependent loads through
//! more memory than the core's own caches hold shows it.

use std::time::{Duration, Instant};

use crate::random::Random;

/// About what 100,000 small keys take in a server: beyond a core's own cache, within a shared one.
const CHAIN_BYTES: usize = 16 * 1024 * 1024;
const LINE_BYTES: usize = 64;

/// Nanoseconds per dependent load, measured for `lasting`.
pub fn load_ns(lasting: Duration) -> f64 {
    let chain = chain(CHAIN_BYTES / LINE_BYTES);
    let (mut at, mut loads) = (0, 0u64);
    let begun = Instant::now();
    while begun.elapsed() < lasting {
        for _ in 0..4096 {
            at = chain[at].next;
        }
        loads += 4096;
    }
    let elapsed = begun.elapsed();
    std::hint::black_box(at);
    elapsed.as_nanos() as f64 / loads as f64
}

#[derive(Clone)]
#[repr(align(64))]
struct Line {
    next: usize,
}

/// One cycle through all lines in random order (Sattolo's shuffle).
fn chain(lines: usize) -> Vec<Line> {
    let mut random = Random::new(5);
    let mut chain: Vec<Line> = (0..lines).map(|next| Line { next }).collect();
    for last in (1..lines).rev() {
        chain.swap(last, random.below(last as u64) as usize);
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_one_cycle() {
        let chain = chain(100);
        let mut at = 0;
        for step in 1..=100 {
            at = chain[at].next;
            assert_eq!(at == 0, step == 100);
        }
    }
}
