//! A keyspace to chunks, at one position of the log and in slices; and from chunks.

use crate::limits::DATABASES;
use crate::value::chunk::{self, ChunkReader, Record};
use crate::value::{ImageError, ImageReader, Text, Value};

use super::Keyspace;
use super::entry::Entry;
use super::table::Table;

/// What a slice of a capture came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// There is more to come.
    More,
    /// The image is complete.
    Last,
    /// Nothing is being captured here: not begun, or this keyspace stands in for one that is lent.
    None,
}

impl Keyspace {
    /// Begins to capture the present state: every entry there is has a version of at most
    /// `upto_version`, every later mutation has a higher one. A capture under way is given up.
    ///
    /// To be called at the same position of the log on every shard, when no key is lent out nor
    /// borrowed, as for any mutation of all keys. O(databases).
    pub fn begin_capture(&mut self, upto_version: u64) {
        for (db, database) in self.databases.iter_mut().enumerate() {
            drop(database.end_capture());
            database.begin_capture(db as u8, upto_version);
        }
    }

    /// Appends the next records of the image to `out`, a chunk, until that has about `limit`
    /// bytes.
    ///
    /// O(limit). Goes beyond `limit` by what was captured early
    /// ([`Keyspace::capture_early_bytes`]), and by one value where that is larger.
    pub fn capture_slice(&mut self, limit: usize, out: &mut Vec<u8>) -> Slice {
        if self
            .databases
            .iter()
            .all(|database| database.capture().is_none())
        {
            return Slice::None;
        }
        chunk::begin_chunk(out);
        let mut slice = Slice::Last;
        for database in &mut self.databases {
            if !database.capture_slice(limit, out) {
                slice = Slice::More;
            }
        }
        slice
    }

    /// Bytes of old images that wait for the next slice. Who applies mutations holds them back
    /// while this is above [`crate::limits::CAPTURE_EARLY_BYTES`]. 0 when nothing is captured.
    pub fn capture_early_bytes(&self) -> usize {
        self.databases
            .iter()
            .filter_map(|database| database.capture())
            .map(|capture| capture.early_bytes())
            .sum()
    }

    /// Ends a capture, complete or not. Answers with the tables that FLUSHDB left to it; to drop
    /// one takes time in proportion to its keys.
    pub fn end_capture(&mut self) -> Vec<Table> {
        self.databases
            .iter_mut()
            .filter_map(|database| database.end_capture())
            .collect()
    }

    /// Adds what a chunk of an image holds to this keyspace, in which none of its keys is yet.
    /// Answers how many entries that were.
    ///
    /// # Errors
    /// When the bytes are no chunk; records before the bad one were added.
    pub fn install_chunk(&mut self, bytes: &[u8]) -> Result<u64, ImageError> {
        let mut reader = ChunkReader::new(bytes)?;
        let mut installed = 0;
        while let Some((record, _)) = reader.next_record()? {
            match record {
                Record::Entry(image) => {
                    let mut value = ImageReader::new(image.value);
                    let entry = Entry {
                        key: Text::key(image.key),
                        value: Value::read_image(&mut value)?,
                        expires_at_ms: image.expires_at_ms,
                        version: image.version,
                    };
                    if !value.rest().is_empty() {
                        return Err(ImageError("bytes behind a value"));
                    }
                    let db = database_of(image.db)?;
                    self.databases[db].put_entry(entry);
                    installed += 1;
                }
                Record::Tombstones(tombs) => {
                    let db = database_of(tombs.db)?;
                    self.databases[db].restore_tombstones(0, tombs.iter());
                }
                Record::Database {
                    db,
                    cleared_version,
                    ..
                } => {
                    let db = database_of(db)?;
                    self.databases[db].restore_tombstones(cleared_version, std::iter::empty());
                }
            }
        }
        Ok(installed)
    }
}

fn database_of(db: u8) -> Result<usize, ImageError> {
    if (db as usize) < DATABASES {
        Ok(db as usize)
    } else {
        Err(ImageError("no such database"))
    }
}
