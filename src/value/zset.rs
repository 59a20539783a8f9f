//! Sorted sets: members with scores, in the order of score and then bytes.

use super::image::{ImageError, ImageReader, put_count, put_field};
use super::members::{Members, raw, scan_step};
use super::order::{Item, Order};
use super::{Kind, Text, Value};

/// Members and bytes of a member up to which Redis keeps a `listpack`.
const LISTPACK_MAX: usize = 128;
const LISTPACK_MEMBER_BYTES_MAX: usize = 64;

/// A sorted set: an index from member to score beside the tree that keeps the order. No score is
/// NaN.
#[derive(Debug, Clone)]
pub struct SortedSet {
    scores: Members<f64>,
    order: Order,
    /// Whether Redis would have turned it into a `skiplist`; it never turns back.
    outgrown: bool,
}

impl Default for SortedSet {
    fn default() -> Self {
        SortedSet {
            scores: Members::new(),
            order: Order::new(),
            outgrown: false,
        }
    }
}

impl SortedSet {
    #[inline]
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The score of a member. O(1).
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Gives a member a score, whether or not it is there. Answers its score before. O(log n).
    ///
    /// # Panics
    /// When `score` is NaN: callers refuse it.
    pub fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        assert!(!score.is_nan(), "a score is a number");
        // Minus zero is no score of its own: it becomes zero.
        let score = score + 0.0;
        let before = self.scores.insert(member, score);
        match before {
            Some(before) if before == score => return Some(before),
            Some(before) => {
                self.order.remove(before, member);
            }
            None => {
                self.outgrown |=
                    self.len() > LISTPACK_MAX || member.len() > LISTPACK_MEMBER_BYTES_MAX;
            }
        }
        self.order.insert(Item {
            score,
            member: Text::key(member),
        });
        before
    }

    /// Takes a member out. Answers its score. O(log n).
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let score = self.scores.remove(member)?;
        self.order.remove(score, member);
        Some(score)
    }

    /// Takes the member at `rank` out. O(log n).
    pub fn remove_at(&mut self, rank: usize) -> Option<(Text, f64)> {
        let item = self.order.remove_at(rank)?;
        self.scores.remove(raw(&item.member));
        Some((item.member, item.score))
    }

    /// The place of a member, 0 the lowest, and its score. O(log n).
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.rank_of(score, member), score))
    }

    /// How many members from the lowest on satisfy `before`, which holds for none behind one for
    /// which it does not. O(log n).
    pub fn partition_point(&self, before: impl Fn(&[u8], f64) -> bool) -> usize {
        self.order
            .partition_point(|item| before(raw(&item.member), item.score))
    }

    /// Members and scores of the ranks `start..end`.
    pub fn range(
        &self,
        start: usize,
        end: usize,
    ) -> impl DoubleEndedIterator<Item = (&[u8], f64)> + use<'_> {
        self.order
            .range(start, end)
            .map(|item| (raw(&item.member), item.score))
    }

    /// Member and score at `index` of the order of their history. O(1).
    pub fn at(&self, index: usize) -> Option<(&[u8], f64)> {
        self.scores
            .at(index)
            .map(|(member, score)| (raw(member), *score))
    }

    /// Members and scores in the order of their history, which is what scans go by.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], f64)> {
        self.scores
            .iter()
            .map(|(member, score)| (raw(member), *score))
    }

    /// One step of a scan: the next cursor (0: through) and the members visited.
    pub fn scan(&self, cursor: u64, count: usize) -> (u64, impl Iterator<Item = (&[u8], f64)>) {
        let count = if self.outgrown { count } else { self.len() };
        let (next, indexes) = scan_step(self.len(), cursor, count);
        let members = indexes.filter_map(|index| self.scores.at(index));
        (next, members.map(|(member, score)| (raw(member), *score)))
    }

    pub(super) fn encoding(&self) -> &'static str {
        if self.outgrown {
            "skiplist"
        } else {
            "listpack"
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<SortedSet>() + self.scores.heap_bytes() + self.order.heap_bytes()
    }

    pub(super) fn write_image(&self, out: &mut Vec<u8>) {
        out.push(self.outgrown as u8);
        put_count(self.len(), out);
        for (member, score) in self.iter() {
            put_field(member, out);
            out.extend_from_slice(&score.to_bits().to_le_bytes());
        }
    }

    pub(super) fn read_image(reader: &mut ImageReader<'_>) -> Result<SortedSet, ImageError> {
        let outgrown = reader.byte()? != 0;
        let mut set = SortedSet::default();
        for _ in 0..reader.u32()? {
            let member = reader.field()?;
            let score = reader.f64()?;
            if score.is_nan() {
                return Err(ImageError("a score is not a number"));
            }
            set.insert(member, score);
        }
        set.outgrown |= outgrown;
        Ok(set)
    }

    fn rank_of(&self, score: f64, member: &[u8]) -> usize {
        self.order
            .partition_point(|item| item.is_before(score, member))
    }
}

impl Kind for SortedSet {
    fn of(value: &Value) -> Option<&Self> {
        match value {
            Value::SortedSet(set) => Some(set),
            _ => None,
        }
    }

    fn of_mut(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::SortedSet(set) => Some(set),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        Value::SortedSet(Box::new(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_order_agree() {
        let mut set = SortedSet::default();
        for number in 0..2000u64 {
            let score = (number * 7919 % 101) as f64;
            set.insert(format!("member number {}", number % 700).as_bytes(), score);
            if number % 5 == 0 {
                set.remove(format!("member number {}", number / 3).as_bytes());
            }
        }
        let by_rank: Vec<_> = set.range(0, set.len()).collect();
        assert_eq!(by_rank.len(), set.len());
        for (rank, (member, score)) in by_rank.iter().enumerate() {
            assert_eq!(set.rank(member), Some((rank, *score)));
        }
        assert!(by_rank.is_sorted_by(|a, b| (a.1, a.0) < (b.1, b.0)));

        let mut image = Vec::new();
        set.write_image(&mut image);
        let back = SortedSet::read_image(&mut ImageReader::new(&image)).unwrap();
        assert!(set.iter().eq(back.iter()));
        assert!(set.range(0, set.len()).eq(back.range(0, back.len())));
        assert_eq!(back.encoding(), "skiplist");

        let (lowest, score) = set.remove_at(0).unwrap();
        assert_eq!(set.score(raw(&lowest)), None);
        assert_eq!(score, by_rank_score(&back));
    }

    fn by_rank_score(set: &SortedSet) -> f64 {
        set.range(0, 1).next().unwrap().1
    }
}
