//! What stands in front of the engine on a core where there are no sockets: a seat for each call
//! under way and for each session, as a connection would have.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::config::{Config, Name};
use crate::limits::{
    CALLS_TAKEN_PER_TURN_MAX, CALLS_UNDER_WAY_MAX, SESSION_CALLS_TAKEN_MAX, SESSIONS_MAX,
};
use crate::metrics::Counters;
use crate::node::{Client, ClientView, Clients, Engine, Flow, Front};
use crate::resp::Protocol;
use crate::rt::{Completion, Ring};
use crate::session::Session;

use super::call::{Pending, Taken};
use super::ending::Progress;
use super::error::Error;
use super::lane::{Lane, Taker};
use super::parse::reply_bytes;
use super::published::Published;

/// Bits of a seat's place in the id that the engine knows it by; the rest counts how often the
/// place was given to somebody.
const PLACE_BITS: u32 = 24;

/// One core's seats.
pub(super) struct Seats {
    lane: Arc<Lane>,
    /// On the Raft core: where the application looks at the cluster.
    published: Option<Arc<Published>>,
    progress: Arc<Progress>,
    /// This core's number, and how many there are.
    core: usize,
    cores: usize,
    seats: Vec<Seat>,
    free: Vec<u32>,
    /// Seats of sessions, by the sessions' numbers.
    sessions: HashMap<u64, u64>,
    /// Calls that stand by themselves and were not dispatched yet.
    line: VecDeque<Taken>,
    /// Such calls under way.
    under_way: usize,
    /// Sessions with calls that were not dispatched yet.
    waiting: Vec<u64>,
    /// Seats that were written to.
    dirty: Vec<u64>,
    /// Something was left in the lane for want of room.
    left: bool,
    leads: bool,
    begun: bool,
    open: bool,
    closing: bool,
    /// Seats given so far: what `CLIENT ID` tells.
    given: u64,
}

#[derive(Default)]
struct Seat {
    client: Client,
    generation: u32,
    is_taken: bool,
    /// The session that has it; `None`: a call that stands by itself.
    session: Option<u64>,
    /// Its calls that were not dispatched yet, and those that await their replies.
    waiting: VecDeque<Taken>,
    in_flight: VecDeque<Arc<Pending>>,
    /// Nobody has its session any more.
    ended: bool,
    /// It was closed by `CLIENT KILL`.
    killed: bool,
    dirty: bool,
}

impl Seat {
    /// Whether a core that stops need not wait for it.
    fn is_through(&self) -> bool {
        self.in_flight.is_empty() || self.client.is_pausing
    }
}

impl Seats {
    /// Those of core `core.0` of `core.1`. `published` on the Raft core.
    pub fn new(
        lane: Arc<Lane>,
        published: Option<Arc<Published>>,
        progress: Arc<Progress>,
        core: (usize, usize),
    ) -> Seats {
        Seats {
            lane,
            published,
            progress,
            core: core.0,
            cores: core.1,
            seats: Vec::new(),
            free: Vec::new(),
            sessions: HashMap::new(),
            line: VecDeque::new(),
            under_way: 0,
            waiting: Vec::new(),
            dirty: Vec::new(),
            left: false,
            leads: false,
            begun: false,
            open: false,
            closing: false,
            given: 0,
        }
    }

    #[inline]
    fn get(&mut self, id: u64) -> Option<&mut Seat> {
        let seat = self.seats.get_mut(place_of(id))?;
        (seat.is_taken && u64::from(seat.generation) == id >> PLACE_BITS).then_some(seat)
    }

    /// Gives a seat.
    fn sit(&mut self, session: Option<u64>, now_ms: u64) -> u64 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.seats.push(Seat::default());
            self.seats.len() as u32 - 1
        });
        self.given += 1;
        let seat = &mut self.seats[place as usize];
        (seat.is_taken, seat.session, seat.client.written) = (true, session, 0);
        seat.client.session = Session {
            id: self.given * self.cores as u64 + self.core as u64,
            protocol: Protocol::Resp3,
            address: match session {
                Some(_) => "embedded".to_string(),
                None => String::new(),
            },
            connected_at_ms: now_ms,
            last_active_ms: now_ms,
            ..Session::default()
        };
        u64::from(seat.generation) << PLACE_BITS | u64::from(place)
    }

    /// Takes a seat back. Replies that still come for it find nobody.
    fn clear(&mut self, id: u64) {
        let Some(seat) = self.get(id) else {
            return;
        };
        let generation = seat.generation.wrapping_add(1);
        // What an answered call used is used again; a session's state, and what awaits a reply, is
        // not.
        let is_clean = seat.session.is_none() && seat.client.is_idle() && !seat.dirty;
        if is_clean {
            seat.client.out.clear();
            seat.is_taken = false;
            seat.generation = generation;
        } else {
            *seat = Seat {
                generation,
                ..Seat::default()
            };
        }
        self.free.push(place_of(id) as u32);
    }

    #[inline]
    fn mark_dirty(&mut self, id: u64) {
        if let Some(seat) = self.get(id)
            && !seat.dirty
        {
            seat.dirty = true;
            self.dirty.push(id);
        }
    }

    /// Hands a call to the engine. Gives it back where it has to come again.
    fn dispatch(&mut self, id: u64, taken: Taken, engine: &mut Engine) -> Option<Taken> {
        let now_ms = engine.now_ms();
        let seat = self.get(id)?;
        if seat.killed {
            let text = "ERR the session was ended by CLIENT KILL";
            taken.call.answer(Err(Error::Command(text.into())));
            return None;
        }
        let request = &taken.request;
        let session = &mut seat.client.session;
        session.last_active_ms = now_ms;
        let (consistency, durability) = (session.consistency, session.durability);
        session.consistency = request.consistency.or(consistency);
        session.durability = request.durability.or(durability);
        let resolved = engine.resolve(&seat.client, request.args());
        let flow = engine.dispatch(&mut seat.client, id, &resolved, request.args());
        // What the call changed itself stays where it had no level of its own.
        if request.consistency.is_some() {
            seat.client.session.consistency = consistency;
        }
        if request.durability.is_some() {
            seat.client.session.durability = durability;
        }
        if flow == Flow::Wait {
            return Some(taken);
        }
        seat.in_flight.push_back(taken.call);
        self.mark_dirty(id);
        None
    }

    /// Dispatches calls that stand by themselves, in order. Answers whether there were any.
    fn run_line(&mut self, engine: &mut Engine) -> bool {
        let mut any = false;
        while let Some(taken) = self.line.pop_front() {
            let id = self.sit(None, engine.now_ms());
            if let Some(taken) = self.dispatch(id, taken, engine) {
                self.clear(id);
                self.line.push_front(taken);
                break;
            }
            self.under_way += 1;
            any = true;
        }
        any
    }

    /// Dispatches sessions' calls, each session's in order. Answers whether there were any.
    fn run_sessions(&mut self, engine: &mut Engine) -> bool {
        let mut any = false;
        for id in std::mem::take(&mut self.waiting) {
            while let Some(taken) = self.get(id).and_then(|seat| seat.waiting.pop_front()) {
                if let Some(taken) = self.dispatch(id, taken, engine) {
                    if let Some(seat) = self.get(id) {
                        seat.waiting.push_front(taken);
                    }
                    self.waiting.push(id);
                    break;
                }
                any = true;
            }
        }
        any
    }

    /// Gives a seat's replies to its calls, and takes it back where it is not needed any more.
    fn settle(&mut self, id: u64) {
        let Some(seat) = self.get(id) else {
            return;
        };
        seat.dirty = false;
        let mut out = std::mem::take(&mut seat.client.out);
        let mut at = 0;
        while let Some(length) = reply_bytes(&out[at..])
            && let Some(call) = seat.in_flight.pop_front()
        {
            if length == out.len() {
                call.answer(Ok(std::mem::take(&mut out)));
            } else {
                call.answer(Ok(out[at..at + length].to_vec()));
                at += length;
            }
        }
        out.drain(..at);
        seat.client.out = out;
        match seat.session {
            None if seat.in_flight.is_empty() => {
                self.under_way -= 1;
                self.clear(id);
            }
            Some(_) if seat.ended && seat.is_through() && seat.waiting.is_empty() => {
                self.clear(id);
            }
            _ => {}
        }
    }

    /// Lets go of calls that may never be answered (`WAIT`) and that nobody waits for.
    fn forget_pausing(&mut self) {
        for place in 0..self.seats.len() {
            let seat = &self.seats[place];
            if !seat.is_taken || !seat.client.is_pausing {
                continue;
            }
            let gone = match seat.session {
                None => seat.in_flight.iter().all(|call| call.is_gone()),
                Some(_) => seat.ended && seat.waiting.is_empty(),
            };
            if gone {
                self.under_way -= usize::from(seat.session.is_none());
                let id = u64::from(seat.generation) << PLACE_BITS | place as u64;
                self.clear(id);
            }
        }
    }

    /// Refuses what was taken and not dispatched.
    fn refuse_waiting(&mut self) {
        let mut refused = std::mem::take(&mut self.line);
        for seat in &mut self.seats {
            refused.append(&mut seat.waiting);
        }
        for taken in refused {
            taken.call.answer(Err(Error::stopped()));
        }
    }

    fn publish(&mut self, engine: &Engine) {
        self.leads = engine.leads();
        if let Some(published) = &self.published {
            published.publish(self.leads, engine.cluster_view());
        }
    }
}

fn place_of(id: u64) -> usize {
    (id & ((1 << PLACE_BITS) - 1)) as usize
}

impl Taker for Seats {
    fn room(&self, session: Option<u64>) -> usize {
        match session {
            None => CALLS_UNDER_WAY_MAX
                .saturating_sub(self.under_way + self.line.len())
                .min(CALLS_TAKEN_PER_TURN_MAX),
            Some(number) => {
                let id = self.sessions.get(&number);
                let waiting = id.map_or(0, |id| self.seats[place_of(*id)].waiting.len());
                SESSION_CALLS_TAKEN_MAX.saturating_sub(waiting)
            }
        }
    }

    fn take(&mut self, session: Option<u64>, taken: Taken) {
        let Some(number) = session else {
            return self.line.push_back(taken);
        };
        let id = match self.sessions.get(&number) {
            Some(id) => *id,
            None if self.sessions.len() >= SESSIONS_MAX => {
                let text = "BUSY too many sessions";
                return taken.call.answer(Err(Error::Unavailable(text.into())));
            }
            None => {
                let id = self.sit(Some(number), crate::clock::now_ms());
                self.sessions.insert(number, id);
                id
            }
        };
        let Some(seat) = self.get(id) else {
            return;
        };
        seat.waiting.push_back(taken);
        if seat.waiting.len() == 1 {
            self.waiting.push(id);
        }
    }

    fn end(&mut self, session: u64) {
        if let Some(id) = self.sessions.remove(&session) {
            if let Some(seat) = self.get(id) {
                seat.ended = true;
            }
            self.mark_dirty(id);
        }
    }
}

impl Clients for Seats {
    #[inline]
    fn client(&mut self, id: u64) -> Option<&mut Client> {
        self.mark_dirty(id);
        self.get(id).map(|seat| &mut seat.client)
    }

    fn each(&mut self, show: &mut dyn FnMut(ClientView<'_>)) {
        for (place, seat) in self.seats.iter().enumerate() {
            if seat.is_taken && seat.session.is_some() {
                show(ClientView {
                    id: u64::from(seat.generation) << PLACE_BITS | place as u64,
                    session: &seat.client.session,
                    descriptor: -1,
                    input_bytes: 0,
                    output_bytes: seat.client.out.len(),
                });
            }
        }
    }

    /// There are no connections, and no traffic.
    fn count(&self, _counters: &mut Counters) {}

    fn kill(&mut self, id: u64) {
        if let Some(seat) = self.get(id) {
            seat.killed = true;
        }
    }

    /// Nothing here depends on settings.
    fn configure(&mut self, _config: &Config, _names: &[Name]) {}
}

impl Front for Seats {
    fn open(&mut self, _ring: &Ring) {
        self.open = true;
        self.left = true;
    }

    /// There are no sockets whose operations could end.
    fn complete(&mut self, _ring: &Ring, _completion: Completion, _engine: &mut Engine) {}

    fn resume(&mut self, _ring: &Ring, engine: &mut Engine) -> bool {
        if !self.open {
            return false;
        }
        if self.leads != engine.leads() {
            self.publish(engine);
        }
        if self.left || self.lane.has_work() {
            let lane = self.lane.clone();
            self.left = lane.take(self);
        }
        let any = self.run_line(engine);
        self.run_sessions(engine) | any
    }

    fn has_work(&self) -> bool {
        self.open && self.lane.has_work()
    }

    fn flush(&mut self, _ring: &Ring) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            self.settle(id);
        }
        self.dirty = dirty;
    }

    fn tick(&mut self, _ring: &Ring, engine: &mut Engine) {
        self.publish(engine);
        self.forget_pausing();
        if !std::mem::replace(&mut self.begun, true) {
            self.progress.core_began();
        }
    }

    fn close(&mut self, _ring: &Ring) {
        self.closing = true;
        self.lane.close();
        self.refuse_waiting();
    }

    fn is_closed(&self) -> bool {
        self.closing && self.seats.iter().all(Seat::is_through)
    }
}

impl Drop for Seats {
    /// The core ends, in whatever way: nobody is left waiting.
    fn drop(&mut self) {
        self.lane.close();
        self.refuse_waiting();
        for call in self
            .seats
            .iter_mut()
            .flat_map(|seat| seat.in_flight.drain(..))
        {
            call.answer(Err(Error::abandoned()));
        }
        if let Some(published) = &self.published {
            published.end();
        }
    }
}
