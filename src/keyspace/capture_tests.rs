use std::collections::BTreeMap;

use crate::value::chunk::{ChunkReader, Record};
use crate::value::{Digest, Kind, Text, Value};

use super::*;

type Content = BTreeMap<(u8, Vec<u8>), (Vec<u8>, u64, u64)>;

/// What an image is made of: entries, tombstones, database heads.
#[derive(Default, Debug, PartialEq)]
struct Image {
    entries: Content,
    tombstones: BTreeMap<(u8, u16), u64>,
    heads: BTreeMap<u8, (u64, u64)>,
    digest: Digest,
}

impl Image {
    /// The present state, read straight off the tables.
    fn of(keyspace: &Keyspace) -> Image {
        let mut image = Image::default();
        for (db, database) in keyspace.databases.iter().enumerate() {
            let db = db as u8;
            for entry in database.table().iter() {
                let mut value = Vec::new();
                entry.value.write_image(&mut value);
                let key = (db, entry.key.as_bytes().into_owned());
                let content = (value, entry.expires_at_ms, entry.version);
                assert!(image.entries.insert(key, content).is_none());
            }
            for (slot, block) in database.tombstones().blocks() {
                for (slot, &version) in (slot..).zip(block.iter()) {
                    if version != 0 {
                        image.tombstones.insert((db, slot), version);
                    }
                }
            }
            let head = (
                database.len() as u64,
                database.tombstones().cleared_version(),
            );
            image.heads.insert(db, head);
        }
        image.digest = keyspace.digest();
        image
    }

    /// Reads a chunk; a record that comes twice is an error.
    fn read(&mut self, chunk: &[u8]) {
        let mut reader = ChunkReader::new(chunk).unwrap();
        while let Some((record, _)) = reader.next_record().unwrap() {
            match record {
                Record::Entry(entry) => {
                    let content = (entry.value.to_vec(), entry.expires_at_ms, entry.version);
                    let before = self.entries.insert((entry.db, entry.key.to_vec()), content);
                    assert!(before.is_none(), "{} twice", entry.key.escape_ascii());
                    self.digest += entry.digest();
                }
                Record::Tombstones(tombs) => {
                    for (slot, version) in tombs.iter() {
                        let before = self.tombstones.insert((tombs.db, slot), version);
                        assert!(before.is_none());
                    }
                }
                Record::Database {
                    db,
                    entries,
                    cleared_version,
                } => {
                    let before = self.heads.insert(db, (entries, cleared_version));
                    assert!(before.is_none());
                }
            }
        }
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }
}

/// Mutations at random over a keyspace, with loans that stay out over other mutations.
struct Play {
    keyspace: Keyspace,
    dice: Dice,
    version: u64,
    now_ms: u64,
    keys: u64,
    /// Our own keys that are out, and how they left.
    lent: Vec<(usize, Entry)>,
    /// Keys of other shards that are in.
    borrowed: Vec<(usize, Vec<u8>)>,
    borrows: u64,
}

impl Play {
    fn new(seed: u64, keys: u64) -> Play {
        Play {
            keyspace: Keyspace::new(seed),
            dice: Dice(seed),
            version: 1 << 24,
            now_ms: 1000,
            keys,
            lent: Vec::new(),
            borrowed: Vec::new(),
            borrows: 0,
        }
    }

    fn key(&mut self) -> (usize, Vec<u8>) {
        let db = [0, 0, 0, 1, 5][self.dice.below(5) as usize];
        let key = format!("key:{}", self.dice.below(self.keys));
        (db, key.into_bytes())
    }

    /// One mutation. `removes` of 10 take keys away.
    fn mutate(&mut self, removes: u64) {
        self.version += 1 + self.dice.below(3) * (1 << 24);
        self.now_ms += self.dice.below(3);
        let (db, key) = self.key();
        // Later work on a lent key waits for it.
        if self
            .lent
            .iter()
            .any(|(at, entry)| *at == db && entry.key == key[..])
        {
            return;
        }
        let (version, now_ms) = (self.version, self.now_ms);
        let database = self.keyspace.db_mut(db);
        if self.dice.below(10) < removes {
            database.remove(&key, version);
            return;
        }
        match self.dice.below(8) {
            0..=2 => database.set_string(&key, format!("v{version}").as_bytes(), version),
            3 => {
                let value = Value::String(Text::key(&vec![b'x'; self.dice.below(300) as usize]));
                database.set(&key, value, now_ms + self.dice.below(3000), version);
            }
            4 => {
                let at = now_ms + self.dice.below(2000);
                database.set_expiry(&key, at, version);
            }
            5 => {
                if let Some(entry) = database.get_mut(&key, now_ms, version)
                    && let Some(text) = Text::of_mut(entry.change())
                {
                    text.make_mut().push(b'+');
                }
            }
            // Looks, and changes nothing unless the key is past its expiry.
            6 => drop(database.get_mut(&key, now_ms, version)),
            _ => {
                for key in database.take_due(now_ms, 3) {
                    database.remove(key.bytes().unwrap(), version);
                }
            }
        }
    }

    fn lend_or_return(&mut self) {
        if self.lent.len() < 3 {
            let (db, key) = self.key();
            if let Some(entry) = self.keyspace.db_mut(db).take_entry(&key) {
                self.lent.push((db, entry));
            }
            return;
        }
        let (db, mut entry) = self.lent.remove(0);
        self.version += 1;
        match self.dice.below(3) {
            0 => self.keyspace.db_mut(db).put_entry(entry),
            1 => {
                entry.value = Value::String(Text::value(b"changed abroad"));
                entry.version = self.version;
                self.keyspace.db_mut(db).put_entry(entry);
            }
            _ => {
                let key = entry.key.as_bytes().into_owned();
                self.keyspace.db_mut(db).note_removed(&key, self.version);
            }
        }
    }

    fn borrow_or_send_home(&mut self) {
        if self.borrowed.len() < 3 {
            self.borrows += 1;
            let key = format!("abroad:{}", self.borrows).into_bytes();
            let entry = Entry {
                key: Text::key(&key),
                value: Value::String(Text::value(b"not ours")),
                expires_at_ms: 0,
                version: 5,
            };
            self.keyspace.db_mut(0).put_entry(entry);
            self.borrowed.push((0, key));
            return;
        }
        let (db, key) = self.borrowed.remove(0);
        self.version += 1;
        let (version, now_ms) = (self.version, self.now_ms);
        let database = self.keyspace.db_mut(db);
        match self.dice.below(3) {
            0 => {}
            1 => database.set_string(&key, b"changed here", version),
            _ => drop(database.get_mut(&key, now_ms, version)),
        }
        assert!(database.take_entry(&key).is_some());
    }

    fn settle(&mut self) {
        while let Some((db, entry)) = self.lent.pop() {
            self.keyspace.db_mut(db).put_entry(entry);
        }
        while let Some((db, key)) = self.borrowed.pop() {
            self.keyspace.db_mut(db).take_entry(&key);
        }
    }
}

/// Captures while `disturb` goes on between slices; the image must be the state at the beginning.
fn capture_exactly(play: &mut Play, limit: usize, mut disturb: impl FnMut(&mut Play, usize)) {
    play.settle();
    let expected = Image::of(&play.keyspace);
    play.keyspace.begin_capture(play.version);
    let mut image = Image::default();
    let mut slices = 0;
    loop {
        let mut chunk = Vec::new();
        let early_bytes = play.keyspace.capture_early_bytes();
        let done = play.keyspace.capture_slice(limit, &mut chunk) == Slice::Last;
        assert!(
            chunk.len() <= limit + early_bytes + 16 * 20 + 2048,
            "{} bytes of {limit} and {early_bytes} early",
            chunk.len()
        );
        image.read(&chunk);
        slices += 1;
        if done {
            break;
        }
        disturb(play, slices);
    }
    play.keyspace.end_capture();
    assert_eq!(
        play.keyspace.capture_slice(limit, &mut Vec::new()),
        Slice::None
    );
    assert_eq!(image.heads, expected.heads);
    assert_eq!(image.tombstones, expected.tombstones);
    assert!(image.entries == expected.entries, "entries differ");
    assert_eq!(image.digest, expected.digest);
}

#[test]
fn the_image_is_the_state_at_its_beginning() {
    for seed in 0..6 {
        let mut play = Play::new(seed, 6000);
        (0..20_000).for_each(|_| play.mutate(1));
        for round in 0..3 {
            let limit = [700, 4000, 60_000][(seed as usize + round) % 3];
            // Grows, shrinks below the point where segments merge, grows again.
            let removes = [1, 8, 1][round];
            capture_exactly(&mut play, limit, |play, _| {
                for _ in 0..play.dice.below(40 * limit as u64 / 700) {
                    match play.dice.below(10) {
                        0 => play.lend_or_return(),
                        1 => play.borrow_or_send_home(),
                        _ => play.mutate(removes),
                    }
                }
            });
        }
    }
}

#[test]
fn flush_and_swap_do_not_disturb_it() {
    for seed in 10..18 {
        let mut play = Play::new(seed, 3000);
        (0..10_000).for_each(|_| play.mutate(1));
        capture_exactly(&mut play, 2000, |play, slice| {
            (0..30).for_each(|_| play.mutate(2));
            if slice % 9 == 3 {
                play.settle();
                play.version += 1;
                let db = [0, 1, 5][play.dice.below(3) as usize];
                play.keyspace.db_mut(db).clear(play.version);
            }
            if slice % 7 == 2 {
                let a = play.dice.below(6) as usize;
                let b = play.dice.below(6) as usize;
                play.keyspace.swap(a, b);
            }
            if slice % 5 == 0 {
                play.lend_or_return();
                play.settle();
            }
        });
    }
}

#[test]
fn what_is_skipped_costs_budget_too() {
    let mut keyspace = Keyspace::new(1);
    for n in 0..50_000 {
        let key = format!("k{n}");
        keyspace.db_mut(0).set_string(key.as_bytes(), b"v", 7);
    }
    // Nothing is old enough for this image, so only looking is paid for.
    keyspace.begin_capture(6);
    let mut slices = 1;
    while keyspace.capture_slice(64 * 1024, &mut Vec::new()) == Slice::More {
        slices += 1;
    }
    assert!((8..40).contains(&slices), "{slices} slices");
}

#[test]
fn what_is_captured_early_is_handed_out_next() {
    let mut keyspace = Keyspace::new(1);
    for n in 0..1000 {
        let key = format!("k{n}");
        keyspace.db_mut(0).set_string(key.as_bytes(), b"v", 1);
    }
    keyspace.begin_capture(1);
    assert_eq!(keyspace.capture_early_bytes(), 0);
    for n in 0..1000 {
        let key = format!("k{n}");
        keyspace.db_mut(0).remove(key.as_bytes(), 2);
    }
    let early_bytes = keyspace.capture_early_bytes();
    assert!(early_bytes > 30_000);
    let mut chunk = Vec::new();
    assert_eq!(keyspace.capture_slice(100, &mut chunk), Slice::More);
    assert!(chunk.len() > early_bytes);
    assert_eq!(keyspace.capture_early_bytes(), 0);
    let mut image = Image::default();
    image.read(&chunk);
    assert_eq!(image.entries.len(), 1000);
}

#[test]
fn an_image_installs_into_other_shards() {
    let mut play = Play::new(4, 4000);
    (0..20_000).for_each(|_| play.mutate(2));
    play.version += 1;
    let version = play.version;
    play.keyspace.db_mut(5).clear(version);
    (0..500).for_each(|_| play.mutate(2));
    play.settle();
    let expected = Image::of(&play.keyspace);
    play.keyspace.begin_capture(play.version);
    let mut copy = Keyspace::new(99);
    loop {
        let mut chunk = Vec::new();
        let done = play.keyspace.capture_slice(5000, &mut chunk) == Slice::Last;
        copy.install_chunk(&chunk).unwrap();
        // Cut anywhere, it is refused or ends early; it never panics.
        let mut scratch = Keyspace::new(1);
        for cut in [1, 2, chunk.len() / 2, chunk.len() - 1] {
            let _ = scratch.install_chunk(&chunk[..cut.min(chunk.len())]);
            scratch = Keyspace::new(1);
        }
        if done {
            break;
        }
    }
    assert_eq!(Image::of(&copy), expected);
    assert_eq!(copy.digest(), play.keyspace.digest());
    for db in 0..6 {
        for key in ["key:1", "key:77", "nobody"] {
            let (a, b) = (copy.db(db), play.keyspace.db(db));
            let (key, now_ms) = (key.as_bytes(), play.now_ms);
            assert_eq!(a.version_of(key, now_ms), b.version_of(key, now_ms));
            assert_eq!(a.volatile(), b.volatile());
        }
    }
}

#[test]
fn a_digest_sees_each_part_of_an_entry() {
    let one = |db: usize, key: &[u8], value: &[u8], expires_at_ms: u64, seed: u64| {
        let mut keyspace = Keyspace::new(seed);
        let value = Value::String(Text::value(value));
        keyspace.db_mut(db).set(key, value, expires_at_ms, 1);
        keyspace.digest()
    };
    let base = one(0, b"k", b"v", 0, 1);
    assert_eq!(base, one(0, b"k", b"v", 0, 2));
    for other in [
        one(1, b"k", b"v", 0, 1),
        one(0, b"kv", b"", 0, 1),
        one(0, b"k", b"w", 0, 1),
        one(0, b"k", b"v", 5, 1),
    ] {
        assert_ne!(base, other);
    }
    let mut both = base;
    both += one(3, b"k", b"v", 0, 1);
    let mut together = Keyspace::new(9);
    together.db_mut(0).set_string(b"k", b"v", 4);
    together.db_mut(3).set_string(b"k", b"v", 4);
    assert_eq!(together.digest(), both);
    assert_eq!(Digest::from_bytes(&both.to_bytes()), both);
    assert_eq!(Keyspace::new(1).digest().to_string(), "0".repeat(40));
    assert_eq!(both.to_string().len(), 40);
}
