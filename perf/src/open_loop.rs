//! Open loop: requests arrive at a fixed rate, whether or not the server keeps up.
//!
//! Latency counts from the instant at which a request was due, not from when it could be sent, so
//! a server that stalls is charged for everyone who would have come meanwhile (no coordinated
//! omission). `send_lag` tells how late the client itself sent: where its p99 comes near the
//! latency's, the figures describe the client.
//!
//! Each connection walks the workload from a place of its own, so what is due on it is always one
//! slice; at most one send per connection is in flight.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::check::surprise;
use crate::latency;
use crate::random::Random;
use crate::server_cpu::Spent;
use crate::wire::{Event, SLEEP_MAX, Wait, Wire};
use crate::workload::Workload;

/// Requests due and unanswered, over all connections, at which the run counts as overloaded.
const BACKLOG_MAX: usize = 1_000_000;
/// How long after the window answers are waited for.
const DRAIN: Duration = Duration::from_secs(10);

/// How requests are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Exponential gaps: independent users.
    Poisson,
    /// Equal gaps.
    Constant,
}

/// How to load.
pub struct Plan {
    pub address: SocketAddr,
    pub connections: usize,
    /// Requests per second over all connections.
    pub rate: f64,
    pub arrivals: Arrivals,
    pub warm_up: Duration,
    pub window: Duration,
    pub server_pids: Vec<u32>,
    pub seed: u64,
    pub wait: Wait,
}

/// What the window showed; histograms in nanoseconds.
pub struct Outcome {
    pub latency: Histogram<u64>,
    pub send_lag: Histogram<u64>,
    pub window: Duration,
    pub server_cpu_ns: Option<u64>,
    pub client_cpu_ns: u64,
}

/// Runs warm-up, window and drain.
///
/// # Errors
/// An overloaded server, a wrong reply, a closed connection, or what the kernel refused.
pub fn run(plan: &Plan, workload: &Workload) -> Result<Outcome, String> {
    let mut load = Load::new(plan, workload)?;
    let window_ns = load.window_ns.clone();
    while load.now_ns() < window_ns.start {
        load.turn(true)?;
    }
    let cpu = Spent::begin(&plan.server_pids)?;
    while load.now_ns() < window_ns.end {
        load.turn(true)?;
    }
    let (server_cpu_ns, client_cpu_ns) = cpu.end(&plan.server_pids)?;
    // What was due in the window while the client itself did not get to run.
    load.arrive(window_ns.end)?;
    let give_up_ns = load.now_ns() + DRAIN.as_nanos() as u64;
    while load.backlog > 0 {
        if load.turn(false)? > give_up_ns {
            return Err(format!(
                "{} requests unanswered after the window",
                load.backlog
            ));
        }
    }
    Ok(Outcome {
        latency: load.latency,
        send_lag: load.send_lag,
        window: plan.window,
        server_cpu_ns,
        client_cpu_ns,
    })
}

/// One connection's share of the arrivals.
struct Lane {
    /// The next request of the workload to send, and the next to be answered.
    unsent: usize,
    unanswered: usize,
    /// Due times of the requests not yet sent, and of those not yet answered (sent or not).
    due_unsent: VecDeque<u64>,
    due_unanswered: VecDeque<u64>,
    sending: bool,
    /// Reply units that came beyond the last whole reply.
    units: u64,
    /// The last chunk ended inside a line, which units counted in lines do not show.
    inside_line: bool,
}

struct Load<'run> {
    wire: Wire<'run>,
    workload: &'run Workload,
    lanes: Vec<Lane>,
    random: Random,
    arrivals: Arrivals,
    mean_gap_ns: f64,
    next_due_ns: f64,
    started: Instant,
    window_ns: std::ops::Range<u64>,
    backlog: usize,
    wait: Wait,
    latency: Histogram<u64>,
    send_lag: Histogram<u64>,
    events: Vec<Event>,
}

impl<'run> Load<'run> {
    fn new(plan: &Plan, workload: &'run Workload) -> Result<Self, String> {
        let wire = Wire::connect(plan.address, plan.connections)
            .map_err(|error| format!("connecting to {}: {error}", plan.address))?;
        let lane = |index: usize| {
            let begin = index * workload.len() / plan.connections;
            Lane {
                unsent: begin,
                unanswered: begin,
                due_unsent: VecDeque::new(),
                due_unanswered: VecDeque::new(),
                sending: false,
                units: 0,
                inside_line: false,
            }
        };
        let warm_up_ns = plan.warm_up.as_nanos() as u64;
        Ok(Self {
            wire,
            workload,
            lanes: (0..plan.connections).map(lane).collect(),
            random: Random::new(plan.seed),
            arrivals: plan.arrivals,
            mean_gap_ns: 1e9 / plan.rate,
            next_due_ns: 0.0,
            started: Instant::now(),
            window_ns: warm_up_ns..warm_up_ns + plan.window.as_nanos() as u64,
            backlog: 0,
            wait: plan.wait,
            latency: latency::histogram()?,
            send_lag: latency::histogram()?,
            events: Vec::with_capacity(1024),
        })
    }

    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// One look at clock and ring; returns the time it began.
    fn turn(&mut self, arriving: bool) -> Result<u64, String> {
        let now_ns = self.now_ns();
        if arriving {
            self.arrive(now_ns)?;
        }
        let sleep_max = match arriving {
            true => Duration::from_nanos((self.next_due_ns as u64).saturating_sub(now_ns)),
            false => SLEEP_MAX,
        };
        let mut events = std::mem::take(&mut self.events);
        self.wire
            .turn(&mut events, self.wait.at_most(sleep_max))
            .map_err(|error| format!("io_uring: {error}"))?;
        if !events.is_empty() {
            let came_ns = self.now_ns();
            for event in events.drain(..) {
                match event {
                    Event::Received {
                        connection,
                        buffer,
                        bytes,
                    } => {
                        self.receive(connection, buffer, bytes, came_ns)?;
                    }
                    Event::Sent { connection } => {
                        self.lanes[connection].sending = false;
                        self.send(connection)?;
                    }
                    Event::Closed => return Err("the server closed a connection".into()),
                }
            }
        }
        self.events = events;
        Ok(now_ns)
    }

    /// Hands what is due to randomly drawn connections.
    fn arrive(&mut self, now_ns: u64) -> Result<(), String> {
        while self.next_due_ns <= now_ns as f64 {
            let connection = self.random.below(self.lanes.len() as u64) as usize;
            let lane = &mut self.lanes[connection];
            lane.due_unsent.push_back(self.next_due_ns as u64);
            lane.due_unanswered.push_back(self.next_due_ns as u64);
            self.backlog += 1;
            if self.backlog > BACKLOG_MAX {
                return Err(format!("overloaded: {BACKLOG_MAX} requests unanswered"));
            }
            self.next_due_ns += match self.arrivals {
                Arrivals::Poisson => self.random.exponential(self.mean_gap_ns),
                Arrivals::Constant => self.mean_gap_ns,
            };
            self.send(connection)?;
        }
        Ok(())
    }

    /// Sends all that is due on `connection`, up to the end of the workload's buffer.
    fn send(&mut self, connection: usize) -> Result<(), String> {
        let now_ns = self.now_ns();
        let lane = &mut self.lanes[connection];
        if lane.sending || lane.due_unsent.is_empty() {
            return Ok(());
        }
        let from = lane.unsent;
        let to = (from + lane.due_unsent.len()).min(self.workload.len());
        for due_ns in lane.due_unsent.drain(..to - from) {
            if self.window_ns.contains(&due_ns) {
                latency::record(&mut self.send_lag, now_ns.saturating_sub(due_ns));
            }
        }
        lane.unsent = if to == self.workload.len() { 0 } else { to };
        lane.sending = true;
        self.wire
            .send(connection, self.workload.requests(from, to), true)
            .map_err(|error| format!("sending: {error}"))
    }

    fn receive(
        &mut self,
        connection: usize,
        buffer: u16,
        bytes: usize,
        came_ns: u64,
    ) -> Result<(), String> {
        let lane = &mut self.lanes[connection];
        let chunk = self.wire.chunk(buffer, bytes);
        let at_reply = lane.units == 0 && !lane.inside_line;
        if at_reply && chunk[0] != self.workload.first_byte(lane.unanswered) {
            return Err(surprise("a reply of another kind", chunk));
        }
        lane.inside_line = chunk[chunk.len() - 1] != b'\n';
        lane.units += self.workload.count(chunk);
        while let Some(due_ns) = lane.due_unanswered.front().copied() {
            let needed = self.workload.units(lane.unanswered, lane.unanswered + 1);
            if lane.units < needed {
                break;
            }
            lane.units -= needed;
            lane.due_unanswered.pop_front();
            lane.unanswered = (lane.unanswered + 1) % self.workload.len();
            self.backlog -= 1;
            if self.window_ns.contains(&due_ns) {
                latency::record(&mut self.latency, came_ns.saturating_sub(due_ns));
            }
        }
        if lane.due_unanswered.is_empty() && lane.units > 0 {
            return Err(surprise("more than the replies asked for", chunk));
        }
        self.wire.recycle(buffer);
        Ok(())
    }
}
