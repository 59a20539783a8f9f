//! WAIT and WAITAOF: how many other nodes have a connection's last write.
//!
//! Only the connection waits, on its core for nothing but an answer. The Raft core is asked again and
//! again until the timeout, so that it waits for no connection that is gone.

use std::collections::VecDeque;

use crate::clock;
use crate::limits::{WAIT_ROUND_MS, WRITTEN_KEPT};
use crate::resp::{Args, Error, parse_int};

use super::client::{Client, Clients};
use super::dispatch::Flow;
use super::engine::Engine;
use super::gather::{Answer, Awaited, Gather, Purpose, Question};

/// More nodes than there can be.
const REPLICAS_MAX: i64 = 254;

/// Where in the log the last batches of a core went.
#[derive(Default)]
pub struct Written(VecDeque<(u64, u64)>);

impl Written {
    /// The batch with this number was met at `index`.
    pub fn note(&mut self, number: u64, index: u64) {
        if self.0.len() == WRITTEN_KEPT {
            self.0.pop_front();
        }
        self.0.push_back((number, index));
    }

    /// An index that is not below the one at which batch `number`, and every one before it, went
    /// into the log. The same for those that are kept. 0 for number 0: nothing was written.
    pub fn index_of(&self, number: u64) -> u64 {
        let at = self.0.partition_point(|(found, _)| *found < number);
        match self.0.get(at).or(self.0.back()) {
            Some((_, index)) if number > 0 => *index,
            _ => 0,
        }
    }
}

impl Engine {
    /// `WAIT replicas timeout`: behind the connection's writes; 0 waits for ever.
    pub(super) fn wait(&mut self, client: &mut Client, id: u64, args: Args<'_>) -> Flow {
        let Some(replicas) = parse_int(args.get(1)) else {
            return self.refuse(client, Error::NOT_INTEGER);
        };
        match parse_int(args.get(2)) {
            None => client.refuse(Error::fixed(
                "ERR timeout is not an integer or out of range",
            )),
            Some(timeout) if timeout < 0 => client.refuse(Error::fixed("ERR timeout is negative")),
            Some(_) if !client.is_idle() => return Flow::Wait,
            Some(timeout) => self.wait_for_copies(client, id, replicas, timeout, false),
        }
        Flow::Continue
    }

    /// `WAITAOF local replicas timeout`: syncs the logs where the writes did not.
    pub(super) fn waitaof(&mut self, client: &mut Client, id: u64, args: Args<'_>) -> Flow {
        let numbers: Vec<Option<i64>> = args.iter_from(1).map(parse_int).collect();
        let [Some(local), Some(replicas), Some(timeout)] = numbers[..] else {
            return self.refuse(client, Error::NOT_INTEGER);
        };
        let text = match (local, replicas, timeout) {
            (2.., ..) => "ERR value is out of range, must be between 0 and 1",
            (..0, ..) | (_, ..0, _) => "ERR value is out of range, must be positive",
            (.., ..0) => "ERR timeout is negative",
            _ => "",
        };
        if !text.is_empty() {
            return self.refuse(client, Error::fixed(text));
        }
        if !client.is_idle() {
            return Flow::Wait;
        }
        self.wait_for_copies(client, id, replicas, timeout, true);
        Flow::Continue
    }

    fn wait_for_copies(
        &mut self,
        client: &mut Client,
        id: u64,
        replicas: i64,
        timeout_ms: i64,
        on_disk: bool,
    ) {
        let until_ms = match timeout_ms {
            0 => u64::MAX,
            timeout_ms => clock::steady_ms().saturating_add(timeout_ms as u64),
        };
        let awaited = Awaited {
            index: self.written.index_of(client.written),
            replicas: replicas.clamp(0, REPLICAS_MAX) as u8,
            on_disk,
            until_ms,
            found: 0,
        };
        client.is_pausing = replicas > 0;
        let question = Question::Copies(awaited, self.round_ms(&awaited));
        self.ask_raft(client, id, question, Purpose::Copies(awaited));
    }

    /// How long the Raft core is to wait before it answers.
    fn round_ms(&self, awaited: &Awaited) -> u64 {
        let left_ms = awaited.until_ms.saturating_sub(clock::steady_ms());
        left_ms.min(WAIT_ROUND_MS)
    }

    /// Asks once more where too few nodes have a write, the timeout has not come and the connection
    /// is still there. Answers whether it did.
    pub(super) fn waits_on(&mut self, gather: &mut Gather, clients: &mut impl Clients) -> bool {
        let (Purpose::Copies(awaited), Some(Answer::Copies(count))) =
            (&mut gather.purpose, gather.answers.first())
        else {
            return false;
        };
        awaited.found = awaited.found.max(*count);
        let (awaited, enough) = (*awaited, awaited.found >= usize::from(awaited.replicas));
        let is_late = clock::steady_ms() >= awaited.until_ms;
        if enough || is_late || clients.client(gather.client).is_none() {
            return false;
        }
        let purpose = Purpose::Copies(awaited);
        let number = self.gathers.begin(gather.client, gather.seq, purpose, 1);
        let question = Question::Copies(awaited, self.round_ms(&awaited));
        self.out.ask(self.layout.raft_core, number, question);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_batch_went() {
        let mut written = Written::default();
        assert_eq!((written.index_of(0), written.index_of(3)), (0, 0));
        for (number, index) in [(1, 10), (2, 10), (4, 15)] {
            written.note(number, index);
        }
        // Number 3 was refused: what came behind it holds for what came before.
        for (number, index) in [(0, 0), (1, 10), (2, 10), (3, 15), (4, 15), (5, 15)] {
            assert_eq!(written.index_of(number), index, "{number}");
        }
        for number in 5..10_000 {
            written.note(number, 100 + number);
        }
        assert_eq!(written.index_of(9_999), 10_099);
        assert!(written.index_of(1) >= 10 && written.0.len() <= WRITTEN_KEPT);
    }
}
