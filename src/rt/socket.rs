//! TCP sockets: making, setting, closing. The traffic on them is the ring's.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// The kernel closes a killed process' sockets some time after its end, those on a ring last: a
/// restart waits for so long until its port is free.
pub const FREED_WITHIN: Duration = Duration::from_secs(1);

const FREED_LOOK_EVERY: Duration = Duration::from_millis(10);

/// Listens on `address`. Several cores do so on the same one (SO_REUSEPORT); the kernel spreads
/// connections among them.
///
/// # Errors
/// As bind(2) and listen(2), `AddrInUse` among them.
pub fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: socket(2) with plain arguments; the descriptor is checked and owned at once.
    let socket = unsafe {
        let fd = libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    set(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    set(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    if !address.is_ipv4() {
        set(socket.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    bind(socket.as_raw_fd(), address)?;
    // SAFETY: a plain call on a descriptor that is open.
    if unsafe { libc::listen(socket.as_raw_fd(), backlog) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(TcpListener::from(socket))
}

/// Whether nobody listens on `address`, this process' own listeners excepted: SO_REUSEPORT would
/// let a second server of the same user share the port unnoticed. Blocks for up to
/// [`FREED_WITHIN`] where somebody does.
///
/// # Errors
/// `AddrInUse`, or as bind(2).
pub fn probe(address: SocketAddr) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        // The standard library sets SO_REUSEADDR and not SO_REUSEPORT: it fails where anyone
        // listens.
        match TcpListener::bind(address) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < FREED_WITHIN =>
            {
                std::thread::sleep(FREED_LOOK_EVERY);
            }
            bound => return bound.map(drop),
        }
    }
}

fn bind(socket: RawFd, address: SocketAddr) -> io::Result<()> {
    let address = RawAddress::from(address);
    // SAFETY: the pointer and the length are those of a whole address.
    if unsafe { libc::bind(socket, address.as_ptr(), address.length()) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// An address as the kernel reads it.
pub(super) enum RawAddress {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

impl From<SocketAddr> for RawAddress {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => RawAddress::V4(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(address.ip().octets()),
                },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(address) => RawAddress::V6(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: address.ip().octets(),
                },
                sin6_scope_id: address.scope_id(),
            }),
        }
    }
}

impl RawAddress {
    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        match self {
            RawAddress::V4(address) => (&raw const *address).cast(),
            RawAddress::V6(address) => (&raw const *address).cast(),
        }
    }

    pub(super) fn length(&self) -> libc::socklen_t {
        let length = match self {
            RawAddress::V4(address) => size_of_val(address),
            RawAddress::V6(address) => size_of_val(address),
        };
        length as libc::socklen_t
    }
}

/// A client's socket: closed when dropped.
pub struct Socket(TcpStream);

impl Socket {
    /// Takes an accepted descriptor over and sets it as Redis does: no Nagle, and keep-alive
    /// probes after `keepalive_s` seconds of silence (0 = none).
    ///
    /// # Safety
    /// `fd` must be an open socket that nobody else owns.
    pub unsafe fn accepted(fd: RawFd, keepalive_s: u32) -> Socket {
        // SAFETY: as the caller promises.
        let socket = Socket(unsafe { TcpStream::from_raw_fd(fd) });
        // A client that went away already makes these fail; its first receive will tell.
        let _ = socket.0.set_nodelay(true);
        if keepalive_s > 0 {
            let third = (keepalive_s / 3).max(1) as i32;
            let _ = set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
            let _ = set(
                fd,
                libc::IPPROTO_TCP,
                libc::TCP_KEEPIDLE,
                keepalive_s as i32,
            );
            let _ = set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, third);
            let _ = set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3);
        }
        socket
    }

    /// The client's address.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer_addr().ok()
    }

    /// The address the client connected to.
    pub fn local(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()
    }

    /// Sends a last word as far as it goes without waiting.
    pub fn send_last(&self, bytes: &[u8]) {
        let _ = self.0.set_nonblocking(true);
        let _ = std::io::Write::write(&mut &self.0, bytes);
    }

    /// Ends both directions: operations under way complete.
    pub fn shutdown(&self) {
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

pub(super) fn set(socket: RawFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the option's value is an int of the length given.
    let result = unsafe {
        libc::setsockopt(
            socket,
            level,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_freed_in_time_is_free() {
        let holder = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = holder.local_addr().unwrap();
        let begun = Instant::now();
        let refused = probe(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!((FREED_WITHIN..5 * FREED_WITHIN).contains(&begun.elapsed()));
        let freeing = std::thread::spawn(move || {
            std::thread::sleep(FREED_WITHIN / 5);
            drop(holder);
        });
        probe(address).unwrap();
        freeing.join().unwrap();
    }
}
