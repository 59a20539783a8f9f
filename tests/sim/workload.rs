//! What clients ask, over and over, and how they take the answers.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use quorate::rt::{self, sim};

use crate::cluster::{Cluster, Session};
use crate::history::{Event, Kind, Part};
use crate::record::{Act, Generations, History, KEYS, Single};
use crate::reply::Reply;

/// How long a client waits before it takes a request for lost. A node that runs has answered by
/// then, in the worst case that it does not know what became of it.
const PATIENCE: Duration = Duration::from_secs(12);

/// One client, on whatever node it finds, until `stop`.
pub struct Worker {
    pub cluster: Rc<Cluster>,
    pub history: Rc<History>,
    pub home: u64,
    pub stop: Rc<Cell<bool>>,
    /// Who it is in the history: another one after each request whose end is not known.
    pub name: u64,
}

/// Why a request brought nothing: `Fail` or `Info`, and in words.
pub struct Refusal {
    pub kind: Kind,
    pub why: String,
}

/// What a reply says of a request.
fn judge(cluster: &Cluster, reply: Result<Reply, String>, request: &str) -> Result<Reply, Refusal> {
    let refused = |kind, why| Err(Refusal { kind, why });
    match reply {
        Err(why) => refused(Kind::Info, why),
        Ok(Reply::Error(error)) => {
            let word = error.split(' ').next().unwrap_or_default();
            match word {
                "UNCERTAIN" => refused(Kind::Info, error),
                "CLUSTERDOWN" | "BUSY" | "SHUTDOWN" | "MISCONF" | "TRYAGAIN" | "EXECABORT" => {
                    refused(Kind::Fail, error)
                }
                _ => {
                    cluster.alarm(format!("{request}: {error}"));
                    refused(Kind::Info, error)
                }
            }
        }
        Ok(reply) => Ok(reply),
    }
}

fn kind_of<T>(asked: &Result<T, Refusal>) -> Kind {
    asked
        .as_ref()
        .map_or_else(|refusal| refusal.kind, |_| Kind::Ok)
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
                    let asked = self.once(&session).await;
                    known = !asked.is_err_and(|refusal| refusal.kind == Kind::Info);
                    self.think().await;
                }
                if !known {
                    self.take_new_name();
                }
            }
            self.think().await;
        }
    }

    /// Whoever asked for what nobody knows the end of asks no more.
    pub fn take_new_name(&mut self) {
        self.name = 1000 + self.history.unique();
    }

    async fn think(&self) {
        let ms = match sim::below(10) {
            0 => 20 + sim::below(400),
            1..8 => sim::below(80),
            _ => return,
        };
        rt::sleep(Duration::from_millis(ms)).await;
    }

    /// Asks, and takes the last reply.
    async fn ask(&self, session: &Session, requests: &[String]) -> Result<Reply, Refusal> {
        let request = requests.last().map_or("", String::as_str);
        let reply = session.ask_all(requests, PATIENCE).await;
        if let Err(why) = &reply
            && session.is_alive()
        {
            self.cluster.alarm(format!("{request}: {why}"));
        }
        judge(&self.cluster, reply, request)
    }

    async fn once(&self, session: &Session) -> Result<(), Refusal> {
        match sim::below(10) {
            0..5 => self.single(session).await,
            5..8 => self.lists(session).await,
            _ => self.texts(session).await,
        }
    }

    /// A key of those that are in use.
    fn key_of(generation: u64) -> u64 {
        generation * KEYS + sim::below(KEYS)
    }

    async fn single(&self, session: &Session) -> Result<(), Refusal> {
        let key = Self::key_of(self.history.generations().singles);
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
    ) -> Result<(), Refusal> {
        let begun = History::now();
        let reply = self.ask(session, &[request.to_string()]).await;
        self.history.count(kind_of(&reply));
        let (act, ended, asked) = match (reply, act) {
            (Err(refusal), _) if refusal.kind == Kind::Fail => return Err(refusal),
            (Err(refusal), act) => (act, u64::MAX, Err(refusal)),
            (Ok(Reply::Int(length)), Act::Append(value, _)) => {
                (Act::Append(value, Some(length)), History::now(), Ok(()))
            }
            (Ok(Reply::Text(text)), Act::Get(_)) => (Act::Get(Some(text)), History::now(), Ok(())),
            (Ok(_), act) => (act, History::now(), Ok(())),
        };
        self.history.singles.borrow_mut().push(Single {
            client: self.name,
            key,
            begun,
            ended,
            act,
        });
        asked
    }

    async fn lists(&self, session: &Session) -> Result<(), Refusal> {
        let generation = self.history.generations().lists;
        let count = 1 + sim::below(3);
        let parts: Vec<Part> = (0..count)
            .map(|_| {
                let key = Self::key_of(generation);
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

    async fn texts(&self, session: &Session) -> Result<(), Refusal> {
        let generation = self.history.generations().texts;
        let (writes, first) = (sim::below(2) == 0, sim::below(KEYS));
        let keys = (0..1 + sim::below(KEYS)).map(|n| generation * KEYS + (first + n) % KEYS);
        let part = |key| match writes {
            true => Part::Write(key, self.history.unique()),
            false => Part::Read(key, None),
        };
        self.record_texts(session, keys.map(part).collect()).await
    }

    /// Writes or reads texts, all in one request.
    async fn record_texts(&self, session: &Session, parts: Vec<Part>) -> Result<(), Refusal> {
        let writes = matches!(parts[..], [Part::Write(..), ..]);
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
    ) -> Result<(), Refusal> {
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
        let done = self.ask(session, requests).await.and_then(|reply| {
            came(&reply).ok_or_else(|| Refusal {
                kind: Kind::Fail,
                why: "what was watched has changed".to_string(),
            })
        });
        let kind = kind_of(&done);
        note(kind, done.as_deref().unwrap_or(parts));
        self.history.count(kind);
        done.map(drop)
    }

    /// Writes a key that will be read at the end.
    pub async fn write_last(&self, session: &Session) -> Result<(), Refusal> {
        let value = format!("{};", self.history.unique());
        let request = format!("APPEND k0 {value}");
        self.record_single(session, 0, &request, Act::Append(value, None))
            .await
    }

    pub async fn read_single(&self, session: &Session, key: u64) -> Result<(), Refusal> {
        let request = format!("GET k{key}");
        self.record_single(session, key, &request, Act::Get(None))
            .await
    }

    pub async fn read_list(&self, session: &Session, key: u64) -> Result<(), Refusal> {
        let came = |reply: &Reply| {
            let values = reply.elements().iter().map(number).collect();
            Some(vec![Part::List(key, values)])
        };
        let request = format!("LRANGE l{key} 0 -1");
        let parts = [Part::List(key, Vec::new())];
        self.transaction(false, session, &[request], &parts, came)
            .await
    }

    /// Reads all texts of one generation.
    pub async fn read_texts(&self, session: &Session, generation: u64) -> Result<(), Refusal> {
        let keys = Generations::keys(generation);
        let parts = keys.map(|key| Part::Read(key, None)).collect();
        self.record_texts(session, parts).await
    }
}
