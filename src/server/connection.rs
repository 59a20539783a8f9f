//! One connection: bytes in, requests out, replies back.

use std::ops::Range;

use crate::keyspace::AHEAD;
use crate::limits::OUTPUT_BYTES_PAUSE;
use crate::node::{Client, Engine, Flow, Resolved};
use crate::resp::{Args, Decoded, Decoder, Error, ProtocolError, Reply, Span};
use crate::rt::socket::Socket;

/// Input that may pile up while a connection waits before its receive is cancelled, in bytes.
const INPUT_BYTES_PAUSE: usize = 1024 * 1024;

/// Capacity that an empty buffer keeps, in bytes.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;

/// What a core decodes requests with; one for all its connections.
#[derive(Default)]
pub struct Wire {
    /// For requests that come whole; a connection has its own for one that does not.
    decoder: Decoder,
    /// Requests decoded and not dispatched.
    ahead: Vec<Ahead>,
    /// Their arguments.
    spans: Vec<Span>,
    /// Words of an inline command.
    inline: Vec<u8>,
    /// Bytes of empty requests behind the last one decoded.
    trailing: usize,
}

/// A request decoded and not dispatched.
struct Ahead {
    spans: Range<usize>,
    /// Bytes it took, those of empty requests before it included.
    bytes: usize,
    inline: bool,
    resolved: Resolved,
}

impl Wire {
    /// Notes bytes of empty requests that no other request stands behind.
    fn finish(&mut self, skipped: usize) {
        self.trailing = skipped;
    }
}

/// A client's connection.
pub struct Connection {
    pub socket: Socket,
    pub client: Client,
    /// What came and was not decoded yet.
    input: Vec<u8>,
    /// State of an incomplete request.
    decoder: Option<Box<Decoder>>,
    /// Bytes handed to the kernel, and how many of them it took.
    pub sending: Vec<u8>,
    pub sent: usize,
    pub send_under_way: bool,
    pub receive_under_way: bool,
    /// The client will send no more, or is not listened to any more: close when all is answered.
    pub ending: bool,
    /// Close at once: nothing more can be sent.
    pub broken: bool,
    /// A request could not be taken yet.
    pub waiting: bool,
    /// On the list of connections to be written to.
    pub dirty: bool,
    /// Since when the output is above its soft limit; Unix ms.
    pub over_soft_since_ms: Option<u64>,
}

impl Connection {
    pub fn new(socket: Socket, client: Client) -> Self {
        Connection {
            socket,
            client,
            input: Vec::new(),
            decoder: None,
            sending: Vec::new(),
            sent: 0,
            send_under_way: false,
            receive_under_way: false,
            ending: false,
            broken: false,
            waiting: false,
            dirty: false,
            over_soft_since_ms: None,
        }
    }

    /// Takes bytes that came. `wire` is what the core decodes with.
    #[inline]
    pub fn receive(&mut self, bytes: &[u8], id: u64, engine: &mut Engine, wire: &mut Wire) {
        self.client.session.last_active_ms = engine.now_ms();
        if self.input.is_empty() && !self.waiting {
            let used = self.take_requests(bytes, id, engine, wire);
            self.input.extend_from_slice(&bytes[used..]);
        } else {
            self.input.extend_from_slice(bytes);
            if !self.waiting {
                self.resume(id, engine, wire);
            }
        }
    }

    /// Goes on with input that was kept.
    pub fn resume(&mut self, id: u64, engine: &mut Engine, wire: &mut Wire) {
        self.waiting = false;
        let mut input = std::mem::take(&mut self.input);
        let used = self.take_requests(&input, id, engine, wire);
        if used == input.len() {
            input.clear();
            input.shrink_to(BUFFER_BYTES_KEPT);
        } else if used > 0 {
            input.drain(..used);
        }
        self.input = input;
    }

    /// Decodes and dispatches the requests in `bytes`. Answers how many bytes are done with.
    #[inline]
    fn take_requests(
        &mut self,
        bytes: &[u8],
        id: u64,
        engine: &mut Engine,
        wire: &mut Wire,
    ) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.ending {
            if self.client.out.len() > OUTPUT_BYTES_PAUSE {
                self.waiting = true;
                break;
            }
            let decoded = self.decode_ahead(&bytes[at..], engine, wire);
            for request in &wire.ahead {
                engine.prefetch(&self.client, &request.resolved);
            }
            let mut taken = 0;
            for request in &wire.ahead {
                let spans = &wire.spans[request.spans.clone()];
                let buffer = if request.inline {
                    &wire.inline[..]
                } else {
                    &bytes[at + taken..]
                };
                let args = Args::new(buffer, spans);
                match engine.dispatch(&mut self.client, id, &request.resolved, args) {
                    Flow::Continue => {}
                    Flow::Wait => {
                        self.waiting = true;
                        // Decoding begins again with this request.
                        self.decoder = None;
                        return at + taken;
                    }
                    Flow::Close => {
                        self.ending = true;
                        return bytes.len();
                    }
                }
                taken += request.bytes;
            }
            at += taken + wire.trailing;
            match decoded {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    let text = format!("ERR Protocol error: {}", error.0);
                    self.client.reply(&Reply::Error(Error::new(text)));
                    self.ending = true;
                    return bytes.len();
                }
            }
        }
        at
    }

    /// Decodes the next few requests and has their commands found and their memory asked for.
    /// Answers whether there may be more; an error stands behind what was decoded.
    #[inline]
    fn decode_ahead(
        &mut self,
        bytes: &[u8],
        engine: &Engine,
        wire: &mut Wire,
    ) -> Result<bool, ProtocolError> {
        wire.ahead.clear();
        wire.spans.clear();
        let mut own = self.decoder.take();
        let mut at = 0;
        // Bytes of empty requests (`\r\n`), which count for the one behind them.
        let mut skipped = 0;
        while wire.ahead.len() < AHEAD && at < bytes.len() {
            let decoder = own.as_deref_mut().unwrap_or(&mut wire.decoder);
            let rest = &bytes[at..];
            let decoded = decoder.decode(rest).inspect_err(|_| {
                // It may be the core's own: the next connection begins anew.
                *decoder = Decoder::default();
            })?;
            let (used, inline) = match decoded {
                Decoded::Request(used) => (used, false),
                Decoded::Inline(used) => (used, true),
                Decoded::Incomplete => {
                    let state = own.take();
                    self.decoder =
                        Some(state.unwrap_or_else(|| Box::new(std::mem::take(&mut wire.decoder))));
                    wire.finish(skipped);
                    return Ok(false);
                }
            };
            at += used;
            if decoder.spans().is_empty() {
                skipped += used;
                own = None;
                continue;
            }
            let start = wire.spans.len();
            // Spans count from the start of the request; an empty one before it belongs to it.
            let shift = if inline { 0 } else { skipped as u32 };
            wire.spans
                .extend(decoder.spans().iter().map(|span| span.shifted(shift)));
            let spans = start..wire.spans.len();
            if inline {
                wire.inline.clear();
                wire.inline.extend_from_slice(decoder.inline());
            }
            let buffer = if inline { &wire.inline[..] } else { rest };
            let resolved = engine.resolve(&self.client, Args::new(buffer, decoder.spans()));
            wire.ahead.push(Ahead {
                spans,
                bytes: used + skipped,
                inline,
                resolved,
            });
            skipped = 0;
            own = None;
            if inline {
                // There is one buffer for inline words.
                break;
            }
        }
        wire.finish(skipped);
        Ok(true)
    }

    /// Whether so much input is kept that no more should be received.
    pub fn is_overfed(&self) -> bool {
        self.input.len() > INPUT_BYTES_PAUSE && self.waiting
    }

    /// Bytes of requests that are kept.
    pub fn input_bytes(&self) -> usize {
        self.input.len()
    }

    /// Bytes of replies that the client has not taken.
    pub fn output_bytes(&self) -> usize {
        self.client.out.len() + self.sending.len() - self.sent
    }

    /// Moves what was written to where it is sent from. Answers whether there is anything.
    pub fn begin_send(&mut self) -> bool {
        if self.send_under_way || self.broken || self.client.out.is_empty() {
            return false;
        }
        self.sending.clear();
        self.sending.shrink_to(BUFFER_BYTES_KEPT);
        std::mem::swap(&mut self.sending, &mut self.client.out);
        self.sent = 0;
        true
    }

    /// Whether everything that will be answered was, and was sent.
    pub fn is_through(&self) -> bool {
        self.broken
            || (self.ending
                && !self.waiting
                && (self.client.is_idle() || self.client.is_pausing)
                && self.client.out.is_empty()
                && !self.send_under_way)
    }

    /// Whether the kernel holds nothing of this connection.
    pub fn is_free(&self) -> bool {
        !self.send_under_way && !self.receive_under_way
    }
}
