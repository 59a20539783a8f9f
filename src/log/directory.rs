//! A data directory: made, locked against a second process, made durable by name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::error::{Fatal, advice};

/// Name of the lock file inside a locked directory. It holds its owner's process id.
pub const LOCK_FILE: &str = "LOCK";

/// The right to be the only process that uses a directory. Given back when dropped, or by the
/// kernel when the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Makes `directory` where it is missing and locks it.
    ///
    /// # Errors
    /// `Fatal::Setup` where another process holds it (with its id) or where it cannot be written.
    pub fn acquire(directory: &Path) -> Result<Self, Fatal> {
        create(directory)?;
        let path = directory.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| unusable(directory, error))?;
        // SAFETY: no memory is passed; `file` is open.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(Fatal::io("locking", path, error));
            }
            let mut holder = String::new();
            // Best effort: the holder may be about to write it.
            let _ = file.read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => "another process".to_owned(),
                id => format!("process {id}"),
            };
            return Err(Fatal::Setup(format!(
                "{holder} is using the directory {}: stop it, or give this node a directory of its own",
                directory.display()
            )));
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|error| unusable(directory, error))?;
        Ok(DirectoryLock { _file: file })
    }
}

/// Makes `directory`, and its parents, where they are missing.
///
/// # Errors
/// `Fatal::Setup` with the system's reason.
pub fn create(directory: &Path) -> Result<(), Fatal> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory).map_err(|error| unusable(directory, error))?;
    if let Some(parent) = directory.parent().filter(|p| !p.as_os_str().is_empty()) {
        sync(parent).map_err(|error| Fatal::io("syncing", parent, error))?;
    }
    Ok(())
}

/// Makes the names in `directory` (files made, renamed, removed) durable.
pub fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn unusable(directory: &Path, error: io::Error) -> Fatal {
    let hint = advice(&error);
    Fatal::Setup(format!(
        "cannot use the directory {} ({error}){hint}",
        directory.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_lock_is_refused_with_the_holders_process_id() {
        let directory = super::super::tests::Scratch::new("lock");
        let held = DirectoryLock::acquire(&directory).expect("first lock");
        let refusal = DirectoryLock::acquire(&directory).expect_err("second lock");
        let text = refusal.to_string();
        assert!(matches!(refusal, Fatal::Setup(_)));
        assert!(text.contains(&std::process::id().to_string()), "{text}");
        drop(held);
        DirectoryLock::acquire(&directory).expect("lock given back");
    }
}
