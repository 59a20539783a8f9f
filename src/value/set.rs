//! Sets.

use super::image::{ImageError, ImageReader, put_count, put_field};
use super::members::{Members, raw, scan_step};
use super::{Kind, Text, Value};
use crate::resp::parse_int;

/// Members up to which Redis keeps numbers as an `intset`.
const INTSET_MAX: usize = 512;

/// Members and bytes of a member up to which Redis keeps a `listpack`.
const LISTPACK_MAX: usize = 128;
const LISTPACK_MEMBER_BYTES_MAX: usize = 64;

/// A set of byte strings. Its order is its history's: see `members`.
#[derive(Debug, Clone)]
pub struct Set {
    members: Members<()>,
    naming: Naming,
}

/// The name that Redis would have for the representation. It only ever goes down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    Intset,
    Listpack,
    Hashtable,
}

impl Default for Set {
    fn default() -> Self {
        Set {
            members: Members::new(),
            naming: Naming::Intset,
        }
    }
}

impl Set {
    #[inline]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// O(1).
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        self.members.get(member).is_some()
    }

    /// Adds a member. Answers whether it is new. O(1).
    #[inline]
    pub fn insert(&mut self, member: &[u8]) -> bool {
        let new = self.members.insert(member, ()).is_none();
        if new && self.naming != Naming::Hashtable {
            self.rename(member);
        }
        new
    }

    /// Takes a member out. Answers whether it was there. O(1).
    #[inline]
    pub fn remove(&mut self, member: &[u8]) -> bool {
        self.members.remove(member).is_some()
    }

    /// Takes the member at `index` out; the last one takes its index. O(1).
    #[inline]
    pub fn remove_at(&mut self, index: usize) -> Option<Text> {
        self.members.remove_at(index).map(|(member, ())| member)
    }

    /// The member at `index`. O(1).
    #[inline]
    pub fn at(&self, index: usize) -> Option<&[u8]> {
        self.members.at(index).map(|(member, ())| raw(member))
    }

    /// All members in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.members.iter().map(|(member, ())| raw(member))
    }

    /// One step of a scan: the next cursor (0: through) and the members visited.
    pub fn scan(&self, cursor: u64, count: usize) -> (u64, impl Iterator<Item = &[u8]>) {
        let count = match self.naming {
            Naming::Hashtable => count,
            _ => self.len(),
        };
        let (next, indexes) = scan_step(self.len(), cursor, count);
        (next, indexes.filter_map(|index| self.at(index)))
    }

    pub(super) fn encoding(&self) -> &'static str {
        match self.naming {
            Naming::Intset => "intset",
            Naming::Listpack => "listpack",
            Naming::Hashtable => "hashtable",
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Set>() + self.members.heap_bytes()
    }

    pub(super) fn write_image(&self, out: &mut Vec<u8>) {
        out.push(self.naming as u8);
        put_count(self.len(), out);
        for member in self.iter() {
            put_field(member, out);
        }
    }

    pub(super) fn read_image(reader: &mut ImageReader<'_>) -> Result<Set, ImageError> {
        let naming = match reader.byte()? {
            0 => Naming::Intset,
            1 => Naming::Listpack,
            2 => Naming::Hashtable,
            _ => return Err(ImageError("unknown naming of a set")),
        };
        let mut members = Members::new();
        for _ in 0..reader.u32()? {
            members.insert(reader.field()?, ());
        }
        Ok(Set { members, naming })
    }

    fn rename(&mut self, added: &[u8]) {
        if self.naming == Naming::Intset && parse_int(added).is_some() {
            if self.len() > INTSET_MAX {
                self.naming = Naming::Hashtable;
            }
        } else if self.len() > LISTPACK_MAX || added.len() > LISTPACK_MEMBER_BYTES_MAX {
            self.naming = Naming::Hashtable;
        } else {
            self.naming = Naming::Listpack;
        }
    }
}

impl Kind for Set {
    fn of(value: &Value) -> Option<&Self> {
        match value {
            Value::Set(set) => Some(set),
            _ => None,
        }
    }

    fn of_mut(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::Set(set) => Some(set),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        Value::Set(Box::new(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_redis() {
        let mut set = Set::default();
        for number in 0..512 {
            set.insert(number.to_string().as_bytes());
        }
        assert_eq!(set.encoding(), "intset");
        set.insert(b"512");
        assert_eq!(set.encoding(), "hashtable");

        let mut set = Set::default();
        set.insert(b"1");
        set.insert(b"a");
        assert_eq!(set.encoding(), "listpack");
        set.insert(&[b'x'; 65]);
        assert_eq!(set.encoding(), "hashtable");
    }

    #[test]
    fn image_keeps_the_order() {
        let mut set = Set::default();
        for number in 0..300 {
            set.insert(format!("member {number}").as_bytes());
        }
        for number in (0..300).step_by(7) {
            assert!(set.remove(format!("member {number}").as_bytes()));
        }
        let mut image = Vec::new();
        set.write_image(&mut image);
        let back = Set::read_image(&mut ImageReader::new(&image)).unwrap();
        assert!(set.iter().eq(back.iter()));
        assert_eq!(back.encoding(), set.encoding());
        assert!(
            (0..image.len())
                .all(|cut| { Set::read_image(&mut ImageReader::new(&image[..cut])).is_err() })
        );
    }
}
