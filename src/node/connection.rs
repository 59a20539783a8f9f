//! Commands that a connection answers from its session.

use crate::command::{Spec, resolve, split_with};
use crate::config::Consistency;
use crate::resp::{Args, Error, Protocol, Reply, parse_int};
use crate::session::ReplyMode;

use super::client::Client;
use super::dispatch::Flow;
use super::engine::Engine;
use super::standing::Seat;

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
            "reset" | "unwatch" if client.awaits_version() => return Flow::Wait,
            "reset" => {
                client.session.reset();
                client.reply(&Reply::Simple("RESET"));
            }
            "auth" => client.refuse(Error::fixed(
                "ERR AUTH <password> called without any password configured for the default \
                 user. Are you sure your configuration is correct?",
            )),
            "time" => time(client),
            "multi" => return self.multi(client),
            "exec" => client.refuse(Error::fixed("ERR EXEC without MULTI")),
            "discard" => client.refuse(Error::fixed("ERR DISCARD without MULTI")),
            "watch" => return self.watch(client, id, args),
            "unwatch" => {
                client.session.unwatch();
                client.reply(&Reply::Ok);
            }
            "with" => return self.with_level(client, id, args),
            "readonly" | "readwrite" => {
                // As with Redis, whoever says READONLY takes what a follower has.
                let is_readonly = spec.name == "readonly";
                client.session.consistency = is_readonly.then_some(Consistency::Stale);
                client.reply(&Reply::Ok);
            }
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
                Some(_) => {
                    return client.refuse(Error::fixed("NOPROTO unsupported protocol version"));
                }
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
                return client.refuse(Error::new(format!(
                    "ERR Syntax error in HELLO option '{option}'"
                )));
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
        let role = match self.stand.standing.seat {
            Seat::Alone | Seat::Leader { .. } => "master",
            Seat::Follower { .. } | Seat::Lost | Seat::Down => "replica",
        };
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
            text(role),
            text("modules"),
            Reply::Array(Vec::new()),
        ]));
    }

    /// `WITH [DURABILITY level] [CONSISTENCY level] command ..`
    fn with_level(&mut self, client: &mut Client, id: u64, args: Args<'_>) -> Flow {
        if !client.may_await() {
            return Flow::Continue;
        }
        let (levels, at) = match split_with(args) {
            Ok(split) => split,
            Err(error) => return self.refuse(client, error),
        };
        let inner = args.skip(at);
        match resolve(inner) {
            Ok(spec) => {
                let durability = levels.durability.or(client.session.durability);
                let consistency = client.session.consistency;
                client.session.consistency = levels.consistency.or(consistency);
                let flow = match self.moved(client, spec, inner) {
                    Some(moved) => self.refuse(client, moved),
                    None => self.route(client, id, spec, inner, durability),
                };
                client.session.consistency = consistency;
                flow
            }
            Err(error) => self.refuse(client, error),
        }
    }
}

/// The version of Redis whose commands and replies this server speaks.
pub const REDIS_VERSION: &str = "7.2.0";

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
