//! Ports for the servers of this process.
//!
//! A server's port and its peer port, 10,000 above, both lie below those that the kernel gives to
//! outgoing connections. Test processes that run at the same time take theirs from blocks of their
//! own: between a look at a port and the server's own there is a moment, and a node that is killed
//! comes back at its port, which is nobody else's meanwhile.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use super::PEER_OFFSET;

const FIRST: u16 = 10_000;
const BLOCK_PORTS: u16 = 600;
/// So many that the last ends below the peer ports of the first.
const BLOCKS: u16 = PEER_OFFSET / BLOCK_PORTS;

/// A block that is this process' as long as it lives: a name in the kernel that only one can have.
struct Block {
    first: u16,
    next: AtomicU16,
    _name: UnixListener,
}

impl Block {
    fn claim(number: u16) -> Option<Block> {
        let name = SocketAddr::from_abstract_name(format!("quorate-it-ports-{number}")).ok()?;
        Some(Block {
            first: FIRST + number * BLOCK_PORTS,
            next: AtomicU16::new(0),
            _name: UnixListener::bind_addr(&name).ok()?,
        })
    }
}

/// A port that nobody listens on, nor on its peer port.
pub fn free_port() -> u16 {
    static BLOCK: OnceLock<Block> = OnceLock::new();
    let block = BLOCK.get_or_init(|| {
        let claimed = (0..BLOCKS).find_map(Block::claim);
        claimed.expect("a block of ports: too many test processes")
    });
    let bind = |port| TcpListener::bind(("127.0.0.1", port));
    let mut ports = (0..BLOCK_PORTS).map(|_| {
        let step = block.next.fetch_add(1, Ordering::Relaxed);
        block.first + step % BLOCK_PORTS
    });
    let found = ports.find(|port| bind(*port).and(bind(port + PEER_OFFSET)).is_ok());
    found.expect("a free port")
}
