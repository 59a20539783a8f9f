//! File I/O that does not block an executor, and the aligned memory that direct I/O asks for.
//!
//! Everything here must be called from inside a running executor. File descriptors are borrowed:
//! the caller keeps them open until the future resolves.

use std::cell::OnceCell;
use std::io;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{SendError, Sender, channel};

use futures::channel::oneshot;
use io_uring::opcode;
use io_uring::types::{Fd, FsyncFlags};

use super::ring::Ring;

/// What `O_DIRECT` asks memory, offsets and lengths to be multiples of, in bytes.
pub const BLOCK_BYTES: usize = 4096;

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Page([u8; BLOCK_BYTES]);

const ZERO_PAGE: Page = Page([0; BLOCK_BYTES]);

/// Growable bytes whose first one lies on a 4 KiB boundary. Kept and reused between writes, so
/// that a steady writer allocates nothing.
#[derive(Default)]
pub struct AlignedBuffer {
    pages: Vec<Page>,
    len: usize,
}

impl AlignedBuffer {
    /// An empty buffer without memory of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes held without growing.
    pub fn capacity(&self) -> usize {
        self.pages.len() * BLOCK_BYTES
    }

    /// Forgets the content, keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Gives the memory back where it exceeds `bytes_max`, so that one huge write does not stay
    /// resident for ever. Forgets the content then.
    pub fn shrink(&mut self, bytes_max: usize) {
        if self.capacity() > bytes_max {
            *self = Self::default();
        }
    }

    fn grow(&mut self, bytes: usize) {
        if bytes > self.capacity() {
            let pages = bytes
                .div_ceil(BLOCK_BYTES)
                .max((self.pages.len() * 2).min(self.pages.len() + 4096));
            self.pages.resize(pages, ZERO_PAGE);
        }
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let start = self.len;
        self.grow(start + bytes.len());
        self.len += bytes.len();
        self.as_mut_slice()[start..].copy_from_slice(bytes);
    }

    /// Appends zeros until the length is a multiple of `multiple` bytes.
    pub fn pad_to(&mut self, multiple: usize) {
        let start = self.len;
        let end = start.next_multiple_of(multiple);
        self.grow(end);
        self.len = end;
        self.as_mut_slice()[start..].fill(0);
    }

    /// The content.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `pages` is contiguous, initialised memory of `capacity()` bytes and `len` never
        // exceeds that (`grow` precedes every change of `len`).
        unsafe { std::slice::from_raw_parts(self.pages.as_ptr().cast(), self.len) }
    }

    /// The content, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`; the exclusive borrow of `self` makes it the only view.
        unsafe { std::slice::from_raw_parts_mut(self.pages.as_mut_ptr().cast(), self.len) }
    }
}

impl std::ops::Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// Writes `buffer` at `offset` of `fd`, which was opened with `O_DIRECT`; length and offset are
/// multiples of [`BLOCK_BYTES`]. Gives the buffer back with the count of bytes written. `durable`:
/// on disk when it ends; else once [`fdatasync`] has followed, of whose end alone the core's main
/// task is told.
///
/// On a disk that needs a flush for it, the kernel ends a durable write by a task on the CPU that
/// the disk interrupts, behind whatever runs there: 0.05 ms sooner than write and [`fdatasync`]
/// where that CPU idles, up to a time slice later where it does not.
pub async fn write_direct(
    fd: RawFd,
    buffer: AlignedBuffer,
    offset: u64,
    durable: bool,
) -> (io::Result<usize>, AlignedBuffer) {
    let flags = if durable { libc::RWF_DSYNC } else { 0 };
    if let Some(ring) = Ring::current() {
        let length = buffer.len().min(u32::MAX as usize) as u32;
        let entry = opcode::Write::new(Fd(fd), buffer.as_ptr(), length)
            .offset(offset)
            .rw_flags(flags)
            .build();
        if durable {
            // SAFETY: the bytes are on the heap and belong to `buffer`, which the ring keeps until
            // the write is through; moving the handle does not move them.
            return unsafe { ring.file(entry, buffer) }.await;
        }
        // SAFETY: as above.
        return unsafe { ring.awaited(entry, buffer) }.await;
    }
    blocking(move || {
        let bytes = libc::iovec {
            iov_base: buffer.as_ptr().cast_mut().cast(),
            iov_len: buffer.len(),
        };
        // SAFETY: pointer and length are those of a live buffer that this closure owns, which a
        // write only reads; the caller keeps `fd` open.
        let written = unsafe { libc::pwritev2(fd, &bytes, 1, offset as libc::off_t, flags) };
        let result = usize::try_from(written).map_err(|_| io::Error::last_os_error());
        (result, buffer)
    })
    .await
}

/// Makes the content of `fd` durable (`fdatasync`).
pub async fn fdatasync(fd: RawFd) -> io::Result<()> {
    if let Some(ring) = Ring::current() {
        let entry = opcode::Fsync::new(Fd(fd))
            .flags(FsyncFlags::DATASYNC)
            .build();
        // SAFETY: the operation has no memory of its own.
        return unsafe { ring.file(entry, ()) }.await.0.map(drop);
    }
    blocking(move || {
        // SAFETY: no memory is passed; the caller keeps `fd` open.
        match unsafe { libc::fdatasync(fd) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    })
    .await
}

thread_local! {
    /// To this core's helper thread, which ends with it.
    static HELPER: OnceCell<Sender<Box<dyn FnOnce() + Send>>> = const { OnceCell::new() };
}

fn start_helper() -> Sender<Box<dyn FnOnce() + Send>> {
    // What is in it is bounded by the tasks that wait for its end.
    let (sender, receiver) = channel::<Box<dyn FnOnce() + Send>>();
    let help = move || receiver.into_iter().for_each(|work| work());
    let started = std::thread::Builder::new()
        .name("helper".into())
        .spawn(help);
    if let Err(error) = started {
        tracing::error!("no thread can be made for a call that blocks: {error}");
    }
    sender
}

/// Runs `work` on this core's helper thread: for the rare call that may block long (a cold
/// read, a very large write). Costs a hop of 25-50 us. Where no thread can be made it blocks here.
///
/// # Panics
/// As `work` does.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = oneshot::channel();
    let guarded = move || {
        let done = catch_unwind(AssertUnwindSafe(work));
        // Whoever asked may have given up.
        let _ = sender.send(done);
    };
    let sent = HELPER.with(|helper| helper.get_or_init(start_helper).send(Box::new(guarded)));
    if let Err(SendError(guarded)) = sent {
        guarded();
    }
    match answer(receiver).await {
        Some(Ok(value)) => value,
        Some(Err(panic)) => resume_unwind(panic),
        None => unreachable!("the work sends whatever becomes of it"),
    }
}

/// Waits for an answer that another thread gives; `None` where it dropped its end.
pub async fn answer<T>(receiver: oneshot::Receiver<T>) -> Option<T> {
    super::cross_thread(receiver).await.ok()
}

/// Runs `future` to its end on a fresh executor of the calling thread: the entry of unit tests.
#[cfg(test)]
pub fn run_test<T>(future: impl Future<Output = T>) -> T {
    glommio::LocalExecutorBuilder::default()
        .io_memory(64 << 10)
        .ring_depth(128)
        // Without one: it can make glommio sleep over runnable tasks (see `executor`).
        .preempt_timer(std::time::Duration::from_secs(3600))
        .make()
        .expect("an executor starts")
        .run(future)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_another_thread_are_never_missed() {
        let (requests, inbox) = std::sync::mpsc::sync_channel::<oneshot::Sender<u32>>(1);
        let thread = std::thread::spawn(move || {
            for (number, request) in (0..).zip(inbox) {
                request.send(number).expect("somebody waits");
            }
        });
        run_test(async move {
            for number in 0..20_000 {
                let (sender, receiver) = oneshot::channel();
                requests.send(sender).expect("the thread is there");
                assert_eq!(answer(receiver).await, Some(number));
            }
        });
        thread.join().expect("the thread ends");
    }

    #[test]
    fn buffer_is_aligned_and_pads_with_zeros_over_old_content() {
        let mut buffer = AlignedBuffer::new();
        buffer.extend_from_slice(&[7; 10_000]);
        assert_eq!(buffer.as_ptr() as usize % BLOCK_BYTES, 0);
        buffer.clear();
        buffer.extend_from_slice(b"abc");
        buffer.pad_to(8);
        assert_eq!(&buffer[..], b"abc\0\0\0\0\0");
        buffer.pad_to(BLOCK_BYTES);
        assert_eq!(buffer.len(), BLOCK_BYTES);
        assert!(buffer[3..].iter().all(|&byte| byte == 0));
        buffer.shrink(100);
        assert_eq!(buffer.capacity(), 0);
    }
}
