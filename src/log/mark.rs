//! The mark beside a log: during which boot of the machine it was last open, whether it was closed
//! cleanly, and whether it held records that were acknowledged before they were on disk.
//!
//! A text file, replaced by rename, always synced:
//! ```text
//! version 2
//! boot 6f1c0f3e-...        the kernel's boot id
//! relaxed 0|1              1: written before the first record that did not wait for the disk
//! clean 0|<n>              n > 0: closed cleanly, n names the end (frame sequence, or index + 1)
//! lost 0|1                 1: a crash may have taken acknowledged records, and nobody else says so
//! ```
//!
//! Version 1 lacks the last line.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::directory;
use crate::error::Fatal;

const FILE: &str = "mark";

/// The mark's content.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    boot: String,
    relaxed: bool,
    clean: u64,
    lost: bool,
}

/// What the mark said when the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) boot_changed: bool,
    pub(crate) relaxed: bool,
    /// The end that a clean stop named.
    pub(crate) clean: Option<u64>,
    /// An open before found that acknowledged records may be lost, and nobody kept that.
    lost: bool,
}

/// The mark of an open log.
pub(crate) struct Mark {
    directory: PathBuf,
    content: Content,
}

impl Mark {
    /// Reads the mark, as the last process left it. A missing or unreadable one (a log that never
    /// got to its first record, or a mark that somebody removed) counts as the worst case.
    pub(crate) fn read(directory: &Path, boot_id: Option<&str>) -> Result<(Self, Found), Fatal> {
        let boot = match boot_id {
            Some(id) => id.to_owned(),
            None => kernel_boot_id(),
        };
        let path = directory.join(FILE);
        let found = match fs::read_to_string(&path) {
            Ok(text) => match parse(&text) {
                Some(last) => Found {
                    boot_changed: last.boot != boot,
                    relaxed: last.relaxed,
                    clean: (last.clean > 0).then_some(last.clean),
                    lost: last.lost,
                },
                None => {
                    tracing::warn!(file = %path.display(), "unreadable mark: taken as an unclean stop");
                    Found::WORST
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::WORST,
            Err(error) => return Err(Fatal::io("reading", path, error)),
        };
        let content = Content {
            boot,
            // `open` is called when all that recovery kept has been synced.
            relaxed: false,
            clean: 0,
            lost: false,
        };
        let directory = directory.to_owned();
        Ok((Mark { directory, content }, found))
    }

    /// Writes "open, during this boot": once recovery is through, all that it kept is synced, and
    /// before the first write. From then on nothing else tells that acknowledged records may be
    /// `lost`, so that is written with it, until [`Mark::loss_kept`].
    pub(crate) fn open(&mut self, lost: bool) -> io::Result<()> {
        self.content.lost = lost;
        self.store()
    }

    /// Somebody else has kept that acknowledged records may be lost.
    pub(crate) fn loss_kept(&mut self) -> io::Result<()> {
        if !self.content.lost {
            return Ok(());
        }
        self.content.lost = false;
        self.store()
    }

    /// To be called before the first record that is acknowledged ahead of the disk; cheap from
    /// the second call on.
    pub(crate) fn relax(&mut self) -> io::Result<()> {
        if self.content.relaxed {
            return Ok(());
        }
        self.content.relaxed = true;
        self.store()
    }

    /// Writes "closed cleanly at `end`", which is above zero.
    pub(crate) fn close(&mut self, end: u64) -> io::Result<()> {
        self.content.clean = end.max(1);
        self.store()
    }

    fn store(&self) -> io::Result<()> {
        let partial = self.directory.join("mark.partial");
        let mut file = File::create(&partial)?;
        let Content {
            boot,
            relaxed,
            clean,
            lost,
        } = &self.content;
        let (relaxed, lost) = (u8::from(*relaxed), u8::from(*lost));
        write!(
            file,
            "version 2\nboot {boot}\nrelaxed {relaxed}\nclean {clean}\nlost {lost}\n"
        )?;
        file.sync_all()?;
        fs::rename(&partial, self.directory.join(FILE))?;
        directory::sync(&self.directory)
    }
}

impl Found {
    const WORST: Found = Found {
        boot_changed: true,
        relaxed: true,
        clean: None,
        lost: false,
    };

    /// Whether records that were acknowledged before they were on disk may be gone: the machine
    /// went down, at the last stop or before one of which nobody kept it. A log that `is_new` has
    /// none.
    pub(crate) fn acknowledged_may_be_lost(&self, is_new: bool) -> bool {
        let crashed = self.boot_changed && self.relaxed && self.clean.is_none();
        !is_new && (crashed || self.lost)
    }
}

fn parse(text: &str) -> Option<Content> {
    let mut lines = text.lines();
    let mut field = |name: &str| -> Option<String> {
        let (key, value) = lines.next()?.split_once(' ')?;
        (key == name).then(|| value.to_owned())
    };
    let version: u8 = field("version")?.parse().ok()?;
    if !(1..=2).contains(&version) {
        return None;
    }
    Some(Content {
        boot: field("boot")?,
        relaxed: field("relaxed")? == "1",
        clean: field("clean")?.parse().ok()?,
        lost: version > 1 && field("lost")? == "1",
    })
}

/// The kernel's id of this boot. Where it cannot be read every start counts as a new boot, which
/// is the careful answer.
fn kernel_boot_id() -> String {
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) => id.trim().to_owned(),
        Err(_) => format!("unknown-{}", crate::clock::now_us()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_the_first_version_is_read() {
        let first = "version 1\nboot abc\nrelaxed 1\nclean 7\n";
        let content = Content {
            boot: "abc".to_owned(),
            relaxed: true,
            clean: 7,
            lost: false,
        };
        assert_eq!(parse(first), Some(content.clone()));
        let second = first.replace("version 1", "version 2") + "lost 1\n";
        let lost = true;
        assert_eq!(parse(&second), Some(Content { lost, ..content }));
        for cut in [
            "version 2\nboot abc\nrelaxed 1\nclean 7\n",
            "version 3\n",
            "",
        ] {
            assert_eq!(parse(cut), None);
        }
    }
}
