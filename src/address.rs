//! Where a node is reached: by clients, and by its peers.

use std::fmt;
use std::str::FromStr;

/// What is added to the client port where no peer port is given, as Redis Cluster does.
pub const PEER_PORT_OFFSET: u16 = 10_000;

/// A node's address, written `host:port` or `host:port@peerport`; an IPv6 host in brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeAddress {
    /// A name or an address, without brackets.
    pub host: String,
    /// For clients.
    pub port: u16,
    /// For peers.
    pub peer_port: u16,
}

impl NodeAddress {
    /// The address of a node that listens for clients at `port`, for peers at the usual distance.
    ///
    /// # Errors
    /// Where no port is left above `port`.
    pub fn new(host: impl Into<String>, port: u16) -> Result<Self, String> {
        let peer_port = port.checked_add(PEER_PORT_OFFSET).ok_or_else(|| {
            format!("port {port} leaves no peer port {PEER_PORT_OFFSET} above: give one (host:port@peerport)")
        })?;
        Ok(NodeAddress {
            host: host.into(),
            port,
            peer_port,
        })
    }

    /// `host:port`, what a client connects to.
    pub fn client(&self) -> String {
        format!("{}:{}", Bracketed(&self.host), self.port)
    }

    /// `host:port`, what a peer connects to.
    pub fn peer(&self) -> String {
        format!("{}:{}", Bracketed(&self.host), self.peer_port)
    }
}

/// A host as it stands before a colon.
struct Bracketed<'h>(&'h str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') {
            write!(f, "[{}]", self.0)
        } else {
            f.write_str(self.0)
        }
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Bracketed(&self.host), self.port)?;
        if self.port.checked_add(PEER_PORT_OFFSET) != Some(self.peer_port) {
            write!(f, "@{}", self.peer_port)?;
        }
        Ok(())
    }
}

impl FromStr for NodeAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("'{text}' is no node address: write host:port or host:port@peerport");
        let (client, peer_port) = match text.split_once('@') {
            Some((client, peer)) => (client, Some(peer.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let (host, port) = client.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(wrong)?,
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        if host.is_empty() || port == 0 || peer_port == Some(0) {
            return Err(wrong());
        }
        let host = host.to_string();
        match peer_port {
            Some(peer_port) => Ok(NodeAddress {
                host,
                port,
                peer_port,
            }),
            None => NodeAddress::new(host, port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in [
            "127.0.0.1:6379",
            "node-1.example:7000",
            "node-1:7000@9000",
            "[::1]:6379",
            "[fe80::1]:6379@7379",
        ] {
            let address: NodeAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        let address: NodeAddress = "[::1]:6379".parse().unwrap();
        assert_eq!(address.peer(), "[::1]:16379");
    }

    #[test]
    fn what_names_no_node_is_refused() {
        for text in [
            "",
            ":1",
            "a",
            "a:",
            "a:0",
            "a:1@0",
            "a:x",
            "a:1@x",
            "::1:6379",
            "[::1:6379",
            "a:60000",
        ] {
            assert!(text.parse::<NodeAddress>().is_err(), "{text}");
        }
    }
}
