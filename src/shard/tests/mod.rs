//! Shards that work together in random order come to what one shard alone comes to.
//!
//! A seed makes a log: deliveries of random commands, transactions and reads. One shard runs it for
//! reference. Then several shards get the same deliveries, each at its own pace, and the messages
//! between them arrive in random order (of a pair of shards, in the order sent), while readers ask
//! the shards directly. Replies and digests must be the same, everything must come to its end, and
//! what readers see must fit one order of events in real time.

mod agree;
mod author;
mod node;
mod replace;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use crate::command::Spec;
use crate::keyspace::OrderSlice;
use crate::metrics::Timing;
use crate::resp::{Args, Reply};
use crate::value::Digest;

use super::{Delivery, Host, Item, ShardMessage};
use agree::{agree, check_looks};
use author::{Author, words};
use node::Node;

const NOW_MS: u64 = 1_700_000_000_000;

/// Numbers from here on are direct reads; below, commands of the log.
const DIRECT: u64 = 1 << 40;

/// Keys on many shards that are only ever written together, in a database of their own.
const GROUP: usize = 8;
const GROUP_DB: u8 = 5;

/// Keys that are made one after the other, each by a command of its own, in a database of theirs.
const ROW_DB: u8 = 6;

/// What is done with a command's reply.
#[derive(Clone, Debug, PartialEq)]
enum Check {
    /// The same bytes on any number of shards.
    Same,
    /// The same elements in any order.
    Elements,
    /// A transaction, with the checks of its commands.
    Each(Vec<Check>),
    /// One of so many parts of what the next [`Check::Whole`] answers.
    Scan,
    /// One of the keys that the next [`Check::Whole`] answers.
    Key,
    Whole,
    /// The count of keys made so far.
    RowLength,
}

struct Script {
    shards: usize,
    deliveries: Vec<Arc<Delivery>>,
    checks: BTreeMap<u64, Check>,
    /// Which command made the row's key so many.
    row: Vec<u64>,
}

/// Replies by the number of their command, with the time they came; and digests.
#[derive(Default)]
struct Replies(
    HashMap<u64, (usize, Vec<u8>)>,
    /// Sums of the shards' digests by log index.
    BTreeMap<u64, Digest>,
);

/// Where one shard's replies and messages go.
struct Desk<'d> {
    shard: usize,
    time: usize,
    replies: &'d mut Replies,
    /// Messages under way, by sender and receiver.
    wires: &'d mut [Vec<VecDeque<ShardMessage>>],
}

impl Host for Desk<'_> {
    fn reply(&mut self, _origin: usize, item: &Item, write: &mut dyn FnMut(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        let before = self.replies.0.insert(item.client, (self.time, bytes));
        assert!(before.is_none(), "{} answered twice", item.client);
    }

    fn send(&mut self, shard: usize, message: ShardMessage) {
        assert_ne!(shard, self.shard, "a shard tells itself nothing");
        self.wires[self.shard][shard].push_back(message);
    }

    fn digested(&mut self, index: u64, _slice: OrderSlice, digest: Digest, _us: u64) {
        *self.replies.1.entry(index).or_default() += digest;
    }

    fn time(&mut self, _spec: &Spec) -> Timing {
        Timing::begin(true, &mut 0)
    }

    fn ran(
        &mut self,
        _spec: &Spec,
        _args: Args<'_>,
        _item: Option<&Item>,
        _timing: Timing,
        _reply: &Reply<'_>,
    ) {
    }
}

fn group_key(n: usize) -> String {
    format!("g{n}")
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", " ")
}

/// Runs the script on `shards`, which come to the replies and the digest of the one that ran it
/// for reference.
fn run_as_one(
    seed: u64,
    shards: usize,
    script: &Script,
    reference: &Replies,
    digest: Digest,
) -> Node {
    let mut node = Node::new(seed, shards);
    node.run(script);
    node.check_end(script);
    for (number, check) in &script.checks {
        let (one, many) = (&reference.0[number].1, &node.replies.0[number].1);
        assert!(
            agree(check, one, many),
            "command {number}: {} for reference, {} on {shards} shards",
            show(one),
            show(many)
        );
    }
    node.check_row(script);
    assert_eq!(node.digest(), digest, "same log, same digest");
    node
}

fn run_seed(seed: u64, shards: usize) {
    let (script, reference, digest) = Author::new(seed, shards).script();
    let node = run_as_one(seed, shards, &script, &reference, digest);
    assert!(!reference.1.is_empty(), "digests on the way");
    assert_eq!(reference.1, node.replies.1, "the same digests on the way");
    check_looks(&script, &node.replies);
}

fn run_seeds(seeds: Range<u64>, shards: [usize; 3], run_seed: fn(u64, usize)) {
    for seed in seeds {
        for shards in shards {
            let run = std::panic::AssertUnwindSafe(|| run_seed(seed, shards));
            if let Err(panic) = std::panic::catch_unwind(run) {
                eprintln!("seed {seed}, {shards} shards");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn shards_in_any_order_do_what_one_shard_does() {
    run_seeds(0..40, [2, 4, 8], run_seed);
}

#[test]
#[ignore = "takes minutes"]
fn shards_in_any_order_do_what_one_shard_does_at_length() {
    run_seeds(1000..20_000, [2, 4, 8], run_seed);
}

#[test]
fn sort_by_a_pattern_stores_nothing_on_any_number_of_shards() {
    let mut author = Author::new(1, 2);
    for line in [
        "MSET w1 3 w2 2 w3 1",
        "RPUSH a 1 2 3",
        "SORT a BY w* STORE b",
    ] {
        author.push(0, &words(line));
    }
    author.end_part(0..author.payload.len());
    author.end_delivery();
    let mut node = Node::new(1, 2);
    node.run(&author.script);
    assert_eq!(node.digest(), author.reference.keyspace.digest());
}
