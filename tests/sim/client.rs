//! Clients inside of a node's cores: requests go into the engine as those of a socket do.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use futures::channel::oneshot;

use quorate::config::{Config, Name};
use quorate::metrics::Counters;
use quorate::node::simulated::Wires;
use quorate::node::{Client, ClientView, Clients, Engine, Flow};
use quorate::resp::{Args, Decoded, Decoder};

use crate::reply::Reply;

/// The connections of one core of one process.
#[derive(Default)]
pub struct Desk {
    connections: BTreeMap<u64, Connection>,
    next: u64,
    open: bool,
}

#[derive(Default)]
struct Connection {
    client: Client,
    /// Requests that were not taken yet.
    requests: VecDeque<String>,
    /// Who waits for the replies, in order.
    awaited: VecDeque<oneshot::Sender<Reply>>,
}

impl Desk {
    pub fn new() -> Rc<RefCell<Desk>> {
        Rc::default()
    }

    /// A new connection.
    pub fn connect(&mut self) -> u64 {
        self.next += 1;
        let mut connection = Connection::default();
        connection.client.session.id = self.next;
        self.connections.insert(self.next, connection);
        self.next
    }

    /// Queues a request of words without blanks. The reply never comes where the process dies before.
    pub fn ask(&mut self, id: u64, request: &str) -> oneshot::Receiver<Reply> {
        let (sender, receiver) = oneshot::channel();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.requests.push_back(format!("{request}\r\n"));
            connection.awaited.push_back(sender);
        }
        receiver
    }
}

/// The arguments of a request, as a socket's connection finds them.
fn with_args<R>(request: &str, run: impl FnOnce(Args<'_>) -> R) -> R {
    let mut decoder = Decoder::default();
    let decoded = decoder.decode(request.as_bytes());
    assert!(matches!(decoded, Ok(Decoded::Inline(_))), "{request}");
    run(Args::new(decoder.inline(), decoder.spans()))
}

impl Clients for Desk {
    fn client(&mut self, id: u64) -> Option<&mut Client> {
        self.connections.get_mut(&id).map(|one| &mut one.client)
    }

    fn each(&mut self, show: &mut dyn FnMut(ClientView<'_>)) {
        for (id, one) in &self.connections {
            show(ClientView {
                id: *id,
                session: &one.client.session,
                descriptor: 0,
                input_bytes: 0,
                output_bytes: 0,
            });
        }
    }

    fn count(&self, _counters: &mut Counters) {}

    fn kill(&mut self, id: u64) {
        self.connections.remove(&id);
    }

    fn configure(&mut self, _config: &Config, _names: &[Name]) {}
}

impl Wires for Desk {
    fn open(&mut self) {
        self.open = true;
    }

    fn resume(&mut self, engine: &mut Engine) -> bool {
        let mut any = false;
        if !self.open {
            return false;
        }
        for (id, one) in &mut self.connections {
            while engine.has_room()
                && let Some(request) = one.requests.front()
            {
                let flow = with_args(request, |args| {
                    let resolved = engine.resolve(&one.client, args);
                    engine.dispatch(&mut one.client, *id, &resolved, args)
                });
                if flow == Flow::Wait {
                    break;
                }
                any = true;
                one.requests.pop_front();
            }
        }
        any
    }

    fn flush(&mut self) {
        for one in self.connections.values_mut() {
            while let Some((reply, length)) = Reply::read(&one.client.out) {
                one.client.out.drain(..length);
                if let Some(awaited) = one.awaited.pop_front() {
                    // Who asked may have given up.
                    let _ = awaited.send(reply);
                }
                if one.client.out.is_empty() {
                    break;
                }
            }
        }
    }
}
