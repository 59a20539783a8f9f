//! Where calls wait for their core: a line for those that stand by themselves, one for each
//! session. What an application's threads and a core have in common.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::rt::Doorbell;

use super::call::{Pending, Taken};
use super::error::Error;

/// Fewer calls than this that nobody waits for any more are left in a line.
const GONE_KEPT: usize = 64;

/// One core's lines.
#[derive(Default)]
pub(super) struct Lane {
    lines: Mutex<Lines>,
    /// Something was put in line since the core looked.
    has_work: AtomicBool,
    doorbell: OnceLock<Doorbell>,
}

#[derive(Default)]
struct Lines {
    closed: bool,
    calls: Line,
    sessions: HashMap<u64, SessionLine>,
    /// Sessions to look at, each once.
    ready: VecDeque<u64>,
    session_next: u64,
}

#[derive(Default)]
struct Line {
    calls: VecDeque<Arc<Pending>>,
    /// Those of them whose futures were dropped.
    gone: usize,
}

#[derive(Default)]
struct SessionLine {
    line: Line,
    is_ready: bool,
    ended: bool,
}

/// The core's side while it takes calls.
pub(super) trait Taker {
    /// How many calls it has room for: of a session, or standing by themselves.
    fn room(&self, session: Option<u64>) -> usize;

    fn take(&mut self, session: Option<u64>, taken: Taken);

    /// The session is no more, and all its calls were taken.
    fn end(&mut self, session: u64);
}

impl Lane {
    /// How to wake the core. Once, before the first call.
    pub fn connect(&self, doorbell: Doorbell) {
        // There is one core, and so one doorbell.
        let _ = self.doorbell.set(doorbell);
    }

    /// A poisoned lock means that a thread died between two moves on queues, each of which leaves
    /// them whole.
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_core(&self) {
        self.has_work.store(true, Ordering::Release);
        if let Some(doorbell) = self.doorbell.get() {
            doorbell.ring();
        }
    }

    /// Opens a session. Answers its number.
    pub fn begin_session(&self) -> u64 {
        let mut lines = self.lines();
        let number = lines.session_next;
        lines.session_next += 1;
        lines.sessions.insert(number, SessionLine::default());
        number
    }

    /// Nobody has the session any more.
    pub fn end_session(&self, number: u64) {
        let mut lines = self.lines();
        if let Some(session) = lines.sessions.get_mut(&number) {
            session.ended = true;
            lines.make_ready(number);
        }
        drop(lines);
        self.wake_core();
    }

    /// Puts a call in line.
    ///
    /// # Errors
    /// The core has stopped.
    pub fn push(&self, session: Option<u64>, call: Arc<Pending>) -> Result<(), Error> {
        let mut lines = self.lines();
        if lines.closed {
            return Err(Error::stopped());
        }
        match session {
            None => lines.calls.calls.push_back(call),
            Some(number) => {
                let line = lines.sessions.entry(number).or_default();
                line.line.calls.push_back(call);
                lines.make_ready(number);
            }
        }
        drop(lines);
        self.wake_core();
        Ok(())
    }

    /// A call's future was dropped before the call was taken.
    pub fn forget(&self, session: Option<u64>) {
        let mut lines = self.lines();
        let line = match session {
            None => Some(&mut lines.calls),
            Some(number) => lines.sessions.get_mut(&number).map(|one| &mut one.line),
        };
        if let Some(line) = line {
            line.forget();
        }
    }

    /// Whether something was put in line since the last [`Lane::take`].
    #[inline]
    pub fn has_work(&self) -> bool {
        self.has_work.load(Ordering::Acquire)
    }

    /// Gives the core what it has room for. Answers whether something is left.
    pub fn take(&self, taker: &mut impl Taker) -> bool {
        self.has_work.store(false, Ordering::Release);
        let mut lines = self.lines();
        let room = taker.room(None);
        lines.calls.take(None, room, taker);
        for _ in 0..lines.ready.len() {
            let Some(number) = lines.ready.pop_front() else {
                break;
            };
            let Some(session) = lines.sessions.get_mut(&number) else {
                continue;
            };
            session
                .line
                .take(Some(number), taker.room(Some(number)), taker);
            session.is_ready = false;
            if !session.line.calls.is_empty() {
                lines.make_ready(number);
            } else if session.ended {
                lines.sessions.remove(&number);
                taker.end(number);
            }
        }
        !lines.calls.calls.is_empty() || !lines.ready.is_empty()
    }

    /// Takes no more calls, and tells those in line so.
    pub fn close(&self) {
        let mut lines = self.lines();
        lines.closed = true;
        let mut refused = std::mem::take(&mut lines.calls.calls);
        for session in lines.sessions.values_mut() {
            refused.append(&mut session.line.calls);
        }
        // A waker may do anything: it is called without the lock.
        drop(lines);
        for call in refused {
            call.answer(Err(Error::stopped()));
        }
    }

    #[cfg(test)]
    pub fn in_line(&self) -> usize {
        let lines = self.lines();
        let of_sessions = lines.sessions.values().map(|one| one.line.calls.len());
        lines.calls.calls.len() + of_sessions.sum::<usize>()
    }
}

impl Lines {
    fn make_ready(&mut self, number: u64) {
        if let Some(session) = self.sessions.get_mut(&number)
            && !std::mem::replace(&mut session.is_ready, true)
        {
            self.ready.push_back(number);
        }
    }
}

impl Line {
    fn take(&mut self, session: Option<u64>, room: usize, taker: &mut impl Taker) {
        let mut taken = 0;
        while taken < room
            && let Some(call) = self.calls.pop_front()
        {
            match Pending::take(call) {
                Some(call) => {
                    taken += 1;
                    taker.take(session, call);
                }
                None => self.gone = self.gone.saturating_sub(1),
            }
        }
    }

    /// Lets go of what nobody waits for once that is half of the line: a move for each call.
    fn forget(&mut self) {
        self.gone += 1;
        if self.gone >= GONE_KEPT && self.gone * 2 >= self.calls.len() {
            self.calls.retain(|call| !call.is_gone());
            self.gone = 0;
        }
    }
}
