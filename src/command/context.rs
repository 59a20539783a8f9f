//! What a handler works on.

use crate::keyspace::{Database, Entry, EntryMut, Keyspace};
use crate::resp::Error;
use crate::value::{Kind, Value};

/// Deterministic randomness: seeded by the entry and the mutation's place in it, so that every
/// replica draws the same.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// The next number (SplitMix64, Steele et al., OOPSLA 2014).
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; `bound` is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        ((self.number() as u128 * bound.max(1) as u128) >> 64) as usize
    }
}

/// The keyspace as one command sees it.
pub struct Context<'c> {
    pub keyspace: &'c mut Keyspace,
    /// The selected database.
    pub db: usize,
    /// The time of the mutation (the leader's stamp), or of the read.
    pub now_ms: u64,
    /// The mutation's place in the log, stamped on every key it changes.
    pub version: u64,
    pub rng: Rng,
    /// This keyspace's shard and how many there are, for cursors.
    pub shard: usize,
    pub shards: usize,
    /// Whether the reply goes out in RESP3: some replies differ in more than form.
    pub resp3: bool,
}

impl Context<'_> {
    #[inline]
    pub fn database(&self) -> &Database {
        self.keyspace.db(self.db)
    }

    #[inline]
    pub fn database_mut(&mut self) -> &mut Database {
        self.keyspace.db_mut(self.db)
    }

    /// The entry of a key that is there.
    #[inline]
    pub fn entry(&self, key: &[u8]) -> Option<&Entry> {
        self.keyspace.db(self.db).get(key, self.now_ms)
    }

    /// The entry of a key that is there, for changing.
    #[inline]
    pub fn entry_mut(&mut self, key: &[u8]) -> Option<EntryMut<'_>> {
        self.keyspace
            .db_mut(self.db)
            .get_mut(key, self.now_ms, self.version)
    }

    /// The structure behind `key`, `None` when the key is absent.
    ///
    /// # Errors
    /// `WRONGTYPE` when the key holds another kind.
    #[inline]
    pub fn read<K: Kind>(&self, key: &[u8]) -> Result<Option<&K>, Error> {
        match self.entry(key) {
            None => Ok(None),
            Some(entry) => K::of(&entry.value).map(Some).ok_or(Error::WRONG_TYPE),
        }
    }

    /// The structure behind `key`, marked as changed; `None` when the key is absent. Look with
    /// [`Context::read`] first where the command may turn out to change nothing.
    ///
    /// # Errors
    /// `WRONGTYPE` when the key holds another kind.
    #[inline]
    pub fn change<K: Kind>(&mut self, key: &[u8]) -> Result<Option<&mut K>, Error> {
        match self.entry_mut(key) {
            None => Ok(None),
            Some(entry) => {
                if K::of(entry.value()).is_none() {
                    return Err(Error::WRONG_TYPE);
                }
                Ok(K::of_mut(entry.change()))
            }
        }
    }

    /// The structure behind `key`, marked as changed, made with `create` where the key is absent.
    ///
    /// # Errors
    /// `WRONGTYPE` when the key holds another kind.
    pub fn change_or_create<K: Kind>(
        &mut self,
        key: &[u8],
        create: impl FnOnce() -> K,
    ) -> Result<&mut K, Error> {
        // Two look-ups when the key is there: the borrow checker cannot see the early return.
        if self.entry(key).is_none() {
            self.set(key, create().into_value(), 0);
        }
        self.change::<K>(key)?.ok_or(Error::WRONG_TYPE)
    }

    /// Sets a key whatever was there; `expires_at_ms` 0 = never.
    pub fn set(&mut self, key: &[u8], value: Value, expires_at_ms: u64) {
        let version = self.version;
        self.database_mut().set(key, value, expires_at_ms, version);
    }

    /// Moves the expiry of a key that is there; 0 takes it away.
    pub fn set_expiry(&mut self, key: &[u8], expires_at_ms: u64) {
        let version = self.version;
        self.database_mut().set_expiry(key, expires_at_ms, version);
    }

    /// Removes a key. Answers whether it was there (a key past its expiry was not).
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let (version, now_ms) = (self.version, self.now_ms);
        match self.database_mut().remove(key, version) {
            Some(entry) => !entry.is_expired(now_ms),
            None => false,
        }
    }

    /// Removes a collection that lost its last element.
    pub fn remove_if_empty(&mut self, key: &[u8]) {
        if self
            .entry(key)
            .is_some_and(|entry| entry.value.is_empty_collection())
        {
            self.remove(key);
        }
    }
}
