//! Commands that a connection answers from its session.

use crate::command::{Spec, by_name};
use crate::config::{Consistency, Durability};
use crate::resp::{Args, Error, Protocol, Reply, parse_int};
use crate::session::ReplyMode;

use super::client::Client;
use super::dispatch::Flow;
use super::engine::Engine;

impl Engine {
    /// A command with `Route::Session`.
    pub(super) fn session_command(
        &mut self,
        client: &mut Client,
        id: u64,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Flow {
        match spec.name {
            "ping" => ping(client, args),
            "echo" => client.reply(&Reply::bulk(args.get(1))),
            "select" => select(client, args),
            "hello" => self.hello(client, args),
            "quit" => {
                client.reply(&Reply::Ok);
                return Flow::Close;
            }
            "reset" => {
                client.session.reset();
                client.reply(&Reply::Simple("RESET"));
            }
            "time" => time(client),
            "multi" => return self.multi(client),
            "exec" => client.refuse(Error::fixed("ERR EXEC without MULTI")),
            "discard" => client.refuse(Error::fixed("ERR DISCARD without MULTI")),
            "watch" => return self.watch(client, id, args),
            "unwatch" => {
                client.session.watched.clear();
                client.reply(&Reply::Ok);
            }
            "with" => return self.with_level(client, id, args),
            "readonly" | "readwrite" => client.reply(&Reply::Ok),
            _ => return self.admin_command(client, id, spec, args),
        }
        Flow::Continue
    }

    /// `HELLO [version [AUTH user password] [SETNAME name]]`
    fn hello(&mut self, client: &mut Client, args: Args<'_>) {
        let mut protocol = client.session.protocol;
        if let Some(version) = args.at(1) {
            protocol = match parse_int(version) {
                Some(2) => Protocol::Resp2,
                Some(3) => Protocol::Resp3,
                Some(_) => return client.refuse(Error::fixed("NOPROTO unsupported protocol version")),
                None => {
                    let text = "ERR Protocol version is not an integer or out of range";
                    return client.refuse(Error::fixed(text));
                }
            };
        }
        let mut at = 2;
        let mut name = None;
        while at < args.len() {
            if args.is(at, "auth") && at + 2 < args.len() {
                // There are no passwords: as Redis' default user, which takes any.
                if args.get(at + 1) != b"default" {
                    let text = "WRONGPASS invalid username-password pair or user is disabled.";
                    return client.refuse(Error::fixed(text));
                }
                at += 3;
            } else if args.is(at, "setname") && at + 1 < args.len() {
                name = Some(args.get(at + 1));
                at += 2;
            } else {
                let option = String::from_utf8_lossy(args.get(at)).into_owned();
                return client
                    .refuse(Error::new(format!("ERR Syntax error in HELLO option '{option}'")));
            }
        }
        if let Some(name) = name {
            if !is_name(name) {
                return client.refuse(bad_name());
            }
            client.session.name = name.to_vec();
        }
        client.session.protocol = protocol;
        let version = if protocol == Protocol::Resp3 { 3 } else { 2 };
        let text = |text: &'static str| Reply::bulk(text.as_bytes());
        let session_id = client.session.id as i64;
        client.reply(&Reply::Map(vec![
            text("server"),
            text("redis"),
            text("version"),
            text(REDIS_VERSION),
            text("proto"),
            Reply::Int(version),
            text("id"),
            Reply::Int(session_id),
            text("mode"),
            text("standalone"),
            text("role"),
            text("master"),
            text("modules"),
            Reply::Array(Vec::new()),
        ]));
    }

    /// `WITH [DURABILITY level] [CONSISTENCY level] command ..`
    fn with_level(&mut self, client: &mut Client, id: u64, args: Args<'_>) -> Flow {
        let mut durability = client.session.durability;
        let mut at = 1;
        while at + 1 < args.len() {
            if args.is(at, "durability") {
                match parse_durability(args.get(at + 1)) {
                    Ok(level) => durability = Some(level),
                    Err(error) => return self.refuse(client, error),
                }
                at += 2;
            } else if args.is(at, "consistency") {
                let count = Consistency::word_count(args.get(at + 1));
                if let Err(error) = parse_consistency(args, at + 1, count) {
                    return self.refuse(client, error);
                }
                at += 1 + count;
            } else {
                break;
            }
        }
        let inner = args.skip(at);
        if at == 1 || inner.is_empty() {
            let text = "ERR syntax error: WITH DURABILITY low|medium|high|all, WITH CONSISTENCY \
                        stale|bounded <ms>|leader|linearizable, then a command";
            return self.refuse(client, Error::fixed(text));
        }
        let Some(spec) = by_name(inner.get(0)).filter(|spec| spec.name != "with") else {
            let name = String::from_utf8_lossy(inner.get(0)).into_owned();
            return self.refuse(client, Error::new(format!("ERR unknown command '{name}' in WITH")));
        };
        if !spec.accepts(inner.len()) {
            return self.refuse(client, Error::arity(spec.name));
        }
        self.route(client, id, spec, inner, durability)
    }
}

/// The version of Redis whose commands and replies this server speaks.
pub const REDIS_VERSION: &str = "7.2.0";

pub(super) fn parse_durability(word: &[u8]) -> Result<Durability, Error> {
    let word = String::from_utf8_lossy(word);
    Durability::parse(&word).ok_or_else(|| {
        Error::new(format!("ERR unknown durability '{word}': low, medium, high or all"))
    })
}

pub(super) fn parse_consistency(args: Args<'_>, at: usize, count: usize) -> Result<Consistency, Error> {
    let words: Vec<_> =
        args.iter_from(at).take(count).map(|word| String::from_utf8_lossy(word)).collect();
    Consistency::parse(&words).ok_or_else(|| {
        Error::new(format!(
            "ERR unknown consistency '{}': stale, bounded <ms>, leader or linearizable",
            words.join(" ")
        ))
    })
}

/// Whether a connection may be called this: no blanks, no line breaks.
pub(super) fn is_name(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

pub(super) fn bad_name() -> Error {
    Error::fixed("ERR Client names cannot contain spaces, newlines or special characters.")
}

fn ping(client: &mut Client, args: Args<'_>) {
    match args.at(1) {
        _ if args.len() > 2 => client.refuse(Error::arity("ping")),
        Some(text) => client.reply(&Reply::bulk(text)),
        None => client.reply(&Reply::Simple("PONG")),
    }
}

fn select(client: &mut Client, args: Args<'_>) {
    match parse_int(args.get(1)) {
        None => client.refuse(Error::fixed("ERR value is not an integer or out of range")),
        Some(db) if (0..crate::limits::DATABASES as i64).contains(&db) => {
            client.session.db = db as u8;
            client.reply(&Reply::Ok);
        }
        Some(_) => client.refuse(Error::fixed("ERR DB index is out of range")),
    }
}

fn time(client: &mut Client) {
    let now_us = crate::clock::now_us();
    client.reply(&Reply::bulks([
        (now_us / 1_000_000).to_string(),
        (now_us % 1_000_000).to_string(),
    ]));
}

impl Client {
    /// `CLIENT REPLY ON|OFF|SKIP`
    pub(super) fn set_reply_mode(&mut self, mode: ReplyMode) {
        self.session.reply_mode = mode;
        if mode == ReplyMode::On {
            self.reply(&Reply::Ok);
        }
    }
}
