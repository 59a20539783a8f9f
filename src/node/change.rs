//! Changes of the cluster, carried out on the Raft core.

use super::cluster_view::Change;
use super::raft_side::Raft;
use crate::raft::Group;

/// What a change needs of the Raft core for as long as it takes.
pub(super) struct Changer {
    pub group: Group,
}

impl Raft {
    pub(super) fn changer(&self) -> Changer {
        Changer {
            group: self.group.clone(),
        }
    }
}

/// Carries out a change and answers once it holds.
///
/// # Errors
/// Why it was not made, for whoever asked.
pub(super) async fn change(changer: &Changer, change: Change) -> Result<(), String> {
    if !changer.group.is_leader() {
        return Err("this node does not lead: ask the leader".to_string());
    }
    Err(format!("this version cannot change memberships: {change}"))
}
