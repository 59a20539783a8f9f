//! `SORT` and `SORT_RO`.
//!
//! Patterns of `BY` and `GET` name keys that nobody can know before the elements are read, so that
//! no shard can be asked for them in advance. Where there are several shards they are refused with
//! the words that Redis uses in cluster mode. With STORE they are refused on any number of shards.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use crate::resp::{Args, Error, Reply, parse_double, parse_int};
use crate::value::{Kind, List, Value};

use super::super::context::Context;
use super::super::spec::Outcome;

/// What is known of an element in its sorting.
struct Item<'v> {
    element: &'v [u8],
    score: f64,
    /// What it is compared by as text, when not by itself; `None` where the pattern led nowhere.
    text: Option<Cow<'v, [u8]>>,
}

struct Options<'a> {
    descending: bool,
    alpha: bool,
    first: i64,
    /// Negative: all.
    count: i64,
    by: Option<&'a [u8]>,
    gets: Vec<&'a [u8]>,
    store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>, may_store: bool, shards: usize) -> Result<Options<'a>, Error> {
        let mut options = Options {
            descending: false,
            alpha: false,
            first: 0,
            count: -1,
            by: None,
            gets: Vec::new(),
            store: None,
        };
        let mut at = 2;
        while at < args.len() {
            let value = args.at(at + 1);
            if args.is(at, "asc") {
                options.descending = false;
            } else if args.is(at, "desc") {
                options.descending = true;
            } else if args.is(at, "alpha") {
                options.alpha = true;
            } else if args.is(at, "limit") && at + 2 < args.len() {
                options.first = parse_int(args.get(at + 1)).ok_or(Error::NOT_INTEGER)?;
                options.count = parse_int(args.get(at + 2)).ok_or(Error::NOT_INTEGER)?;
                at += 2;
            } else if let Some(value) = value.filter(|_| may_store && args.is(at, "store")) {
                options.store = Some(value);
                at += 1;
            } else if let Some(value) = value.filter(|_| args.is(at, "by")) {
                if shards > 1 && value.contains(&b'*') {
                    return Err(Error::fixed(
                        "ERR BY option of SORT denied in cluster mode.",
                    ));
                }
                options.by = Some(value);
                at += 1;
            } else if let Some(value) = value.filter(|_| args.is(at, "get")) {
                if shards > 1 && value != b"#" {
                    return Err(Error::fixed(
                        "ERR GET option of SORT denied in cluster mode.",
                    ));
                }
                options.gets.push(value);
                at += 1;
            } else {
                return Err(Error::SYNTAX);
            }
            at += 1;
        }
        let names_keys = |pattern: &&[u8]| pattern.contains(&b'*');
        let patterns =
            options.by.iter().any(names_keys) || options.gets.iter().any(|get| *get != b"#");
        if options.store.is_some() && patterns {
            // What is stored must not depend on which keys happen to lie on the same shard.
            return Err(Error::fixed(
                "ERR SORT cannot STORE what BY or GET patterns name: their keys may lie on other \
                 shards",
            ));
        }
        Ok(options)
    }

    /// Which of `length` elements are wanted.
    fn range(&self, length: usize) -> Range<usize> {
        let first = usize::try_from(self.first.max(0)).unwrap_or(usize::MAX);
        let start = first.min(length);
        let count = usize::try_from(self.count).unwrap_or(length);
        start..start.saturating_add(count).min(length)
    }
}

/// Positions of the keys: the source, and what `STORE` names last.
pub(super) fn positions(args: Args<'_>, found: &mut Vec<usize>) {
    if args.len() < 2 {
        return;
    }
    found.push(1);
    let (mut at, mut store) = (2, None);
    while at < args.len() {
        if args.is(at, "limit") {
            at += 2;
        } else if args.is(at, "get") || args.is(at, "by") {
            at += 1;
        } else if args.is(at, "store") && at + 1 < args.len() {
            store = Some(at + 1);
            at += 1;
        }
        at += 1;
    }
    found.extend(store);
}

pub(super) fn sort<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let options = Options::parse(args, true, context.shards)?;
    let Some(destination) = options.store else {
        return Ok(Reply::Array(sorted(context, args.get(1), &options)?));
    };
    let mut list = List::default();
    for reply in sorted(context, args.get(1), &options)? {
        match reply {
            Reply::Bulk(bytes) => list.push_back(&bytes),
            Reply::BulkInt(number) => list.push_back(number.to_string().as_bytes()),
            _ => list.push_back(b""),
        }
    }
    let length = list.len();
    if length == 0 {
        context.remove(destination);
    } else {
        context.set(destination, list.into_value(), 0);
    }
    Ok(Reply::count(length))
}

pub(super) fn sort_ro<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let options = Options::parse(args, false, context.shards)?;
    Ok(Reply::Array(sorted(context, args.get(1), &options)?))
}

/// What is answered for the elements at `key`, in order.
fn sorted<'k>(
    context: &'k Context<'_>,
    key: &[u8],
    options: &Options<'_>,
) -> Result<Vec<Reply<'k>>, Error> {
    let value = context.entry(key).map(|entry| &entry.value);
    let mut elements: Vec<&'k [u8]> = match value {
        None => Vec::new(),
        Some(Value::List(list)) => list.iter().collect(),
        Some(Value::Set(set)) => set.iter().collect(),
        Some(Value::SortedSet(set)) => set.range(0, set.len()).map(|(member, _)| member).collect(),
        Some(_) => return Err(Error::WRONG_TYPE),
    };
    let is_set = matches!(value, Some(Value::Set(_)));
    let is_constant = options.by.is_some_and(|by| !by.contains(&b'*'));
    if is_constant && is_set && options.store.is_some() {
        // A set has no order of its own that could be stored.
        elements.sort_unstable();
        if options.descending {
            elements.reverse();
        }
    } else if is_constant {
        if options.descending && !is_set {
            elements.reverse();
        }
    } else {
        let by = options.by;
        elements = ordered(context, elements, by, options.alpha, options.descending)?;
    }
    let mut replies = Vec::new();
    for element in &elements[options.range(elements.len())] {
        if options.gets.is_empty() {
            replies.push(Reply::bulk(element));
        }
        for get in &options.gets {
            replies.push(match look_up(context, get, element) {
                Some(Cow::Borrowed(bytes)) => Reply::bulk(bytes),
                Some(Cow::Owned(bytes)) => Reply::bulk_owned(bytes),
                None => Reply::Null,
            });
        }
    }
    Ok(replies)
}

/// The elements in the order of what `by` leads to, or of themselves.
fn ordered<'k>(
    context: &'k Context<'_>,
    elements: Vec<&'k [u8]>,
    by: Option<&[u8]>,
    alpha: bool,
    descending: bool,
) -> Result<Vec<&'k [u8]>, Error> {
    let mut items = Vec::with_capacity(elements.len());
    for element in elements {
        let text = match by {
            Some(by) => look_up(context, by, element),
            None => Some(Cow::Borrowed(element)),
        };
        let score = match &text {
            Some(text) if !alpha => score_of(text)?,
            _ => 0.0,
        };
        items.push(Item {
            element,
            score,
            text,
        });
    }
    items.sort_by(|a, b| {
        let ordering = if alpha {
            a.text.cmp(&b.text)
        } else {
            let by_score = a.score.partial_cmp(&b.score).unwrap_or(Ordering::Equal);
            by_score.then_with(|| a.element.cmp(b.element))
        };
        if descending {
            ordering.reverse()
        } else {
            ordering
        }
    });
    Ok(items.into_iter().map(|item| item.element).collect())
}

/// A weight as `strtod` reads it: blanks before it are skipped, and nothing at all is 0.
fn score_of(text: &[u8]) -> Result<f64, Error> {
    match text.trim_ascii_start() {
        [] if text.is_empty() => Ok(0.0),
        trimmed => parse_double(trimmed)
            .filter(|score| score.is_finite() || !trimmed.iter().any(u8::is_ascii_digit))
            .ok_or(Error::fixed(
                "ERR One or more scores can't be converted into double",
            )),
    }
}

/// What a pattern leads to for `element`: `#` is itself, `prefix*suffix` the string of that key,
/// `prefix*suffix->field` a field of the hash of that key.
fn look_up<'k>(
    context: &'k Context<'_>,
    pattern: &[u8],
    element: &'k [u8],
) -> Option<Cow<'k, [u8]>> {
    if pattern == b"#" {
        return Some(Cow::Borrowed(element));
    }
    let star = memchr::memchr(b'*', pattern)?;
    let (prefix, rest) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = memchr::memmem::find(rest, b"->").filter(|arrow| arrow + 2 < rest.len());
    let suffix = &rest[..arrow.unwrap_or(rest.len())];
    let entry = context.entry(&[prefix, element, suffix].concat())?;
    match (&entry.value, arrow) {
        (Value::String(text), None) => Some(text.as_bytes()),
        (Value::Hash(hash), Some(arrow)) => hash.get(&rest[arrow + 2..]).map(Cow::Borrowed),
        _ => None,
    }
}
