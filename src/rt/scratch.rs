//! A file without a name, for bytes that outgrow memory and need not outlive the process.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;

use io_uring::opcode;
use io_uring::types::Fd;

use super::ring::Ring;

/// Bytes on a disk, through the core's own ring. Clones share them; they are gone with the last
/// one, or with the process.
#[derive(Clone)]
pub struct Scratch(Rc<File>);

impl Scratch {
    /// An empty one on the disk of `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// As mkdir(2) and open(2).
    pub fn create(folder: &Path) -> io::Result<Scratch> {
        DirBuilder::new().recursive(true).create(folder)?;
        let unnamed = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_TMPFILE)
            .open(folder);
        match unnamed {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Self::unlinked(folder),
            opened => opened.map(|file| Scratch(Rc::new(file))),
        }
    }

    /// For file systems without unnamed files: one whose name is gone at once.
    fn unlinked(folder: &Path) -> io::Result<Scratch> {
        let path = folder.join(format!("scratch-{}", std::process::id()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Scratch(Rc::new(file)))
    }

    /// One on a disk without room.
    #[cfg(test)]
    pub fn full() -> Scratch {
        let device = OpenOptions::new().read(true).write(true).open("/dev/full");
        Scratch(Rc::new(device.expect("Linux has it")))
    }

    /// Writes all of `bytes` at `offset` and gives them back. Not synced.
    ///
    /// # Errors
    /// As pwrite(2). Any part may have been written.
    pub async fn write(&self, bytes: Vec<u8>, offset: u64) -> (io::Result<()>, Vec<u8>) {
        let Some(ring) = Ring::current() else {
            return (Err(io::Error::other("this core has no ring")), bytes);
        };
        let (mut bytes, mut done) = (bytes, 0);
        while done < bytes.len() {
            let rest = &bytes[done..];
            let length = rest.len().min(i32::MAX as usize) as u32;
            let entry = opcode::Write::new(self.fd(), rest.as_ptr(), length)
                .offset(offset + done as u64)
                .build();
            // SAFETY: the bytes are on the heap and, like the file, kept until the operation ends;
            // moving the vector does not move them.
            let (result, kept) = unsafe { ring.awaited(entry, (bytes, self.clone())) }.await;
            bytes = kept.0;
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), bytes),
                Ok(count) => done += count,
                Err(error) => return (Err(error), bytes),
            }
        }
        (Ok(()), bytes)
    }

    /// Reads `length` bytes at `offset`.
    ///
    /// # Errors
    /// As pread(2); `UnexpectedEof` where there are fewer.
    pub async fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let ring = Ring::current().ok_or_else(|| io::Error::other("this core has no ring"))?;
        let (mut bytes, mut done) = (vec![0; length], 0);
        while done < length {
            let rest = &mut bytes[done..];
            let wanted = rest.len().min(i32::MAX as usize) as u32;
            let entry = opcode::Read::new(self.fd(), rest.as_mut_ptr(), wanted)
                .offset(offset + done as u64)
                .build();
            // SAFETY: as in `write`.
            let (result, kept) = unsafe { ring.awaited(entry, (bytes, self.clone())) }.await;
            bytes = kept.0;
            match result? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(bytes)
    }

    fn fd(&self) -> Fd {
        Fd(self.0.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::net::run_test;

    #[test]
    fn what_was_written_is_read_and_no_file_is_left() {
        run_test(async {
            let folder = tempfile::tempdir().unwrap();
            let inner = folder.path().join("receiving");
            for scratch in [
                Scratch::create(&inner).unwrap(),
                Scratch::unlinked(&inner).unwrap(),
            ] {
                scratch.write(vec![1; 5000], 0).await.0.unwrap();
                scratch.write(vec![2; 300_000], 5000).await.0.unwrap();
                let read = scratch.read(4998, 4).await.unwrap();
                assert_eq!(read, [1, 1, 2, 2]);
                let behind = scratch.read(304_000, 2000).await.unwrap_err();
                assert_eq!(behind.kind(), io::ErrorKind::UnexpectedEof);
                assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 0);
            }
        });
    }
}
