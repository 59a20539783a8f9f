//! Sockets on one io_uring: multishot receive into a ring of buffers, plain sends.
//!
//! Where the client has a core to itself ([`Wait::Spin`]), the thread never waits in the kernel. It
//! watches the completion and task-run flags in shared memory and enters only when there is
//! something to submit or to collect, so the server is not charged for waking the client, and the
//! time between two finds is the client's idle time. Where servers and client share cores
//! ([`Wait::Sleep`]), spinning would take from what is measured: the thread sleeps in the kernel.
//!
//! Invariants
//! - A received chunk stays valid until [`Wire::recycle`]; each buffer id is recycled once.
//! - Sent bytes outlive the ring (`'bytes`): nothing is copied on the way to the kernel.
//!
//! Not done here: order of two sends in flight on one connection. The loops keep one at most.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::marker::PhantomData;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::str::FromStr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

const ENTER_GETEVENTS: u32 = 1;
const BUFFER_GROUP: u16 = 0;
/// Holds a whole batch of 64 values of 32 bytes several times over.
const BUFFER_BYTES: usize = 16 * 1024;
/// Power of two, as the kernel asks; twice the connections that the table uses, and then some.
const BUFFERS: u16 = 256;
const SUBMISSIONS: u32 = 4096;
const SENT: u64 = 1 << 32;
/// Longest sleep without a look at the clock.
pub const SLEEP_MAX: Duration = Duration::from_millis(10);

/// What the thread does while nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Looks again and again: for a client with a core of its own.
    Spin,
    /// Sleeps in the kernel: for a client that shares its core with servers.
    Sleep,
}

impl FromStr for Wait {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "spin" => Ok(Self::Spin),
            "sleep" => Ok(Self::Sleep),
            _ => Err(()),
        }
    }
}

impl Wait {
    /// For [`Wire::turn`]: `sleep_max`, and no more than [`SLEEP_MAX`], where there is sleeping at
    /// all.
    pub fn at_most(self, sleep_max: Duration) -> Option<Duration> {
        (self == Self::Sleep).then_some(sleep_max.min(SLEEP_MAX))
    }
}

/// Lets sleeps end when they should: threads otherwise wake up to 50 us late.
pub fn sleep_exactly() {
    // SAFETY: no pointers involved.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// What happened on a connection.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// `bytes` arrived; read them with [`Wire::chunk`], then [`Wire::recycle`] the event.
    Received {
        connection: usize,
        buffer: u16,
        bytes: usize,
    },
    /// A send that asked for it is done.
    Sent { connection: usize },
    /// The other side of some connection closed.
    Closed,
}

/// Connected sockets and their ring.
pub struct Wire<'bytes> {
    ring: IoUring,
    buffers: Buffers,
    sockets: Vec<TcpStream>,
    rearm: Vec<usize>,
    bytes: PhantomData<&'bytes [u8]>,
}

impl<'bytes> Wire<'bytes> {
    /// Opens `connections` connections to `address`.
    ///
    /// # Errors
    /// When the server refuses one, or io_uring is not to be had.
    pub fn connect(address: SocketAddr, connections: usize) -> io::Result<Self> {
        let sockets = (0..connections)
            .map(|_| TcpStream::connect(address))
            .collect::<io::Result<Vec<_>>>()?;
        Self::adopt(sockets)
    }

    /// Puts connected sockets on a new ring and starts receiving.
    ///
    /// # Errors
    /// When the ring cannot be made (kernel before 6.1, or io_uring forbidden).
    pub fn adopt(sockets: Vec<TcpStream>) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(SUBMISSIONS * 4)
            .build(SUBMISSIONS)?;
        let buffers = Buffers::register(&ring)?;
        for socket in &sockets {
            socket.set_nodelay(true)?;
        }
        let rearm = (0..sockets.len()).collect();
        Ok(Self {
            ring,
            buffers,
            sockets,
            rearm,
            bytes: PhantomData,
        })
    }

    /// Queues `bytes` for `connection`; they leave with the next [`Wire::turn`]. With `notify` a
    /// [`Event::Sent`] tells when the kernel has taken all of them.
    ///
    /// # Errors
    /// When the ring refuses the entries already queued.
    pub fn send(&mut self, connection: usize, bytes: &'bytes [u8], notify: bool) -> io::Result<()> {
        let descriptor = types::Fd(self.sockets[connection].as_raw_fd());
        let mut entry = opcode::Send::new(descriptor, bytes.as_ptr(), bytes.len() as u32)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .user_data(SENT | connection as u64);
        if !notify {
            entry = entry.flags(squeue::Flags::SKIP_SUCCESS);
        }
        // SAFETY: `bytes` lives for 'bytes, longer than this ring.
        unsafe { self.push(&entry) }
    }

    /// Submits what is queued and appends what has happened to `events`. With `sleep_max` it
    /// sleeps so long for something to happen; otherwise never, and is false if nothing was there
    /// to do.
    ///
    /// # Errors
    /// A failed send or receive, with its cause.
    pub fn turn(
        &mut self,
        events: &mut Vec<Event>,
        sleep_max: Option<Duration>,
    ) -> io::Result<bool> {
        for index in 0..self.rearm.len() {
            let connection = self.rearm[index];
            let descriptor = types::Fd(self.sockets[connection].as_raw_fd());
            let entry = opcode::RecvMulti::new(descriptor, BUFFER_GROUP)
                .build()
                .user_data(connection as u64);
            // SAFETY: the buffers belong to the registered ring, which lives as long as `self`.
            unsafe { self.push(&entry)? };
        }
        self.rearm.clear();
        let (submitter, mut queue, mut completions) = self.ring.split();
        queue.sync();
        let pending = queue.len() as u32;
        completions.sync();
        if let (true, Some(sleep_max)) = (completions.is_empty(), sleep_max) {
            let timespec = types::Timespec::from(sleep_max);
            let arguments = types::SubmitArgs::new().timespec(&timespec);
            match submitter.submit_with_args(1, &arguments) {
                Err(error) if error.raw_os_error() == Some(libc::ETIME) => {}
                outcome => drop(outcome?),
            }
            completions.sync();
        } else if pending == 0 && !queue.taskrun() {
            if completions.is_empty() {
                return Ok(false);
            }
        } else {
            // SAFETY: no argument is passed.
            unsafe { submitter.enter::<()>(pending, 0, ENTER_GETEVENTS, None)? };
            completions.sync();
        }
        for completion in completions {
            if let Some(event) = understand(&completion, &mut self.rearm)? {
                events.push(event);
            }
        }
        Ok(true)
    }

    /// The bytes of a `Received` event.
    pub fn chunk(&self, buffer: u16, bytes: usize) -> &[u8] {
        self.buffers.get(buffer, bytes)
    }

    /// Gives the buffer of a `Received` event back to the kernel.
    pub fn recycle(&mut self, buffer: u16) {
        self.buffers.give(buffer);
    }

    /// Safety: whatever `entry` points to must live as long as the ring.
    unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: passed on to the caller.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit()?;
        }
        Ok(())
    }
}

fn understand(completion: &cqueue::Entry, rearm: &mut Vec<usize>) -> io::Result<Option<Event>> {
    let connection = (completion.user_data() & !SENT) as usize;
    let result = completion.result();
    if completion.user_data() & SENT != 0 {
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        return Ok(Some(Event::Sent { connection }));
    }
    let ends = !cqueue::more(completion.flags());
    if result == 0 {
        return Ok(Some(Event::Closed));
    }
    if ends {
        rearm.push(connection);
    }
    if result < 0 {
        return match -result {
            // All buffers were taken: they come back in this turn, then receiving starts again.
            libc::ENOBUFS => Ok(None),
            code => Err(io::Error::from_raw_os_error(code)),
        };
    }
    let buffer = cqueue::buffer_select(completion.flags())
        .ok_or_else(|| io::Error::other("received without a buffer"))?;
    Ok(Some(Event::Received {
        connection,
        buffer,
        bytes: result as usize,
    }))
}

/// The ring of receive buffers that the kernel picks from.
struct Buffers {
    entries: *mut types::BufRingEntry,
    memory: *mut u8,
    tail: u16,
}

impl Buffers {
    const ENTRIES_LAYOUT: Layout =
        match Layout::from_size_align(BUFFERS as usize * size_of::<types::BufRingEntry>(), 4096) {
            Ok(layout) => layout,
            Err(_) => panic!("layout of the buffer ring"),
        };
    const MEMORY_LAYOUT: Layout =
        match Layout::from_size_align(BUFFERS as usize * BUFFER_BYTES, 4096) {
            Ok(layout) => layout,
            Err(_) => panic!("layout of the buffers"),
        };

    fn register(ring: &IoUring) -> io::Result<Self> {
        // SAFETY: both layouts have a size above zero; null is handled below.
        let (entries, memory) = unsafe {
            (
                alloc_zeroed(Self::ENTRIES_LAYOUT),
                alloc_zeroed(Self::MEMORY_LAYOUT),
            )
        };
        if entries.is_null() || memory.is_null() {
            handle_alloc_error(Self::MEMORY_LAYOUT);
        }
        let mut buffers = Self {
            entries: entries.cast(),
            memory,
            tail: 0,
        };
        // SAFETY: the memory is page aligned, holds BUFFERS entries and is freed after the ring
        // is gone (field order in `Wire`).
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.entries as u64,
                BUFFERS,
                BUFFER_GROUP,
                0,
            )?;
        }
        for buffer in 0..BUFFERS {
            buffers.give(buffer);
        }
        Ok(buffers)
    }

    fn get(&self, buffer: u16, bytes: usize) -> &[u8] {
        assert!(buffer < BUFFERS && bytes <= BUFFER_BYTES);
        // SAFETY: within the allocation, and the kernel does not write to a buffer it handed out.
        unsafe {
            std::slice::from_raw_parts(self.memory.add(usize::from(buffer) * BUFFER_BYTES), bytes)
        }
    }

    fn give(&mut self, buffer: u16) {
        assert!(buffer < BUFFERS);
        let slot = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: `slot` is within the ring, `buffer` within the memory; the tail lies in the
        // first entry's reserved field and is published last.
        unsafe {
            let entry = &mut *self.entries.add(slot);
            entry.set_addr(self.memory.add(usize::from(buffer) * BUFFER_BYTES) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
            let tail = types::BufRingEntry::tail(self.entries)
                .cast_mut()
                .cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated in `register` with these layouts.
        unsafe {
            dealloc(self.entries.cast(), Self::ENTRIES_LAYOUT);
            dealloc(self.memory, Self::MEMORY_LAYOUT);
        }
    }
}
