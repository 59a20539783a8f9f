//! What one connection sees of a server that it has to itself: the plainest thing that can be said.

use std::collections::HashMap;

use crate::kit::{Value, bulk, error, integer, ok};

#[derive(Clone)]
enum Held {
    Text(String),
    List(Vec<String>),
}

type Place = (usize, String);

/// The server and the connection in one.
#[derive(Default)]
pub struct Model {
    keys: HashMap<Place, Held>,
    /// Counts changes of each key.
    changes: HashMap<Place, u64>,
    db: usize,
    queued: Option<Vec<Vec<String>>>,
    watched: Vec<(Place, u64)>,
}

fn wrong_type() -> Value {
    error("WRONGTYPE Operation against a key holding the wrong kind of value")
}

impl Model {
    pub fn is_queueing(&self) -> bool {
        self.queued.is_some()
    }

    pub fn is_watching(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Runs a request. The words are right for the command.
    pub fn run(&mut self, words: &[String]) -> Value {
        let name = words[0].as_str();
        match name {
            "EXEC" => return self.exec(),
            "DISCARD" => {
                self.queued = None;
                self.watched.clear();
                return ok();
            }
            _ => {}
        }
        if let Some(queued) = &mut self.queued {
            queued.push(words.to_vec());
            return Value::Simple("QUEUED".into());
        }
        self.execute(words)
    }

    fn exec(&mut self) -> Value {
        let queued = self.queued.take().expect("EXEC behind MULTI");
        let watched = std::mem::take(&mut self.watched);
        if watched
            .iter()
            .any(|(place, then)| self.changed(place) != *then)
        {
            return Value::Nil;
        }
        Value::Array(queued.iter().map(|words| self.execute(words)).collect())
    }

    fn place(&self, key: &str) -> Place {
        (self.db, key.to_string())
    }

    fn changed(&self, place: &Place) -> u64 {
        self.changes.get(place).copied().unwrap_or(0)
    }

    fn touch(&mut self, place: &Place) {
        *self.changes.entry(place.clone()).or_default() += 1;
    }

    fn set(&mut self, key: &str, held: Held) {
        let place = self.place(key);
        self.touch(&place);
        self.keys.insert(place, held);
    }

    fn remove(&mut self, key: &str) -> Option<Held> {
        let place = self.place(key);
        let held = self.keys.remove(&place)?;
        self.touch(&place);
        Some(held)
    }

    fn get(&self, key: &str) -> Option<&Held> {
        self.keys.get(&self.place(key))
    }

    fn text(&self, key: &str) -> Result<Option<String>, Value> {
        match self.get(key) {
            None => Ok(None),
            Some(Held::Text(text)) => Ok(Some(text.clone())),
            Some(Held::List(_)) => Err(wrong_type()),
        }
    }

    fn list(&self, key: &str) -> Result<Vec<String>, Value> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Held::List(list)) => Ok(list.clone()),
            Some(Held::Text(_)) => Err(wrong_type()),
        }
    }

    fn execute(&mut self, words: &[String]) -> Value {
        let at = |n: usize| words[n].as_str();
        self.connection(words)
            .or_else(|| self.on_lists(at, words))
            .or_else(|| self.on_keys(at, words))
            .unwrap_or_else(|| self.on_texts(words).unwrap_or_else(|error| error))
    }

    fn connection(&mut self, words: &[String]) -> Option<Value> {
        Some(match words[0].as_str() {
            "PING" => Value::Simple("PONG".into()),
            "ECHO" => bulk(&words[1]),
            "SELECT" => {
                self.db = words[1].parse().unwrap();
                ok()
            }
            "MULTI" => {
                self.queued = Some(Vec::new());
                ok()
            }
            "WATCH" => {
                for key in &words[1..] {
                    let place = self.place(key);
                    let then = self.changed(&place);
                    self.watched.push((place, then));
                }
                ok()
            }
            "UNWATCH" => {
                self.watched.clear();
                ok()
            }
            _ => return None,
        })
    }

    fn on_texts(&mut self, words: &[String]) -> Result<Value, Value> {
        let key = words.get(1).map_or("", String::as_str);
        Ok(match words[0].as_str() {
            "GET" => self.text(key)?.map_or(Value::Nil, bulk),
            "SET" => {
                self.set(key, Held::Text(words[2].clone()));
                ok()
            }
            "STRLEN" => integer(self.text(key)?.map_or(0, |text| text.len()) as i64),
            "APPEND" => {
                let text = self.text(key)?.unwrap_or_default() + &words[2];
                let length = text.len();
                self.set(key, Held::Text(text));
                integer(length as i64)
            }
            "INCR" => {
                let text = self.text(key)?.unwrap_or("0".into());
                // As Redis writes numbers itself: `092` is none.
                let number = text
                    .parse()
                    .ok()
                    .filter(|one: &i64| one.to_string() == text);
                let number = number.ok_or(error("ERR value is not an integer or out of range"))?;
                let next = number
                    .checked_add(1)
                    .ok_or(error("ERR increment or decrement would overflow"))?;
                self.set(key, Held::Text(next.to_string()));
                integer(next)
            }
            "MGET" => Value::Array(
                words[1..]
                    .iter()
                    .map(|key| self.text(key).ok().flatten().map_or(Value::Nil, bulk))
                    .collect(),
            ),
            "MSET" => {
                for pair in words[1..].chunks(2) {
                    self.set(&pair[0], Held::Text(pair[1].clone()));
                }
                ok()
            }
            "MSETNX" => {
                let free = words[1..]
                    .chunks(2)
                    .all(|pair| self.get(&pair[0]).is_none());
                if free {
                    for pair in words[1..].chunks(2) {
                        self.set(&pair[0], Held::Text(pair[1].clone()));
                    }
                }
                integer(free as i64)
            }
            other => panic!("the model does not know {other}"),
        })
    }

    fn on_lists<'w>(&mut self, at: impl Fn(usize) -> &'w str, words: &[String]) -> Option<Value> {
        let mut run = || -> Result<Option<Value>, Value> {
            Ok(Some(match at(0) {
                "RPUSH" => {
                    let mut list = self.list(at(1))?;
                    list.extend_from_slice(&words[2..]);
                    let length = list.len();
                    self.set(at(1), Held::List(list));
                    integer(length as i64)
                }
                "LPOP" => {
                    let mut list = self.list(at(1))?;
                    if list.is_empty() {
                        return Ok(Some(Value::Nil));
                    }
                    let first = list.remove(0);
                    if list.is_empty() {
                        self.remove(at(1));
                    } else {
                        self.set(at(1), Held::List(list));
                    }
                    bulk(first)
                }
                "LLEN" => integer(self.list(at(1))?.len() as i64),
                "LRANGE" => Value::Array(self.list(at(1))?.into_iter().map(bulk).collect()),
                _ => return Ok(None),
            }))
        };
        run().unwrap_or_else(Some)
    }

    fn on_keys<'w>(&mut self, at: impl Fn(usize) -> &'w str, words: &[String]) -> Option<Value> {
        let keys = &words[1..];
        Some(match at(0) {
            "DEL" => integer(keys.iter().filter(|key| self.remove(key).is_some()).count() as i64),
            "EXISTS" => integer(keys.iter().filter(|key| self.get(key).is_some()).count() as i64),
            "TYPE" => Value::Simple(
                match self.get(at(1)) {
                    None => "none",
                    Some(Held::Text(_)) => "string",
                    Some(Held::List(_)) => "list",
                }
                .into(),
            ),
            "RENAME" => match self.remove(at(1)) {
                None => error("ERR no such key"),
                Some(held) => {
                    self.set(at(2), held);
                    ok()
                }
            },
            "COPY" => match self.get(at(1)).cloned() {
                Some(held) => {
                    self.set(at(2), held);
                    integer(1)
                }
                None => integer(0),
            },
            "DBSIZE" => {
                let db = self.db;
                integer(self.keys.keys().filter(|place| place.0 == db).count() as i64)
            }
            "FLUSHDB" => {
                let db = self.db;
                let gone: Vec<Place> = self
                    .keys
                    .keys()
                    .filter(|place| place.0 == db)
                    .cloned()
                    .collect();
                for place in gone {
                    self.keys.remove(&place);
                    self.touch(&place);
                }
                ok()
            }
            _ => return None,
        })
    }
}
