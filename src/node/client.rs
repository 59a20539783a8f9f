//! One connection as the engine sees it: its session, and its replies in order.

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::command::Outcome;
use crate::config::{Config, Name};
use crate::limits::{OUTPUT_BYTES_PAUSE, REPLIES_OUTSTANDING_MAX};
use crate::metrics::Counters;
use crate::resp::{Error, Protocol, Reply, encode, encode_bulk, encode_error, parse_int};
use crate::session::{ReplyMode, Session, Watched};

/// Where the engine finds a connection when its reply comes.
pub trait Clients {
    /// The connection with this id, if it is still there; it is about to be written to.
    fn client(&mut self, id: u64) -> Option<&mut Client>;

    /// Shows every connection.
    fn each(&mut self, show: &mut dyn FnMut(ClientView<'_>));

    /// Adds what was counted of connections and their traffic.
    fn count(&self, counters: &mut Counters);

    /// Closes a connection once what was written to it is sent.
    fn kill(&mut self, id: u64);

    /// Settings changed; `names` says which.
    fn configure(&mut self, config: &Config, names: &[Name]);
}

/// A connection as `CLIENT LIST` shows it.
pub struct ClientView<'v> {
    /// What [`Clients`] knows it by.
    pub id: u64,
    pub session: &'v Session,
    pub descriptor: i32,
    pub input_bytes: usize,
    pub output_bytes: usize,
}

impl ClientView<'_> {
    /// The line of `CLIENT LIST`, in Redis' field names.
    pub fn line(&self, now_ms: u64) -> String {
        let session = self.session;
        let age_s = |since_ms: u64| now_ms.saturating_sub(since_ms) / 1000;
        let queued = session
            .transaction
            .as_ref()
            .map_or(-1, |one| one.queued.len() as i64);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!(
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub=0 psub=0 \
             ssub=0 multi={queued} watch={} qbuf={} qbuf-free=0 argv-mem=0 multi-mem={} rbs=16384 \
             rbp=0 obl=0 oll=0 omem={} tot-mem={} events=r cmd={} user=default redir=-1 resp={} \
             lib-name={} lib-ver={}\n",
            session.id,
            session.address,
            session.local_address,
            self.descriptor,
            text(&session.name),
            age_s(session.connected_at_ms),
            age_s(session.last_active_ms),
            if session.transaction.is_some() {
                "x"
            } else {
                "N"
            },
            session.db,
            session.watched.len(),
            self.input_bytes,
            session.transaction.as_ref().map_or(0, |one| one.bytes),
            self.output_bytes,
            self.input_bytes + self.output_bytes,
            if session.last_command.is_empty() {
                "NULL"
            } else {
                session.last_command
            },
            if session.protocol == Protocol::Resp3 {
                3
            } else {
                2
            },
            text(&session.library),
            text(&session.library_version),
        )
    }
}

/// A connection's session and replies.
#[derive(Default)]
pub struct Client {
    pub session: Session,
    /// Encoded replies to be sent.
    pub out: Vec<u8>,
    /// Number of its core's batch that its last write went with; 0: it wrote nothing.
    pub written: u64,
    /// It waits for replicas (`WAIT`), perhaps for ever: a close need not wait for that.
    pub is_pausing: bool,
    /// Replies that are awaited, oldest first.
    outstanding: VecDeque<Outstanding>,
    /// Number of the oldest of them.
    oldest: u32,
    /// Writes in flight, and reads that travel behind them.
    ordered: u32,
    /// Reads in flight on other cores.
    remote: u32,
    /// Versions in flight of keys to be watched.
    versions: u32,
    /// Bytes of replies that came and wait behind an older one, or for their release.
    held_bytes: usize,
    /// Stands in for a connection while a command of its transaction is answered beforehand: it
    /// can await nothing.
    detached: bool,
    /// A command wanted to await something all the same.
    overreached: bool,
}

enum Outstanding {
    Awaited,
    /// Awaited, and not to be sent (`CLIENT REPLY`).
    Muted,
    /// Awaited, and once it came, not to be sent before it is released.
    Guarded(Option<Box<[u8]>>),
    /// Awaited, to be answered with this whatever comes.
    Doomed(Box<[u8]>),
    /// Came before an older one.
    Came(Box<[u8]>),
    /// The version of a key that is being watched; the last one of a WATCH is answered, unless that
    /// is not to be sent.
    Version {
        watched: Watched,
        last: bool,
    },
}

impl Client {
    /// One that answers at once or not at all.
    pub(super) fn detached() -> Client {
        Client {
            detached: true,
            ..Client::default()
        }
    }

    /// Whether a reply can come later. Where it cannot, that it was wanted is noted.
    pub(super) fn may_await(&mut self) -> bool {
        self.overreached |= self.detached;
        !self.detached
    }

    /// Whether a command wanted a later reply of one that can await none.
    pub(super) fn has_overreached(&self) -> bool {
        self.overreached
    }

    /// Answers a request at once: behind the replies that are still awaited.
    #[inline]
    pub fn reply(&mut self, reply: &Reply<'_>) {
        let protocol = self.session.protocol;
        if self.is_muted() {
            return;
        }
        if self.outstanding.is_empty() {
            encode(reply, protocol, &mut self.out);
        } else {
            let mut bytes = Vec::new();
            encode(reply, protocol, &mut bytes);
            self.held_bytes += bytes.len();
            self.outstanding.push_back(Outstanding::Came(bytes.into()));
        }
    }

    /// As [`Client::reply`], for a reply that is made for it: the usual ones without a look at how
    /// to drop the rare ones.
    #[inline]
    pub fn reply_with(&mut self, outcome: Outcome<'_>) {
        match outcome {
            Ok(Reply::Bulk(Cow::Borrowed(bytes)))
                if self.outstanding.is_empty() && self.session.reply_mode == ReplyMode::On =>
            {
                encode_bulk(bytes, &mut self.out);
            }
            Ok(reply) => self.reply(&reply),
            Err(error) => self.refuse(error),
        }
    }

    /// Answers with an error at once.
    pub fn refuse(&mut self, error: Error) {
        self.reply(&Reply::Error(error));
    }

    /// Reserves the place of a reply that comes through the log.
    #[inline]
    pub fn await_ordered(&mut self) -> u32 {
        self.ordered += 1;
        self.reserve()
    }

    /// Reserves the place of a reply that comes through the log and is sent once it is released
    /// besides.
    pub fn await_guarded(&mut self) -> u32 {
        let number = self.await_ordered();
        if let Some(last @ Outstanding::Awaited) = self.outstanding.back_mut() {
            *last = Outstanding::Guarded(None);
        }
        number
    }

    /// Lets the reply go for which place `number` was reserved, or an error in its stead. Where it
    /// is not guarded nothing happens.
    pub fn release(&mut self, number: u32, error: Option<&Error>) {
        let place = number.wrapping_sub(self.oldest) as usize;
        let Some(Outstanding::Guarded(came)) = self.outstanding.get_mut(place) else {
            return;
        };
        let error: Option<Box<[u8]>> = error.map(|error| {
            let mut bytes = Vec::new();
            encode_error(error, &mut bytes);
            bytes.into()
        });
        self.outstanding[place] = match (came.take(), error) {
            (Some(reply), None) => Outstanding::Came(reply),
            (Some(reply), Some(error)) => {
                self.held_bytes = self.held_bytes - reply.len() + error.len();
                Outstanding::Came(error)
            }
            (None, None) => Outstanding::Awaited,
            (None, Some(error)) => Outstanding::Doomed(error),
        };
        self.send_what_came();
    }

    /// Reserves the place of a reply that comes from another core.
    pub fn await_remote(&mut self) -> u32 {
        self.remote += 1;
        self.reserve()
    }

    #[inline]
    fn reserve(&mut self) -> u32 {
        let number = self.oldest.wrapping_add(self.outstanding.len() as u32);
        let muted = self.is_muted();
        self.outstanding.push_back(if muted {
            Outstanding::Muted
        } else {
            Outstanding::Awaited
        });
        number
    }

    /// Takes the reply that place `number` was reserved for; `write` appends it.
    #[inline]
    pub fn complete(&mut self, number: u32, ordered: bool, write: &mut dyn FnMut(&mut Vec<u8>)) {
        if ordered {
            self.ordered -= 1;
        } else {
            self.remote -= 1;
            self.is_pausing &= self.remote > 0;
        }
        let place = number.wrapping_sub(self.oldest) as usize;
        if place > 0 {
            let mut bytes = Vec::new();
            if let Some(Outstanding::Guarded(came)) = self.outstanding.get_mut(place) {
                write(&mut bytes);
                self.held_bytes += bytes.len();
                *came = Some(bytes.into());
            } else if let Some(awaited) = self.outstanding.get_mut(place) {
                let awaited = std::mem::replace(awaited, Outstanding::Muted);
                self.versions -= matches!(awaited, Outstanding::Version { .. }) as u32;
                take_reply(&mut self.session, awaited, write, &mut bytes);
                self.held_bytes += bytes.len();
                self.outstanding[place] = Outstanding::Came(bytes.into());
            }
            return;
        }
        match self.outstanding.pop_front() {
            Some(Outstanding::Awaited) => write(&mut self.out),
            Some(Outstanding::Guarded(_)) => {
                let mut bytes = Vec::new();
                write(&mut bytes);
                self.held_bytes += bytes.len();
                let came = Outstanding::Guarded(Some(bytes.into()));
                return self.outstanding.push_front(came);
            }
            Some(rare) => {
                self.versions -= matches!(rare, Outstanding::Version { .. }) as u32;
                take_reply(&mut self.session, rare, write, &mut self.out);
            }
            None => {}
        }
        self.oldest = self.oldest.wrapping_add(1);
        self.send_what_came();
    }

    /// Sends the replies at the front that came.
    #[inline]
    fn send_what_came(&mut self) {
        while let Some(Outstanding::Came(bytes)) = self.outstanding.front() {
            self.out.extend_from_slice(bytes);
            self.held_bytes -= bytes.len();
            self.outstanding.pop_front();
            self.oldest = self.oldest.wrapping_add(1);
        }
    }

    /// Reserves the place of a key's version, to be watched; the `last` one of a WATCH is answered.
    pub fn await_version(&mut self, watched: Watched, last: bool) -> u32 {
        let last = last && !self.is_muted();
        self.ordered += 1;
        self.versions += 1;
        let number = self.oldest.wrapping_add(self.outstanding.len() as u32);
        self.outstanding
            .push_back(Outstanding::Version { watched, last });
        number
    }

    /// Whether a WATCH has not come to its end.
    pub fn awaits_version(&self) -> bool {
        self.versions > 0
    }

    /// Whether a write, or a read behind one, is in flight.
    #[inline]
    pub fn has_ordered(&self) -> bool {
        self.ordered > 0
    }

    /// Whether a read is in flight on another core.
    #[inline]
    pub fn has_remote(&self) -> bool {
        self.remote > 0
    }

    /// Whether every request was answered.
    pub fn is_idle(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// Whether no more requests may be taken until replies come.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.outstanding.len() >= REPLIES_OUTSTANDING_MAX || self.held_bytes > OUTPUT_BYTES_PAUSE
    }

    /// Whether so many replies more may be awaited.
    pub fn has_room_for(&self, replies: usize) -> bool {
        self.outstanding.len() + replies <= REPLIES_OUTSTANDING_MAX
    }

    #[inline]
    fn is_muted(&mut self) -> bool {
        match self.session.reply_mode {
            ReplyMode::On => false,
            ReplyMode::Off => true,
            ReplyMode::SkipNext => {
                self.session.reply_mode = ReplyMode::On;
                true
            }
        }
    }
}

/// Turns what came into what is sent.
fn take_reply(
    session: &mut Session,
    awaited: Outstanding,
    write: &mut dyn FnMut(&mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    match awaited {
        Outstanding::Awaited => write(out),
        Outstanding::Doomed(error) => out.extend_from_slice(&error),
        Outstanding::Muted | Outstanding::Came(_) | Outstanding::Guarded(_) => {}
        Outstanding::Version { mut watched, last } => {
            let mut version = Vec::new();
            write(&mut version);
            let text = version
                .strip_prefix(b":")
                .and_then(|text| text.strip_suffix(b"\r\n"));
            if let Some(version) = text.and_then(parse_int) {
                watched.version = version as u64;
                session.watched.push(watched);
                if last {
                    encode(&Reply::Ok, session.protocol, out);
                }
            } else {
                // Nobody knows its version: EXEC will find it changed.
                watched.version = u64::MAX;
                session.watched.push(watched);
                if last {
                    out.extend_from_slice(&version);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_leave_in_order() {
        let mut client = Client::default();
        let first = client.await_ordered();
        let second = client.await_remote();
        client.reply(&Reply::Int(3));
        client.session.reply_mode = ReplyMode::SkipNext;
        let muted = client.await_ordered();
        let last = client.await_ordered();
        let int = |value| move |out: &mut Vec<u8>| encode(&Reply::Int(value), Protocol::Resp2, out);
        client.complete(last, true, &mut int(5));
        client.complete(second, false, &mut int(2));
        client.complete(muted, true, &mut int(4));
        assert!(client.out.is_empty() && !client.is_idle());
        client.complete(first, true, &mut int(1));
        assert_eq!(client.out, b":1\r\n:2\r\n:3\r\n:5\r\n");
        assert!(client.is_idle() && !client.has_ordered() && !client.has_remote());
    }

    #[test]
    fn a_muted_watch_is_not_answered() {
        let watched = |key: &[u8]| Watched {
            db: 0,
            version: 0,
            key: key.to_vec(),
        };
        let int = |value| move |out: &mut Vec<u8>| encode(&Reply::Int(value), Protocol::Resp2, out);
        let mut client = Client::default();
        client.session.reply_mode = ReplyMode::SkipNext;
        let first = client.await_version(watched(b"one"), false);
        let second = client.await_version(watched(b"two"), true);
        let loud = client.await_version(watched(b"three"), true);
        for place in [second, loud, first] {
            client.complete(place, true, &mut int(7));
        }
        assert_eq!(client.out, b"+OK\r\n");
        assert_eq!(client.session.watched.len(), 3);
        assert!(client.is_idle() && !client.awaits_version());
    }

    #[test]
    fn a_guarded_reply_leaves_once_it_came_and_is_released() {
        let int = |value| move |out: &mut Vec<u8>| encode(&Reply::Int(value), Protocol::Resp2, out);
        let error = Error::fixed("ERR no");
        // Whether it comes first, whether it is the oldest, and the error in its stead.
        for case in 0..8 {
            let (first, behind, failed) = (case & 1 == 0, case & 2 == 0, case & 4 == 0);
            let mut client = Client::default();
            let before = behind.then(|| client.await_ordered());
            let guarded = client.await_guarded();
            client.reply(&Reply::Int(9));
            let why = failed.then_some(&error);
            if first {
                client.complete(guarded, true, &mut int(1));
                assert!(client.out.is_empty());
                client.release(guarded, why);
            } else {
                client.release(guarded, why);
                assert!(client.out.is_empty());
                client.complete(guarded, true, &mut int(1));
            }
            let mut expected = String::new();
            if let Some(before) = before {
                assert!(client.out.is_empty());
                client.complete(before, true, &mut int(0));
                expected += ":0\r\n";
            }
            expected += if failed { "-ERR no\r\n" } else { ":1\r\n" };
            assert_eq!(String::from_utf8_lossy(&client.out), expected + ":9\r\n");
            assert!(client.is_idle() && !client.has_ordered());
            client.release(guarded, Some(&error));
        }
    }
}
