//! The connections of one core.

use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::{Config, Name};
use crate::metrics::Counters;
use crate::node::{Client, ClientView, Clients, Engine, Front};
use crate::resp::Protocol;
use crate::rt::socket::Socket;
use crate::rt::{Completion, Ring};
use crate::session::Session;

use super::connection::{Connection, Wire};

/// Connections that one core can hold: their place is part of a 56-bit token.
const PLACES_MAX: usize = 1 << 24;

/// What a client from elsewhere is told in protected mode.
const DENIED: &[u8] =
    b"-DENIED quorate is running in protected mode: only clients of this machine \
    are served, since there are no passwords. Where the network is trusted, turn it off with \
    'CONFIG SET protected-mode no' from this machine, or with --protected-mode no.\r\n";

/// What bounds connections.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of all cores together.
    pub clients_max: usize,
    /// Seconds of silence after which a connection is closed; 0 = never.
    pub timeout_s: u64,
    pub keepalive_s: u32,
    /// Bytes of unread replies at which a connection is closed; 0 = never.
    pub output_hard_bytes: usize,
    /// Bytes of unread replies at which it is closed once that lasts `output_soft_s` seconds.
    pub output_soft_bytes: usize,
    pub output_soft_s: u64,
    /// Bytes of requests that may be kept.
    pub query_bytes_max: usize,
    /// Whether only this machine's clients are served (`protected-mode`).
    pub protected: bool,
}

impl Limits {
    /// The limits that the settings ask for.
    pub fn of(config: &Config) -> Limits {
        let output = config.output_limits().normal;
        Limits {
            clients_max: config.clients_max(),
            timeout_s: config.timeout().map_or(0, |timeout| timeout.as_secs()),
            keepalive_s: config
                .tcp_keepalive()
                .map_or(0, |keepalive| keepalive.as_secs() as u32),
            output_hard_bytes: output.hard_bytes as usize,
            output_soft_bytes: output.soft_bytes as usize,
            output_soft_s: output.soft_seconds,
            query_bytes_max: config.query_bytes_max(),
            protected: config.protected_mode(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            clients_max: 10_000,
            timeout_s: 0,
            keepalive_s: 300,
            output_hard_bytes: 0,
            output_soft_bytes: 0,
            output_soft_s: 0,
            query_bytes_max: 1024 * 1024 * 1024,
            protected: true,
        }
    }
}

/// The connections of one core, and its listeners.
pub struct Connections {
    listeners: Vec<TcpListener>,
    places: Vec<Place>,
    free: Vec<u32>,
    count: usize,
    /// Connections that were written to.
    dirty: Vec<u64>,
    /// Connections whose next request could not be taken.
    waiting: Vec<u64>,
    /// Receives that ended for want of buffers.
    starved: Vec<u64>,
    /// Connections to look at for whether they can go.
    ending: Vec<u64>,
    wire: Wire,
    limits: Limits,
    open: bool,
    closing: bool,
    /// Listeners whose accept failed: the next tick begins again.
    unaccepting: Vec<u64>,
    /// The last accept failed, and that was said.
    accept_failed: bool,
    core: usize,
    cores: usize,
    accepted: u64,
    counters: Counters,
    /// Connections of all cores.
    open_everywhere: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Place {
    generation: u32,
    connection: Option<Box<Connection>>,
}

impl Connections {
    /// The connections of core `core` of `cores`, accepted on `listeners` once the node serves.
    /// `open_everywhere` is counted by all cores together.
    pub fn new(
        listeners: Vec<TcpListener>,
        limits: Limits,
        core: usize,
        cores: usize,
        open_everywhere: Arc<AtomicUsize>,
    ) -> Self {
        Connections {
            listeners,
            places: Vec::new(),
            free: Vec::new(),
            count: 0,
            dirty: Vec::new(),
            waiting: Vec::new(),
            starved: Vec::new(),
            ending: Vec::new(),
            wire: Wire::default(),
            limits,
            open: false,
            closing: false,
            unaccepting: Vec::new(),
            accept_failed: false,
            core,
            cores,
            accepted: 0,
            counters: Counters::default(),
            open_everywhere,
        }
    }

    #[inline]
    fn get(&mut self, id: u64) -> Option<&mut Connection> {
        let place = self
            .places
            .get_mut((id & (PLACES_MAX as u64 - 1)) as usize)?;
        if u64::from(place.generation) != id >> 24 {
            return None;
        }
        place.connection.as_deref_mut()
    }

    fn accepted(&mut self, ring: &Ring, fd: RawFd, now_ms: u64) {
        // SAFETY: the kernel just made this descriptor for us.
        let socket = unsafe { Socket::accepted(fd, self.limits.keepalive_s) };
        if self.limits.protected && socket.peer().is_some_and(|peer| !peer.ip().is_loopback()) {
            self.counters.connections_rejected += 1;
            socket.send_last(DENIED);
            return;
        }
        let open_everywhere = self.open_everywhere.fetch_add(1, Ordering::Relaxed);
        if open_everywhere >= self.limits.clients_max || self.places.len() >= PLACES_MAX {
            self.open_everywhere.fetch_sub(1, Ordering::Relaxed);
            self.counters.connections_rejected += 1;
            socket.send_last(b"-ERR max number of clients reached\r\n");
            return;
        }
        self.accepted += 1;
        self.counters.connections_received += 1;
        let show = |address: Option<std::net::SocketAddr>| {
            address
                .map(|address| address.to_string())
                .unwrap_or_default()
        };
        let mut client = Client::default();
        client.session = Session {
            id: self.accepted * self.cores as u64 + self.core as u64,
            protocol: Protocol::Resp2,
            address: show(socket.peer()),
            local_address: show(socket.local()),
            connected_at_ms: now_ms,
            last_active_ms: now_ms,
            ..Session::default()
        };
        let mut connection = Box::new(Connection::new(socket, client));
        connection.receive_under_way = true;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        });
        let generation = self.places[place as usize].generation;
        let id = u64::from(generation) << 24 | u64::from(place);
        ring.receive(connection.socket.as_raw_fd(), id);
        self.places[place as usize].connection = Some(connection);
        self.count += 1;
    }

    fn received(
        &mut self,
        ring: &Ring,
        id: u64,
        result: std::io::Result<usize>,
        buffer: Option<u16>,
        more: bool,
        engine: &mut Engine,
    ) {
        self.counters.socket_reads += 1;
        self.counters.input_bytes += *result.as_ref().unwrap_or(&0) as u64;
        let mut wire = std::mem::take(&mut self.wire);
        if let Some(connection) = self.get(id) {
            connection.receive_under_way = more;
            let mut starved = false;
            match result {
                Ok(0) => connection.ending = true,
                Ok(length) => {
                    if let Some(buffer) = buffer
                        && !connection.ending
                    {
                        ring.with_bytes(buffer, length, |bytes| {
                            connection.receive(bytes, id, engine, &mut wire);
                        });
                    }
                    starved = !more;
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::ENOBUFS) => starved = true,
                    Some(libc::ECANCELED) => {}
                    _ => connection.broken = true,
                },
            }
            let overfed = connection.is_overfed();
            let waiting = connection.waiting;
            let ending = connection.ending || connection.broken;
            if overfed && more {
                ring.cancel_receive(id);
            }
            if ending {
                self.ending.push(id);
            } else if starved && !overfed {
                self.starved.push(id);
            }
            if waiting {
                self.waiting.push(id);
            }
            self.mark_dirty(id);
        }
        if let Some(buffer) = buffer {
            ring.recycle(buffer);
        }
        self.wire = wire;
    }

    #[inline]
    fn mark_dirty(&mut self, id: u64) {
        if let Some(connection) = self.get(id)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(id);
        }
    }

    fn sent(&mut self, ring: &Ring, id: u64, result: std::io::Result<usize>) {
        self.counters.socket_writes += 1;
        self.counters.output_bytes += *result.as_ref().unwrap_or(&0) as u64;
        let Some(connection) = self.get(id) else {
            return;
        };
        match result {
            Ok(bytes) => {
                connection.sent += bytes;
                if connection.sent < connection.sending.len() && !connection.broken {
                    send(ring, connection, id);
                    return;
                }
            }
            Err(_) => connection.broken = true,
        }
        connection.send_under_way = false;
        let over = connection.ending || connection.broken;
        if over {
            self.ending.push(id);
        }
        self.mark_dirty(id);
    }

    /// Lets go of connections that are through.
    fn reap(&mut self) {
        for id in std::mem::take(&mut self.ending) {
            let Some(connection) = self.get(id) else {
                continue;
            };
            if !connection.is_through() {
                // Looked at again when its replies or its send come.
                continue;
            }
            if !connection.is_free() {
                // Ends what the kernel holds; its completions bring the connection here again.
                connection.broken = true;
                connection.socket.shutdown();
                continue;
            }
            let place = &mut self.places[(id & (PLACES_MAX as u64 - 1)) as usize];
            place.connection = None;
            place.generation = place.generation.wrapping_add(1);
            self.free.push((id & (PLACES_MAX as u64 - 1)) as u32);
            self.count -= 1;
            self.open_everywhere.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn ids(&self) -> Vec<u64> {
        let open = self
            .places
            .iter()
            .enumerate()
            .filter(|(_, place)| place.connection.is_some());
        open.map(|(place, found)| u64::from(found.generation) << 24 | place as u64)
            .collect()
    }

    /// Closes a connection whose unread replies are above the limits.
    fn check_output(&mut self, id: u64, now_ms: u64) {
        let limits = self.limits.clone();
        let Some(connection) = self.get(id) else {
            return;
        };
        let bytes = connection.output_bytes();
        let hard = limits.output_hard_bytes > 0 && bytes > limits.output_hard_bytes;
        let soft = limits.output_soft_bytes > 0 && bytes > limits.output_soft_bytes;
        let since_ms = *connection.over_soft_since_ms.get_or_insert(now_ms);
        if !soft {
            connection.over_soft_since_ms = None;
        }
        if hard || (soft && now_ms.saturating_sub(since_ms) > limits.output_soft_s * 1000) {
            self.overflowed(id);
        }
    }

    /// Closes a connection whose unread replies have passed a limit.
    #[cold]
    fn overflowed(&mut self, id: u64) {
        let Some(connection) = self.get(id) else {
            return;
        };
        tracing::warn!(
            client = connection.client.session.address,
            bytes = connection.output_bytes(),
            "closed: its unread replies passed client-output-buffer-limit"
        );
        connection.broken = true;
        self.ending.push(id);
        self.counters.connections_overflowed += 1;
    }
}

/// Sends what of `sending` was not sent yet.
fn send(ring: &Ring, connection: &mut Connection, id: u64) {
    connection.send_under_way = true;
    // SAFETY: `sending` is not touched while a send is under way, and the connection, boxed, is
    // kept until its completion was seen.
    unsafe {
        ring.send(
            connection.socket.as_raw_fd(),
            &connection.sending[connection.sent..],
            id,
        );
    }
}

impl Clients for Connections {
    #[inline]
    fn client(&mut self, id: u64) -> Option<&mut Client> {
        let place = self
            .places
            .get_mut((id & (PLACES_MAX as u64 - 1)) as usize)?;
        if u64::from(place.generation) != id >> 24 {
            return None;
        }
        let connection = place.connection.as_deref_mut()?;
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(id);
        }
        Some(&mut connection.client)
    }

    fn each(&mut self, show: &mut dyn FnMut(ClientView<'_>)) {
        for id in self.ids() {
            if let Some(connection) = self.get(id) {
                show(ClientView {
                    id,
                    session: &connection.client.session,
                    descriptor: connection.socket.as_raw_fd(),
                    input_bytes: connection.input_bytes(),
                    output_bytes: connection.output_bytes(),
                });
            }
        }
    }

    fn count(&self, counters: &mut Counters) {
        counters.merge(&self.counters);
    }

    fn kill(&mut self, id: u64) {
        if let Some(connection) = self.get(id) {
            connection.ending = true;
            connection.waiting = false;
            self.ending.push(id);
            self.mark_dirty(id);
        }
    }

    fn configure(&mut self, config: &Config, _names: &[Name]) {
        self.limits = Limits::of(config);
    }
}

impl Connections {
    /// Begins to accept on a listener, unless the server is closing.
    fn accept(&mut self, ring: &Ring, token: u64) {
        if let Some(listener) = self.listeners.get(token as usize)
            && !self.closing
        {
            ring.accept(listener.as_raw_fd(), token);
        }
    }
}

impl Front for Connections {
    fn open(&mut self, ring: &Ring) {
        if !self.open && !self.closing {
            self.open = true;
            for number in 0..self.listeners.len() {
                self.accept(ring, number as u64);
            }
        }
    }

    #[inline]
    fn complete(&mut self, ring: &Ring, completion: Completion, engine: &mut Engine) {
        match completion {
            Completion::Received {
                token,
                result,
                buffer,
                more,
            } => {
                self.received(ring, token, result, buffer, more, engine);
            }
            Completion::Sent { token, result } => self.sent(ring, token, result),
            Completion::Accepted {
                token,
                result,
                more,
            } => {
                let failed = result.is_err();
                match result {
                    Ok(fd) => {
                        self.accept_failed = false;
                        self.accepted(ring, fd, engine.now_ms());
                    }
                    Err(error) if !self.closing && !self.accept_failed => {
                        self.accept_failed = true;
                        tracing::warn!(
                            "accept: {error}; connections wait until descriptors free up"
                        );
                    }
                    Err(_) => {}
                }
                if !more {
                    match failed {
                        // At once it would only fail again, as often as the core turns.
                        true => self.unaccepting.push(token),
                        false => self.accept(ring, token),
                    }
                }
            }
        }
    }

    fn resume(&mut self, ring: &Ring, engine: &mut Engine) -> bool {
        let mut any = false;
        for id in std::mem::take(&mut self.starved) {
            if let Some(connection) = self.get(id)
                && !connection.receive_under_way
                && !connection.ending
            {
                connection.receive_under_way = true;
                ring.receive(connection.socket.as_raw_fd(), id);
                any = true;
            }
        }
        if self.waiting.is_empty() {
            return any;
        }
        let mut wire = std::mem::take(&mut self.wire);
        for id in std::mem::take(&mut self.waiting) {
            let Some(connection) = self.get(id) else {
                continue;
            };
            let before = connection.input_bytes();
            connection.resume(id, engine, &mut wire);
            any |= connection.input_bytes() != before;
            if connection.waiting {
                self.waiting.push(id);
            } else if !connection.receive_under_way && !connection.ending {
                self.starved.push(id);
            }
            if self.get(id).is_some_and(|connection| connection.ending) {
                self.ending.push(id);
            }
            self.mark_dirty(id);
        }
        self.wire = wire;
        any
    }

    fn flush(&mut self, ring: &Ring) {
        let mut dirty = std::mem::take(&mut self.dirty);
        let hard_bytes = match self.limits.output_hard_bytes {
            0 => usize::MAX,
            bytes => bytes,
        };
        for &id in &dirty {
            let Some(connection) = self.get(id) else {
                continue;
            };
            connection.dirty = false;
            if connection.begin_send() {
                send(ring, connection, id);
            } else if connection.output_bytes() > hard_bytes && !connection.broken {
                // At once: until the next tick far more could pile up behind what is being sent.
                self.overflowed(id);
            } else if connection.ending {
                self.ending.push(id);
            }
        }
        dirty.clear();
        self.dirty = dirty;
        if !self.ending.is_empty() {
            self.reap();
        }
    }

    fn tick(&mut self, ring: &Ring, engine: &mut Engine) {
        for token in std::mem::take(&mut self.unaccepting) {
            self.accept(ring, token);
        }
        let (now_ms, timeout_ms) = (engine.now_ms(), self.limits.timeout_s * 1000);
        for id in self.ids() {
            self.check_output(id, now_ms);
            let query_bytes_max = self.limits.query_bytes_max;
            if let Some(connection) = self.get(id) {
                let silent_ms = now_ms.saturating_sub(connection.client.session.last_active_ms);
                let idle = timeout_ms > 0 && silent_ms > timeout_ms;
                if idle || connection.input_bytes() > query_bytes_max {
                    connection.broken = true;
                    self.ending.push(id);
                }
            }
        }
    }

    fn close(&mut self, ring: &Ring) {
        self.closing = true;
        for number in 0..self.listeners.len() {
            ring.cancel_accept(number as u64);
        }
        for id in self.ids() {
            if let Some(connection) = self.get(id) {
                connection.ending = true;
                connection.waiting = false;
                self.ending.push(id);
            }
        }
        self.reap();
    }

    fn is_closed(&self) -> bool {
        self.count == 0
    }
}
