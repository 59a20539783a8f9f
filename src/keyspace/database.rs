//! One database of one shard.

use std::cell::Cell;

use crate::limits::EXPIRE_AGAIN_MS;
use crate::slot::slot_of;
use crate::value::{Text, Value};

use super::capture::Capture;
use super::entry::Entry;
use super::expiry::Expiry;
use super::table::{Hash64, Table};
use super::tombstones::Tombstones;

/// Keys with their values, expiries and versions.
pub struct Database {
    hits: Cell<u64>,
    misses: Cell<u64>,
    seed: u64,
    table: Table,
    /// Keys that have an expiry.
    volatile: usize,
    expiry: Expiry,
    tombstones: Tombstones,
    /// The checkpoint that is being written, if one is. Whatever changes the table asks for it.
    capture: Option<Box<Capture>>,
}

/// A key that is there, for looking at and changing.
pub struct EntryMut<'d> {
    entry: &'d mut Entry,
    hash: Hash64,
    version: u64,
    capture: Option<&'d mut Capture>,
}

impl<'d> EntryMut<'d> {
    pub fn value(&self) -> &Value {
        &self.entry.value
    }

    pub fn expires_at_ms(&self) -> u64 {
        self.entry.expires_at_ms
    }

    /// The value, for changing: marks the key as changed by this mutation.
    #[inline]
    pub fn change(self) -> &'d mut Value {
        if let Some(capture) = self.capture {
            capture.before_change(self.hash, self.entry);
        }
        self.entry.version = self.version;
        &mut self.entry.value
    }
}

impl Database {
    /// An empty database.
    pub fn new(seed: u64) -> Self {
        Database {
            hits: Cell::new(0),
            misses: Cell::new(0),
            seed,
            table: Table::new(seed),
            volatile: 0,
            expiry: Expiry::default(),
            tombstones: Tombstones::default(),
            capture: None,
        }
    }

    /// An empty database of the same order, which goes on counting look-ups.
    pub(super) fn successor(&self) -> Self {
        Database {
            hits: self.hits.clone(),
            misses: self.misses.clone(),
            ..Database::new(self.seed)
        }
    }

    /// Keys, those past their expiry but not yet removed included (as Redis' DBSIZE).
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Keys with an expiry.
    pub fn volatile(&self) -> usize {
        self.volatile
    }

    /// The table, for scans and walks. Entries may be past their expiry.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The entry of `key`, unless it is absent or past its expiry at `now_ms`. O(1).
    #[inline]
    pub fn get(&self, key: &[u8], now_ms: u64) -> Option<&Entry> {
        let found = self.table.get(self.table.hash(key), key);
        match found {
            Some(entry) if !entry.is_expired(now_ms) => {
                self.hits.set(self.hits.get() + 1);
                Some(entry)
            }
            _ => {
                self.misses.set(self.misses.get() + 1);
                None
            }
        }
    }

    /// Look-ups that found a key, and that did not.
    pub fn lookups(&self) -> (u64, u64) {
        (self.hits.get(), self.misses.get())
    }

    /// The entry of `key` for a mutation of this `version`. Removes it when it is past its expiry.
    #[inline]
    pub fn get_mut(&mut self, key: &[u8], now_ms: u64, version: u64) -> Option<EntryMut<'_>> {
        let hash = self.table.hash(key);
        // Two look-ups only for what expired: the borrow checker cannot see the early return.
        if self.table.get(hash, key)?.is_expired(now_ms) {
            self.remove(key, version);
            return None;
        }
        let entry = self.table.get_mut(hash, key)?;
        Some(EntryMut {
            entry,
            hash,
            version,
            capture: self.capture.as_deref_mut(),
        })
    }

    /// Sets `key` to `value` whatever was there; `expires_at_ms` 0 = never. O(1).
    pub fn set(&mut self, key: &[u8], value: Value, expires_at_ms: u64, version: u64) {
        let hash = self.table.hash(key);
        if let Some(entry) = self.table.get_mut(hash, key) {
            if let Some(capture) = &mut self.capture {
                capture.before_change(hash, entry);
            }
            let before = entry.expires_at_ms;
            entry.value = value;
            entry.expires_at_ms = expires_at_ms;
            entry.version = version;
            self.note_expiry(key, before, expires_at_ms);
            return;
        }
        let entry = Entry {
            key: Text::key(key),
            value,
            expires_at_ms,
            version,
        };
        self.table.insert_new(hash, entry);
        self.note_expiry(key, 0, expires_at_ms);
    }

    /// Sets `key` to a string without expiry: what plain SET does, with one look-up and no
    /// allocation where the old value had the same length.
    #[inline]
    pub fn set_string(&mut self, key: &[u8], bytes: &[u8], version: u64) {
        let hash = self.table.hash(key);
        match self.table.get_mut(hash, key) {
            Some(entry) => {
                if let Some(capture) = &mut self.capture {
                    capture.before_change(hash, entry);
                }
                let before = std::mem::take(&mut entry.expires_at_ms);
                entry.version = version;
                match &mut entry.value {
                    Value::String(text) => text.assign(bytes),
                    #[allow(unreachable_patterns)]
                    other => *other = Value::String(Text::value(bytes)),
                }
                if before != 0 {
                    self.volatile -= 1;
                }
            }
            None => {
                let value = Value::String(Text::value(bytes));
                let entry = Entry {
                    key: Text::key(key),
                    value,
                    expires_at_ms: 0,
                    version,
                };
                self.table.insert_new(hash, entry);
            }
        }
    }

    /// Sets the expiry of a key that is there; 0 takes it away. Answers whether the key is there.
    pub fn set_expiry(&mut self, key: &[u8], expires_at_ms: u64, version: u64) -> bool {
        let hash = self.table.hash(key);
        let Some(entry) = self.table.get_mut(hash, key) else {
            return false;
        };
        if let Some(capture) = &mut self.capture {
            capture.before_change(hash, entry);
        }
        let before = std::mem::replace(&mut entry.expires_at_ms, expires_at_ms);
        entry.version = version;
        self.note_expiry(key, before, expires_at_ms);
        true
    }

    /// Takes a key out, expired or not. O(1).
    pub fn remove(&mut self, key: &[u8], version: u64) -> Option<Entry> {
        let hash = self.table.hash(key);
        let entry = self.table.remove(hash, key)?;
        if let Some(capture) = &mut self.capture {
            capture.before_change(hash, &entry);
        }
        self.tombstones.note(slot_of(key), version);
        if entry.expires_at_ms != 0 {
            self.volatile -= 1;
        }
        Some(entry)
    }

    /// Takes a key out when it is past its expiry at `now_ms`. Answers whether it was. O(1).
    pub fn remove_expired(&mut self, key: &[u8], now_ms: u64, version: u64) -> bool {
        let entry = self.table.get(self.table.hash(key), key);
        let is_expired = entry.is_some_and(|entry| entry.is_expired(now_ms));
        if is_expired {
            self.remove(key, version);
        }
        is_expired
    }

    /// When a key of `key`'s slot was last deleted; 0 = never. It travels with a loan, there and
    /// back, so that [`Database::version_of`] an absent key is the same on whichever shard it is
    /// asked.
    pub fn removed_version(&self, key: &[u8]) -> u64 {
        self.tombstones.of(slot_of(key))
    }

    /// Takes over what another shard says of [`Database::removed_version`]. O(1).
    pub fn note_removed(&mut self, key: &[u8], version: u64) {
        self.tombstones.merge(slot_of(key), version);
    }

    /// Puts an entry (back) as it is, version included: loans coming home or coming in, and
    /// recovery. Its key is not in the table.
    pub fn put_entry(&mut self, entry: Entry) {
        let hash = self.table.hash(entry.key.bytes().unwrap_or_default());
        if let Some(capture) = &mut self.capture {
            capture.arrived(hash, &entry);
        }
        let expires_at_ms = entry.expires_at_ms;
        let key = entry.key.clone();
        self.table.insert_new(hash, entry);
        self.note_expiry(key.bytes().unwrap_or_default(), 0, expires_at_ms);
    }

    /// Takes an entry out to lend it: no change in the sense of versions. A checkpoint has its
    /// image before it leaves.
    pub fn take_entry(&mut self, key: &[u8]) -> Option<Entry> {
        let hash = self.table.hash(key);
        let entry = self.table.remove(hash, key)?;
        if let Some(capture) = &mut self.capture {
            capture.before_change(hash, &entry);
        }
        if entry.expires_at_ms != 0 {
            self.volatile -= 1;
        }
        Some(entry)
    }

    /// Removes every key. O(1) here; the old table is dropped by the caller's choice of place,
    /// unless a checkpoint still has to read it.
    pub fn clear(&mut self, version: u64) -> Option<Table> {
        self.tombstones.clear(version);
        self.volatile = 0;
        self.expiry.clear();
        let table = std::mem::replace(&mut self.table, Table::new(self.seed));
        match &mut self.capture {
            Some(capture) => capture.cleared(table),
            None => Some(table),
        }
    }

    /// What WATCH compares: changes whenever the key is changed, created or deleted.
    pub fn version_of(&self, key: &[u8], now_ms: u64) -> u64 {
        let hash = self.table.hash(key);
        match self.table.get(hash, key) {
            Some(entry) if !entry.is_expired(now_ms) => entry.version,
            // An expired key counts as deleted at its time: told apart from every version.
            Some(entry) => entry.version | 1 << 63,
            None => self.tombstones.of(slot_of(key)),
        }
    }

    /// Keys that are past their expiry at `now_ms`, at most `count`. One that is still there a
    /// while later comes again: its removal may have been refused.
    pub fn take_due(&mut self, now_ms: u64, count: usize) -> Vec<Text> {
        let mut due = Vec::new();
        while due.len() < count {
            let Some(key) = self.expiry.pop_due(now_ms) else {
                break;
            };
            let bytes = key.bytes().unwrap_or_default();
            let entry = self.table.get(self.table.hash(bytes), bytes);
            if entry.is_some_and(|entry| entry.is_expired(now_ms)) {
                due.push(key);
            }
        }
        for key in &due {
            let again_ms = now_ms.saturating_add(EXPIRE_AGAIN_MS);
            self.expiry.push(again_ms, key.bytes().unwrap_or_default());
        }
        due
    }

    fn note_expiry(&mut self, key: &[u8], before: u64, after: u64) {
        self.volatile = self.volatile + (after != 0) as usize - (before != 0) as usize;
        if after == 0 || after == before {
            return;
        }
        // Stale items are at most as many as live ones.
        if self.expiry.len() > 2 * self.volatile + 64 {
            self.expiry.clear();
            for entry in self.table.iter().filter(|entry| entry.expires_at_ms != 0) {
                self.expiry
                    .push(entry.expires_at_ms, entry.key.bytes().unwrap_or_default());
            }
        } else {
            self.expiry.push(after, key);
        }
    }

    /// Begins a checkpoint with the present state, as database `db`. Ends one under way.
    pub(super) fn begin_capture(&mut self, db: u8, upto_version: u64) {
        let capture = Capture::new(db, upto_version, &self.table, &self.tombstones);
        self.capture = Some(Box::new(capture));
    }

    /// The next slice of the checkpoint. Answers whether it was the last.
    pub(super) fn capture_slice(&mut self, limit: usize, out: &mut Vec<u8>) -> bool {
        match &mut self.capture {
            Some(capture) => capture.slice(&self.table, limit, out),
            None => true,
        }
    }

    pub(super) fn capture(&self) -> Option<&Capture> {
        self.capture.as_deref()
    }

    /// Forgets the checkpoint. Answers with the table that only it still held.
    pub(super) fn end_capture(&mut self) -> Option<Table> {
        self.capture.take()?.into_orphan()
    }

    #[cfg(test)]
    pub(super) fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    /// Takes over tombstones from an image.
    pub(super) fn restore_tombstones(
        &mut self,
        cleared_version: u64,
        slots: impl Iterator<Item = (u16, u64)>,
    ) {
        self.tombstones.merge_cleared(cleared_version);
        for (slot, version) in slots {
            self.tombstones.merge(slot, version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_again_until_it_is_gone() {
        let mut database = Database::new(0);
        database.set(b"key", Value::String(Text::value(b"value")), 5, 1);
        assert!(database.take_due(4, 9).is_empty());
        for now_ms in [5, 5 + EXPIRE_AGAIN_MS] {
            assert_eq!(database.take_due(now_ms, 9).len(), 1);
            assert!(
                database
                    .take_due(now_ms + EXPIRE_AGAIN_MS - 1, 9)
                    .is_empty()
            );
        }
        assert!(database.remove_expired(b"key", 5, 2));
        assert!(database.take_due(u64::MAX, 9).is_empty());
    }
}
