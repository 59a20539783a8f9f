//! TCP between nodes: connections whose operations are futures on the core's own ring.
//!
//! Clients' sockets are the main task's ([`Ring::receive`], [`Ring::send`]); these here any task of
//! the executor may use, one receive and one send at a time each. Buffers are owned by the
//! operation and come back with its result.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use io_uring::opcode;
use io_uring::types::Fd;

use super::ring::Ring;
use super::socket::{self, RawAddress};
use crate::limits::LOOKUPS_MAX;

/// Connections that the kernel accepts ahead of us: peers are few, and each has a few lanes.
const BACKLOG: i32 = 128;

/// One connection. Clones share it; it is closed when the last clone and the last operation on it
/// are gone.
#[derive(Clone)]
pub struct Stream(Rc<TcpStream>);

/// Ends a connection whose operation is given up: it would otherwise hold its socket and its memory
/// until the other side does something.
struct Unfinished<'s>(Option<&'s Stream>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.0 {
            stream.shutdown();
        }
    }
}

impl Stream {
    /// Runs an operation to its end. Dropping the future ends the connection.
    ///
    /// # Safety
    /// As of [`Ring::awaited`]; the socket is kept open.
    async unsafe fn operate<K: 'static>(
        &self,
        ring: &Ring,
        entry: io_uring::squeue::Entry,
        keep: K,
    ) -> (io::Result<usize>, K) {
        let mut unfinished = Unfinished(Some(self));
        // SAFETY: as the caller promises.
        let (result, kept) = unsafe { ring.awaited(entry, (keep, self.clone())) }.await;
        unfinished.0 = None;
        (result, kept.0)
    }

    /// Connects to `address`. Dropping the future gives the attempt up.
    ///
    /// # Errors
    /// As connect(2), or where this core has no ring.
    pub async fn connect(address: SocketAddr) -> io::Result<Stream> {
        let ring = ring()?;
        let family = match address {
            SocketAddr::V4(_) => libc::AF_INET,
            SocketAddr::V6(_) => libc::AF_INET6,
        };
        // SAFETY: socket(2) with plain arguments; the descriptor is checked and owned at once.
        let socket = unsafe {
            let fd = libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let stream = Stream(Rc::new(TcpStream::from(socket)));
        let raw = Box::new(RawAddress::from(address));
        let entry = opcode::Connect::new(stream.fd(), raw.as_ptr(), raw.length()).build();
        // SAFETY: the address is on the heap and kept until the operation ends.
        unsafe { stream.operate(&ring, entry, raw) }.await.0?;
        stream.0.set_nodelay(true)?;
        Ok(stream)
    }

    /// Lets the kernel give the connection up when what was sent stays unacknowledged for
    /// `silence`, or when nobody answers its probes for about that long.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_patience(&self, silence: Duration) -> io::Result<()> {
        let fd = self.0.as_raw_fd();
        let silence_ms = i32::try_from(silence.as_millis()).unwrap_or(i32::MAX);
        let third_s = (silence_ms / 3000).max(1);
        socket::set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
        socket::set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, third_s)?;
        socket::set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, third_s)?;
        socket::set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3)?;
        socket::set(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, silence_ms)
    }

    /// Receives up to the length of `buffer` into its front. 0 bytes: the other side has ended.
    /// Dropping the future ends the connection.
    ///
    /// # Errors
    /// As recv(2), or where this core has no ring.
    pub async fn receive(&self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let ring = match ring() {
            Ok(ring) => ring,
            Err(error) => return (Err(error), buffer),
        };
        let mut buffer = buffer;
        let length = buffer.len().min(i32::MAX as usize) as u32;
        let entry = opcode::Recv::new(self.fd(), buffer.as_mut_ptr(), length).build();
        // SAFETY: the bytes are on the heap and kept until the operation ends; moving the vector
        // does not move them.
        unsafe { self.operate(&ring, entry, buffer) }.await
    }

    /// Sends all of `bytes`. Dropping the future ends the connection; any part of them may have been
    /// sent.
    ///
    /// # Errors
    /// As send(2), or where this core has no ring. Any part may have been sent.
    pub async fn send(&self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let ring = match ring() {
            Ok(ring) => ring,
            Err(error) => return (Err(error), bytes),
        };
        let (mut bytes, mut sent) = (bytes, 0);
        while sent < bytes.len() {
            let rest = &bytes[sent..];
            let length = rest.len().min(i32::MAX as usize) as u32;
            let entry = opcode::Send::new(self.fd(), rest.as_ptr(), length)
                .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
                .build();
            // SAFETY: as in `receive`.
            let (result, kept) = unsafe { self.operate(&ring, entry, bytes) }.await;
            bytes = kept;
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), bytes),
                Ok(count) => sent += count,
                Err(error) => return (Err(error), bytes),
            }
        }
        (Ok(()), bytes)
    }

    /// Ends both directions: operations under way complete.
    pub fn shutdown(&self) {
        // Already ended by the other side, or not yet connected: nothing is left to end.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }

    /// The other side's address.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer_addr().ok()
    }

    fn fd(&self) -> Fd {
        Fd(self.0.as_raw_fd())
    }
}

/// A socket that peers connect to. Clones share it.
#[derive(Clone)]
pub struct Listener(Rc<TcpListener>);

impl Listener {
    /// Listens on `address`, alone.
    ///
    /// # Errors
    /// As bind(2) and listen(2), `AddrInUse` among them.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        if address.port() != 0 {
            socket::probe(address)?;
        }
        let listener = socket::listen(address, BACKLOG)?;
        Ok(Listener(Rc::new(listener)))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The next connection.
    ///
    /// # Errors
    /// As accept(2); `EINVAL` once it was closed.
    pub async fn accept(&self) -> io::Result<Stream> {
        let nowhere = std::ptr::null_mut();
        let entry = opcode::Accept::new(Fd(self.0.as_raw_fd()), nowhere, nowhere.cast())
            .flags(libc::SOCK_CLOEXEC)
            .build();
        // SAFETY: no memory is passed; the listener is kept until the operation ends.
        let (accepted, _listener) = unsafe { ring()?.awaited(entry, self.clone()) }.await;
        let fd = accepted? as i32;
        // SAFETY: the descriptor is new and owned here alone.
        let stream = Stream(Rc::new(unsafe { TcpStream::from_raw_fd(fd) }));
        stream.0.set_nodelay(true)?;
        Ok(stream)
    }

    /// Accepts no more: an accept under way fails.
    pub fn close(&self) {
        // SAFETY: a plain call on a descriptor that is open as long as `self`.
        unsafe { libc::shutdown(self.0.as_raw_fd(), libc::SHUT_RDWR) };
    }
}

thread_local! {
    /// Held by each lookup of this core that is under way.
    static LOOKUPS: Arc<()> = Arc::new(());
}

/// The addresses that `host` stands for. A name is looked up on a thread of its own: the lookup
/// may take many seconds, for which the executor's helper thread must not be missing. It goes on
/// when the future is dropped.
///
/// # Errors
/// Where the name has no address, or no thread can be made; `WouldBlock` where as many lookups as
/// there may be have not come to their end.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let lookup = LOOKUPS.with(Arc::clone);
    if Arc::strong_count(&lookup) > 1 + LOOKUPS_MAX {
        let why = "too many names are being looked up";
        return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
    }
    let (sender, receiver) = oneshot::channel();
    let name = host.to_string();
    std::thread::Builder::new()
        .name("resolve".to_string())
        .spawn(move || {
            let found = std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), port));
            drop(lookup);
            // Whoever asked may have given up.
            let _ = sender.send(found.map(Vec::from_iter));
        })?;
    let found = super::file::answer(receiver).await;
    let found = found.unwrap_or_else(|| Err(io::Error::other("the lookup broke off")))?;
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{host} has no address"),
        ));
    }
    Ok(found)
}

/// What `future` gives, if it takes no longer than `duration`.
pub async fn within<T>(duration: Duration, future: impl Future<Output = T>) -> Option<T> {
    let future = std::pin::pin!(future);
    let timer = std::pin::pin!(super::sleep(duration));
    match select(future, timer).await {
        Either::Left((value, _timer)) => Some(value),
        Either::Right(_) => None,
    }
}

fn ring() -> io::Result<Ring> {
    Ring::current().ok_or_else(|| io::Error::other("this core has no ring"))
}

/// Runs `future` to its end on a fresh executor of the calling thread that has a ring, with a main
/// task as a node's: the entry of unit tests.
#[cfg(test)]
pub fn run_test<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    use super::park::{Doorbell, Parker};

    super::file::run_test(async {
        let parker = Parker::new(Doorbell::new().expect("a descriptor"));
        let ring = Ring::new(parker).expect("a ring");
        let value = ring.drive(future).await;
        Ring::forget_current();
        value
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> (Listener, SocketAddr) {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address().unwrap();
        (listener, address)
    }

    #[test]
    fn bytes_go_both_ways_and_an_end_is_seen() {
        run_test(async {
            let (listener, address) = listener();
            super::super::spawn(async move {
                let stream = listener.accept().await.unwrap();
                loop {
                    let (received, mut buffer) = stream.receive(vec![0; 70_000]).await;
                    let count = received.unwrap();
                    if count == 0 {
                        break;
                    }
                    buffer.truncate(count);
                    stream.send(buffer).await.0.unwrap();
                }
            });
            let stream = Stream::connect(address).await.unwrap();
            stream.set_patience(Duration::from_secs(2)).unwrap();
            // More than the socket's buffers take: it must be read while it is written.
            let sent: Vec<u8> = (0..8_000_000u32).map(|number| number as u8).collect();
            let (writer, copy) = (stream.clone(), sent.clone());
            super::super::spawn(async move { writer.send(copy).await.0.unwrap() });
            let mut echoed = Vec::new();
            while echoed.len() < sent.len() {
                let (received, buffer) = stream.receive(vec![0; 100_000]).await;
                echoed.extend_from_slice(&buffer[..received.unwrap()]);
            }
            assert!(echoed == sent);
            stream.shutdown();
            assert_eq!(stream.receive(vec![0; 10]).await.0.unwrap(), 0);
        });
    }

    #[test]
    fn names_are_looked_up_a_few_at_a_time() {
        run_test(async {
            let mut slow: Vec<_> = (0..LOOKUPS_MAX).map(|_| LOOKUPS.with(Arc::clone)).collect();
            let refused = resolve("localhost", 1).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
            assert!(resolve("127.0.0.1", 1).await.is_ok(), "no lookup");
            slow.pop();
            for _ in 0..3 {
                assert!(!resolve("localhost", 1).await.unwrap().is_empty());
            }
        });
    }

    #[test]
    fn closing_ends_what_waits() {
        run_test(async {
            let (listener, address) = listener();
            let stream = Stream::connect(address).await.unwrap();
            let accepted = listener.accept().await.unwrap();
            let reader = accepted.clone();
            let (done, ended) = oneshot::channel();
            super::super::spawn(async move {
                let (received, _) = reader.receive(vec![0; 10]).await;
                let _ = done.send(received.unwrap());
            });
            super::super::sleep(Duration::from_millis(5)).await;
            accepted.shutdown();
            assert_eq!(ended.await.unwrap(), 0);
            assert_eq!(stream.receive(vec![0; 10]).await.0.unwrap(), 0);

            let closing = listener.clone();
            super::super::spawn(async move {
                super::super::sleep(Duration::from_millis(5)).await;
                closing.close();
            });
            assert!(listener.accept().await.is_err());
            drop(listener);
            assert!(Stream::connect(address).await.is_err(), "nobody listens");
        });
    }

    #[test]
    fn an_operation_given_up_ends_its_connection() {
        run_test(async {
            let (listener, address) = listener();
            let stream = Stream::connect(address).await.unwrap();
            let accepted = listener.accept().await.unwrap();
            let silence = stream.receive(vec![0; 10]);
            assert!(within(Duration::from_millis(5), silence).await.is_none());
            drop(stream);
            assert_eq!(accepted.receive(vec![0; 10]).await.0.unwrap(), 0);
            // Nobody answers there, and nobody refuses: the socket must not stay behind.
            let nowhere = Stream::connect("192.0.2.1:9".parse().unwrap());
            let _ = within(Duration::from_millis(5), nowhere).await;
            let sockets = || {
                let open = std::fs::read_dir("/proc/self/fd").unwrap();
                let links = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
                links.count()
            };
            let before = sockets();
            for _ in 0..20 {
                let nowhere = Stream::connect("192.0.2.1:9".parse().unwrap());
                let _ = within(Duration::from_millis(2), nowhere).await;
            }
            super::super::sleep(Duration::from_millis(20)).await;
            assert!(sockets() < before + 10);
        });
    }

    #[test]
    fn names_are_looked_up() {
        run_test(async {
            let found = resolve("localhost", 7).await.unwrap();
            assert!(found.iter().all(|address| address.ip().is_loopback()));
            assert_eq!(
                resolve("::1", 7).await.unwrap(),
                ["[::1]:7".parse().unwrap()]
            );
            assert!(resolve("no-such-host.invalid", 7).await.is_err());
        });
    }
}
