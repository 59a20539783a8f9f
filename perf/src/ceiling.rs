//! The ideal server: answers by counting bytes, keeps nothing.
//!
//! It knows one request length and one reply. What the closed loop reaches against it is the
//! ceiling of client, kernel and loopback together; a server cannot be measured above it.

use std::net::TcpListener;

use crate::wire::{Event, Wire};

/// Most replies that leave in one send.
const REPLIES_PER_SEND: usize = 1024;

/// Serves rounds of `connections` connections on `listener` until the process is ended.
///
/// # Errors
/// When the ring cannot be made or a socket fails otherwise than by closing.
pub fn serve(
    listener: &TcpListener,
    connections: usize,
    request_bytes: usize,
    reply: &[u8],
) -> Result<(), String> {
    let replies = reply.repeat(REPLIES_PER_SEND);
    loop {
        let sockets = (0..connections)
            .map(|_| listener.accept().map(|(socket, _)| socket))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("accepting: {error}"))?;
        let mut wire = Wire::adopt(sockets).map_err(|error| format!("io_uring: {error}"))?;
        if let Err(error) = round(&mut wire, connections, request_bytes, reply.len(), &replies) {
            eprintln!("ceiling: round ended: {error}");
        }
    }
}

fn round<'reply>(
    wire: &mut Wire<'reply>,
    connections: usize,
    request_bytes: usize,
    reply_bytes: usize,
    replies: &'reply [u8],
) -> std::io::Result<()> {
    let mut received = vec![0; connections];
    let mut dirty = Vec::new();
    let mut events = Vec::new();
    let mut open = connections;
    while open > 0 {
        wire.turn(&mut events, None)?;
        for event in events.drain(..) {
            match event {
                Event::Received {
                    connection,
                    buffer,
                    bytes,
                } => {
                    wire.recycle(buffer);
                    received[connection] += bytes;
                    dirty.push(connection);
                }
                Event::Closed => open -= 1,
                Event::Sent { .. } => {}
            }
        }
        for connection in dirty.drain(..) {
            let mut due = received[connection] / request_bytes;
            received[connection] %= request_bytes;
            while due > 0 {
                let now = due.min(REPLIES_PER_SEND);
                wire.send(connection, &replies[..now * reply_bytes], false)?;
                due -= now;
            }
        }
    }
    Ok(())
}
