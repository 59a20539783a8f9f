//! Closed loop against etcd, in its own protocol: gRPC over persistent HTTP/2 connections.
//!
//! A given number of calls is always in flight, spread evenly over the connections; an answer is
//! followed by the next call. One thread that sleeps when nothing comes, messages written by hand
//! (no code generated from etcd's `.proto` files), so that little of the machine that client and
//! servers share is spent here.
//!
//! Invariants
//! - What counts is an answer with gRPC status 0 that says what it must: a put the store's new
//!   revision, a get the one value that belongs to the key.
//! - Keys and values are those of the Redis loads ([`crate::command::value_of`]).
//!
//! Not done here: TLS and authentication, which the measured clusters do without; finding the
//! leader, which is the runner's business.

mod call;
mod messages;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::{JoinHandle, LocalSet};

use crate::command::{text_key, value_of};
use crate::latency;
use crate::random::Random;
use crate::server_cpu::Spent;
use call::{Connection, Endpoint};
use messages::{PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, TxnRequest};

/// Keys of one transaction of a preload; etcd takes 128 operations at most.
const PRELOAD_KEYS: u64 = 100;
/// How long answers still due after the window are waited for.
const DRAIN: Duration = Duration::from_secs(10);

/// What the calls do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A put of a random key.
    Put,
    /// A linearizable range of one random key.
    Get,
    /// A put of every key once, many in a transaction.
    Preload,
}

impl Command {
    /// Parses a name of `--command`.
    ///
    /// # Errors
    /// Names the known commands when `name` is none of them.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "put" => Ok(Self::Put),
            "get" => Ok(Self::Get),
            "preload" => Ok(Self::Preload),
            other => Err(format!("unknown command '{other}': put, get or preload")),
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Put => "/etcdserverpb.KV/Put",
            Self::Get => "/etcdserverpb.KV/Range",
            Self::Preload => "/etcdserverpb.KV/Txn",
        }
    }
}

/// How to load.
pub struct Plan {
    pub address: SocketAddr,
    pub connections: usize,
    /// Calls in flight, over all connections.
    pub calls: usize,
    pub command: Command,
    pub keys: u64,
    pub value_bytes: usize,
    pub warm_up: Duration,
    /// Not for a preload, which lasts as long as there are keys.
    pub window: Duration,
    pub server_pids: Vec<u32>,
    pub seed: u64,
}

/// What the window showed.
pub struct Outcome {
    /// Answers that came in the window.
    pub replies: u64,
    pub window: Duration,
    /// Of calls that began and ended in the window, in ns.
    pub latency: Histogram<u64>,
    pub server_cpu_ns: Option<u64>,
    pub client_cpu_ns: u64,
}

/// Runs warm-up and window; or the whole preload.
///
/// # Errors
/// A failed call, a wrong answer, a broken connection, or no answer at all.
pub fn run(plan: &Plan) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime: {error}"))?;
    LocalSet::new().block_on(&runtime, load(plan))
}

async fn load(plan: &Plan) -> Result<Outcome, String> {
    let shared = Rc::new(Shared::new(plan)?);
    let workers = start(plan, &shared).await?;
    if plan.command != Command::Preload {
        tokio::time::sleep(plan.warm_up).await;
    }
    let cpu = Spent::begin(&plan.server_pids)?;
    let begun = Instant::now();
    if plan.command == Command::Preload {
        finish(workers, None).await?;
        return shared.outcome(begun.elapsed(), cpu.end(&plan.server_pids)?);
    }
    shared.replies.set(0);
    shared.window_begun.set(Some(begun));
    tokio::time::sleep(plan.window).await;
    let outcome = shared.outcome(begun.elapsed(), cpu.end(&plan.server_pids)?);
    shared.stopped.set(true);
    finish(workers, Some(DRAIN)).await?;
    outcome
}

async fn start(
    plan: &Plan,
    shared: &Rc<Shared>,
) -> Result<Vec<JoinHandle<Result<(), String>>>, String> {
    let mut endpoints = Vec::new();
    for _ in 0..plan.connections.min(plan.calls) {
        let connection = Connection::open(plan.address).await?;
        endpoints.push(connection.endpoint(plan.command.path())?);
    }
    let worker =
        |endpoint: &Endpoint| tokio::task::spawn_local(work(endpoint.clone(), Rc::clone(shared)));
    let spread = endpoints.iter().cycle().take(plan.calls);
    Ok(spread.map(worker).collect())
}

/// Waits for the workers, at most `limit` where there is one.
async fn finish(
    workers: Vec<JoinHandle<Result<(), String>>>,
    limit: Option<Duration>,
) -> Result<(), String> {
    let all = async {
        for worker in workers {
            worker
                .await
                .map_err(|error| format!("a worker ended: {error}"))??;
        }
        Ok(())
    };
    match limit {
        None => all.await,
        Some(limit) => tokio::time::timeout(limit, all)
            .await
            .map_err(|_| format!("calls unanswered {} s after the window", limit.as_secs()))?,
    }
}

/// One call after another, until the end of the run.
async fn work(mut endpoint: Endpoint, shared: Rc<Shared>) -> Result<(), String> {
    while let Some(key) = shared.next_key() {
        let sent = Instant::now();
        match shared.command {
            Command::Put => put(&mut endpoint, key, shared.value_bytes).await?,
            Command::Get => get(&mut endpoint, key, shared.value_bytes).await?,
            Command::Preload => {
                let keys = key..(key + PRELOAD_KEYS).min(shared.keys);
                put_all(&mut endpoint, keys, shared.value_bytes).await?;
            }
        }
        shared.answered(sent);
    }
    Ok(())
}

async fn put(endpoint: &mut Endpoint, key: u64, value_bytes: usize) -> Result<(), String> {
    let answer = endpoint.call(&put_request(key, value_bytes)).await?;
    check_revision(&answer)
}

async fn put_all(
    endpoint: &mut Endpoint,
    keys: std::ops::Range<u64>,
    value_bytes: usize,
) -> Result<(), String> {
    let put = |key| RequestOp {
        request_put: Some(put_request(key, value_bytes)),
    };
    let transaction = TxnRequest {
        success: keys.map(put).collect(),
    };
    check_revision(&endpoint.call(&transaction).await?)
}

async fn get(endpoint: &mut Endpoint, key: u64, value_bytes: usize) -> Result<(), String> {
    let request = RangeRequest {
        key: text_key("key", key),
    };
    let answer: RangeResponse = endpoint.call(&request).await?;
    match &answer.kvs[..] {
        [found] if found.key == request.key && found.value == value_of(key, value_bytes) => Ok(()),
        found => Err(format!("a get of key {key} found {found:?}")),
    }
}

fn put_request(key: u64, value_bytes: usize) -> PutRequest {
    PutRequest {
        key: text_key("key", key),
        value: value_of(key, value_bytes),
    }
}

fn check_revision(answer: &PutResponse) -> Result<(), String> {
    match &answer.header {
        Some(header) if header.revision > 0 => Ok(()),
        other => Err(format!("a put was answered without a revision: {other:?}")),
    }
}

/// What the workers of one run share; all on one thread.
struct Shared {
    command: Command,
    keys: u64,
    value_bytes: usize,
    random: RefCell<Random>,
    /// The next key of a preload.
    next: Cell<u64>,
    stopped: Cell<bool>,
    replies: Cell<u64>,
    window_begun: Cell<Option<Instant>>,
    latency: RefCell<Histogram<u64>>,
}

impl Shared {
    fn new(plan: &Plan) -> Result<Self, String> {
        Ok(Self {
            command: plan.command,
            keys: plan.keys,
            value_bytes: plan.value_bytes,
            random: RefCell::new(Random::new(plan.seed)),
            next: Cell::new(0),
            stopped: Cell::new(false),
            replies: Cell::new(0),
            window_begun: Cell::new(None),
            latency: RefCell::new(latency::histogram()?),
        })
    }

    fn next_key(&self) -> Option<u64> {
        if self.stopped.get() {
            return None;
        }
        if self.command != Command::Preload {
            return Some(self.random.borrow_mut().below(self.keys));
        }
        let key = self.next.get();
        self.next.set(key + PRELOAD_KEYS);
        (key < self.keys).then_some(key)
    }

    fn answered(&self, sent: Instant) {
        self.replies.set(self.replies.get() + 1);
        if self.window_begun.get().is_some_and(|begun| sent >= begun) {
            let latency_ns = sent.elapsed().as_nanos() as u64;
            latency::record(&mut self.latency.borrow_mut(), latency_ns);
        }
    }

    fn outcome(
        &self,
        window: Duration,
        (server_cpu_ns, client_cpu_ns): (Option<u64>, u64),
    ) -> Result<Outcome, String> {
        match self.replies.get() {
            0 => Err("no answer at all".to_owned()),
            replies => Ok(Outcome {
                replies,
                window,
                latency: self.latency.borrow().clone(),
                server_cpu_ns,
                client_cpu_ns,
            }),
        }
    }
}
