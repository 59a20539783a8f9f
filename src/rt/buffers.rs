//! Buffers that the kernel picks from when data arrives (io_uring provided-buffer ring).

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

/// Bytes of one receive buffer: a full pipeline of 64 small commands fits many times over.
pub const BUFFER_BYTES: usize = 16 * 1024;

/// Receive buffers of a core: a power of two.
pub const BUFFERS: u16 = 512;

/// Group that the ring's receives draw from.
pub const GROUP: u16 = 0;

/// The buffers and the ring through which they are handed to the kernel.
pub struct Buffers {
    ring: *mut BufRingEntry,
    data: *mut u8,
    /// Next place of the ring to fill; published by [`Buffers::publish`].
    tail: u16,
}

const RING_BYTES: usize = BUFFERS as usize * size_of::<BufRingEntry>();
const DATA_BYTES: usize = BUFFERS as usize * BUFFER_BYTES;

impl Buffers {
    /// Maps the memory. Nothing is registered yet.
    ///
    /// # Errors
    /// When the system has no memory left.
    pub fn new() -> io::Result<Self> {
        Ok(Buffers {
            ring: map(RING_BYTES)?.cast(),
            data: map(DATA_BYTES)?,
            tail: 0,
        })
    }

    /// Address of the ring, for registering.
    pub fn address(&self) -> u64 {
        self.ring as u64
    }

    /// Hands every buffer to the kernel. Call once, after registering.
    pub fn fill(&mut self) {
        (0..BUFFERS).for_each(|id| self.recycle(id));
        self.publish();
    }

    /// The first `len` bytes of buffer `id`, which the kernel handed over with a completion and
    /// which was not recycled since.
    ///
    /// # Panics
    /// When `id` or `len` is none of this ring's.
    #[inline]
    pub fn bytes(&self, id: u16, len: usize) -> &[u8] {
        assert!(id < BUFFERS && len <= BUFFER_BYTES);
        // SAFETY: the range lies in the mapping made by `new`, which lives as long as `self`; the
        // kernel does not write to a buffer between its completion and its recycling.
        unsafe { std::slice::from_raw_parts(self.data.add(id as usize * BUFFER_BYTES), len) }
    }

    /// Gives buffer `id` back; the kernel sees it after [`Buffers::publish`].
    #[inline]
    pub fn recycle(&mut self, id: u16) {
        assert!(id < BUFFERS);
        // SAFETY: the place is one of the ring's, masked; the kernel does not read it before the
        // tail passes it.
        unsafe {
            let entry = &mut *self.ring.add((self.tail & (BUFFERS - 1)) as usize);
            entry.set_addr(self.data.add(id as usize * BUFFER_BYTES) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Makes what was recycled available to the kernel.
    #[inline]
    pub fn publish(&mut self) {
        // SAFETY: the tail lies in the first entry of the ring, 2-byte aligned, and only this
        // thread writes it.
        unsafe {
            let tail = BufRingEntry::tail(self.ring).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: both were mapped by `new` with these lengths; the ring that used them is closed
        // before its buffers are dropped.
        unsafe {
            libc::munmap(self.ring.cast(), RING_BYTES);
            libc::munmap(self.data.cast(), DATA_BYTES);
        }
    }
}

fn map(bytes: usize) -> io::Result<*mut u8> {
    // SAFETY: a fresh private anonymous mapping; no address is asked for.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(address.cast())
}
