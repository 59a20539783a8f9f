//! Histories of transactions, as `adya` checks them: of the real binary (`it`) and of the
//! simulation (`sim`).

use std::time::Duration;

use adya::{History, Opts, Report, Workload};

/// A part of a transaction, with what came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Append(u64, u64),
    Write(u64, u64),
    List(u64, Vec<u64>),
    Read(u64, Option<u64>),
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

/// As adya reads it: a line for each event.
pub fn lines(events: &[Event]) -> String {
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
        let parts = event.parts.iter().map(|one| part(one, event.kind));
        let parts: Vec<String> = parts.collect();
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
        // Every key is a register that one command reads or writes at a time: the checks of single
        // keys hold the server to that.
        linearizable_keys: true,
        wfr_keys: false,
        ..Opts::default()
    };
    adya::check(&history, workload, &options)
}
