//! A file without a name, in a simulation: bytes in memory, with a disk's delays.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// Bytes on a disk. Clones share them.
#[derive(Clone)]
pub struct Scratch(Rc<RefCell<Vec<u8>>>);

impl Scratch {
    /// # Errors
    /// None.
    pub fn create(_folder: &Path) -> io::Result<Scratch> {
        Ok(Scratch(Rc::default()))
    }

    /// # Errors
    /// None.
    pub async fn write(&self, bytes: Vec<u8>, offset: u64) -> (io::Result<()>, Vec<u8>) {
        super::Sleep::new(Duration::from_micros(20 + super::below(500))).await;
        let mut file = self.0.borrow_mut();
        let end = offset as usize + bytes.len();
        let length = file.len().max(end);
        file.resize(length, 0);
        file[offset as usize..end].copy_from_slice(&bytes);
        drop(file);
        (Ok(()), bytes)
    }

    /// # Errors
    /// `UnexpectedEof` where there are fewer bytes.
    pub async fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        super::Sleep::new(Duration::from_micros(20 + super::below(500))).await;
        let file = self.0.borrow();
        let bytes = file.get(offset as usize..offset as usize + length);
        bytes
            .map(<[u8]>::to_vec)
            .ok_or(io::ErrorKind::UnexpectedEof.into())
    }
}
