//! What clients ask, over and over, and how they take the answers.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use quorate::rt::{self, sim};

use crate::cluster::{Cluster, Session};
use crate::history::{Event, Kind, Part};
use crate::record::{Act, History, Single};
use crate::reply::Reply;

/// How long a client waits before it takes a request for lost.
const PATIENCE: Duration = Duration::from_secs(12);

/// Keys in use at a time, of each kind; after its share of requests a key makes room for a new one.
const KEYS: u64 = 3;
const SHARE: usize = 40;

/// One client, on whatever node it finds, until `stop`.
pub struct Worker {
    pub cluster: Rc<Cluster>,
    pub history: Rc<History>,
    pub home: u64,
    pub stop: Rc<Cell<bool>>,
    /// Who it is in the history: another one after each request whose end is not known.
    pub name: u64,
}

/// What a reply says of a request: `Err` where it brought nothing.
fn judge(cluster: &Cluster, reply: Option<Reply>, request: &str) -> Result<Reply, Kind> {
    match reply {
        None => Err(Kind::Info),
        Some(Reply::Error(error)) => {
            let word = error.split(' ').next().unwrap_or_default();
            match word {
                "UNCERTAIN" => Err(Kind::Info),
                "CLUSTERDOWN" | "BUSY" | "SHUTDOWN" | "MISCONF" | "TRYAGAIN" | "EXECABORT" => {
                    Err(Kind::Fail)
                }
                _ => {
                    cluster.alarm(format!("{request}: {error}"));
                    Err(Kind::Info)
                }
            }
        }
        Some(reply) => Ok(reply),
    }
}

fn number(reply: &Reply) -> u64 {
    reply.text().parse().expect("a number that we wrote")
}

impl Worker {
    pub async fn work(mut self) {
        while !self.stop.get() {
            let far = sim::below(5) == 0;
            let machine = match far {
                true => self.cluster.any().clone(),
                false => self.cluster.machine(self.home).clone(),
            };
            if let Some(session) = machine.connect() {
                let mut known = true;
                while known && !self.stop.get() && sim::below(40) > 0 {
                    known = self.once(&session).await;
                    self.think().await;
                }
                if !known {
                    self.name = 1000 + self.history.unique();
                }
            }
            self.think().await;
        }
    }

    async fn think(&self) {
        let ms = match sim::below(10) {
            0 => 20 + sim::below(400),
            1..8 => sim::below(80),
            _ => return,
        };
        rt::sleep(Duration::from_millis(ms)).await;
    }

    /// One request. False: its end is not known.
    async fn once(&self, session: &Session) -> bool {
        match sim::below(10) {
            0..5 => {
                let generation = self.history.singles.borrow().len() / SHARE;
                let key = generation as u64 * KEYS + sim::below(KEYS);
                self.single(session, key).await
            }
            5..8 => self.lists(session).await,
            _ => self.texts(session).await,
        }
    }

    async fn single(&self, session: &Session, key: u64) -> bool {
        let value = format!("{};", self.history.unique());
        let (request, act) = match sim::below(10) {
            0..3 => (format!("SET k{key} {value}"), Act::Set(value)),
            3..5 => (format!("APPEND k{key} {value}"), Act::Append(value, None)),
            _ => (format!("GET k{key}"), Act::Get(None)),
        };
        self.record_single(session, key, &request, act).await
    }

    /// Asks for a key, and records it.
    pub async fn record_single(
        &self,
        session: &Session,
        key: u64,
        request: &str,
        act: Act,
    ) -> bool {
        let begun = History::now();
        let reply = session.ask(request, PATIENCE).await;
        let reply = judge(&self.cluster, reply, request);
        let kind = reply.as_ref().map_or_else(|kind| *kind, |_| Kind::Ok);
        self.history.count(kind);
        let (act, ended) = match (reply, act) {
            (Err(Kind::Fail), _) => return true,
            (Err(_), act) => (act, u64::MAX),
            (Ok(Reply::Int(length)), Act::Append(value, _)) => {
                (Act::Append(value, Some(length)), History::now())
            }
            (Ok(Reply::Text(text)), Act::Get(_)) => (Act::Get(Some(text)), History::now()),
            (Ok(_), act) => (act, History::now()),
        };
        self.history.singles.borrow_mut().push(Single {
            client: self.name,
            key,
            begun,
            ended,
            act,
        });
        kind != Kind::Info
    }

    async fn lists(&self, session: &Session) -> bool {
        let generation = (self.history.lists.borrow().len() / 2 / SHARE) as u64;
        let count = 1 + sim::below(3);
        let parts: Vec<Part> = (0..count)
            .map(|_| {
                let key = generation * KEYS + sim::below(KEYS);
                match sim::below(2) {
                    0 => Part::Append(key, self.history.unique()),
                    _ => Part::List(key, Vec::new()),
                }
            })
            .collect();
        let words = |part: &Part| match part {
            Part::Append(key, value) => format!("RPUSH l{key} {value}"),
            Part::List(key, _) => format!("LRANGE l{key} 0 -1"),
            _ => unreachable!("lists only"),
        };
        let came = |part: &Part, reply: &Reply| match part {
            Part::List(key, _) => Part::List(*key, reply.elements().iter().map(number).collect()),
            part => part.clone(),
        };
        let mut requests: Vec<String> = parts.iter().map(words).collect();
        if let [_] = requests[..] {
            return self
                .transaction(false, session, &requests, &parts, |reply| {
                    Some(vec![came(&parts[0], reply)])
                })
                .await;
        }
        requests.insert(0, "MULTI".to_string());
        requests.push("EXEC".to_string());
        self.transaction(false, session, &requests, &parts, |reply| match reply {
            Reply::Nil => None,
            reply => {
                let replies = parts.iter().zip(reply.elements());
                Some(replies.map(|(part, reply)| came(part, reply)).collect())
            }
        })
        .await
    }

    async fn texts(&self, session: &Session) -> bool {
        let generation = (self.history.texts.borrow().len() / 2 / SHARE) as u64;
        let (writes, first) = (sim::below(2) == 0, sim::below(KEYS));
        let keys = (0..1 + sim::below(KEYS)).map(|n| generation * KEYS + (first + n) % KEYS);
        let part = |key| match writes {
            true => Part::Write(key, self.history.unique()),
            false => Part::Read(key, None),
        };
        let parts: Vec<Part> = keys.map(part).collect();
        let mut request = if writes { "MSET" } else { "MGET" }.to_string();
        for part in &parts {
            match part {
                Part::Write(key, value) => request += &format!(" t{key} {value}"),
                Part::Read(key, _) => request += &format!(" t{key}"),
                _ => unreachable!("texts only"),
            }
        }
        let came = |reply: &Reply| {
            if writes {
                return Some(parts.clone());
            }
            let read = |(part, reply): (&Part, &Reply)| match (part, reply) {
                (Part::Read(key, _), Reply::Nil) => Part::Read(*key, None),
                (Part::Read(key, _), reply) => Part::Read(*key, Some(number(reply))),
                (part, _) => part.clone(),
            };
            Some(parts.iter().zip(reply.elements()).map(read).collect())
        };
        self.transaction(true, session, &[request], &parts, came)
            .await
    }

    async fn transaction(
        &self,
        texts: bool,
        session: &Session,
        requests: &[String],
        parts: &[Part],
        came: impl Fn(&Reply) -> Option<Vec<Part>>,
    ) -> bool {
        let events = match texts {
            true => &self.history.texts,
            false => &self.history.lists,
        };
        let note = |kind, parts: &[Part]| {
            events.borrow_mut().push(Event {
                process: self.name,
                kind,
                parts: parts.to_vec(),
            });
        };
        note(Kind::Invoke, parts);
        let reply = session.ask_all(requests, PATIENCE).await;
        let request = requests.last().map_or("", String::as_str);
        let judged = judge(&self.cluster, reply, request);
        let done = judged.map(|reply| came(&reply));
        let kind = match &done {
            Ok(Some(parts)) => {
                note(Kind::Ok, parts);
                Kind::Ok
            }
            Ok(None) => {
                note(Kind::Fail, parts);
                Kind::Fail
            }
            Err(kind) => {
                note(*kind, parts);
                *kind
            }
        };
        self.history.count(kind);
        kind != Kind::Info
    }

    /// Reads every key that is still of interest from one node.
    pub async fn read_all(&self, session: &Session) {
        let singles = self.history.singles.borrow().len() / SHARE;
        for key in 0..(singles as u64 + 1) * KEYS {
            let request = format!("GET k{key}");
            if !self
                .record_single(session, key, &request, Act::Get(None))
                .await
            {
                return;
            }
        }
        let lists = self.history.lists.borrow().len() / 2 / SHARE;
        for key in 0..(lists as u64 + 1) * KEYS {
            let parts = [Part::List(key, Vec::new())];
            let came = |reply: &Reply| {
                let values = reply.elements().iter().map(number).collect();
                Some(vec![Part::List(key, values)])
            };
            let request = format!("LRANGE l{key} 0 -1");
            if !self
                .transaction(false, session, &[request], &parts, came)
                .await
            {
                return;
            }
        }
    }
}
