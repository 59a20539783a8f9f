//! A client in the midst of faults: what became of each request, as far as it can know.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::kit::{Connection, Entrance, Value};

/// Longest that a reply is waited for: above any deadline of a node.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pause before it tries again to be served.
const AGAIN: Duration = Duration::from_millis(20);

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    Done(Vec<Value>),
    /// It certainly did not happen.
    Refused,
    /// It may have happened, may yet happen, or never.
    Unknown,
}

/// What all clients share: when it is over, and what is counted.
pub struct Run {
    pub begun: Instant,
    pub ending: AtomicBool,
    pub done: AtomicU64,
    pub refused: AtomicU64,
    pub unknown: AtomicU64,
}

impl Run {
    pub fn begin() -> Run {
        Run {
            begun: Instant::now(),
            ending: AtomicBool::new(false),
            done: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        }
    }

    pub fn is_over(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Requests of all clients so far, whatever became of them.
    pub fn requests(&self) -> u64 {
        let counters = [&self.done, &self.refused, &self.unknown];
        let counts = counters.map(|one| one.load(Ordering::Relaxed));
        counts.iter().sum()
    }

    pub fn now_us(&self) -> i64 {
        self.begun.elapsed().as_micros() as i64
    }
}

/// A client of one node.
pub struct Client<'run> {
    entrance: Entrance,
    connection: Option<Connection>,
    run: &'run Run,
    /// When its writes were acknowledged, in microseconds of the run.
    pub acknowledged_us: Vec<i64>,
}

/// What an error says about what became of a write.
///
/// # Panics
/// When it is one that a fault does not explain.
fn outcome_of(text: &str) -> Outcome {
    let code = text.split(' ').next().unwrap_or_default();
    match code {
        "UNCERTAIN" => Outcome::Unknown,
        "CLUSTERDOWN" | "TRYAGAIN" | "LOADING" | "BUSY" | "MISCONF" | "SHUTDOWN" | "EXECABORT" => {
            Outcome::Refused
        }
        _ => panic!("no fault explains: {text}"),
    }
}

impl<'run> Client<'run> {
    pub fn of(entrance: Entrance, run: &'run Run) -> Client<'run> {
        Client {
            entrance,
            connection: None,
            run,
            acknowledged_us: Vec::new(),
        }
    }

    /// Makes sure that there is a connection; false when it is over instead.
    pub fn connect(&mut self) -> bool {
        while self.connection.is_none() {
            if self.run.is_over() {
                return false;
            }
            match self.entrance.open(PATIENCE) {
                Ok(connection) => self.connection = Some(connection),
                Err(_) => std::thread::sleep(AGAIN),
            }
        }
        !self.run.is_over()
    }

    /// Lets go of the connection, and of what belongs to it.
    pub fn forget(&mut self) {
        self.connection = None;
    }

    /// Sends requests in one piece, and waits for all replies. The last decides what became of
    /// them: of a transaction it is that of EXEC.
    pub fn ask(&mut self, lines: &[String]) -> Outcome {
        let outcome = self.exchange(lines);
        let counter = match outcome {
            Outcome::Done(_) => &self.run.done,
            Outcome::Refused => &self.run.refused,
            Outcome::Unknown => &self.run.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if matches!(outcome, Outcome::Refused) {
            std::thread::sleep(AGAIN);
        }
        outcome
    }

    /// Takes note that a write was acknowledged just now.
    pub fn acknowledged(&mut self) {
        self.acknowledged_us.push(self.run.now_us());
    }

    fn exchange(&mut self, lines: &[String]) -> Outcome {
        let Some(connection) = &mut self.connection else {
            return Outcome::Refused;
        };
        match connection.pipeline(lines) {
            Ok(replies) => match replies.last() {
                Some(Value::Error(text)) => outcome_of(text),
                _ => Outcome::Done(replies),
            },
            Err(_) => {
                self.connection = None;
                Outcome::Unknown
            }
        }
    }
}
