//! What follows, on each member, from a change of leader or of membership.

use openraft::AsyncRuntime;
use openraft::async_runtime::watch::WatchReceiver;

use super::Group;
use crate::raft::network::Addresses;
use crate::raft::runtime::Glommio;

impl Group {
    /// Watches the core until it is gone.
    pub(super) fn watch(&self, addresses: Addresses) {
        let group = self.clone();
        drop(Glommio::spawn(async move {
            let mut server = group.raft.server_metrics();
            loop {
                group.follow(&addresses);
                // A joint configuration whose completion failed is looked at again.
                let again = group.lease();
                let changed = match group.is_joint() {
                    true => Glommio::timeout(again, server.changed()).await,
                    false => Ok(server.changed().await),
                };
                if let Ok(Err(_gone)) = changed {
                    break;
                }
            }
            // A core that goes without having said why has panicked.
            if group.raft.metrics().borrow_watched().running_state.is_ok() {
                group.proposals.poison(&"the raft core panicked");
            }
        }));
    }

    fn follow(&self, addresses: &Addresses) {
        let members = self.members_now();
        addresses.replace(members.nodes().map(|(id, node)| (*id, node.addr.as_str())));
        self.stand_as_allowed();
        self.raft.runtime_config().tick(self.needs_clock());
        if self.is_joint() && self.is_leader() && !self.conduct.is_changing() {
            self.complete_abandoned();
        }
    }

    /// Completes a change of membership whose leader did not come to its second step.
    fn complete_abandoned(&self) {
        let Some(changing) = self.conduct.begin_change() else {
            return;
        };
        let group = self.clone();
        drop(Glommio::spawn(async move {
            if let Err(error) = group.complete_joint().await {
                tracing::warn!("a change of membership is not complete yet: {error}");
            }
            drop(changing);
        }));
    }

    /// Whether a change of votes is half made, and its first half is committed.
    fn is_joint(&self) -> bool {
        let server = self.raft.server_metrics();
        let server = server.borrow_watched();
        server.membership_config.get_joint_config().len() > 1
            && server.membership_config.log_id() == server.committed_membership_config.log_id()
    }

    /// Whether there is anything to do by the clock: heartbeats to send or an election to stand
    /// for. A node that is alone, or has no vote, wakes up for requests only.
    fn needs_clock(&self) -> bool {
        let server = self.raft.server_metrics();
        let server = server.borrow_watched();
        let (members, committed) = (
            &server.membership_config,
            &server.committed_membership_config,
        );
        let mut voters = members.voter_ids().chain(committed.voter_ids());
        match server.state.is_leader() {
            true => members.nodes().any(|(id, _)| *id != server.id),
            false => voters.any(|voter| voter == server.id),
        }
    }
}
