//! The main task of a core: one turn after the other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::rt::{self, Completion, Parker, Ring};

use super::engine::Engine;
use super::front::Front;

/// How often a core looks after expiry and idle connections, in ms.
const TICK_MS: u64 = 100;

/// Turns that the executor's other tasks get, at most, to bring an entry from proposal to
/// delivery before replies are sent without it.
const RAFT_YIELDS_MAX: usize = 12;

/// How long a stopping core waits for replies to be read, in ms.
const DRAIN_MS: u64 = 2000;

/// A core's main task.
pub struct Core<F> {
    pub engine: Engine,
    pub front: F,
    pub ring: Ring,
    pub parker: Parker,
    pub stop: Arc<AtomicBool>,
    /// Cores of the node that still have connections.
    pub undrained: Arc<AtomicUsize>,
    /// How long to look for work before sleeping, in us.
    pub spin_us: u64,
}

impl<F: Front> Core<F> {
    /// Runs until the node stops and its connections are closed, or something fatal.
    ///
    /// # Errors
    /// When the kernel refuses the ring.
    pub async fn run(&mut self) -> io::Result<()> {
        let mut completions: Vec<Completion> = Vec::with_capacity(1024);
        let (mut next_tick_ms, mut idle_turns) = (0, 0);
        let (mut draining_until_ms, mut drained) = (None, false);
        loop {
            self.engine.begin_turn();
            let now_ms = self.engine.now_ms();
            for completion in completions.drain(..) {
                self.front
                    .complete(&self.ring, completion, &mut self.engine);
            }
            self.ring.publish_buffers();
            let mut busy = self.engine.receive(&mut self.front);
            busy |= self.engine.capture_turn(&mut self.front, &self.parker);
            busy |= self.engine.slot_scan_turn();
            busy |= self.engine.replace_turn(&mut self.front, &self.parker);
            busy |= self.front.resume(&self.ring, &mut self.engine);
            if self.engine.take_open() {
                self.front.open(&self.ring);
            }
            // The wall clock may be set back: then the tick is not waited for.
            if now_ms >= next_tick_ms || next_tick_ms - now_ms > TICK_MS {
                next_tick_ms = now_ms + TICK_MS;
                self.front.tick(&self.ring, &mut self.engine);
                self.engine.tick();
            }
            // A proposal, or a write of the log that ended, sets the Raft tasks going.
            let file_ended = self.ring.take_file_ended();
            if file_ended {
                self.engine.log_write_ended();
            }
            if self.engine.end_turn() | file_ended {
                busy |= self.let_raft_run().await;
            }
            self.front.flush(&self.ring);
            self.engine.flushed();
            if self.stop.load(Ordering::Relaxed) || self.engine.fault().is_some() {
                let until_ms = *draining_until_ms.get_or_insert_with(|| {
                    self.front.close(&self.ring);
                    now_ms + DRAIN_MS
                });
                if !drained && (self.front.is_closed() || now_ms >= until_ms) {
                    drained = true;
                    self.undrained.fetch_sub(1, Ordering::SeqCst);
                }
                // Until then the others' clients may wait for this core's shard, or its log.
                let all = self.undrained.load(Ordering::SeqCst) == 0;
                let alone = self.engine.fault().is_some();
                if drained && (all || alone || now_ms >= until_ms) {
                    return Ok(());
                }
            }
            let spins = idle_turns < self.spin_turns();
            let tick = Duration::from_millis(next_tick_ms.saturating_sub(now_ms));
            let (ring, engine, front) = (&self.ring, &self.engine, &self.front);
            let has_work = || engine.has_work() || front.has_work();
            let came = ring.rest(&mut completions, busy || spins, tick, has_work);
            let came = came.await?;
            idle_turns = if busy || came { 0 } else { idle_turns + 1 };
        }
    }

    /// Lets the Raft tasks of this executor take the turn's entry as far as it goes without I/O,
    /// so that its replies leave with this turn's.
    async fn let_raft_run(&mut self) -> bool {
        let mut any = false;
        for _ in 0..RAFT_YIELDS_MAX {
            if !self.engine.is_proposing() || self.ring.has_file_to_submit() {
                break;
            }
            rt::yield_now().await;
            if self.engine.receive(&mut self.front) {
                any = true;
                self.engine.end_turn();
            }
        }
        any
    }

    /// An empty turn costs about a microsecond.
    fn spin_turns(&self) -> u64 {
        self.spin_us
    }
}
