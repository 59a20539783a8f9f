//! Typed access to the settings of a cluster, and what they must have in common.

use std::path::PathBuf;
use std::time::Duration;

use crate::address::{NodeAddress, PEER_PORT_OFFSET};

use super::settings::Config;
use super::table::Name;
use super::value::Value;

/// What a node that does not lead does with a command that only the leader can carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowerMode {
    /// Has the leader carry it out, and answers itself.
    Forward,
    /// Answers `-MOVED` with the leader's address. Where none is known, as [`FollowerMode::Forward`]:
    /// a cluster client that got an error instead would have to wait and to ask again by itself.
    Redirect,
}

/// How many heartbeats at least fit into the shortest election time: one may be lost and another
/// late without anybody standing for election.
const HEARTBEATS_PER_ELECTION_MIN: u32 = 3;

impl Config {
    pub fn follower_mode(&self) -> FollowerMode {
        match self.show(Name::FollowerMode).as_str() {
            "redirect" => FollowerMode::Redirect,
            _ => FollowerMode::Forward,
        }
    }

    /// Whether a leader that a quorum has answered lately may tell a read index without asking it
    /// again. Right as long as the nodes' clocks run at the same pace, and all have the same times
    /// of election.
    pub fn reads_by_lease(&self) -> bool {
        matches!(self.value(Name::ReadLease), Value::Flag(true))
    }

    /// The nodes that start a cluster together, this one among them; empty when none were named.
    pub fn cluster_peers(&self) -> Vec<NodeAddress> {
        self.addresses(Name::ClusterPeers)
    }

    /// How many of [`cluster_peers`](Config::cluster_peers) make the first voters: all of them,
    /// unless said otherwise. 0 where none were named.
    pub fn expected_peers(&self) -> usize {
        match self.show(Name::Expect).parse() {
            Ok(0) | Err(_) => self.cluster_peers().len(),
            Ok(expected) => expected,
        }
    }

    /// Members of a cluster that this node joins, to be asked in turn.
    pub fn join(&self) -> Vec<NodeAddress> {
        self.addresses(Name::Join)
    }

    /// What the nodes of a cluster have in common and strangers have not; may be empty.
    pub fn cluster_secret(&self) -> String {
        self.show(Name::ClusterSecret)
    }

    /// How often a leader tells its followers that it is there.
    pub fn cluster_heartbeat(&self) -> Duration {
        self.milliseconds(Name::ClusterHeartbeatMs)
    }

    /// The shortest time without a leader after which a follower stands for election.
    pub fn cluster_election(&self) -> Duration {
        self.milliseconds(Name::ClusterElectionMs)
    }

    /// The longest one, half as much again, which is also how long a follower counts on its leader:
    /// a leader that dies is replaced after the longest plus one between both, 0.75 to 0.9 s at the
    /// default.
    pub fn cluster_election_max(&self) -> Duration {
        self.cluster_election() * 3 / 2
    }

    /// Whether this node votes though it may have lost what it had acknowledged: what an operator
    /// says when all machines of a cluster crashed, and nobody is left to catch up with.
    pub fn votes_after_loss(&self) -> bool {
        matches!(self.value(Name::ClusterVoteAfterLoss), Value::Flag(true))
    }

    /// The files by which nodes encrypt what they say to each other: certificate, private key,
    /// authorities. `None`: in the clear.
    pub fn cluster_certificates(&self) -> Option<[PathBuf; 3]> {
        let names = [Name::TlsCertFile, Name::TlsKeyFile, Name::TlsCaCertFile];
        let is_on = matches!(self.value(Name::TlsCluster), Value::Flag(true));
        is_on.then(|| names.map(|name| self.show(name).into()))
    }

    /// Where this node is reached, where it says so itself.
    pub fn announce_address(&self) -> Option<NodeAddress> {
        self.addresses(Name::AnnounceAddress).pop()
    }

    /// Where this node listens for its peers; `None` where it was not given and there is no client
    /// port, or none that leaves room for it.
    pub fn peer_port(&self) -> Option<u16> {
        match self.show(Name::PeerPort).parse() {
            Ok(0) | Err(_) if self.port() == 0 => None,
            Ok(0) | Err(_) => self.port().checked_add(PEER_PORT_OFFSET),
            Ok(port) => Some(port),
        }
    }

    fn milliseconds(&self, name: Name) -> Duration {
        match self.value(name) {
            Value::Int(ms) => Duration::from_millis(*ms as u64),
            other => unreachable!("{name} is {other:?}"),
        }
    }

    fn addresses(&self, name: Name) -> Vec<NodeAddress> {
        match self.value(name) {
            Value::List(words) => words.iter().filter_map(|word| word.parse().ok()).collect(),
            other => unreachable!("{name} is {other:?}"),
        }
    }

    /// Whether the settings of a cluster go together.
    ///
    /// # Errors
    /// Which do not, and what to do.
    pub(super) fn check_cluster(&self) -> Result<(), String> {
        let peers = self.cluster_peers();
        let expected = self.expected_peers();
        let (heartbeat, election) = (self.cluster_heartbeat(), self.cluster_election());
        if !peers.is_empty() && !self.join().is_empty() {
            return Err(
                "cluster-peers starts a cluster and join enters one: give one of them".into(),
            );
        }
        if peers.is_empty() && expected > 0 {
            return Err("expect counts the nodes of cluster-peers, and none is named".into());
        }
        if expected > peers.len() {
            return Err(format!(
                "expect waits for {expected} nodes and cluster-peers names {}",
                peers.len()
            ));
        }
        if election < heartbeat * HEARTBEATS_PER_ELECTION_MIN {
            return Err(format!(
                "cluster-election-ms {} is less than {HEARTBEATS_PER_ELECTION_MIN} times \
                 cluster-heartbeat-ms {}: followers would stand for election beside a leader",
                election.as_millis(),
                heartbeat.as_millis()
            ));
        }
        if self.peer_port() == Some(self.port()) && self.port() != 0 {
            return Err(format!("port and peer-port are both {}", self.port()));
        }
        if let Some(files) = self.cluster_certificates()
            && files.iter().any(|file| file.as_os_str().is_empty())
        {
            return Err(
                "tls-cluster needs tls-cert-file, tls-key-file and tls-ca-cert-file".into(),
            );
        }
        let clustered = !peers.is_empty() || !self.join().is_empty();
        if clustered && self.peer_port().is_none() {
            return Err(format!(
                "port {} leaves no peer port {PEER_PORT_OFFSET} above it: give a peer-port",
                self.port()
            ));
        }
        Ok(())
    }
}

/// Node addresses from words and from lists with commas, each once, as they are written out.
///
/// # Errors
/// Which word is none, or comes twice.
pub(super) fn read_addresses(words: &[String]) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let texts = words.iter().flat_map(|word| word.split(','));
    for text in texts.map(str::trim).filter(|text| !text.is_empty()) {
        let address = text.parse::<NodeAddress>()?.to_string();
        if found.contains(&address) {
            return Err(format!("{address} is named twice"));
        }
        found.push(address);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Startup;

    fn started(line: &str) -> Result<Config, String> {
        let args: Vec<String> = line.split(' ').map(String::from).collect();
        match Config::from_args(&args) {
            Ok(Startup::Run(config)) => Ok(config),
            Ok(Startup::Print(text)) => Err(text),
            Err(error) => Err(error.to_string()),
        }
    }

    fn address(text: &str) -> NodeAddress {
        text.parse().unwrap()
    }

    #[test]
    fn a_node_is_alone_unless_told() {
        let config = Config::default();
        assert_eq!(config.follower_mode(), FollowerMode::Forward);
        assert_eq!((config.cluster_peers(), config.join()), (vec![], vec![]));
        assert_eq!(
            (config.expected_peers(), config.peer_port()),
            (0, Some(16379))
        );
        assert_eq!(
            (config.cluster_secret(), config.announce_address()),
            (String::new(), None)
        );
        assert_eq!(config.cluster_heartbeat(), Duration::from_millis(50));
        assert_eq!(config.cluster_election(), Duration::from_millis(300));
        assert_eq!(config.check_cluster(), Ok(()));
    }

    #[test]
    fn three_lines_start_a_cluster() {
        let line = "--port 7001 --cluster-peers a:7000,a:7001,b:7002@9000 --expect 2 \
                    --cluster-secret s3 --follower-mode REDIRECT --announce-address a:7001@8001 \
                    --peer-port 8001 --cluster-heartbeat-ms 100 --cluster-election-ms 1000";
        let config = started(line).unwrap();
        let peers = ["a:7000", "a:7001", "b:7002@9000"].map(address);
        assert_eq!(config.cluster_peers(), peers);
        assert_eq!(config.expected_peers(), 2);
        assert_eq!(config.cluster_secret(), "s3");
        assert_eq!(config.follower_mode(), FollowerMode::Redirect);
        assert_eq!(config.announce_address(), Some(address("a:7001@8001")));
        assert_eq!(config.peer_port(), Some(8001));
        assert_eq!(config.cluster_heartbeat(), Duration::from_millis(100));
        assert_eq!(config.cluster_election(), Duration::from_secs(1));
        let spread = started("--cluster-peers a:7000 a:7001, b:7002@9000").unwrap();
        assert_eq!(spread.cluster_peers(), peers);
        assert_eq!(spread.expected_peers(), 3);
        let joining = started("--join [::1]:7000 --port 7001").unwrap();
        assert_eq!(joining.join(), [address("[::1]:7000")]);
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        for (line, expected) in [
            (
                "--join here",
                "command line: 'join here': 'here' is no node address: write host:port or host:port@peerport",
            ),
            (
                "--cluster-peers a:1,a:1",
                "command line: 'cluster-peers a:1,a:1': a:1 is named twice",
            ),
            (
                "--announce-address a:1 b:1",
                "command line: 'announce-address a:1 b:1': one address is enough",
            ),
            (
                "--cluster-peers a:1 --join b:1",
                "cluster-peers starts a cluster and join enters one: give one of them",
            ),
            (
                "--expect 3",
                "expect counts the nodes of cluster-peers, and none is named",
            ),
            (
                "--cluster-peers a:1,b:1 --expect 3",
                "expect waits for 3 nodes and cluster-peers names 2",
            ),
            (
                "--cluster-election-ms 100",
                "cluster-election-ms 100 is less than 3 times cluster-heartbeat-ms 50: followers would stand for election beside a leader",
            ),
            (
                "--port 7000 --peer-port 7000",
                "port and peer-port are both 7000",
            ),
            (
                "--port 60000 --join a:1",
                "port 60000 leaves no peer port 10000 above it: give a peer-port",
            ),
        ] {
            assert_eq!(started(line).unwrap_err(), expected, "{line}");
        }
        assert!(started("--port 60000").is_ok());
    }
}
