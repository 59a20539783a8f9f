//! openraft's log storage over a [`Log`] and a [`VoteStore`].
//!
//! - Entries become records and back; payloads are shared, never copied.
//! - Every failure of the storage poisons the group before openraft hears of it.
//! - The commit index is not kept: after a restart everything behind the checkpoint is committed
//!   anew by the next leader, and [`Group::wait_leader_and_recovered`] waits for that.
//!
//! [`Group::wait_leader_and_recovered`]: super::Group::wait_leader_and_recovered

use std::cell::Cell;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::rc::Rc;

use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};

use super::applier::VoteStore;
use super::codec;
use super::proposals::Proposals;
use super::runtime;

use super::types::{self, Entry, LogId, Types, Vote};
use crate::limits::{APPLY_READ_BYTES, REPLICATE_BYTES_MAX};
use crate::log::{Log, Record};

/// The log as openraft sees it. Clones share it.
#[derive(Clone)]
pub(super) struct LogStore {
    log: Rc<dyn Log>,
    votes: Rc<dyn VoteStore>,
    /// The vote that was saved last: replication asks for it again and again.
    vote: Rc<Cell<Option<Vote>>>,
    proposals: Rc<Proposals>,
}

impl LogStore {
    /// # Errors
    /// Where the kept vote cannot be read.
    pub(super) async fn open(
        log: Rc<dyn Log>,
        votes: Rc<dyn VoteStore>,
        proposals: Rc<Proposals>,
    ) -> io::Result<Self> {
        let kept = votes.read().await?;
        let vote = kept.map(|bytes| codec::decode_vote(&bytes)).transpose()?;
        Ok(LogStore {
            log,
            votes,
            vote: Rc::new(Cell::new(vote)),
            proposals,
        })
    }

    pub(super) fn vote(&self) -> Option<Vote> {
        self.vote.get()
    }

    fn poison_on_error<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| self.proposals.poison(error))
    }

    async fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Record>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let records = self.log.read(range, bytes_max).await;
        self.poison_on_error(records)
    }

    /// Why a part of `range` behind the log's end is not there, where storage has failed.
    fn refused_behind(&self, end: u64, range: &Range<u64>) -> Option<io::Error> {
        let why = self.proposals.poisoned()?;
        let text = format!("the log ends before {} and takes nothing: {why}", range.end);
        (end < range.end && !range.is_empty()).then(|| io::Error::other(text))
    }

    async fn entries(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let records = self.read(range, bytes_max).await?;
        let entries = records.into_iter().map(types::entry).collect();
        self.poison_on_error(entries)
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.entries(half_open(&range), usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.entries(start..end, REPLICATE_BYTES_MAX).await
    }

    /// Reads a slice at a time: after a restart the range is the whole log. Ends with the log; a
    /// hole before that is an error. So is the end of a log that has refused entries: a quorum of
    /// others may have committed them, and openraft takes what is not in the stream as applied.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let mut range = half_open(&range);
        let end = self.log.last().map_or(0, |last| last.index + 1);
        let refused = self.refused_behind(end, &range);
        range.end = range.end.min(end);
        let slices = stream::try_unfold(
            (self.clone(), range),
            async |(store, range)| -> io::Result<_> {
                if range.is_empty() {
                    return Ok(None);
                }
                let records = store.read(range.clone(), APPLY_READ_BYTES).await?;
                let rest = rest_behind(&records, &range)?;
                runtime::yield_if_needed().await;
                Ok(Some((records, (store, rest))))
            },
        );
        slices
            .map_ok(|records| stream::iter(records).map(types::entry))
            .try_flatten()
            .chain(stream::iter(refused.map(Err)))
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.vote.get())
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        Ok(LogState {
            last_purged_log_id: self.log.purged().map(LogId::from),
            last_log_id: self.log.last().map(LogId::from),
        })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let saved = self.votes.save(codec::encode_vote(vote)).await;
        self.poison_on_error(saved)?;
        self.vote.set(Some(*vote));
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries.into_iter().map(types::record).collect();
        let proposals = self.proposals.clone();
        let done = move |result: io::Result<()>| {
            if let Err(error) = &result {
                proposals.poison(error);
            }
            callback.io_completed(result);
        };
        self.log.append(records, Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let truncated = self.log.truncate_after(last.map(Into::into)).await;
        self.poison_on_error(truncated)
    }

    async fn purge(&mut self, through: LogId) -> io::Result<()> {
        let purged = self.log.purge(through.into()).await;
        self.poison_on_error(purged)
    }
}

/// The part of `range` that `records` leave to be read. They have to begin where it does and leave
/// no hole: openraft takes a short stream for a whole one.
fn rest_behind(records: &[Record], range: &Range<u64>) -> io::Result<Range<u64>> {
    let indexes = records.iter().map(|record| record.position.index);
    if records.is_empty() || !indexes.eq((range.start..range.end).take(records.len())) {
        let text = format!("the log has a hole in {range:?}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(range.start + records.len() as u64..range.end)
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

#[cfg(test)]
mod tests {
    use openraft::AsyncRuntime;
    use openraft::entry::RaftEntry;
    use openraft::storage::RaftLogStorageExt;

    use super::*;
    use crate::log::Position;
    use crate::raft::runtime::Glommio;
    use crate::raft::tests::{MemoryLog, MemoryVotes, TestApplier};

    fn entry(index: u64) -> Entry {
        let position = Position {
            index,
            ..Position::default()
        };
        Entry::new(position.into(), openraft::EntryPayload::Blank)
    }

    /// Indexes of what a range gives, and its error.
    async fn given(store: &mut LogStore, range: Range<u64>) -> (Vec<u64>, Option<String>) {
        let mut stream = std::pin::pin!(store.entries_stream(range).await);
        let mut indexes = Vec::new();
        loop {
            match stream.next().await {
                Some(Ok(entry)) => indexes.push(entry.log_id.index),
                Some(Err(error)) => return (indexes, Some(error.to_string())),
                None => return (indexes, None),
            }
        }
    }

    #[test]
    fn what_a_failed_log_refused_is_an_error_to_who_would_apply_it() {
        Glommio::run(async {
            let log = MemoryLog::new();
            let proposals = Proposals::new(TestApplier::new());
            let opened = LogStore::open(log.clone(), MemoryVotes::new(), proposals).await;
            let mut store = opened.expect("an empty store");
            let kept = store.blocking_append((0..3).map(entry)).await;
            kept.expect("it is kept");
            assert_eq!(given(&mut store, 0..9).await, (vec![0, 1, 2], None));

            log.poison("disk full");
            let refused = store.blocking_append([entry(3)]).await;
            refused.expect_err("it is refused");
            assert_eq!(given(&mut store, 1..3).await, (vec![1, 2], None));
            let (indexes, error) = given(&mut store, 2..4).await;
            assert_eq!(indexes, [2]);
            assert!(error.expect("an end").contains("disk full"));
            let (indexes, error) = given(&mut store, 3..4).await;
            assert!(indexes.is_empty() && error.is_some(), "{error:?}");
        });
    }
}
