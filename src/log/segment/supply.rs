//! The thread that makes segments ready ahead of need and takes back the purged ones, so that no
//! executor ever fills a file with zeros.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use futures::channel::oneshot;

use super::file::{self, SegmentFile};
use crate::limits;
use crate::log::directory;
use crate::log::fault::{self, Access, Faults};
use crate::rt;

/// Jobs that wait for the thread: one segment being made ready and a few purges, each awaited.
const JOBS_MAX: usize = 64;

enum Job {
    Prepare {
        sequence: u64,
        reply: oneshot::Sender<io::Result<Arc<SegmentFile>>>,
    },
    Retire {
        segments: Vec<Arc<SegmentFile>>,
        reply: oneshot::Sender<io::Result<()>>,
    },
}

/// What the thread works on; also used directly while the log opens.
pub(super) struct Workshop {
    pub(super) directory: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) spares: VecDeque<PathBuf>,
    pub(super) faults: Option<Faults>,
}

impl Workshop {
    /// Makes the segment `sequence`, out of a spare file where there is one. The file has its
    /// final name, on disk, only once its header and zeros are.
    pub(super) fn prepare(
        &mut self,
        sequence: u64,
        go_on: &mut dyn FnMut() -> bool,
    ) -> io::Result<Arc<SegmentFile>> {
        fault::check(&self.faults, Access::Prepare)?;
        let fresh = file::spare_path(&self.directory, sequence);
        let spare = self.spares.pop_front().unwrap_or_else(|| fresh.clone());
        let header = match file::initialise(&spare, sequence, self.segment_bytes, go_on) {
            Ok(header) => header,
            Err(error) => {
                // A half-filled file would keep the disk full; an old spare is worth keeping.
                if spare == fresh {
                    let _ = fs::remove_file(&spare);
                } else {
                    self.spares.push_front(spare);
                }
                return Err(error);
            }
        };
        let path = file::segment_path(&self.directory, sequence);
        fs::rename(&spare, &path)?;
        directory::sync(&self.directory)?;
        Ok(Arc::new(SegmentFile::open(path, header)?))
    }

    /// Takes the files of dropped segments out of the log, oldest first, so that a crash half-way
    /// leaves no hole. Keeps a few as spares.
    pub(super) fn retire(&mut self, segments: &[(PathBuf, u64, u64)]) -> io::Result<()> {
        for (path, sequence, bytes) in segments {
            if self.spares.len() < limits::LOG_SPARES_MAX && *bytes == self.segment_bytes {
                let spare = file::spare_path(&self.directory, *sequence);
                fs::rename(path, &spare)?;
                self.spares.push_back(spare);
            } else {
                fs::remove_file(path)?;
            }
        }
        directory::sync(&self.directory)
    }
}

/// Handle to the thread. Dropping it ends the thread, giving up a segment that is being filled.
pub(super) struct Supply {
    jobs: Option<SyncSender<Job>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Supply {
    pub(super) fn start(workshop: Workshop) -> io::Result<Self> {
        let (jobs, inbox) = sync_channel(JOBS_MAX);
        let stopping = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name("log-segments".to_owned())
            .spawn({
                let stopping = stopping.clone();
                move || work(workshop, &inbox, &stopping)
            })?;
        Ok(Supply {
            jobs: Some(jobs),
            stopping,
            thread: Some(thread),
        })
    }

    fn send(&self, job: Job) {
        // A full or closed queue drops the job, and with it the reply's sender: the waiting side
        // reads that as a failure.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.try_send(job);
        }
    }

    /// Asks for the segment `sequence`.
    pub(super) fn prepare(&self, sequence: u64) -> oneshot::Receiver<io::Result<Arc<SegmentFile>>> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Prepare { sequence, reply });
        answer
    }

    /// Gives back segments that the log no longer needs, oldest first.
    pub(super) async fn retire(&self, segments: Vec<Arc<SegmentFile>>) -> io::Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Retire { segments, reply });
        rt::file::answer(answer)
            .await
            .unwrap_or_else(|| Err(gone()))
    }
}

/// The error for an answer that never came.
pub(super) fn gone() -> io::Error {
    io::Error::other("the thread that prepares log segments is gone")
}

impl Drop for Supply {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has shown itself as failed answers already.
            let _ = thread.join();
        }
    }
}

fn work(mut workshop: Workshop, inbox: &Receiver<Job>, stopping: &AtomicBool) {
    while let Ok(job) = inbox.recv() {
        // An answer that nobody waits for any more is fine: the log is being dropped.
        match job {
            Job::Prepare { sequence, reply } => {
                let result = workshop.prepare(sequence, &mut || !stopping.load(Ordering::Relaxed));
                let _ = reply.send(result);
            }
            Job::Retire { segments, reply } => {
                let files: Vec<_> = segments
                    .iter()
                    .map(|segment| (segment.path.clone(), segment.sequence, segment.bytes()))
                    .collect();
                drop(segments);
                let _ = reply.send(workshop.retire(&files));
            }
        }
    }
}

/// Removes what an interrupted preparation left and lists the spare files that can be used again.
pub(super) fn spares_in(
    directory: &Path,
    spares: Vec<(u64, PathBuf)>,
    segment_bytes: u64,
) -> VecDeque<PathBuf> {
    let mut kept = VecDeque::new();
    for (_, path) in spares {
        let usable = kept.len() < limits::LOG_SPARES_MAX
            && fs::metadata(&path).is_ok_and(|data| data.len() == segment_bytes);
        if usable {
            kept.push_back(path);
        } else if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(directory = %directory.display(), file = %path.display(), "cannot remove a spare segment: {error}");
        }
    }
    kept
}
