//! Reads everything back, and finds for each connection how far its unanswered commands came.

use std::collections::BTreeMap;
use std::time::Duration;

use super::commands::Step;
use super::model::{Bytes, Content, Deadline, Entry, Model, Moment};
use super::writer::{Writer, now_ms, shown};
use crate::kit::{Connection, Value, encode, ok};

/// Expired keys are removed about ten times a second.
const EXPIRY_MS_MAX: u64 = 10_000;

/// What a database holds.
type Dataset = BTreeMap<Bytes, Entry>;

/// Reads all keys of a database.
///
/// # Errors
/// A reply that makes no sense.
pub fn read_back(connection: &mut Connection, database: usize) -> Result<Dataset, String> {
    let broken = |error: std::io::Error| format!("reading back: {error}");
    let selected = connection.ask(&format!("SELECT {database}"));
    if selected != ok() {
        return Err(format!("SELECT {database}: {selected:?}"));
    }
    let keys = connection.ask("KEYS *");
    let keys: Vec<Bytes> = keys
        .elements()
        .iter()
        .map(|key| key.bytes().into())
        .collect();
    let mut request = Vec::new();
    for key in &keys {
        encode(&[b"TYPE".as_slice(), key], &mut request);
        encode(&[b"PEXPIRETIME".as_slice(), key], &mut request);
    }
    connection.send(&request).map_err(broken)?;
    let mut kinds = Vec::new();
    for _ in &keys {
        kinds.push((
            connection.reply().map_err(broken)?,
            connection.reply().map_err(broken)?,
        ));
    }
    let mut dataset = Dataset::new();
    for (key, (kind, deadline)) in keys.into_iter().zip(kinds) {
        let Value::Simple(kind) = kind else {
            return Err(format!("TYPE: {kind:?}"));
        };
        let content = content(connection, &key, &kind).map_err(broken)?;
        let deadline = match deadline {
            Value::Int(-1) => Deadline::Never,
            Value::Int(at_ms) => Deadline::At(at_ms as u64),
            other => return Err(format!("PEXPIRETIME: {other:?}")),
        };
        dataset.insert(key, Entry { content, deadline });
    }
    Ok(dataset)
}

fn content(connection: &mut Connection, key: &[u8], kind: &str) -> std::io::Result<Content> {
    let mut call = |words: &[&str]| {
        let words = words.iter().map(|word| match *word {
            "KEY" => key,
            word => word.as_bytes(),
        });
        connection.call(&words.collect::<Vec<_>>())
    };
    let bytes = |value: &Value| value.bytes().to_vec();
    let score = |value: &Value| String::from_utf8_lossy(value.bytes()).parse().unwrap_or(0);
    Ok(match kind {
        "string" => Content::Text(call(&["GET", "KEY"])?.bytes().into()),
        "list" => {
            let items = call(&["LRANGE", "KEY", "0", "-1"])?;
            Content::List(items.elements().iter().map(bytes).collect())
        }
        "set" => Content::Set(
            call(&["SMEMBERS", "KEY"])?
                .elements()
                .iter()
                .map(bytes)
                .collect(),
        ),
        "hash" => {
            let fields = call(&["HGETALL", "KEY"])?;
            let pairs = fields.elements().chunks(2);
            Content::Hash(
                pairs
                    .map(|pair| (bytes(&pair[0]), bytes(&pair[1])))
                    .collect(),
            )
        }
        _ => {
            let members = call(&["ZRANGE", "KEY", "0", "-1", "WITHSCORES"])?;
            let pairs = members.elements().chunks(2);
            Content::Scored(
                pairs
                    .map(|pair| (bytes(&pair[0]), score(&pair[1])))
                    .collect(),
            )
        }
    })
}

/// Waits until the keys that are past their expiry are gone from the selected database for good.
///
/// # Errors
/// When they stay.
pub fn wait_for_expiry(connection: &mut Connection, left: usize) -> Result<(), String> {
    let begun_ms = now_ms();
    loop {
        match connection.ask("DBSIZE") {
            Value::Int(count) if count as usize == left => return Ok(()),
            other if now_ms() - begun_ms > EXPIRY_MS_MAX => {
                return Err(format!("{left} keys are there, and DBSIZE stays {other:?}"));
            }
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Compares a database with the models of all its writers, and brings each model to what was
/// found.
///
/// # Errors
/// What is missing, left over or different, by writer and key.
pub fn compare(dataset: &Dataset, writers: &mut [&mut Writer]) -> Result<(), String> {
    let names: Vec<Bytes> = writers.iter().map(|writer| prefix_of(writer)).collect();
    let mut ticks = 0;
    for writer in writers.iter_mut() {
        let found = part_of(dataset, &prefix_of(writer));
        settle(writer, &found)?;
        ticks += ticks_in(
            &writer.model.keys,
            &[&prefix_of(writer)[..], b"ticks"].concat(),
        );
    }
    for key in dataset.keys() {
        let owned = names.iter().any(|name| key.starts_with(name));
        if !owned && !key.starts_with(b"shared:") {
            return Err(format!("nobody wrote the key {}", shown(key)));
        }
    }
    let shared = ticks_in(dataset, b"shared:ticks");
    match shared == ticks {
        true => Ok(()),
        false => Err(format!(
            "transactions came apart: the shared count is {shared}, the connections' own {ticks}"
        )),
    }
}

fn prefix_of(writer: &Writer) -> Bytes {
    format!("{}:", writer.name).into_bytes()
}

fn ticks_in(keys: &Dataset, key: &[u8]) -> i64 {
    match keys.get(key).map(|entry| &entry.content) {
        Some(Content::Text(text)) => String::from_utf8_lossy(text).parse().unwrap_or(-1),
        _ => 0,
    }
}

/// A writer's own keys, and its members of the shared ones.
fn part_of(dataset: &Dataset, prefix: &[u8]) -> Dataset {
    let mut part = Dataset::new();
    for (key, entry) in dataset {
        let mut entry = entry.clone();
        if key.starts_with(b"shared:") {
            let own = |member: &Bytes| member.starts_with(prefix);
            let left = match &mut entry.content {
                Content::Set(members) => {
                    members.retain(own);
                    members.len()
                }
                Content::Hash(fields) => {
                    fields.retain(|field, _| own(field));
                    fields.len()
                }
                Content::Scored(members) => {
                    members.retain(|member, _| own(member));
                    members.len()
                }
                Content::Text(_) | Content::List(_) => 0,
            };
            if left == 0 {
                continue;
            }
        } else if !key.starts_with(prefix) {
            continue;
        }
        part.insert(key.clone(), entry);
    }
    part
}

/// Finds the prefix of the unanswered steps that explains what was found.
fn settle(writer: &mut Writer, found: &Dataset) -> Result<(), String> {
    let steps = std::mem::take(&mut writer.unanswered);
    let moment = Moment {
        from_ms: writer.sent_ms,
        to_ms: now_ms(),
    };
    match explain(&writer.model, &steps, found, moment) {
        Some(model) => {
            writer.model = model;
            // What is found rules where only bounds were known.
            writer.model.keys.clone_from(found);
            Ok(())
        }
        None => {
            let mut model = writer.model.clone();
            model.forget_expired(now_ms());
            Err(format!(
                "{}: with {} steps acknowledged and {} unanswered, no prefix of these explains \
                 what was found. Against what was acknowledged: {}",
                writer.name,
                writer.acknowledged,
                steps.len(),
                difference(&model.keys, found)
            ))
        }
    }
}

fn explain(model: &Model, steps: &[Step], found: &Dataset, moment: Moment) -> Option<Model> {
    let mut model = model.clone();
    for at in 0..=steps.len() {
        if matches(&model, found) {
            return Some(model);
        }
        let step = steps.get(at)?;
        for command in &step.commands {
            let replies = model.possible_replies(command);
            if replies.len() > 1 {
                // Lots are drawn once in a pipeline: look down every way, with the rest of this
                // step and all behind it.
                return replies.iter().find_map(|reply| {
                    explain_drawn(
                        &model,
                        &steps[at..],
                        command,
                        reply.as_ref()?,
                        found,
                        moment,
                    )
                });
            }
            model.run_unanswered(command, replies[0].as_ref(), moment);
        }
    }
    None
}

/// As [`explain`], where the first step draws `reply`.
fn explain_drawn(
    model: &Model,
    steps: &[Step],
    drawing: &[Bytes],
    reply: &Value,
    found: &Dataset,
    moment: Moment,
) -> Option<Model> {
    let (step, rest) = steps.split_first()?;
    let mut model = model.clone();
    // The commands of the step before the one that draws were run.
    let from = step
        .commands
        .iter()
        .position(|command| command == drawing)?;
    model.run_unanswered(drawing, Some(reply), moment);
    for command in &step.commands[from + 1..] {
        model.run_unanswered(command, None, moment);
    }
    explain(&model, rest, found, moment)
}

fn matches(model: &Model, found: &Dataset) -> bool {
    let mut model = model.clone();
    model.forget_expired(now_ms());
    model.keys.len() == found.len()
        && model
            .keys
            .iter()
            .all(|(key, entry)| found.get(key).is_some_and(|other| same(entry, other)))
}

fn same(entry: &Entry, found: &Entry) -> bool {
    let deadline = match found.deadline {
        Deadline::At(at_ms) => entry.deadline.may_be(at_ms),
        _ => entry.deadline == Deadline::Never,
    };
    deadline && entry.content == found.content
}

fn difference(model: &Dataset, found: &Dataset) -> String {
    let mut lines = Vec::new();
    for (key, entry) in model {
        match found.get(key) {
            None => lines.push(format!("{} is missing", shown(key))),
            Some(other) if !same(entry, other) => {
                lines.push(format!(
                    "{}: {} became {}",
                    shown(key),
                    brief(entry),
                    brief(other)
                ));
            }
            Some(_) => {}
        }
    }
    let extra = found.keys().filter(|key| !model.contains_key(*key));
    lines.extend(extra.map(|key| format!("{} is too much", shown(key))));
    lines.truncate(20);
    lines.join("; ")
}

fn brief(entry: &Entry) -> String {
    let text = format!("{entry:?}");
    let end = text
        .char_indices()
        .nth(300)
        .map_or(text.len(), |(at, _)| at);
    text[..end].to_string()
}
