//! One command on one keyspace, and where its reply goes.

use crate::command::{Context, Rng, Spec, mutation};
use crate::keyspace::{Keyspace, OrderSlice};
use crate::metrics::Timing;
use crate::resp::{Args, Error, Protocol, Reply, encode};
use crate::value::Digest;

use super::delivery::Item;
use super::loan::{LoanId, ShardMessage};
use super::worker::Shard;

/// Where replies and messages go.
pub trait Host {
    /// Answers `item` of a batch that core `origin` proposed: `write` appends the encoded reply.
    fn reply(&mut self, origin: usize, item: &Item, write: &mut dyn FnMut(&mut Vec<u8>));

    /// Sends to another shard.
    fn send(&mut self, shard: usize, message: ShardMessage);

    /// Takes this shard's part of the digest of `slice` as it was behind log index `index`; it took
    /// `us` microseconds.
    fn digested(&mut self, index: u64, slice: OrderSlice, digest: Digest, us: u64);

    /// Begins to time a command.
    fn time(&mut self, spec: &Spec) -> Timing;

    /// Counts a command that ran, with what it answered.
    fn ran(
        &mut self,
        spec: &Spec,
        args: Args<'_>,
        item: Option<&Item>,
        timing: Timing,
        reply: &Reply<'_>,
    );
}

/// One command at a position.
pub(super) struct Command<'d> {
    pub spec: &'static Spec,
    pub head: mutation::Head,
    pub bytes: &'d [u8],
    pub item: Option<&'d Item>,
    pub origin: usize,
    pub id: LoanId,
    pub now_ms: u64,
    pub seed: u64,
    pub version: u64,
}

impl Shard {
    /// Runs a command on this keyspace and answers it.
    #[inline]
    pub(super) fn execute(&mut self, command: &Command<'_>, host: &mut impl Host) {
        let mut spans = std::mem::take(&mut self.spans);
        let Some(args) = mutation::args(command.bytes, command.head, &mut spans) else {
            self.fault = Some("the log holds a command whose arguments are cut".to_string());
            return;
        };
        let protocol = command.item.map_or(Protocol::Resp2, |item| item.protocol);
        let place = (self.id, self.shards);
        let timing = host.time(command.spec);
        run_on(
            &mut self.keyspace,
            place,
            command,
            args,
            protocol,
            |reply| {
                answer(command, args, timing, &reply, host);
            },
        );
        self.spans = spans;
    }
}

/// Counts a command that ran and sends its reply to whoever waits for it.
#[inline]
pub(super) fn answer(
    command: &Command<'_>,
    args: Args<'_>,
    timing: Timing,
    reply: &Reply<'_>,
    host: &mut impl Host,
) {
    host.ran(command.spec, args, command.item, timing, reply);
    if let Some(item) = command.item {
        host.reply(command.origin, item, &mut |out| {
            encode(reply, item.protocol, out)
        });
    }
}

/// Runs a command's handler on one keyspace, shard `place.0` of `place.1`.
#[inline]
pub(super) fn run_on<R>(
    keyspace: &mut Keyspace,
    place: (usize, usize),
    command: &Command<'_>,
    args: Args<'_>,
    protocol: Protocol,
    use_reply: impl FnOnce(Reply<'_>) -> R,
) -> R {
    let mut context = Context {
        keyspace,
        db: command.head.db as usize,
        now_ms: command.now_ms,
        version: command.version,
        rng: Rng::new(command.seed),
        shard: place.0,
        shards: place.1,
        resp3: protocol == Protocol::Resp3,
    };
    use_reply(match command.spec.handler {
        Some(handler) => handler(&mut context, args).unwrap_or_else(Reply::Error),
        None => Reply::Error(Error::fixed("ERR this command does not act on keys")),
    })
}
