//! Members with something attached, in an order that only their history determines: the base of
//! sets, hashes and sorted sets.

use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Range;

use indexmap::{Equivalent, IndexMap};

use super::Text;

/// Members up to which a plain vector, searched from the front, is smaller and no slower.
const SMALL_MAX: usize = 16;

/// Longest byte string that a [`Text`] holds without allocating.
const INLINE_MAX: usize = 22;

/// A map from byte strings to `V` whose order is the order of insertion, except that a removal
/// puts the last member into the gap. Equal histories give equal orders; look-up, insertion and
/// removal are O(1), and so is reaching a member by its index.
#[derive(Debug, Clone)]
pub(super) struct Members<V> {
    form: Form<V>,
    /// Bytes that the members' names take on the heap.
    name_bytes: usize,
}

#[derive(Debug, Clone)]
enum Form<V> {
    Small(Vec<(Text, V)>),
    Large(IndexMap<Name, V, FixedHash>),
}

impl<V> Members<V> {
    pub(super) fn new() -> Self {
        Members {
            form: Form::Small(Vec::new()),
            name_bytes: 0,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match &self.form {
            Form::Small(members) => members.len(),
            Form::Large(members) => members.len(),
        }
    }

    #[inline]
    pub(super) fn get(&self, name: &[u8]) -> Option<&V> {
        match &self.form {
            Form::Small(members) => members
                .iter()
                .find(|(found, _)| raw(found) == name)
                .map(|(_, value)| value),
            Form::Large(members) => members.get(&Probe(name)),
        }
    }

    /// Attaches `value` to `name`; a new member comes last. Answers what was attached before.
    pub(super) fn insert(&mut self, name: &[u8], value: V) -> Option<V> {
        match &mut self.form {
            Form::Small(members) => {
                let found = members.iter_mut().find(|(found, _)| raw(found) == name);
                if let Some((_, old)) = found {
                    return Some(std::mem::replace(old, value));
                }
                members.push((Text::key(name), value));
            }
            Form::Large(members) => {
                // A name that would have to be allocated is looked up first.
                if name.len() > INLINE_MAX
                    && let Some(old) = members.get_mut(&Probe(name))
                {
                    return Some(std::mem::replace(old, value));
                }
                if let Some(old) = members.insert(Name(Text::key(name)), value) {
                    return Some(old);
                }
            }
        }
        self.name_bytes += heap_bytes(name);
        self.grow();
        None
    }

    /// Takes a member out; the last one takes its index.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<V> {
        let removed = match &mut self.form {
            Form::Small(members) => {
                let index = members.iter().position(|(found, _)| raw(found) == name)?;
                members.swap_remove(index).1
            }
            Form::Large(members) => members.swap_remove(&Probe(name))?,
        };
        self.name_bytes -= heap_bytes(name);
        Some(removed)
    }

    /// Takes the member at `index` out; the last one takes its index.
    pub(super) fn remove_at(&mut self, index: usize) -> Option<(Text, V)> {
        let removed = match &mut self.form {
            Form::Small(members) => (index < members.len()).then(|| members.swap_remove(index))?,
            Form::Large(members) => {
                let (name, value) = members.swap_remove_index(index)?;
                (name.0, value)
            }
        };
        self.name_bytes -= removed.0.heap_bytes();
        Some(removed)
    }

    /// The member at `index`.
    #[inline]
    pub(super) fn at(&self, index: usize) -> Option<(&Text, &V)> {
        match &self.form {
            Form::Small(members) => members.get(index).map(|(name, value)| (name, value)),
            Form::Large(members) => members
                .get_index(index)
                .map(|(name, value)| (&name.0, value)),
        }
    }

    /// All members, in order.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&Text, &V)> + Clone {
        (0..self.len()).map(|index| self.at(index).expect("index below the length"))
    }

    /// Bytes on the heap, what is attached to the members not counted beyond its place. O(1).
    pub(super) fn heap_bytes(&self) -> usize {
        let places = match &self.form {
            Form::Small(members) => members.capacity() * size_of::<(Text, V)>(),
            // Place of the member, its hash, and its share of a table that is 7/8 full at most.
            Form::Large(members) => members.capacity() * (size_of::<(Text, V)>() + 8 + 10),
        };
        places + self.name_bytes
    }

    fn grow(&mut self) {
        if let Form::Small(members) = &mut self.form
            && members.len() > SMALL_MAX
        {
            let mut large = IndexMap::with_capacity_and_hasher(2 * SMALL_MAX, FixedHash);
            large.extend(members.drain(..).map(|(name, value)| (Name(name), value)));
            self.form = Form::Large(large);
        }
    }
}

/// Which indexes one call of a scan visits, and the cursor for the next call.
///
/// A cursor is the number of indexes not visited yet; 0 begins and ends a scan. The scan goes from
/// the last index down to the first, because a removal moves the last member into the gap: a
/// member that was not visited (its index is below the cursor) can only move to a lower index, so
/// it stays below the cursor and will be visited. One that was visited may move below the cursor
/// and be seen twice, which SCAN allows. New members come last, above the cursor.
pub(super) fn scan_step(len: usize, cursor: u64, count: usize) -> (u64, Range<usize>) {
    let left = if cursor == 0 {
        len
    } else {
        usize::try_from(cursor).unwrap_or(usize::MAX).min(len)
    };
    let next = left.saturating_sub(count.max(1));
    (next as u64, next..left)
}

/// The bytes of a text that is kept as bytes.
#[inline]
pub(super) fn raw(text: &Text) -> &[u8] {
    text.bytes().unwrap_or_default()
}

fn heap_bytes(name: &[u8]) -> usize {
    if name.len() > INLINE_MAX {
        name.len()
    } else {
        0
    }
}

/// A member's name as a key of the index.
#[derive(Debug, Clone)]
struct Name(Text);

/// A name to look for.
struct Probe<'a>(&'a [u8]);

impl Hash for Name {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(raw(&self.0));
    }
}

impl Hash for Probe<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        raw(&self.0) == raw(&other.0)
    }
}

impl Eq for Name {}

impl Equivalent<Name> for Probe<'_> {
    #[inline]
    fn equivalent(&self, name: &Name) -> bool {
        raw(&name.0) == self.0
    }
}

/// The hash of the index. No order depends on it.
#[derive(Debug, Clone, Copy)]
struct FixedHash;

impl BuildHasher for FixedHash {
    type Hasher = foldhash::fast::FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        foldhash::fast::FixedState::with_seed(0x51_75_6f_72_61_74_65).build_hasher()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scan_reaches_every_member_that_stays() {
        let mut draw = 7u64;
        let mut below = |bound: usize| {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (draw >> 33) as usize % bound
        };
        for round in 0..200 {
            let mut members = Members::new();
            for number in 0..40 + round {
                members.insert(format!("m{number}").as_bytes(), ());
            }
            let stays: Vec<String> = (0..40 + round)
                .step_by(3)
                .map(|n| format!("m{n}"))
                .collect();
            let mut seen = std::collections::HashSet::new();
            let mut cursor = 0;
            loop {
                let (next, indexes) = scan_step(members.len(), cursor, 1 + below(9));
                for index in indexes {
                    seen.insert(members.at(index).unwrap().0.clone().as_bytes().into_owned());
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
                for _ in 0..below(8) {
                    let number = below(40 + round);
                    if number % 3 != 0 {
                        members.remove(format!("m{number}").as_bytes());
                    }
                }
                for _ in 0..below(4) {
                    members.insert(format!("new{}", below(1000)).as_bytes(), ());
                }
            }
            for name in &stays {
                assert!(
                    seen.contains(name.as_bytes()),
                    "round {round}: {name} missed"
                );
            }
        }
    }
}
