//! Changes of the cluster, carried out on the Raft core of the node that leads.

use crate::address::NodeAddress;
use crate::error::Unavailable;
use crate::raft::{ChangeError, Group, Member, MemberState};
use crate::resp::Error;

use super::cluster::{Cluster, NotChanged};
use super::cluster_view::{Change, MemberName};

/// Carries out a change and answers once it is committed.
///
/// # Errors
/// Why it was not made, or that nobody knows, code word included.
pub(super) async fn change(cluster: &Cluster, change: Change) -> Result<(), NotChanged> {
    let group = &cluster.relay.group;
    let id_of =
        |name: &MemberName| id_of(&group.state().members, name).map_err(NotChanged::Refused);
    let made = match &change {
        Change::AddPeer { address, learner } => {
            let member = introduced(cluster, address).await;
            take_in(group, member.map_err(NotChanged::Refused)?, *learner).await
        }
        Change::Remove(name) => group.remove(id_of(name)?).await,
        Change::Promote(name) => group.promote(id_of(name)?).await,
        Change::Demote(name) => group.demote(id_of(name)?).await,
        Change::Transfer(name) => {
            let to = name.as_ref().map(id_of).transpose()?;
            group.transfer(to).await.map(drop)
        }
    };
    made.map_err(|error| match error {
        ChangeError::Unavailable(Unavailable::NotLeader { .. }) => NotChanged::Elsewhere,
        error => NotChanged::Refused(Error::new(error.to_string())),
    })
}

/// Asks the node at an address who it is. One that belongs to another cluster stays there.
async fn introduced(cluster: &Cluster, address: &NodeAddress) -> Result<Member, Error> {
    let told = cluster.who_is_at(address).await;
    let told =
        told.ok_or_else(|| Error::new(format!("ERR no node answers at {}", address.peer())))?;
    let (id, is_member) = (told.node_id, told.is_member);
    let members = cluster.relay.group.state().members;
    if is_member && !members.iter().any(|known| known.member.id == id) {
        return Err(Error::new(format!(
            "ERR {address} is a cluster of its own: start it on an empty directory with --join"
        )));
    }
    let address = address.to_string();
    Ok(Member { id, address })
}

/// Makes a node a member: a learner that becomes a voter once it has caught up, or stays one.
async fn take_in(group: &Group, member: Member, learner: bool) -> Result<(), ChangeError> {
    let id = member.id;
    group.add_learner(member).await?;
    match learner {
        true => Ok(()),
        false => group.promote(id).await,
    }
}

/// The id of the member that is named. The peer port is no part of a name.
fn id_of(members: &[MemberState], name: &MemberName) -> Result<u64, Error> {
    let is_named = |state: &&MemberState| match name {
        MemberName::Id(id) => state.member.id == *id,
        MemberName::Address(named) => {
            let address = state.member.address.parse::<NodeAddress>();
            address.is_ok_and(|address| address.client() == named.client())
        }
    };
    let found = members.iter().find(is_named);
    let unknown = || Error::new(format!("ERR {name} is no member of this cluster"));
    found.map(|state| state.member.id).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_two_names() {
        let state = |id: u64, address: &str| MemberState {
            member: Member {
                id,
                address: address.to_string(),
            },
            is_voter: true,
            matched_index: None,
            last_contact_ms: None,
            is_reachable: true,
        };
        let members = [
            state(1, "10.0.0.1:6379"),
            state(2, "10.0.0.2:6379@9000"),
            state(4, "[::1]:7000"),
        ];
        for (name, expected) in [
            ("1", Ok(1)),
            ("10.0.0.2:6379", Ok(2)),
            ("10.0.0.2:6379@7777", Ok(2)),
            ("[::1]:7000", Ok(4)),
            ("5", Err("ERR 5 is no member of this cluster")),
            (
                "10.0.0.2:6380",
                Err("ERR 10.0.0.2:6380 is no member of this cluster"),
            ),
        ] {
            let id = id_of(&members, &name.parse().unwrap());
            assert_eq!(
                id.map_err(|error| error.0.into_owned()),
                expected.map_err(String::from)
            );
        }
    }
}
