//! The checkers.

use std::collections::BTreeMap;
use std::time::Duration;

use adya::{Valid, Workload};
use porcupine_rs::{CheckResult, Model, Operation, check_operations_timeout};

use crate::history::{Event, Kind, check, lines};
use crate::record::{Act, History, Single};

/// One key.
#[derive(Clone, Debug)]
struct Key;

impl Model for Key {
    type State = Option<String>;
    type Op = Act;
    type Metadata = ();

    fn init() -> Self::State {
        None
    }

    fn step(state: &Self::State, act: &Act) -> (bool, Self::State) {
        match act {
            Act::Set(value) => (true, Some(value.clone())),
            Act::Append(value, length) => {
                let after = state.clone().unwrap_or_default() + value;
                let fits = length.is_none_or(|length| length == after.len() as i64);
                (fits, Some(after))
            }
            Act::Get(value) => (value == state, state.clone()),
        }
    }
}

fn key_is_linearizable(key: u64, singles: &[&Single]) -> Result<(), String> {
    let operation = |one: &&Single| Operation::<Key> {
        client_id: Some(one.client as u32),
        call_time: one.begun as i64,
        return_time: one.ended.min(i64::MAX as u64) as i64,
        op: one.act.clone(),
        metadata: None,
    };
    let history: Vec<_> = singles.iter().map(operation).collect();
    match check_operations_timeout(&history, Duration::from_secs(20)) {
        CheckResult::Ok => Ok(()),
        CheckResult::Illegal => {
            let mut lines: Vec<&&Single> = singles.iter().collect();
            lines.sort_by_key(|one| one.begun);
            let lines = lines.iter().map(|one| {
                format!(
                    "{:>12} {:>12} client {} {:?}",
                    one.begun / 1000,
                    if one.ended == u64::MAX {
                        0
                    } else {
                        one.ended / 1000
                    },
                    one.client,
                    one.act
                )
            });
            let lines: Vec<String> = lines.collect();
            Err(format!(
                "key {key} is not linearizable:\n{}",
                lines.join("\n")
            ))
        }
        CheckResult::Unknown => Err(format!("key {key}: not decided in time")),
    }
}

/// Whether every key is linearizable.
pub fn singles(singles: &[Single]) -> Result<(), String> {
    let mut keys: BTreeMap<u64, Vec<&Single>> = BTreeMap::new();
    for one in singles {
        // A read that brought nothing says nothing.
        if one.ended != u64::MAX || !matches!(one.act, Act::Get(_)) {
            keys.entry(one.key).or_default().push(one);
        }
    }
    for (key, singles) in keys {
        key_is_linearizable(key, &singles)?;
    }
    Ok(())
}

fn serializable(events: &[Event], workload: Workload) -> Result<(), String> {
    let report = check(events, workload);
    match report.valid {
        Valid::True => Ok(()),
        // Nothing was done at all.
        Valid::Unknown if events.iter().all(|one| one.kind != Kind::Ok) => Ok(()),
        _ => Err(format!(
            "not strictly serializable: {:?} {:?}\n{}",
            report.anomaly_types,
            report.anomalies,
            lines(events)
        )),
    }
}

/// Whether all that was recorded fits one order of events in real time.
pub fn all(history: &History) -> Result<(), String> {
    singles(&history.singles.borrow())?;
    serializable(&history.lists.borrow(), Workload::ListAppend)?;
    serializable(&history.texts.borrow(), Workload::RwRegister)
}
