//! openraft's log-store suite over any [`Log`] and [`VoteStore`].

use std::any::Any;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use openraft::errors::ErrorSource;
use openraft::impls::BoxedErrorSource;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{AsyncRuntime, StorageError};

use super::VoteStore;
use super::machine::Machine;
use super::proposals::Proposals;
use super::runtime::Glommio;
use super::store::LogStore;
use super::tests::{MemoryLog, MemoryVotes, TestApplier};
use super::types::Types;
use crate::log::{Backend, Log, Options};

/// What a store needs to be kept until its test is over: a temporary directory, for instance.
pub type Guard = Box<dyn Any + Send + Sync>;

/// A fresh, empty log and vote store.
pub type Made = (Guard, Rc<dyn Log>, Rc<dyn VoteStore>);

struct Builder<F>(F);

impl<F> StoreBuilder<Types, LogStore, Machine, Guard> for Builder<F>
where
    F: Fn() -> LocalBoxFuture<'static, Made> + Send + Sync,
{
    async fn build(&self) -> Result<(Guard, LogStore, Machine), StorageError<Types>> {
        let (guard, log, votes) = (self.0)().await;
        let applier = TestApplier::new();
        applier.holes_allowed.set(true);
        let proposals = Proposals::new(applier.clone());
        let store = LogStore::open(log, votes, proposals.clone()).await;
        let store =
            store.map_err(|error| StorageError::read_logs(BoxedErrorSource::from_error(&error)))?;
        let machine = Machine::open(applier, proposals);
        let machine = machine.map_err(|error| {
            StorageError::read_state_machine(BoxedErrorSource::from_error(&error))
        })?;
        Ok((guard, store, machine))
    }
}

/// Runs the suite on an executor of its own. `make` is called on it, once for each of its tests.
///
/// # Panics
/// Where a test fails.
pub fn log_suite<F>(make: F)
where
    F: Fn() -> LocalBoxFuture<'static, Made> + Send + Sync,
{
    Glommio::run(async {
        let passed = Suite::test_all(Builder(make)).await;
        passed.expect("openraft's log-store suite");
    });
}

#[test]
fn the_memory_log_passes() {
    log_suite(|| {
        Box::pin(async {
            let guard: Guard = Box::new(());
            let log: Rc<dyn Log> = MemoryLog::new();
            let votes: Rc<dyn VoteStore> = MemoryVotes::new();
            (guard, log, votes)
        })
    });
}

/// A fresh log of a backend on disk, with segments small enough for the suite to fill some.
async fn on_disk(backend: Backend) -> Made {
    let directory = tempfile::tempdir().expect("a directory for the log");
    let options = Options {
        segment_bytes: 1 << 20,
        ..Options::default()
    };
    let (log, _recovery) = crate::log::open(directory.path(), backend, options, &mut |_| {})
        .expect("an empty directory opens");
    (Box::new(directory), log, MemoryVotes::new())
}

#[test]
fn the_segment_log_passes() {
    log_suite(|| Box::pin(on_disk(Backend::Segment)));
}

#[test]
fn the_fjall_log_passes() {
    log_suite(|| Box::pin(on_disk(Backend::Fjall)));
}
