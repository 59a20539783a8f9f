//! One connection: bytes in, requests out, replies back.

use crate::limits::OUTPUT_BYTES_PAUSE;
use crate::node::{Client, Engine, Flow};
use crate::resp::{Args, Decoded, Decoder, Error, Reply};
use crate::rt::socket::Socket;

/// Input that may pile up while a connection waits before its receive is cancelled, in bytes.
const INPUT_BYTES_PAUSE: usize = 1024 * 1024;

/// Capacity that an empty buffer keeps, in bytes.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;

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

    /// Takes bytes that came. `shared` is the core's decoder, for requests that come whole.
    #[inline]
    pub fn receive(&mut self, bytes: &[u8], id: u64, engine: &mut Engine, shared: &mut Decoder) {
        self.client.session.last_active_ms = engine.now_ms();
        if self.input.is_empty() && !self.waiting {
            let used = self.take_requests(bytes, id, engine, shared);
            self.input.extend_from_slice(&bytes[used..]);
        } else {
            self.input.extend_from_slice(bytes);
            if !self.waiting {
                self.resume(id, engine, shared);
            }
        }
    }

    /// Goes on with input that was kept.
    pub fn resume(&mut self, id: u64, engine: &mut Engine, shared: &mut Decoder) {
        self.waiting = false;
        let mut input = std::mem::take(&mut self.input);
        let used = self.take_requests(&input, id, engine, shared);
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
        shared: &mut Decoder,
    ) -> usize {
        let mut own = self.decoder.take();
        let mut at = 0;
        while at < bytes.len() && !self.ending {
            if self.client.out.len() > OUTPUT_BYTES_PAUSE {
                self.waiting = true;
                break;
            }
            let decoder = own.as_deref_mut().unwrap_or(shared);
            let rest = &bytes[at..];
            let (used, args) = match decoder.decode(rest) {
                Ok(Decoded::Request(used)) => (used, Args::new(rest, decoder.spans())),
                Ok(Decoded::Inline(used)) => (used, Args::new(decoder.inline(), decoder.spans())),
                Ok(Decoded::Incomplete) => {
                    let state = own
                        .take()
                        .unwrap_or_else(|| Box::new(std::mem::take(shared)));
                    self.decoder = Some(state);
                    break;
                }
                Err(error) => {
                    // It may be the core's own: the next connection begins anew.
                    *decoder = Decoder::default();
                    let text = format!("ERR Protocol error: {}", error.0);
                    self.client.reply(&Reply::Error(Error::new(text)));
                    self.ending = true;
                    return bytes.len();
                }
            };
            if !args.is_empty() {
                match engine.dispatch(&mut self.client, id, args) {
                    Flow::Continue => {}
                    Flow::Wait => {
                        self.waiting = true;
                        break;
                    }
                    Flow::Close => self.ending = true,
                }
            }
            own = None;
            at += used;
        }
        at
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
                && self.client.is_idle()
                && self.client.out.is_empty()
                && !self.send_under_way)
    }

    /// Whether the kernel holds nothing of this connection.
    pub fn is_free(&self) -> bool {
        !self.send_under_way && !self.receive_under_way
    }
}
