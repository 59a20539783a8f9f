//! Answering questions about this core, and making replies of all cores' answers.

use crate::clock;
use crate::command::{by_id, latency, memory};
use crate::config::{FollowerMode, Logging};
use crate::error::Unavailable;
use crate::limits::DATABASES;
use crate::metrics::{self, CpuInfo, KeyspaceInfo, MemoryInfo, ServerInfo, Snapshot};
use crate::resp::{Error, Reply, encode};
use crate::session::Session;

use super::admin::latency_histogram;
use super::client::Clients;
use super::engine::Engine;
use super::gather::{Answer, Filter, Gather, Purpose, Question, Report};
use super::raft_reply::{raft_fields, replication_fields};
use super::slot_scan::SlotScan;

impl Engine {
    /// Answers a question of core `from`.
    pub(super) fn answer(
        &mut self,
        from: usize,
        number: u64,
        question: Question,
        clients: &mut impl Clients,
    ) {
        let answer = match question {
            Question::Report => Answer::Report(Box::new(self.report(clients))),
            Question::Clients(filter) => {
                let now_ms = self.now_ms;
                let mut lines = Vec::new();
                clients.each(&mut |view| {
                    if filter.selects(view.session, now_ms) {
                        lines.push(view.line(now_ms));
                    }
                });
                Answer::Lines(lines)
            }
            Question::Kill(filter) => {
                let now_ms = self.now_ms;
                let mut ids = Vec::new();
                clients.each(&mut |view| {
                    if filter.selects(view.session, now_ms) {
                        ids.push(view.id);
                    }
                });
                ids.iter().for_each(|id| clients.kill(*id));
                Answer::Count(ids.len())
            }
            Question::Configure(pairs, names) => {
                self.configure(&pairs);
                clients.configure(&self.config, &names);
                Answer::Done(Ok(()))
            }
            Question::ResetCounts => {
                self.metrics.reset();
                Answer::Done(Ok(()))
            }
            Question::SlowLog => Answer::Slow(self.metrics.slow.entries().cloned().collect()),
            Question::ResetSlowLog => {
                self.metrics.slow.clear();
                Answer::Done(Ok(()))
            }
            Question::ResetLatencies => {
                self.metrics.commands.reset_latencies();
                self.metrics.stages.reset();
                if let Some(raft) = &self.raft {
                    raft.clockwork.stages.borrow_mut().reset();
                }
                Answer::Done(Ok(()))
            }
            Question::Cluster => match &self.raft {
                Some(raft) => Answer::Cluster(Box::new(raft.cluster_view())),
                None => return,
            },
            Question::SlotKeys { db, slot, keys_max } => {
                return self.gathers.scans.push_back(SlotScan {
                    from,
                    number,
                    db,
                    slot,
                    keys_max,
                    order: 0,
                    keys: Vec::new(),
                    count: 0,
                });
            }
            Question::Copies(..) | Question::Checkpoint | Question::Change(_) => {
                if let Some(raft) = &self.raft {
                    raft.work_for(from, number, &question);
                }
                return;
            }
        };
        self.out.answer(from, number, answer);
    }

    /// Changes this core's copy of the settings. They were checked where they came from.
    fn configure(&mut self, pairs: &[(String, String)]) {
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        if let Err(error) = self.config.set(&pairs) {
            tracing::error!("core {}: a setting was not taken: {error}", self.core);
        }
        self.set_levels(self.config.durability(), self.config.consistency());
        self.redirects = self.config.follower_mode() == FollowerMode::Redirect;
        if let Some(raft) = &self.raft {
            raft.configure(&self.config);
        }
        self.out.slow_us_min = self.config.slowlog_us_min().unwrap_or(u64::MAX);
        self.out.slow_len_max = self.config.slowlog_len_max();
        Logging::follow(self.config.log_level());
    }

    fn report(&mut self, clients: &mut impl Clients) -> Report {
        let mut report = Report {
            metrics: self.metrics.clone(),
            ..Report::default()
        };
        clients.count(&mut report.metrics.counters);
        if let Some(raft) = &self.raft {
            report.metrics.stages.merge(&raft.clockwork.stages.borrow());
        }
        clients.each(&mut |view| {
            report.clients += 1;
            report.input_bytes_max = report.input_bytes_max.max(view.input_bytes as u64);
            report.output_bytes_max = report.output_bytes_max.max(view.output_bytes as u64);
        });
        if let Some(shard) = &self.shard {
            for database in 0..DATABASES {
                let db = shard.keyspace().db(database);
                report.keyspace.push(KeyspaceInfo {
                    database,
                    keys: db.len() as u64,
                    expires: db.volatile() as u64,
                    ttl_ms_mean: 0,
                });
                report.dataset_bytes += db.table().bytes() as u64;
                let (hits, misses) = db.lookups();
                report.metrics.counters.keyspace_hits += hits;
                report.metrics.counters.keyspace_misses += misses;
            }
        }
        report.raft = self
            .raft
            .as_ref()
            .map(|raft| Box::new((raft.cluster_view(), raft.persistence())));
        report
    }

    /// Takes an answer to a question of this core; with the last one, the client gets its reply.
    pub(super) fn answered(&mut self, number: u64, answer: Answer, clients: &mut impl Clients) {
        let Some(mut gather) = self.gathers.answered(number, answer) else {
            return;
        };
        if self.waits_on(&mut gather, clients) {
            return;
        }
        let reply = self.reply_of(&gather);
        if let Some(client) = clients.client(gather.client) {
            let protocol = client.session.protocol;
            client.complete(gather.seq, false, &mut |out| encode(&reply, protocol, out));
        }
    }

    fn reply_of(&self, gather: &Gather) -> Reply<'static> {
        let answers = &gather.answers;
        let failed = answers.iter().find_map(|answer| match answer {
            Answer::Done(Err(why)) => Some(Error::new(format!("ERR {why}"))),
            Answer::Refused(error) => Some(error.clone()),
            _ => None,
        });
        if let Some(error) = failed {
            return Reply::Error(error);
        }
        let counted: usize = answers
            .iter()
            .map(|one| {
                if let Answer::Count(count) = one {
                    *count
                } else {
                    0
                }
            })
            .sum();
        match &gather.purpose {
            Purpose::Info(sections) => {
                Reply::Verbatim(metrics::info(sections, &self.snapshot(answers)))
            }
            Purpose::MemoryStats => memory::stats(&self.snapshot(answers)),
            Purpose::MemoryDoctor => memory::doctor(&self.snapshot(answers)),
            Purpose::LatencyDoctor => {
                Reply::Verbatim(metrics::doctor(&self.snapshot(answers).stages))
            }
            Purpose::LatencyStages => latency::stages(&self.snapshot(answers).stages),
            Purpose::LatencyHistogram(names) => {
                latency_histogram(names, &self.snapshot(answers).commands)
            }
            Purpose::ClientLines => {
                let lines = answers.iter().filter_map(|answer| match answer {
                    Answer::Lines(lines) => Some(lines),
                    _ => None,
                });
                Reply::Verbatim(lines.flatten().map(String::as_str).collect())
            }
            Purpose::SlowEntries(count) => slow_entries(answers, *count),
            Purpose::SlowCount => Reply::count(
                answers
                    .iter()
                    .map(|answer| {
                        if let Answer::Slow(entries) = answer {
                            entries.len()
                        } else {
                            0
                        }
                    })
                    .sum(),
            ),
            Purpose::Killed { old_form: false } => Reply::count(counted),
            Purpose::Killed { .. } if counted == 0 => {
                Reply::Error(Error::fixed("ERR No such client"))
            }
            Purpose::Killed { .. } | Purpose::Done => Reply::Ok,
            Purpose::Copies(awaited) => {
                let others = Reply::count(awaited.found);
                if awaited.on_disk {
                    Reply::Array(vec![Reply::Int(1), others])
                } else {
                    others
                }
            }
            Purpose::Status(status) => Reply::Simple(status),
            Purpose::Cluster(query) => match answers.first() {
                Some(Answer::Cluster(view)) => query.answer(view, clock::now_ms()),
                _ => Reply::Null,
            },
            Purpose::SlotKeys => match answers.first() {
                Some(Answer::Keys(keys)) => Reply::bulks(keys.clone()),
                _ => Reply::count(counted),
            },
            Purpose::LastSave => {
                let saved_ms = self.snapshot(answers).persistence.checkpoint_last_ms;
                Reply::Int((saved_ms.max(self.started_ms) / 1000) as i64)
            }
        }
    }

    /// Puts the cores' reports together.
    fn snapshot(&self, answers: &[Answer]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut all = metrics::CoreMetrics::default();
        for answer in answers {
            let Answer::Report(report) = answer else {
                continue;
            };
            all.merge(&report.metrics);
            snapshot.clients.connected += report.clients;
            let clients = &mut snapshot.clients;
            clients.input_bytes_max = clients.input_bytes_max.max(report.input_bytes_max);
            clients.output_bytes_max = clients.output_bytes_max.max(report.output_bytes_max);
            snapshot.memory.dataset_bytes += report.dataset_bytes;
            for info in &report.keyspace {
                if snapshot.keyspace.len() <= info.database {
                    snapshot
                        .keyspace
                        .resize(info.database + 1, KeyspaceInfo::default());
                }
                let sum = &mut snapshot.keyspace[info.database];
                sum.database = info.database;
                sum.keys += info.keys;
                sum.expires += info.expires;
            }
            if let Some(raft) = &report.raft {
                let (view, persistence) = &**raft;
                snapshot.replication = replication_fields(view);
                snapshot.raft = raft_fields(view);
                snapshot.persistence = persistence.clone();
            }
        }
        snapshot.clients.clients_max = self.config.clients_max();
        snapshot.stats.commands_per_second = self.rate.per_second();
        snapshot.server = self.server_info();
        snapshot.cpu = cpu();
        fill_memory(&mut snapshot.memory);
        snapshot.counters = all.counters;
        snapshot.commands = all
            .commands
            .iter()
            .filter_map(|(id, stats)| Some((by_id(id)?.name, stats.clone())))
            .collect();
        snapshot.errors = all.errors;
        snapshot.stages = all.stages;
        snapshot
    }

    fn server_info(&self) -> ServerInfo {
        ServerInfo {
            run_id: format!(
                "{:040x}",
                u128::from(self.started_ms) << 32 | u128::from(std::process::id())
            ),
            process_id: std::process::id(),
            port: self.config.port(),
            now_us: clock::now_us(),
            started_ms: self.started_ms,
            executable: std::env::current_exe()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            config_file: self
                .config
                .file()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            os: std::fs::read_to_string("/proc/sys/kernel/osrelease")
                .map(|release| format!("Linux {} {}", release.trim(), std::env::consts::ARCH))
                .unwrap_or_default(),
            cores: self.layout.cores,
            raft_core_dedicated: self.layout.dedicated,
            durability: self.durability.to_string(),
            consistency: self.consistency.to_string(),
        }
    }
}

/// The newest entries of all cores' slow logs, as `SLOWLOG GET` shows them.
fn slow_entries(answers: &[Answer], count: usize) -> Reply<'static> {
    let mut entries: Vec<_> = answers
        .iter()
        .flat_map(|answer| match answer {
            Answer::Slow(entries) => &entries[..],
            _ => &[],
        })
        .collect();
    entries.sort_by_key(|entry| std::cmp::Reverse((entry.time_s, entry.id)));
    Reply::Array(
        entries
            .into_iter()
            .take(count)
            .map(|entry| {
                Reply::Array(vec![
                    Reply::Int(entry.id as i64),
                    Reply::Int(entry.time_s as i64),
                    Reply::Int(entry.us as i64),
                    Reply::bulks(entry.arguments.clone()),
                    Reply::bulk_owned(entry.address.clone()),
                    Reply::bulk_owned(entry.name.clone()),
                ])
            })
            .collect(),
    )
}

impl Filter {
    fn selects(&self, session: &Session, now_ms: u64) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        (self.ids.is_empty() || self.ids.contains(&session.id))
            && is(&self.address, &session.address)
            && is(&self.local_address, &session.local_address)
            && is(&self.user, "default")
            && is(&self.kind, "normal")
            && self.except != Some(session.id)
            && self
                .age_s_min
                .is_none_or(|age| now_ms.saturating_sub(session.connected_at_ms) >= age * 1000)
    }
}

/// User and system time of the process, in seconds.
fn cpu() -> CpuInfo {
    // SAFETY: getrusage fills a plain structure that is zero before.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    CpuInfo {
        system: seconds(usage.ru_stime),
        user: seconds(usage.ru_utime),
    }
}

fn fill_memory(memory: &mut MemoryInfo) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    };
    memory.rss_bytes = field("VmRSS:");
    memory.used_bytes = field("RssAnon:");
    memory.used_bytes_peak = field("VmHWM:");
    let total = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = total
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    memory.system_bytes = kib.unwrap_or(0) * 1024;
}

impl From<Unavailable> for Error {
    fn from(why: Unavailable) -> Error {
        Error::new(why.to_string())
    }
}
