//! Histories of transactions, as `adya` checks them.

use std::sync::Mutex;
use std::time::Duration;

use adya::{History, Opts, Report, Workload};

use crate::kit::Value;

/// A part of a transaction, with what came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Append(u64, u64),
    Write(u64, u64),
    List(u64, Vec<u64>),
    Read(u64, Option<u64>),
}

impl Part {
    /// The command that does it.
    pub fn words(&self) -> String {
        match self {
            Part::Append(key, value) => format!("RPUSH list:{key} {value}"),
            Part::List(key, _) => format!("LRANGE list:{key} 0 -1"),
            Part::Write(key, value) => format!("SET text:{key} {value}"),
            Part::Read(key, _) => format!("GET text:{key}"),
        }
    }

    /// With what came back.
    pub fn with(&self, reply: &Value) -> Part {
        match self {
            Part::List(key, _) => Part::List(*key, numbers(reply)),
            Part::Read(key, _) if *reply == Value::Nil => Part::Read(*key, None),
            Part::Read(key, _) => Part::Read(*key, Some(number(reply))),
            part => part.clone(),
        }
    }
}

fn number(value: &Value) -> u64 {
    value.text().parse().expect("a number that we wrote")
}

fn numbers(value: &Value) -> Vec<u64> {
    value.elements().iter().map(number).collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Invoke,
    Ok,
    Fail,
    /// Nobody knows whether it happened.
    Info,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub process: u64,
    pub kind: Kind,
    pub parts: Vec<Part>,
}

/// What happened, in the order of real time: an invocation is noted before its request is sent, a
/// completion when its reply is there.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    pub fn note(&self, process: u64, kind: Kind, parts: &[Part]) {
        self.0.lock().unwrap().push(Event {
            process,
            kind,
            parts: parts.to_vec(),
        });
    }

    pub fn transactions(&self) -> u64 {
        self.0.lock().unwrap().len() as u64 / 2
    }

    pub fn into_events(self) -> Vec<Event> {
        self.0.into_inner().unwrap()
    }
}

/// As adya reads it: a line for each event.
fn lines(events: &[Event]) -> String {
    let part = |part: &Part, kind: Kind| match part {
        Part::Append(key, value) => format!("[\"append\",{key},{value}]"),
        Part::Write(key, value) => format!("[\"w\",{key},{value}]"),
        Part::List(key, _) | Part::Read(key, _) if kind != Kind::Ok => {
            format!("[\"r\",{key},null]")
        }
        Part::List(key, values) => format!("[\"r\",{key},{values:?}]"),
        Part::Read(key, None) => format!("[\"r\",{key},null]"),
        Part::Read(key, Some(value)) => format!("[\"r\",{key},{value}]"),
    };
    let line = |(index, event): (usize, &Event)| {
        let parts: Vec<String> = event
            .parts
            .iter()
            .map(|one| part(one, event.kind))
            .collect();
        let kind = format!("{:?}", event.kind).to_lowercase();
        format!(
            "{{\"type\":\"{kind}\",\"f\":\"txn\",\"process\":{},\"index\":{index},\"value\":[{}]}}\n",
            event.process,
            parts.join(",")
        )
    };
    events.iter().enumerate().map(line).collect()
}

pub fn check(events: &[Event], workload: Workload) -> Report {
    let history = History::from_json(&lines(events)).expect("our own lines");
    let options = Opts {
        timeout: Duration::from_secs(20),
        // Every key is a register that one command reads or writes at a time: `registers` holds
        // the server to that.
        linearizable_keys: true,
        wfr_keys: false,
        ..Opts::default()
    };
    adya::check(&history, workload, &options)
}
