//! The two halves of a connection: frames that come, and bytes that go.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::channel::Channel;
use super::counters::Counters;
use super::frame::{Deframer, Frame, Garbage, put_frame};
use super::handshake::{HANDSHAKE_BYTES_MAX, Refused};
use super::lane::Lane;

/// Bytes asked of the kernel at once before the connection's lane is known.
const HANDSHAKE_RECEIVE_BYTES: usize = 1024;

/// Memory of a send buffer that is kept for the next ones.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Why nothing more comes.
#[derive(Debug)]
pub(super) enum Ended {
    Broken(io::Error),
    Garbage(Garbage),
}

impl Ended {
    pub(super) fn into_refused(self) -> Refused {
        match self {
            Ended::Broken(error) => Refused::Broken(error),
            Ended::Garbage(garbage) => Refused::Garbage(garbage),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Broken(error) => write!(f, "{error}"),
            Ended::Garbage(garbage) => write!(f, "{garbage}"),
        }
    }
}

/// The frames that come on a connection, in order.
pub(super) struct Reader {
    channel: Channel,
    buffer: Vec<u8>,
    deframer: Deframer,
    ready: VecDeque<Frame>,
    counters: Rc<Counters>,
}

impl Reader {
    /// Of a new connection: what comes first is a handshake.
    pub(super) fn new(channel: Channel, counters: Rc<Counters>) -> Self {
        Reader {
            channel,
            buffer: vec![0; HANDSHAKE_RECEIVE_BYTES],
            deframer: Deframer::new(HANDSHAKE_BYTES_MAX),
            ready: VecDeque::new(),
            counters,
        }
    }

    /// Both sides know each other: what comes from here on belongs to `lane`, and `receive_bytes`
    /// are asked of the kernel at once.
    pub(super) fn admit(&mut self, lane: Lane, receive_bytes: usize) {
        self.deframer.allow(lane.frame_bytes_max());
        self.buffer.resize(receive_bytes, 0);
    }

    /// The next frame. Where the future is dropped the connection is of no further use.
    ///
    /// # Errors
    /// Nothing comes after one.
    pub(super) async fn next(&mut self) -> Result<Frame, Ended> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(frame);
            }
            let buffer = std::mem::take(&mut self.buffer);
            let (received, buffer) = self.channel.receive(buffer).await;
            self.buffer = buffer;
            let count = received.map_err(Ended::Broken)?;
            if count == 0 {
                let text = "the other side closed the connection";
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
                return Err(Ended::Broken(error));
            }
            self.counters.received(count);
            let ready = &mut self.ready;
            let bytes = &self.buffer[..count];
            let fed = self.deframer.feed(bytes, |frame| ready.push_back(frame));
            fed.map_err(Ended::Garbage)?;
        }
    }
}

/// The bytes that wait to go on a connection: whatever gathers while a send is under way goes with
/// the next one.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: RefCell<Vec<u8>>,
    /// Bytes that were handed to sends since the last [`Outbox::clear`].
    handed: Cell<u64>,
    closed: Cell<bool>,
    writer: RefCell<Option<Waker>>,
    /// Waits for room ([`Outbox::poll_room`]).
    filler: RefCell<Option<Waker>>,
}

impl Outbox {
    /// Queues a frame of at most `payload_bytes_max`. Answers where it begins in all that was ever
    /// queued; `None` where it is too large.
    pub(super) fn push(
        &self,
        kind: u8,
        id: u64,
        payload_bytes_max: usize,
        write_payload: impl FnOnce(&mut Vec<u8>),
    ) -> Option<u64> {
        let mut bytes = self.bytes.borrow_mut();
        let start = bytes.len();
        if !put_frame(&mut bytes, kind, id, write_payload) {
            return None;
        }
        if bytes.len() - start > payload_bytes_max.saturating_add(super::frame::HEADER_BYTES) {
            bytes.truncate(start);
            return None;
        }
        drop(bytes);
        self.wake();
        Some(self.handed.get() + start as u64)
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.borrow().len()
    }

    /// Ready while no more than `bytes_max` wait.
    pub(super) fn poll_room(&self, context: &mut Context<'_>, bytes_max: usize) -> Poll<()> {
        if self.len() <= bytes_max {
            return Poll::Ready(());
        }
        *self.filler.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// Whether what begins at `start` may have left this node.
    pub(super) fn may_have_left(&self, start: u64) -> bool {
        start < self.handed.get()
    }

    /// Forgets what waits: the connection it was meant for is gone. A next one begins anew.
    pub(super) fn clear(&self) {
        *self.bytes.borrow_mut() = Vec::new();
        self.handed.set(0);
    }

    /// Ends the writer; what waits is not sent.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.borrow_mut().take() {
            writer.wake();
        }
    }

    /// Everything that waits, once there is something; `spare` takes its place. `None` once closed.
    async fn take(&self, spare: Vec<u8>) -> Option<Vec<u8>> {
        poll_fn(|context| {
            if self.closed.get() {
                return Poll::Ready(());
            }
            if self.bytes.borrow().is_empty() {
                *self.writer.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        if self.closed.get() {
            return None;
        }
        let bytes = self.bytes.replace(spare);
        self.handed.set(self.handed.get() + bytes.len() as u64);
        if let Some(filler) = self.filler.borrow_mut().take() {
            filler.wake();
        }
        Some(bytes)
    }

    /// Sends what is queued until the connection breaks or this is closed.
    ///
    /// # Errors
    /// As of the send that failed.
    pub(super) async fn write_to(&self, channel: &Channel, counters: &Counters) -> io::Result<()> {
        let mut spare = Vec::new();
        while let Some(bytes) = self.take(spare).await {
            let (sent, mut bytes) = channel.send(bytes).await;
            sent?;
            counters.sent(bytes.len());
            bytes.clear();
            bytes.shrink_to(KEPT_BYTES_MAX);
            spare = bytes;
        }
        Ok(())
    }
}
