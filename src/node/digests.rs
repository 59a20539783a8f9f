//! Replicas that compare what they hold, all the time, slice by slice.
//!
//! The leader puts into an entry, besides the batches, the word that the digest of one slice of the
//! keyspace is to be taken behind that entry. Every node that applies the entry does so: the index
//! is the same for all, whatever they were doing, and so is what the digest is taken of. One slice
//! after the other makes a sweep of everything; how large the next one is follows from how long the
//! last one took. About once a second the leader asks the others for theirs and compares, and tells
//! them what it found.
//!
//! Invariants
//! - A digest is of exactly the state behind its index, and does not depend on the number of
//!   shards.
//! - No shard's time goes to a slice for much longer than [`DIGEST_SLICE_US`], ten times a second:
//!   below half a percent. One huge value is the exception: it is taken whole.
//! - Where nothing was written since the last sweep began, there is no other: an idle cluster
//!   writes nothing.
//! - An alarm stays until the node is started again.
//!
//! Not done here: which node is right. Two of three that agree are named, the rest is for people.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::keyspace::OrderSlice;
use crate::limits::{
    DIGEST_COMPARE_MS, DIGEST_POINT_MS_MAX, DIGEST_SLICE_US, DIGEST_SWEEP_MS_MIN, DIGESTS_KEPT,
};
use crate::value::{DIGEST_BYTES, Digest};

use super::cluster_view::DigestView;

/// What is digested, and how: nodes of different versions of it do not compare. To be raised with
/// the layout of value images and with the seed of the tables' order.
pub const DIGEST_VERSION: u8 = 1;

/// Where sweeps begin: slices so small that they take no time with any number of keys.
const CUTS_FIRST: u8 = 14;

/// Of the order of scans 2^20 slices: below a key each.
const CUTS_MAX: u8 = 20;

/// Bytes of one digest between nodes.
const POINT_BYTES: usize = 16 + DIGEST_BYTES;

/// The digest of a slice behind an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub index: u64,
    pub slice: OrderSlice,
    pub digest: Digest,
}

/// What one node has, as it told.
pub struct Told {
    /// The node, in words.
    pub name: String,
    pub points: Vec<Point>,
}

/// The digests of this node. Lives on the Raft core.
pub struct Digests(RefCell<State>);

struct State {
    shards: usize,
    /// Points of which shards are missing, in order.
    incomplete: VecDeque<Incomplete>,
    /// The last ones, in order.
    kept: VecDeque<Point>,
    view: DigestView,
    sweep: Sweep,
    compared_ms: u64,
    comparing: bool,
}

struct Incomplete {
    point: Point,
    missing: usize,
    us_max: u64,
}

/// How far the leader has come.
struct Sweep {
    /// Where the next slice begins; 0: with it, a sweep.
    start: u32,
    cuts: u8,
    began_ms: u64,
    /// Place in the log where it began.
    began_index: u64,
    /// A point that was asked for, and when.
    asked: Option<(OrderSlice, u64)>,
}

impl Digests {
    /// Of a node with so many shards.
    pub fn new(shards: usize) -> Digests {
        Digests(RefCell::new(State {
            shards,
            incomplete: VecDeque::new(),
            kept: VecDeque::new(),
            view: DigestView::default(),
            sweep: Sweep {
                start: 0,
                cuts: CUTS_FIRST,
                began_ms: 0,
                began_index: 0,
                asked: None,
            },
            compared_ms: 0,
            comparing: false,
        }))
    }

    /// A shard's part of a point, which took it `us`.
    pub fn take(&self, part: Point, us: u64) {
        self.0.borrow_mut().take(part, us);
    }

    /// The slice whose digest is due, if one is; on a leader about ten times a second.
    /// `written_index` is that of the last entry with batches, `last_index` of the last entry.
    pub fn due(&self, written_index: u64, last_index: u64, now_ms: u64) -> Option<OrderSlice> {
        let mut state = self.0.borrow_mut();
        state.sweep.due(written_index, last_index, now_ms)
    }

    /// Whether it is time to compare. To be followed by [`Digests::compared`].
    pub fn begin_comparing(&self, now_ms: u64) -> bool {
        let mut state = self.0.borrow_mut();
        let newest = state.kept.back().map(|point| point.index);
        let due = now_ms.saturating_sub(state.compared_ms) >= DIGEST_COMPARE_MS;
        if state.comparing || !due || newest <= state.view.agreed_index {
            return false;
        }
        (state.comparing, state.compared_ms) = (true, now_ms);
        true
    }

    /// Compares what the others told with what this node, in words `own`, has.
    pub fn compared(&self, own: &str, others: &[Told]) {
        let mut state = self.0.borrow_mut();
        state.comparing = false;
        if others.is_empty() {
            return;
        }
        let (agreed, mismatch) = compare(own, &state.kept, others);
        state.note(agreed, mismatch);
    }

    /// The question to another node: what it has behind the last index that all agreed at; with
    /// it, what is known here.
    pub fn question(&self, kind: u8) -> Bytes {
        let state = self.0.borrow();
        let mut question = BytesMut::new();
        question.put_u8(kind);
        question.put_u8(DIGEST_VERSION);
        question.put_u64_le(state.view.agreed_index.unwrap_or(0));
        question.put_slice(
            state
                .view
                .mismatch
                .as_deref()
                .unwrap_or_default()
                .as_bytes(),
        );
        question.freeze()
    }

    /// Appends the answer to a question, without its kind; `None` where it was cut or is of another
    /// version.
    pub fn answer(&self, mut question: &[u8], answer: &mut BytesMut) -> Option<()> {
        if question.try_get_u8().ok()? != DIGEST_VERSION {
            return None;
        }
        let since = question.try_get_u64_le().ok()?;
        let mut state = self.0.borrow_mut();
        let mismatch = String::from_utf8_lossy(question);
        let mismatch = (!mismatch.is_empty()).then(|| mismatch.into_owned());
        state.note((since > 0).then_some(since), mismatch);
        answer.put_u8(DIGEST_VERSION);
        for point in state.kept.iter().filter(|point| point.index > since) {
            answer.put_u64_le(point.index);
            answer.put_u64_le(point.slice.code());
            answer.put_slice(&point.digest.to_bytes());
        }
        Some(())
    }

    pub fn view(&self) -> DigestView {
        self.0.borrow().view.clone()
    }
}

/// The points of an answer; `None` where it is of another version or was cut.
pub fn points_of(answer: &[u8]) -> Option<Vec<Point>> {
    let (&DIGEST_VERSION, rest) = answer.split_first()? else {
        return None;
    };
    let (points, rest) = rest.as_chunks::<POINT_BYTES>();
    let point = |mut bytes: &[u8]| {
        Some(Point {
            index: bytes.try_get_u64_le().ok()?,
            slice: OrderSlice::of_code(bytes.try_get_u64_le().ok()?)?,
            digest: Digest::from_bytes(bytes.try_into().ok()?),
        })
    };
    if !rest.is_empty() {
        return None;
    }
    points.iter().map(|bytes| point(bytes)).collect()
}

/// The last index at which everybody has the same, and what is to be said of the first at which
/// somebody does not.
fn compare(own: &str, kept: &VecDeque<Point>, others: &[Told]) -> (Option<u64>, Option<String>) {
    let (mut agreed, mut mismatch) = (None, None);
    for point in kept {
        let is_here = |other: &&Point| other.index == point.index && other.slice == point.slice;
        let found = others
            .iter()
            .map(|told| told.points.iter().find(is_here).map(|found| found.digest));
        let found: Vec<Option<Digest>> = found.collect();
        if found.iter().all(|digest| *digest == Some(point.digest)) {
            agreed = Some(point.index);
        }
        let differs = |digest: &Option<Digest>| digest.is_some_and(|one| one != point.digest);
        if mismatch.is_none() && found.iter().any(differs) {
            let mut said = vec![format!("{} on {own}", point.digest)];
            let named = others.iter().zip(&found);
            said.extend(named.filter_map(|(told, digest)| {
                digest.map(|digest| format!("{digest} on {}", told.name))
            }));
            let (index, said) = (point.index, said.join(", "));
            mismatch = Some(format!("at index {index}: {said}"));
        }
    }
    (agreed, mismatch)
}

impl State {
    fn take(&mut self, part: Point, us: u64) {
        let same = |one: &Incomplete| one.point.index == part.index;
        let at = match self.incomplete.iter().position(same) {
            Some(at) => at,
            None => {
                // What a keyspace that was replaced has not told is not told any more.
                if self.incomplete.len() == DIGESTS_KEPT {
                    self.incomplete.pop_front();
                }
                self.incomplete.push_back(Incomplete {
                    point: Point {
                        digest: Digest::default(),
                        ..part
                    },
                    missing: self.shards,
                    us_max: 0,
                });
                self.incomplete.len() - 1
            }
        };
        let one = &mut self.incomplete[at];
        one.point.digest += part.digest;
        one.us_max = one.us_max.max(us);
        one.missing -= 1;
        if one.missing == 0
            && let Some(whole) = self.incomplete.remove(at)
        {
            self.sweep.taken(whole.point.slice, whole.us_max);
            if self.kept.len() == DIGESTS_KEPT {
                self.kept.pop_front();
            }
            self.kept.push_back(whole.point);
        }
    }

    fn note(&mut self, agreed: Option<u64>, mismatch: Option<String>) {
        self.view.agreed_index = self.view.agreed_index.max(agreed);
        if let (None, Some(mismatch)) = (&self.view.mismatch, mismatch) {
            tracing::error!("the members of this cluster do not hold the same: digests {mismatch}");
            self.view.mismatch = Some(mismatch);
        }
    }
}

impl Sweep {
    fn due(&mut self, written_index: u64, last_index: u64, now_ms: u64) -> Option<OrderSlice> {
        if let Some((_, asked_ms)) = self.asked {
            if now_ms.saturating_sub(asked_ms) < DIGEST_POINT_MS_MAX {
                return None;
            }
            // The entry was lost: again.
        } else if self.start == 0 {
            let idle = written_index <= self.began_index;
            if idle || now_ms.saturating_sub(self.began_ms) < DIGEST_SWEEP_MS_MIN {
                return None;
            }
            (self.began_ms, self.began_index) = (now_ms, last_index);
        }
        let slice = OrderSlice::beginning_at(self.start, self.cuts);
        self.asked = Some((slice, now_ms));
        Some(slice)
    }

    /// A point was taken, on this node, in `us`.
    fn taken(&mut self, slice: OrderSlice, us: u64) {
        if self.asked.take_if(|(asked, _)| *asked == slice).is_none() {
            return;
        }
        self.start = slice.end().unwrap_or(0);
        if us > DIGEST_SLICE_US {
            self.cuts = (self.cuts + 1).min(CUTS_MAX);
        } else if us < DIGEST_SLICE_US / 4 {
            self.cuts = self.cuts.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::Keyspace;

    /// A digest of something that `what` names.
    fn digest(what: &str) -> Digest {
        let mut keyspace = Keyspace::new(1);
        keyspace.db_mut(0).set_string(b"key", what.as_bytes(), 1);
        keyspace.digest()
    }

    fn point(index: u64, what: &str) -> Point {
        Point {
            index,
            slice: OrderSlice::WHOLE,
            digest: digest(what),
        }
    }

    fn told(name: &str, points: &[Point]) -> Told {
        Told {
            name: name.to_string(),
            points: points.to_vec(),
        }
    }

    /// A node with one shard that has these.
    fn having(points: &[Point]) -> Digests {
        let digests = Digests::new(1);
        points.iter().for_each(|one| digests.take(*one, 1));
        digests
    }

    #[test]
    fn a_point_is_whole_when_every_shard_has_told() {
        let digests = Digests::new(3);
        for part in 0..3 {
            assert!(!digests.begin_comparing(10_000));
            // A later one may come first from some.
            if part < 2 {
                digests.take(point(9, "later"), 1);
            }
            digests.take(point(5, "part"), 1);
        }
        assert!(digests.begin_comparing(10_000));
        let mut answer = BytesMut::new();
        assert_eq!(
            digests.answer(&digests.question(6)[1..], &mut answer),
            Some(())
        );
        let points = points_of(&answer).unwrap();
        let mut sum = Digest::default();
        (0..3).for_each(|_| sum += digest("part"));
        assert_eq!(points.len(), 1, "of the later one a part is missing");
        assert_eq!((points[0].index, points[0].digest), (5, sum));
        for cut in 1..answer.len() - 1 {
            assert!(points_of(&answer[..cut]).is_none_or(|points| points.is_empty()));
        }
    }

    #[test]
    fn what_all_have_is_agreed_and_a_difference_stays_an_alarm() {
        let own = [point(1, "a"), point(2, "b"), point(3, "c"), point(4, "d")];
        let digests = having(&own);
        digests.compared("one", &[]);
        assert_eq!(digests.view(), DigestView::default());
        // One node is behind and lacks what it missed; what nobody else has is not agreed.
        let others = [told("two", &own[..3]), told("three", &own[1..2])];
        digests.compared("one", &others);
        let view = digests.view();
        assert_eq!((view.agreed_index, view.mismatch), (Some(2), None));
        let spoilt = [own[2], point(4, "x")];
        digests.compared("one", &[told("two", &own), told("three", &spoilt)]);
        let view = digests.view();
        assert_eq!(view.agreed_index, Some(3));
        let said = view.mismatch.unwrap();
        let (good, bad) = (digest("d"), digest("x"));
        assert_eq!(
            said,
            format!("at index 4: {good} on one, {good} on two, {bad} on three")
        );
        digests.compared("one", &[told("two", &own)]);
        let view = digests.view();
        assert_eq!(
            (view.agreed_index, view.mismatch),
            (Some(4), Some(said.clone()))
        );
        // The others are told with the next question.
        let other = having(&own);
        let question = digests.question(6);
        assert_eq!(other.answer(&question[1..], &mut BytesMut::new()), Some(()));
        let view = other.view();
        assert_eq!((view.agreed_index, view.mismatch), (Some(4), Some(said)));
        // Other versions are not compared.
        assert_eq!(other.answer(&[9; 20], &mut BytesMut::new()), None);
    }

    #[test]
    fn a_sweep_is_as_fine_as_its_time_and_rests_where_nothing_is_written() {
        let digests = Digests::new(1);
        let (mut now_ms, mut index) = (100_000, 10);
        // Nothing was written.
        assert_eq!(digests.due(0, 0, now_ms), None);
        let sweep = |us: u64, now_ms: &mut u64, index: &mut u64| {
            let (written, mut slices) = (*index, 0);
            while slices < 100
                && let Some(slice) = digests.due(written, *index, *now_ms)
            {
                assert_eq!(digests.due(written, *index, *now_ms), None, "one at a time");
                (*index, slices) = (*index + 1, slices + 1);
                let digest = Digest::default();
                digests.take(
                    Point {
                        index: *index,
                        slice,
                        digest,
                    },
                    us,
                );
                *now_ms += 1;
            }
            slices
        };
        // Everything takes no time: coarser and coarser, down to one slice.
        assert!(sweep(1, &mut now_ms, &mut index) > 10);
        assert_eq!(digests.due(index, index, now_ms), None, "not so soon again");
        now_ms += DIGEST_SWEEP_MS_MIN;
        assert_eq!(sweep(1, &mut now_ms, &mut index), 1);
        now_ms += DIGEST_SWEEP_MS_MIN;
        assert_eq!(
            digests.due(index - 1, index, now_ms),
            None,
            "nothing was written since"
        );
        // Slow ones are made finer.
        index += 1;
        assert_eq!(sweep(DIGEST_SLICE_US + 1, &mut now_ms, &mut index), 1);
        now_ms += DIGEST_SWEEP_MS_MIN;
        assert!(sweep(DIGEST_SLICE_US + 1, &mut now_ms, &mut index) > 1);
        // One that was lost is asked for anew.
        now_ms += DIGEST_SWEEP_MS_MIN;
        let lost = digests.due(index, index, now_ms);
        assert!(lost.is_some());
        assert_eq!(
            digests.due(index, index, now_ms + DIGEST_POINT_MS_MAX),
            lost
        );
    }
}
