//! Several sorted sets at once. A plain set counts as one whose scores are all 1.

use foldhash::{HashMap, HashMapExt};

use crate::command::argument::{at_least, integer};
use crate::command::context::Context;
use crate::command::spec::Outcome;
use crate::resp::{Args, Error, Reply, parse_double};
use crate::value::{Kind, Set, SortedSet, Value};

use super::pairs::Pairs;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of a member's scores.
#[derive(Debug, Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn parse(argument: &[u8]) -> Result<Aggregate, Error> {
        match argument.to_ascii_lowercase().as_slice() {
            b"sum" => Ok(Aggregate::Sum),
            b"min" => Ok(Aggregate::Min),
            b"max" => Ok(Aggregate::Max),
            _ => Err(Error::SYNTAX),
        }
    }

    fn join(self, a: f64, b: f64) -> f64 {
        match self {
            // The infinities cancel out.
            Aggregate::Sum => number(a + b),
            Aggregate::Min => number(a.min(b)),
            Aggregate::Max => number(a.max(b)),
        }
    }
}

/// A product or sum as a score: neither NaN nor minus zero.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score + 0.0 }
}

/// An operand.
#[derive(Clone, Copy)]
enum Source<'c> {
    Absent,
    Plain(&'c Set),
    Sorted(&'c SortedSet),
}

impl<'c> Source<'c> {
    fn of(context: &'c Context<'_>, key: &[u8]) -> Result<Self, Error> {
        match context.entry(key).map(|entry| &entry.value) {
            None => Ok(Source::Absent),
            Some(Value::Set(set)) => Ok(Source::Plain(set)),
            Some(Value::SortedSet(set)) => Ok(Source::Sorted(set)),
            Some(_) => Err(Error::WRONG_TYPE),
        }
    }

    fn len(self) -> usize {
        match self {
            Source::Absent => 0,
            Source::Plain(set) => set.len(),
            Source::Sorted(set) => set.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Absent => None,
            Source::Plain(set) => set.contains(member).then_some(1.0),
            Source::Sorted(set) => set.score(member),
        }
    }

    fn iter(self) -> Box<dyn Iterator<Item = (&'c [u8], f64)> + 'c> {
        match self {
            Source::Absent => Box::new(std::iter::empty()),
            Source::Plain(set) => Box::new(set.iter().map(|member| (member, 1.0))),
            Source::Sorted(set) => Box::new(set.iter()),
        }
    }
}

/// The arguments from the count of keys on.
struct Request<'c> {
    sources: Vec<(Source<'c>, f64)>,
    aggregate: Aggregate,
    with_scores: bool,
    limit: usize,
}

/// What a command's form allows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Answer,
    Store,
    Cardinality,
}

impl<'c> Request<'c> {
    /// `args`: the count of keys, keys, options.
    fn parse(
        context: &'c Context<'_>,
        args: Args<'_>,
        operation: Operation,
        form: Form,
        name: &str,
    ) -> Result<Self, Error> {
        let count = integer(args.get(0))?;
        if count < 1 {
            return Err(Error::new(format!(
                "ERR at least 1 input key is needed for '{name}' command"
            )));
        }
        let count = usize::try_from(count).map_err(|_| Error::SYNTAX)?;
        if count > args.len() - 1 {
            return Err(Error::SYNTAX);
        }
        let sources = args
            .iter_from(1)
            .take(count)
            .map(|key| Ok((Source::of(context, key)?, 1.0)))
            .collect::<Result<Vec<_>, Error>>()?;
        let mut request = Request {
            sources,
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        let combines = operation != Operation::Difference && form != Form::Cardinality;
        let mut at = 1 + count;
        while at < args.len() {
            let behind = args.len() - at - 1;
            if combines && behind >= count && args.is(at, "weights") {
                for (source, weight) in request.sources.iter_mut().zip(args.iter_from(at + 1)) {
                    let text = "ERR weight value is not a float";
                    source.1 = parse_double(weight).ok_or(Error::fixed(text))?;
                }
                at += count;
            } else if combines && behind >= 1 && args.is(at, "aggregate") {
                request.aggregate = Aggregate::parse(args.get(at + 1))?;
                at += 1;
            } else if form == Form::Answer && args.is(at, "withscores") {
                request.with_scores = true;
            } else if form == Form::Cardinality && behind >= 1 && args.is(at, "limit") {
                request.limit = at_least(0, args.get(at + 1), "ERR LIMIT can't be negative")?;
                at += 1;
            } else {
                return Err(Error::SYNTAX);
            }
            at += 1;
        }
        if operation != Operation::Difference {
            // Small ones first, as Redis does: the order shows in sums of floats.
            request.sources.sort_by_key(|(source, _)| source.len());
        }
        Ok(request)
    }

    /// The result, in no order.
    fn members(&self, operation: Operation) -> Vec<(&'c [u8], f64)> {
        match operation {
            Operation::Union => self.union(),
            Operation::Intersection => self.intersection().collect(),
            Operation::Difference => self.difference(),
        }
    }

    fn union(&self) -> Vec<(&'c [u8], f64)> {
        let mut scores: HashMap<&'c [u8], f64> = HashMap::new();
        for (source, weight) in &self.sources {
            for (member, score) in source.iter() {
                let score = number(weight * score);
                scores
                    .entry(member)
                    .and_modify(|before| *before = self.aggregate.join(*before, score))
                    .or_insert(score);
            }
        }
        scores.into_iter().collect()
    }

    fn intersection(&self) -> impl Iterator<Item = (&'c [u8], f64)> {
        let (first, weight) = self.sources[0];
        first.iter().filter_map(move |(member, score)| {
            let mut joined = number(weight * score);
            for (source, weight) in &self.sources[1..] {
                // Not made a number first: an undefined product makes the sum 0, as in Redis.
                joined = self.aggregate.join(joined, weight * source.score(member)?);
            }
            Some((member, joined))
        })
    }

    fn difference(&self) -> Vec<(&'c [u8], f64)> {
        let others = &self.sources[1..];
        self.sources[0]
            .0
            .iter()
            .filter(|(member, _)| others.iter().all(|(s, _)| s.score(member).is_none()))
            .collect()
    }

    fn in_order(&self, operation: Operation) -> Vec<(&'c [u8], f64)> {
        let mut members = self.members(operation);
        members.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(b.0)));
        members
    }
}

pub(super) fn zunion<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    answer(context, args, Operation::Union, "zunion")
}

pub(super) fn zinter<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    answer(context, args, Operation::Intersection, "zinter")
}

pub(super) fn zdiff<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    answer(context, args, Operation::Difference, "zdiff")
}

fn answer<'k>(
    context: &'k mut Context<'_>,
    args: Args<'_>,
    operation: Operation,
    name: &str,
) -> Outcome<'k> {
    let resp3 = context.resp3;
    let request = Request::parse(context, args.skip(1), operation, Form::Answer, name)?;
    let members = request.in_order(operation);
    let mut pairs = Pairs::new(request.with_scores, resp3, members.len());
    for (member, score) in members {
        pairs.push(member, score);
    }
    Ok(pairs.reply())
}

pub(super) fn zunionstore<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    store(context, args, Operation::Union, "zunionstore")
}

pub(super) fn zinterstore<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    store(context, args, Operation::Intersection, "zinterstore")
}

pub(super) fn zdiffstore<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    store(context, args, Operation::Difference, "zdiffstore")
}

fn store<'k>(
    context: &'k mut Context<'_>,
    args: Args<'_>,
    operation: Operation,
    name: &str,
) -> Outcome<'k> {
    let request = Request::parse(context, args.skip(2), operation, Form::Store, name)?;
    let mut result = SortedSet::default();
    // In order, because the order of insertion is kept and a union comes out in any.
    for (member, score) in request.in_order(operation) {
        result.insert(member, score);
    }
    let (destination, len) = (args.get(1), result.len());
    if len == 0 {
        context.remove(destination);
    } else {
        context.set(destination, result.into_value(), 0);
    }
    Ok(Reply::count(len))
}

pub(super) fn zintercard<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let operation = Operation::Intersection;
    let args = args.skip(1);
    let request = Request::parse(context, args, operation, Form::Cardinality, "zintercard")?;
    let limit = match request.limit {
        0 => usize::MAX,
        limit => limit,
    };
    Ok(Reply::count(request.intersection().take(limit).count()))
}
