//! When a command's time is taken: reading the clock for each would cost more than many a command.

use std::time::Instant;

/// Of the commands that take constant time, one in this many is timed.
const SAMPLE: u32 = 16;

/// Whether, and for how many others, a command is timed.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    since: Option<Instant>,
    weight: u64,
}

impl Timing {
    /// The timing of the next command; `number` counts those of constant time. Every command that
    /// may take longer is timed.
    #[inline]
    pub fn begin(constant: bool, number: &mut u32) -> Timing {
        if constant {
            *number = number.wrapping_add(1);
            if !number.is_multiple_of(SAMPLE) {
                return Timing {
                    since: None,
                    weight: 0,
                };
            }
        }
        let weight = if constant { u64::from(SAMPLE) } else { 1 };
        Timing {
            since: Some(Instant::now()),
            weight,
        }
    }

    /// Nanoseconds that the command took and how many commands it stands for, where it was timed.
    #[inline]
    pub fn end(self) -> Option<(u64, u64)> {
        self.since
            .map(|since| (since.elapsed().as_nanos() as u64, self.weight))
    }
}
