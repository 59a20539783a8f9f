//! Closed loop: every connection keeps one batch of requests in flight.
//!
//! Made to be lighter than any server it measures: requests are encoded beforehand, replies are
//! counted, one thread. With a core of its own it does not sleep, and `idle_share` says how much of
//! the window the client had nothing to do; near zero, the client was the limit and the rate says
//! nothing of the server. Latency is that of a whole batch, from its sending to its last byte.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::check::{Batch, surprise};
use crate::latency;
use crate::server_cpu::Spent;
use crate::wire::{Event, SLEEP_MAX, Wait, Wire};
use crate::workload::Workload;

/// No reply at all for this long ends the run: either the server hangs or it answered with fewer
/// bytes than it should (an error instead of a value).
const STALL: Duration = Duration::from_secs(10);

/// How to load.
pub struct Plan {
    pub address: SocketAddr,
    pub connections: usize,
    /// Requests per batch.
    pub pipeline: usize,
    pub warm_up: Duration,
    pub window: Duration,
    /// Processes whose CPU time is read over the window; may be empty.
    pub server_pids: Vec<u32>,
    pub wait: Wait,
}

/// What the window showed.
pub struct Outcome {
    pub replies: u64,
    pub window: Duration,
    /// Share of the window in which the client had nothing to do, 0 to 1; unknown if it slept.
    pub idle_share: Option<f64>,
    /// Of batches that began and ended in the window, in ns.
    pub latency: Histogram<u64>,
    pub server_cpu_ns: Option<u64>,
    pub client_cpu_ns: u64,
}

/// Runs warm-up and window.
///
/// # Errors
/// A wrong reply, a closed or stalled connection, or what the kernel refused.
pub fn run(plan: &Plan, workload: &Workload) -> Result<Outcome, String> {
    let mut load = Load::start(plan, workload)?;
    load.until(Instant::now() + plan.warm_up)?;

    let cpu = Spent::begin(&plan.server_pids)?;
    let begun = Instant::now();
    load.window_begun = Some(begun);
    (load.replies, load.idle) = (0, Duration::ZERO);
    load.until(begun + plan.window)?;
    let window = begun.elapsed();
    let (server_cpu_ns, client_cpu_ns) = cpu.end(&plan.server_pids)?;

    let idle = load.idle.as_secs_f64() / window.as_secs_f64();
    let replies = load.replies;
    load.window_begun = None;
    load.drain()?;
    Ok(Outcome {
        replies,
        window,
        idle_share: (plan.wait == Wait::Spin).then_some(idle),
        latency: load.latency,
        server_cpu_ns,
        client_cpu_ns,
    })
}

/// Sends every request of `workload` once, over one connection each turn as they come free.
///
/// # Errors
/// As [`run`].
pub fn send_all(plan: &Plan, workload: &Workload) -> Result<u64, String> {
    let mut load = Load::start(plan, workload)?;
    load.once = true;
    while load.sent < workload.len() {
        load.turn()?;
    }
    load.drain()?;
    Ok(load.replies)
}

struct Load<'run> {
    wire: Wire<'run>,
    workload: &'run Workload,
    batches: Vec<Batch>,
    /// When each connection's batch was sent.
    sent_at: Vec<Instant>,
    pipeline: usize,
    wait: Wait,
    /// Where the next batch begins in the workload.
    cursor: usize,
    /// Requests sent, over all rounds of the workload.
    sent: usize,
    /// Stop after one round, batch sizes notwithstanding.
    once: bool,
    /// Take what comes, send nothing more.
    draining: bool,
    replies: u64,
    idle: Duration,
    idle_since: Option<Instant>,
    /// Batches sent since then are the window's; none outside it.
    window_begun: Option<Instant>,
    latency: Histogram<u64>,
    last_event: Instant,
    events: Vec<Event>,
}

impl<'run> Load<'run> {
    fn start(plan: &Plan, workload: &'run Workload) -> Result<Self, String> {
        let wire = Wire::connect(plan.address, plan.connections)
            .map_err(|error| format!("connecting to {}: {error}", plan.address))?;
        let mut load = Self {
            wire,
            workload,
            batches: (0..plan.connections).map(|_| Batch::default()).collect(),
            sent_at: vec![Instant::now(); plan.connections],
            pipeline: plan.pipeline.min(workload.len()),
            wait: plan.wait,
            cursor: 0,
            sent: 0,
            once: false,
            draining: false,
            replies: 0,
            idle: Duration::ZERO,
            idle_since: None,
            window_begun: None,
            latency: latency::histogram()?,
            last_event: Instant::now(),
            events: Vec::with_capacity(1024),
        };
        for connection in 0..plan.connections {
            load.send(connection)?;
        }
        Ok(load)
    }

    fn until(&mut self, end: Instant) -> Result<(), String> {
        while self.turn()? < end {}
        Ok(())
    }

    /// Waits for the batches in flight, so that the server has nothing of this run left to do.
    fn drain(&mut self) -> Result<(), String> {
        self.draining = true;
        while self.batches.iter().any(Batch::waits) {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<Instant, String> {
        let mut events = std::mem::take(&mut self.events);
        let found = self
            .wire
            .turn(&mut events, self.wait.at_most(SLEEP_MAX))
            .map_err(|error| format!("io_uring: {error}"))?;
        let now = Instant::now();
        if found {
            if let Some(since) = self.idle_since.take() {
                self.idle += now - since;
            }
        } else if self.idle_since.is_none() {
            self.idle_since = Some(now);
        }
        if !events.is_empty() {
            self.last_event = now;
        } else if now - self.last_event > STALL {
            return Err(self.stalled());
        }
        for event in events.drain(..) {
            match event {
                Event::Received {
                    connection,
                    buffer,
                    bytes,
                } => {
                    self.receive(connection, buffer, bytes, now)?;
                }
                Event::Closed => return Err("the server closed a connection".to_owned()),
                Event::Sent { .. } => {}
            }
        }
        self.events = events;
        Ok(now)
    }

    fn receive(
        &mut self,
        connection: usize,
        buffer: u16,
        bytes: usize,
        now: Instant,
    ) -> Result<(), String> {
        let batch = &mut self.batches[connection];
        let chunk = self.wire.chunk(buffer, bytes);
        let complete = batch.receive(self.workload, chunk);
        self.wire.recycle(buffer);
        if complete? {
            self.replies += batch.requests() as u64;
            let sent = self.sent_at[connection];
            if self.window_begun.is_some_and(|begun| sent >= begun) {
                latency::record(&mut self.latency, (now - sent).as_nanos() as u64);
            }
            if !self.draining {
                self.sent_at[connection] = now;
                self.send(connection)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, connection: usize) -> Result<(), String> {
        let whole = self.workload.len();
        if self.once && self.sent >= whole {
            return Ok(());
        }
        let from = self.cursor;
        let to = (from + self.pipeline).min(whole);
        self.cursor = if to == whole { 0 } else { to };
        self.sent += to - from;
        self.batches[connection].begin(self.workload, from, to);
        self.wire
            .send(connection, self.workload.requests(from, to), false)
            .map_err(|error| format!("sending: {error}"))
    }

    fn stalled(&self) -> String {
        let seconds = STALL.as_secs();
        match self.batches.iter().find(|batch| batch.waits()) {
            Some(batch) => surprise(
                &format!("nothing more for {seconds} s; last was"),
                batch.received_of_first(),
            ),
            None => format!("no reply for {seconds} s"),
        }
    }
}
