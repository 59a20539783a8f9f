//! Commands about the node: what they ask of the cores.

use crate::command::{self, Spec, configure, latency, read_consistency, read_durability};
use crate::config::Consistency;
use crate::resp::{Args, Error, Reply, parse_int};
use crate::session::ReplyMode;

use super::boot::Event;
use super::client::Client;
use super::dispatch::Flow;
use super::engine::Engine;
use super::gather::{Filter, Purpose, Question};

impl Engine {
    /// A command with `Route::Session` that is not about the connection's own state.
    pub(super) fn admin_command(
        &mut self,
        client: &mut Client,
        id: u64,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Flow {
        if let Some(container) = spec.name.strip_suffix("|help") {
            client.reply(&command::help(container));
            return Flow::Continue;
        }
        match spec.name {
            name if name.starts_with("client") => {
                return self.client_command(client, id, name, args);
            }
            "command" => answer(client, command::command(args)),
            name if name.starts_with("command|") => answer(client, command::command(args)),
            "config|get" => client.reply(&configure::get(args, &self.config)),
            "config|set" => return self.config_set(client, id, args),
            "config|resetstat" => self.ask(client, id, Question::ResetCounts, Purpose::Done),
            "config|rewrite" => match self.config.rewrite() {
                Ok(()) => client.reply(&Reply::Ok),
                Err(error) => {
                    client.refuse(Error::new(format!("ERR Rewriting config file: {error}")));
                }
            },
            "info" => {
                let sections = args
                    .iter_from(1)
                    .map(|name| String::from_utf8_lossy(name).to_lowercase());
                let purpose = Purpose::Info(sections.collect());
                self.ask(client, id, Question::Report, purpose);
            }
            "memory|stats" => self.ask(client, id, Question::Report, Purpose::MemoryStats),
            "memory|doctor" => self.ask(client, id, Question::Report, Purpose::MemoryDoctor),
            "latency|doctor" => self.ask(client, id, Question::Report, Purpose::LatencyDoctor),
            "latency|stages" => self.ask(client, id, Question::Report, Purpose::LatencyStages),
            "latency|histogram" => {
                let names = args.iter_from(2).map(<[u8]>::to_vec).collect();
                self.ask(
                    client,
                    id,
                    Question::Report,
                    Purpose::LatencyHistogram(names),
                );
            }
            "latency|reset" => self.ask(client, id, Question::ResetLatencies, Purpose::Done),
            "slowlog|get" => {
                let count = match args.at(2).map(parse_int) {
                    None => Some(10),
                    Some(Some(-1)) => Some(usize::MAX),
                    Some(Some(count)) => usize::try_from(count).ok(),
                    Some(None) => return self.refuse(client, Error::NOT_INTEGER),
                };
                let Some(count) = count else {
                    let text = "ERR count should be greater than or equal to -1";
                    return self.refuse(client, Error::fixed(text));
                };
                self.ask(client, id, Question::SlowLog, Purpose::SlowEntries(count));
            }
            "slowlog|len" => self.ask(client, id, Question::SlowLog, Purpose::SlowCount),
            "slowlog|reset" => self.ask(client, id, Question::ResetSlowLog, Purpose::Done),
            "save" => self.ask_raft(client, id, Question::Checkpoint, Purpose::Done),
            "bgsave" | "bgrewriteaof" => {
                let status = match spec.name {
                    "bgsave" => "Background saving started",
                    _ => "Background append only file rewriting started",
                };
                self.start_checkpoint(client, status);
            }
            "lastsave" => self.ask(client, id, Question::Report, Purpose::LastSave),
            "wait" => return self.wait(client, id, args),
            "waitaof" => return self.waitaof(client, id, args),
            "shutdown" => {
                // The wires close once the cores stop: as Redis, no reply.
                let _ = self.events.send(Event::StopAsked);
            }
            "lolwut" => client.reply(&Reply::Verbatim(format!(
                "quorate {}: an acknowledged write is on a quorum's disks\n",
                crate::config::VERSION
            ))),
            "role" | "asking" => return self.cluster_command(client, id, spec, args),
            name if name.starts_with("cluster|") || name.starts_with("raft") => {
                return self.cluster_command(client, id, spec, args);
            }
            "debug" => return self.debug(client, id, args),
            name => client.refuse(Error::new(format!("ERR {name} is not supported"))),
        }
        Flow::Continue
    }

    /// Asks every core; the answer goes to the client in its place.
    fn ask(&mut self, client: &mut Client, id: u64, question: Question, purpose: Purpose) {
        if !client.may_await() {
            return;
        }
        let seq = client.await_remote();
        let number = self.gathers.begin(id, seq, purpose, self.layout.cores);
        (0..self.layout.cores).for_each(|core| self.out.ask(core, number, question.clone()));
    }

    /// Asks the Raft core alone.
    pub(super) fn ask_raft(
        &mut self,
        client: &mut Client,
        id: u64,
        question: Question,
        purpose: Purpose,
    ) {
        self.ask_core(client, id, self.layout.raft_core, question, purpose);
    }

    /// Asks one core.
    pub(super) fn ask_core(
        &mut self,
        client: &mut Client,
        id: u64,
        core: usize,
        question: Question,
        purpose: Purpose,
    ) {
        if !client.may_await() {
            return;
        }
        let seq = client.await_remote();
        let number = self.gathers.begin(id, seq, purpose, 1);
        self.out.ask(core, number, question);
    }

    /// `BGSAVE`: the status comes at once, the checkpoint by itself.
    fn start_checkpoint(&mut self, client: &mut Client, status: &'static str) {
        let number = self
            .gathers
            .begin(super::engine::NOBODY, 0, Purpose::Status(status), 1);
        self.out
            .ask(self.layout.raft_core, number, Question::Checkpoint);
        client.reply(&Reply::Simple(status));
    }

    fn config_set(&mut self, client: &mut Client, id: u64, args: Args<'_>) -> Flow {
        match configure::set(args, &mut self.config.clone()) {
            Err(error) => client.refuse(error),
            Ok(changes) => {
                // Each core makes the change on its own copy: two at once do not undo each other.
                let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
                let words: Vec<String> = args.iter_from(2).map(text).collect();
                let pairs = words
                    .chunks_exact(2)
                    .map(|pair| (pair[0].clone(), pair[1].clone()));
                let question = Question::Configure(pairs.collect(), changes.0);
                self.ask(client, id, question, Purpose::Done);
            }
        }
        Flow::Continue
    }

    fn debug(&mut self, client: &mut Client, id: u64, args: Args<'_>) -> Flow {
        if args.is(1, "sleep") && args.len() == 3 {
            let seconds = crate::resp::parse_double(args.get(2))
                .unwrap_or(0.0)
                .clamp(0.0, 3600.0);
            // As in Redis, the server stands still: here, this core of it.
            std::thread::sleep(std::time::Duration::from_secs_f64(seconds));
            client.reply(&Reply::Ok);
        } else if args.is(1, "digest") && args.len() == 2 {
            if !client.may_await() {
                return Flow::Continue;
            }
            let spec = command::by_id(command::DIGEST);
            if let Some(spec) = spec {
                let spans = [crate::resp::Span { start: 0, end: 0 }];
                return self.route(client, id, spec, Args::new(b"", &spans), None);
            }
        } else if cfg!(debug_assertions) && args.is(1, "spoil") && args.len() == 3 {
            // For tests of digests: this node alone comes to hold something else.
            match &mut self.shard {
                Some(shard) => {
                    let db = shard.keyspace_mut().db_mut(client.session.db as usize);
                    db.set_string(args.get(2), b"spoilt", 0);
                    client.reply(&Reply::Ok);
                }
                None => client.refuse(Error::fixed("ERR this core has no shard")),
            }
        } else {
            let text = "ERR unknown DEBUG subcommand: SLEEP <seconds> and DIGEST are there";
            client.refuse(Error::fixed(text));
        }
        Flow::Continue
    }

    fn client_command(&mut self, client: &mut Client, id: u64, name: &str, args: Args<'_>) -> Flow {
        match name {
            "client|id" => client.reply(&Reply::Int(client.session.id as i64)),
            "client|info" => {
                let only = Filter {
                    ids: vec![client.session.id],
                    ..Filter::default()
                };
                self.ask(client, id, Question::Clients(only), Purpose::ClientLines);
            }
            "client|list" => match list_filter(args) {
                Ok(filter) => self.ask(client, id, Question::Clients(filter), Purpose::ClientLines),
                Err(error) => client.refuse(error),
            },
            "client|kill" => match kill_filter(args, client.session.id) {
                Ok((filter, old_form)) => {
                    self.ask(
                        client,
                        id,
                        Question::Kill(filter),
                        Purpose::Killed { old_form },
                    );
                }
                Err(error) => client.refuse(error),
            },
            "client|getname" if client.session.name.is_empty() => client.reply(&Reply::Null),
            "client|getname" => {
                let name = client.session.name.clone();
                client.reply(&Reply::bulk(&name));
            }
            "client|setname" if super::connection::is_name(args.get(2)) => {
                client.session.name = args.get(2).to_vec();
                client.reply(&Reply::Ok);
            }
            "client|setname" => client.refuse(super::connection::bad_name()),
            "client|setinfo" => set_info(client, args),
            "client|no-evict" | "client|no-touch" => {
                if args.is(2, "on") || args.is(2, "off") {
                    client.reply(&Reply::Ok);
                } else {
                    client.refuse(Error::SYNTAX);
                }
            }
            "client|reply" if args.is(2, "on") => client.set_reply_mode(ReplyMode::On),
            "client|reply" if args.is(2, "off") => client.set_reply_mode(ReplyMode::Off),
            "client|reply" if args.is(2, "skip") => client.set_reply_mode(ReplyMode::SkipNext),
            // Nobody blocks, so nobody can be unblocked.
            "client|unblock" => client.reply(&Reply::Int(0)),
            "client|durability" => match args.at(2).map(read_durability).transpose() {
                Ok(Some(level)) => {
                    client.session.durability = Some(level);
                    client.reply(&Reply::Ok);
                }
                Ok(None) => {
                    let level = client.session.durability.unwrap_or(self.durability);
                    client.reply(&Reply::bulk(level.name().as_bytes()));
                }
                Err(error) => client.refuse(error),
            },
            "client|consistency" if args.len() == 2 => {
                let level: Consistency = client.session.consistency.unwrap_or(self.consistency);
                client.reply(&Reply::bulk_owned(level.to_string()));
            }
            "client|consistency" => match read_consistency(args.skip(2)) {
                Ok((level, used)) if 2 + used == args.len() => {
                    client.session.consistency = Some(level);
                    client.reply(&Reply::Ok);
                }
                Ok(_) => client.refuse(Error::SYNTAX),
                Err(error) => client.refuse(error),
            },
            _ => client.refuse(Error::SYNTAX),
        }
        Flow::Continue
    }
}

fn answer(client: &mut Client, outcome: Result<Reply<'static>, Error>) {
    client.reply(&outcome.unwrap_or_else(Reply::Error));
}

fn set_info(client: &mut Client, args: Args<'_>) {
    let value = args.get(3);
    if !super::connection::is_name(value) {
        let name = String::from_utf8_lossy(args.get(2)).to_lowercase();
        return client.refuse(Error::new(format!(
            "ERR {name} cannot contain spaces, newlines or special characters."
        )));
    }
    if args.is(2, "lib-name") {
        client.session.library = value.to_vec();
    } else if args.is(2, "lib-ver") {
        client.session.library_version = value.to_vec();
    } else {
        let option = String::from_utf8_lossy(args.get(2)).into_owned();
        return client.refuse(Error::new(format!("ERR Unrecognized option '{option}'")));
    }
    client.reply(&Reply::Ok);
}

/// `CLIENT LIST [TYPE type] [ID id ..]`
fn list_filter(args: Args<'_>) -> Result<Filter, Error> {
    let mut filter = Filter::default();
    if args.len() == 2 {
        return Ok(filter);
    }
    if args.is(2, "type") && args.len() == 4 {
        filter.kind = Some(client_type(args.get(3))?);
    } else if args.is(2, "id") && args.len() > 3 {
        for id in args.iter_from(3) {
            let id = parse_int(id).filter(|id| *id > 0);
            filter
                .ids
                .push(id.ok_or(Error::fixed("ERR Invalid client ID"))? as u64);
        }
    } else {
        return Err(Error::SYNTAX);
    }
    Ok(filter)
}

fn client_type(word: &[u8]) -> Result<String, Error> {
    let word = String::from_utf8_lossy(word).to_lowercase();
    match word.as_str() {
        "normal" | "master" | "replica" | "slave" | "pubsub" => Ok(word),
        _ => Err(Error::new(format!("ERR Unknown client type '{word}'"))),
    }
}

/// `CLIENT KILL address`, or filters in pairs. Answers whether it was the first form.
fn kill_filter(args: Args<'_>, own: u64) -> Result<(Filter, bool), Error> {
    let text = |at: usize| String::from_utf8_lossy(args.get(at)).into_owned();
    if args.len() == 3 {
        return Ok((
            Filter {
                address: Some(text(2)),
                ..Filter::default()
            },
            true,
        ));
    }
    let mut filter = Filter {
        except: Some(own),
        ..Filter::default()
    };
    for at in (2..args.len()).step_by(2) {
        if at + 1 >= args.len() {
            return Err(Error::SYNTAX);
        }
        if args.is(at, "id") {
            let id = parse_int(args.get(at + 1)).filter(|id| *id > 0);
            let error = Error::fixed("ERR client-id should be greater than 0");
            filter.ids.push(id.ok_or(error)? as u64);
        } else if args.is(at, "addr") {
            filter.address = Some(text(at + 1));
        } else if args.is(at, "laddr") {
            filter.local_address = Some(text(at + 1));
        } else if args.is(at, "user") {
            filter.user = Some(text(at + 1));
        } else if args.is(at, "type") {
            filter.kind = Some(client_type(args.get(at + 1))?);
        } else if args.is(at, "maxage") {
            let age = parse_int(args.get(at + 1)).filter(|age| *age > 0);
            filter.age_s_min = Some(age.ok_or(Error::NOT_INTEGER)? as u64);
        } else if args.is(at, "skipme") && args.is(at + 1, "no") {
            filter.except = None;
        } else if !(args.is(at, "skipme") && args.is(at + 1, "yes")) {
            return Err(Error::SYNTAX);
        }
    }
    Ok((filter, false))
}

/// Commands whose latencies `LATENCY HISTOGRAM` asks for, as arguments again.
pub(super) fn latency_histogram(
    names: &[Vec<u8>],
    commands: &[(&'static str, crate::metrics::CommandStats)],
) -> Reply<'static> {
    let mut buffer = Vec::new();
    let mut spans = vec![crate::resp::Span { start: 0, end: 0 }; 2];
    for name in names {
        let start = buffer.len() as u32;
        buffer.extend_from_slice(name);
        spans.push(crate::resp::Span {
            start,
            end: buffer.len() as u32,
        });
    }
    latency::histogram(Args::new(&buffer, &spans), commands)
}
