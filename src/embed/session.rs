//! Calls that belong together.

use std::fmt;
use std::sync::Arc;

use crate::config::{Consistency, Durability};

use super::call::{Call, Origin};
use super::handle::Node;
use super::lane::Lane;
use super::request::Request;

/// A row of calls with a state of its own, as a client's connection has one: transactions
/// (`MULTI`, `WATCH`, `EXEC`), the selected database, levels, a name.
///
/// Its calls are carried out, and answered, in the order in which they were first polled; several
/// may be under way. It lives on one core of its node, and keeps the node running.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = quorate::Node::builder().start()?;
/// let session = node.session().at(quorate::Consistency::Leader);
/// session.execute(["MULTI"]).wait()?;
/// session.execute(["INCR", "visits"]).wait()?;
/// session.execute(["LPUSH", "visitors", "ada"]).wait()?;
/// let replies = session.execute(["EXEC"]).wait()?;
/// assert_eq!(replies.items().len(), 2);
/// # Ok(())
/// # }
/// ```
pub struct Session {
    key: Arc<Key>,
    consistency: Option<Consistency>,
    durability: Option<Durability>,
    _node: Node,
}

/// A session's place: it ends when neither its handle nor a call of it is left.
pub(super) struct Key {
    pub lane: Arc<Lane>,
    pub number: u64,
}

impl Drop for Key {
    fn drop(&mut self) {
        self.lane.end_session(self.number);
    }
}

impl Session {
    pub(super) fn new(node: Node, lane: Arc<Lane>) -> Session {
        let number = lane.begin_session();
        Session {
            key: Arc::new(Key { lane, number }),
            consistency: None,
            durability: None,
            _node: node,
        }
    }

    /// How fresh what its calls read must be, unless a call says otherwise. `linearizable` where
    /// neither they nor the node's `consistency` do.
    pub fn at(mut self, consistency: Consistency) -> Session {
        self.consistency = Some(consistency);
        self
    }

    /// How durable what its calls write must be before they are answered, unless a call says
    /// otherwise. `high` where neither they nor the node's `durability` do.
    pub fn with(mut self, durability: Durability) -> Session {
        self.durability = Some(durability);
        self
    }

    /// A command with its arguments, its name first: any that a server has, but those that mean a
    /// connection (`QUIT`, `CLIENT REPLY`) or the process (`SHUTDOWN`).
    pub fn execute<I>(&self, args: I) -> Call
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let checked = Request::new(args).and_then(|request| {
            request.check(true)?;
            Ok(request)
        });
        match checked {
            Err(error) => Call::refused(error),
            Ok(mut request) => {
                request.consistency = self.consistency;
                request.durability = self.durability;
                Call::new(Origin::Session(self.key.clone()), request)
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("consistency", &self.consistency)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}
