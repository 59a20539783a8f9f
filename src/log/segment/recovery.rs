//! Reading the segments back: the longest prefix of frames that holds, and the decision whether
//! what follows it may be cut or proves damage.
//!
//! A frame that does not validate, with nothing after it, is a write that never finished: cut.
//! With a later frame after it, it is damage if it must have been on disk, which is so when
//! - a later frame's watermark covers it, or
//! - the machine has not been started anew since (the page cache loses nothing to a kill).
//!
//! Otherwise a machine crash took the unsynced middle and left a later page: cut there too.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::memmem::Finder;

use super::super::mark::Found;
use super::super::{Cut, Progress};
use super::file::{self, Named, SegmentFile};
use super::format::{
    Change, FRAME_MAGIC, FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentHeaderFlaw,
};
use super::index::Index;
use crate::error::Fatal;
use crate::rt::file::BLOCK_BYTES;

/// What the directory held, put together.
pub(super) struct Recovered {
    pub(super) index: Index,
    /// Every segment in use, oldest first; the last one takes the next frame.
    pub(super) segments: VecDeque<Arc<SegmentFile>>,
    /// Where the next frame goes in the last segment.
    pub(super) offset: u64,
    /// A segment behind the last one that was made ready and not begun.
    pub(super) ready: Option<Arc<SegmentFile>>,
    /// Sequence number of the next frame.
    pub(super) frame_next: u64,
    pub(super) cut: Option<Cut>,
    /// From where on the last segment must be emptied where there was a cut.
    pub(super) cut_offset: u64,
    /// Segments that a finished purge, or the cut, left without use; oldest first.
    pub(super) purged: Vec<Arc<SegmentFile>>,
    pub(super) surplus: Vec<Arc<SegmentFile>>,
    pub(super) spares: Vec<(u64, PathBuf)>,
}

/// Where a walk through the frames ended.
struct End {
    /// Position in the list of segments.
    at: usize,
    offset: u64,
    /// A frame header that is whole, at this offset, over records that are not.
    torn: Option<(u64, u32)>,
    /// Bytes behind the end that cannot be told from the start of a frame.
    suspicious: bool,
}

/// A later frame, found behind the end of the walk.
#[derive(Clone, Copy)]
struct Later {
    /// Position in the list of segments.
    at: usize,
    offset: u64,
    sequence: u64,
}

/// What lies behind the end of the walk.
struct Behind {
    first: Later,
    /// The highest watermark of all that lies there.
    watermark: u64,
}

struct Walk<'a> {
    segments: Vec<Arc<SegmentFile>>,
    index: Index,
    /// Sequence number that the next frame must have; unknown before the first of a purged log.
    expected: Option<u64>,
    /// The oldest segment that the last purge still needed.
    oldest_needed: u64,
    progress: &'a mut dyn FnMut(Progress),
    done: Progress,
    /// The bytes of the segment being looked at.
    bytes: Vec<u8>,
    loaded: Option<usize>,
}

/// Recovers the log in `directory`; writes only to make a cut final.
pub(super) fn recover(
    directory: &Path,
    found: Found,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recovered, Fatal> {
    let (segments, spares) = list(directory)?;
    let bytes_total = segments.iter().map(|segment| segment.bytes()).sum();
    let first = segments.first().map_or(1, |segment| segment.sequence);
    let mut walk = Walk {
        segments,
        index: Index::default(),
        expected: (first == 1).then_some(1),
        oldest_needed: 1,
        progress,
        done: Progress {
            bytes_done: 0,
            bytes_total,
        },
        bytes: Vec::new(),
        loaded: None,
    };
    let end = walk.run()?;
    let behind = walk.find_later(&end)?;
    let cut = walk.judge(&end, &behind, found)?;
    walk.check_start()?;
    walk.finish(end, cut, spares)
}

/// A directory's segments, oldest first, and its spare files with their numbers.
type Listing = (Vec<Arc<SegmentFile>>, Vec<(u64, PathBuf)>);

/// Whether a log of this kind lies in `directory`.
pub(in crate::log) fn is_in(directory: &Path) -> bool {
    let is_segment = |entry: fs::DirEntry| {
        matches!(
            file::named(&entry.file_name().to_string_lossy()),
            Named::Segment(_)
        )
    };
    fs::read_dir(directory)
        .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_segment)))
}

fn list(directory: &Path) -> Result<Listing, Fatal> {
    let reading = |error| Fatal::io("reading the directory", directory, error);
    let mut sequences = Vec::new();
    let mut spares = Vec::new();
    for entry in fs::read_dir(directory).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        match file::named(&entry.file_name().to_string_lossy()) {
            Named::Segment(sequence) => sequences.push(sequence),
            Named::Spare(sequence) => spares.push((sequence, entry.path())),
            Named::Other => {}
        }
    }
    sequences.sort_unstable();
    spares.sort_unstable();
    for pair in sequences.windows(2) {
        if pair[1] != pair[0] + 1 {
            return Err(Fatal::Corrupt {
                what: format!(
                    "{} is missing, while {} is there: the log has a hole",
                    file::segment_path(directory, pair[0] + 1).display(),
                    file::segment_path(directory, pair[1]).display(),
                ),
            });
        }
    }
    let mut segments = Vec::with_capacity(sequences.len());
    for sequence in sequences {
        let path = file::segment_path(directory, sequence);
        segments.push(Arc::new(open_segment(path, sequence)?));
    }
    Ok((segments, spares))
}

fn open_segment(path: PathBuf, sequence: u64) -> Result<SegmentFile, Fatal> {
    use std::os::unix::fs::FileExt;
    let mut block = [0; SEGMENT_HEADER_BYTES as usize];
    let read = fs::File::open(&path)
        .and_then(|file| file.read_at(&mut block, 0))
        .map_err(|error| Fatal::io("reading", &path, error))?;
    let header = SegmentHeader::decode(&block[..read]);
    match header {
        Ok(header) if header.sequence == sequence => SegmentFile::open(path.clone(), header)
            .map_err(|error| Fatal::io("opening", path, error)),
        Ok(header) => Err(Fatal::Corrupt {
            what: format!(
                "{} calls itself segment {}: the file was renamed or copied",
                path.display(),
                header.sequence
            ),
        }),
        Err(SegmentHeaderFlaw::Version(version)) => Err(Fatal::Setup(format!(
            "{} was written by a later release (format version {version}): start that release",
            path.display()
        ))),
        Err(SegmentHeaderFlaw::Damaged) => Err(Fatal::Corrupt {
            what: format!(
                "the header of {} (byte 0) does not match its checksum",
                path.display()
            ),
        }),
    }
}

impl Walk<'_> {
    /// Makes segment `at` the one in `bytes`.
    fn load(&mut self, at: usize) -> Result<(), Fatal> {
        if self.loaded == Some(at) {
            return Ok(());
        }
        let segment = &self.segments[at];
        self.bytes = segment
            .read_at(0, usize::MAX)
            .map_err(|error| Fatal::io("reading", &segment.path, error))?;
        self.loaded = Some(at);
        Ok(())
    }

    /// Follows the frames from the first segment on as far as they hold.
    fn run(&mut self) -> Result<End, Fatal> {
        let mut end = End {
            at: 0,
            offset: SEGMENT_HEADER_BYTES,
            torn: None,
            suspicious: false,
        };
        for at in 0..self.segments.len() {
            self.load(at)?;
            let found = self.follow(at)?;
            // A segment without a frame behind the end is one made ready, or rotated over.
            let begun = found.offset > SEGMENT_HEADER_BYTES;
            if at == 0 || begun || (found.torn.is_some() && end.torn.is_none()) {
                end = found;
            }
            self.done.bytes_done += self.segments[at].bytes();
            (self.progress)(self.done);
        }
        Ok(end)
    }

    /// Follows the frames of segment `at`: where they end, and how.
    fn follow(&mut self, at: usize) -> Result<End, Fatal> {
        let segment = self.segments[at].clone();
        let mut offset = SEGMENT_HEADER_BYTES;
        loop {
            let aligned = offset.next_multiple_of(BLOCK_BYTES as u64);
            let mut torn = None;
            let mut next = None;
            for candidate in [offset, aligned] {
                let Some(header) = self.header_at(&segment, candidate)? else {
                    continue;
                };
                match header.changes(&self.bytes, candidate, segment.seed) {
                    Ok(changes) => {
                        apply(&mut self.index, &mut self.oldest_needed, &segment, &changes)?;
                        self.expected = Some(header.sequence + 1);
                        next = Some(candidate + header.frame_bytes());
                        break;
                    }
                    Err(ordinal) => torn = torn.or(Some((candidate, ordinal))),
                }
            }
            match next {
                Some(next) => offset = next,
                None => {
                    let suspicious = !segment.header.recycled
                        && [offset, aligned].iter().any(|&o| self.not_zero(o));
                    return Ok(End {
                        at,
                        offset,
                        torn,
                        suspicious,
                    });
                }
            }
        }
    }

    /// The header of the frame that should come next, if it is at `offset`.
    fn header_at(&self, segment: &SegmentFile, offset: u64) -> Result<Option<FrameHeader>, Fatal> {
        let Some(header) = FrameHeader::find(&self.bytes, offset, segment.seed) else {
            return Ok(None);
        };
        if header.version != 1 {
            return Err(Fatal::Setup(format!(
                "{} holds a frame of format version {} at byte {offset}: start the release that wrote it",
                segment.path.display(),
                header.version
            )));
        }
        let follows = self.expected.is_none_or(|next| next == header.sequence);
        Ok(follows.then_some(header))
    }

    fn not_zero(&self, offset: u64) -> bool {
        let start = (offset as usize).min(self.bytes.len());
        let end = (start + 8).min(self.bytes.len());
        self.bytes[start..end] != [0; 8][..end - start]
    }

    /// The frames behind the end whose headers hold.
    fn find_later(&mut self, end: &End) -> Result<Option<Behind>, Fatal> {
        let finder = Finder::new(&FRAME_MAGIC);
        let after = self.expected.map_or(0, |next| next.saturating_sub(1));
        let mut behind: Option<Behind> = None;
        for at in end.at..self.segments.len() {
            self.load(at)?;
            let segment = &self.segments[at];
            let mut from = match at == end.at {
                true => end.offset as usize,
                false => SEGMENT_HEADER_BYTES as usize,
            };
            while let Some(hit) = self.bytes.get(from..).and_then(|rest| finder.find(rest)) {
                let offset = (from + hit) as u64;
                from += hit + 1;
                let Some(header) = FrameHeader::find(&self.bytes, offset, segment.seed) else {
                    continue;
                };
                let is_torn_itself =
                    at == end.at && end.torn.is_some_and(|(torn, _)| torn == offset);
                if is_torn_itself || header.sequence <= after {
                    continue;
                }
                let sequence = header.sequence;
                let later = Later {
                    at,
                    offset,
                    sequence,
                };
                let behind = behind.get_or_insert(Behind {
                    first: later,
                    watermark: 0,
                });
                behind.watermark = behind.watermark.max(header.watermark);
                if sequence < behind.first.sequence {
                    behind.first = later;
                }
            }
        }
        Ok(behind)
    }

    /// Decides between the end of the log, a cut, and damage.
    fn judge(
        &self,
        end: &End,
        behind: &Option<Behind>,
        found: Found,
    ) -> Result<Option<Cut>, Fatal> {
        let Some(segment) = self.segments.get(end.at) else {
            return match found.clean {
                Some(frames) if frames > 1 => Err(Fatal::Corrupt {
                    what: format!(
                        "the log was closed cleanly behind frame {}, and all its segments are missing",
                        frames - 1
                    ),
                }),
                _ => Ok(None),
            };
        };
        if let Some(behind) = behind {
            let first = behind.first;
            let frame = self.expected.unwrap_or(first.sequence.saturating_sub(1));
            if behind.watermark >= frame || !found.boot_changed {
                return Err(Fatal::Corrupt {
                    what: format!(
                        "{}, but frame {} behind it in {} at byte {} is there",
                        self.describe(end, frame, Some(first)),
                        first.sequence,
                        self.segments[first.at].path.display(),
                        first.offset
                    ),
                });
            }
        } else if let Some(frames) = found.clean
            && self.expected.is_none_or(|next| next < frames)
        {
            return Err(Fatal::Corrupt {
                what: format!(
                    "{}, but the log was closed cleanly behind frame {}",
                    self.describe(end, self.expected.unwrap_or(0), None),
                    frames - 1
                ),
            });
        }
        if behind.is_none() && end.torn.is_none() && !end.suspicious {
            return Ok(None);
        }
        Ok(Some(Cut {
            file: segment.path.clone(),
            offset: end.offset,
            bytes: self.cut_bytes(end),
            machine_crash: behind.is_some(),
        }))
    }

    /// Names the place of a frame that cannot be read.
    fn describe(&self, end: &End, frame: u64, later: Option<Later>) -> String {
        let (at, offset, ordinal) = match (end.torn, later) {
            (Some((offset, ordinal)), _) => (end.at, offset, ordinal),
            // The next segment was begun, and not with the frame that is there now.
            (None, Some(later)) if later.at > end.at && later.offset > SEGMENT_HEADER_BYTES => {
                (later.at, SEGMENT_HEADER_BYTES, 0)
            }
            (None, _) => (end.at, end.offset, 0),
        };
        let good = match self.index.last() {
            Some(last) => format!("the last good record is index {}", last.index),
            None => "no good record comes before it".to_owned(),
        };
        format!(
            "{} at byte {offset}: frame {frame}, record {ordinal} in it, cannot be read ({good})",
            self.segments[at].path.display()
        )
    }

    /// Bytes behind the end, in its segment, up to the last that is not zero. A recycled file's
    /// cannot be told from stale ones.
    fn cut_bytes(&self, end: &End) -> u64 {
        let segment = &self.segments[end.at];
        if segment.header.recycled {
            return 0;
        }
        match fs::read(&segment.path) {
            Ok(bytes) => {
                let rest = bytes.get(end.offset as usize..).unwrap_or_default();
                rest.iter()
                    .rposition(|&byte| byte != 0)
                    .map_or(0, |at| at as u64 + 1)
            }
            Err(_) => 0,
        }
    }

    /// Refuses a log whose beginning is missing.
    fn check_start(&self) -> Result<(), Fatal> {
        let oldest = self.segments.first().map_or(1, |segment| segment.sequence);
        let hole = match (self.index.start(), self.index.purged()) {
            (Some(start), Some(purged)) => start > purged.index + 1,
            _ => false,
        };
        if oldest > self.oldest_needed || hole {
            return Err(Fatal::Corrupt {
                what: format!(
                    "the log's first segments are missing: segment {} is needed, the oldest there is {oldest}",
                    self.oldest_needed
                ),
            });
        }
        Ok(())
    }

    /// Makes the cut final and sorts the segments by what becomes of them.
    fn finish(
        self,
        end: End,
        cut: Option<Cut>,
        spares: Vec<(u64, PathBuf)>,
    ) -> Result<Recovered, Fatal> {
        let mut segments: VecDeque<_> = self.segments.into();
        let mut behind: Vec<_> = match segments.is_empty() {
            true => Vec::new(),
            false => segments.drain(end.at + 1..).collect(),
        };
        let mut ready = None;
        if cut.is_none() && !behind.is_empty() {
            ready = Some(behind.remove(0));
        }
        let mut purged = Vec::new();
        let oldest_live = self.index.oldest_segment();
        while segments.len() > 1
            && segments.front().is_some_and(|segment| {
                segment.sequence < self.oldest_needed
                    && oldest_live.is_none_or(|live| segment.sequence < live)
            })
        {
            purged.extend(segments.pop_front());
        }
        Ok(Recovered {
            index: self.index,
            segments,
            offset: end.offset.next_multiple_of(BLOCK_BYTES as u64),
            ready,
            frame_next: self.expected.unwrap_or(1),
            cut,
            cut_offset: end.offset,
            purged,
            surplus: behind,
            spares,
        })
    }
}

fn apply(
    index: &mut Index,
    oldest_needed: &mut u64,
    segment: &SegmentFile,
    changes: &[(u64, Change<'_>)],
) -> Result<(), Fatal> {
    for (offset, change) in changes {
        if let Change::Purge { oldest_segment, .. } = change {
            *oldest_needed = *oldest_segment;
        }
        index
            .apply(change, segment.sequence, *offset)
            .map_err(|expected| Fatal::Corrupt {
                what: format!(
                    "{} at byte {offset}: a record of another index stands where index {expected} should",
                    segment.path.display()
                ),
            })?;
    }
    Ok(())
}
