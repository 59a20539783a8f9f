//! A shard's part in a checkpoint: its keyspace at one position, brought to the store in slices.

use std::time::{Duration, Instant};

use crate::checkpoint::{Feeder, Refused};
use crate::keyspace::Slice;
use crate::limits::CAPTURE_EARLY_BYTES;

use super::delivery::Delivery;
use super::worker::Shard;

/// Of a shard's time, what slices may take beside requests: one part in this many.
const SHARE: u32 = 4;

/// A capture under way.
pub struct Capture {
    feeder: Feeder,
    /// A slice that found no room.
    pending: Option<Vec<u8>>,
    walked: bool,
    /// Not before this the next slice.
    next: Instant,
}

/// What a turn of the capture came to.
pub enum Captured {
    /// Nothing is being captured, or it is not its turn yet.
    Nothing,
    /// A slice was written.
    Slice,
    /// There is no room for so many bytes: go on when the feeder has it.
    Full(Feeder, usize),
    /// The shard's part is complete, or the checkpoint failed.
    End(Result<(), String>),
}

impl Shard {
    /// Begins to capture the present state. False while keys are lent: they are part of it.
    pub(super) fn begin_capture(&mut self, delivery: &Delivery) -> bool {
        if !self.lent.is_empty() {
            return false;
        }
        if let (Some(feeder), None) = (&delivery.capture, &self.capture) {
            self.keyspace
                .begin_capture(((delivery.index + 1) << 24) - 1);
            self.capture = Some(Capture {
                feeder: feeder.clone(),
                pending: None,
                walked: false,
                next: Instant::now(),
            });
        }
        true
    }

    /// Whether deliveries must wait until old images were written out.
    pub(super) fn is_capture_behind(&self) -> bool {
        self.capture.is_some() && self.keyspace.capture_early_bytes() > CAPTURE_EARLY_BYTES
    }

    /// Whether a capture is under way.
    pub fn is_capturing(&self) -> bool {
        self.capture.is_some()
    }

    /// Writes the next slice of about `slice_bytes`, when it is time for it.
    pub fn capture_turn(&mut self, slice_bytes: usize) -> Captured {
        let Some(capture) = &mut self.capture else {
            return Captured::Nothing;
        };
        let begun = Instant::now();
        if begun < capture.next && self.keyspace.capture_early_bytes() == 0 {
            return Captured::Nothing;
        }
        let chunk = match capture.pending.take() {
            Some(chunk) => chunk,
            None if capture.walked => return self.end_capture(Ok(())),
            None => {
                let mut chunk = Vec::with_capacity(slice_bytes + slice_bytes / 8);
                match self.keyspace.capture_slice(slice_bytes, &mut chunk) {
                    // The keyspace is lent as a whole: it will be home again.
                    Slice::None => return Captured::Nothing,
                    Slice::Last => capture.walked = true,
                    Slice::More => {}
                }
                chunk
            }
        };
        let bytes = chunk.len();
        match capture.feeder.try_put(chunk) {
            Ok(()) => {
                capture.next = begun + begun.elapsed().max(Duration::from_micros(1)) * SHARE;
                Captured::Slice
            }
            Err(Refused::Full(chunk)) => {
                capture.pending = Some(chunk);
                Captured::Full(capture.feeder.clone(), bytes)
            }
            Err(Refused::Failed(error)) => self.end_capture(Err(error.to_string())),
        }
    }

    fn end_capture(&mut self, result: Result<(), String>) -> Captured {
        self.capture = None;
        let orphans = self.keyspace.end_capture();
        if !orphans.is_empty() {
            // Dropping a large table takes long: not on this core's time, where a thread can be had.
            let _ = std::thread::Builder::new().spawn(move || drop(orphans));
        }
        Captured::End(result)
    }
}
