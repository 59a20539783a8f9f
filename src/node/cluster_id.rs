//! The id that all members of a cluster share: drawn by whoever begins it, before there is any
//! other, and told to each other from there on. A node never changes the one that it knows.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::error::Fatal;
use crate::log::meta::Meta;
use crate::raft::Group;
use crate::rt;

use super::cluster::{Cluster, draw_id};

/// Key in the meta store.
const CLUSTER_ID: &str = "cluster-id";

/// How often members are asked at first, and at most, while none of them knows it.
const ASK_FIRST: Duration = Duration::from_millis(200);
const ASK_LAST: Duration = Duration::from_secs(10);

/// This node's cluster, as far as it knows.
pub struct ClusterId {
    meta: Rc<Meta>,
    known: Cell<u64>,
}

impl ClusterId {
    /// As the node's disk has it; drawn where this node is the only member of its group.
    ///
    /// # Errors
    /// What is kept is no id, or none can be kept.
    pub async fn of(meta: Rc<Meta>, group: &Group) -> Result<ClusterId, Fatal> {
        let kept = meta.get(CLUSTER_ID).unwrap_or(vec![0; 8]);
        let known = kept.try_into().map(u64::from_le_bytes);
        let known = known.map_err(|_| Fatal::Corrupt {
            what: format!("the row `{CLUSTER_ID}` of the meta store is no id"),
        })?;
        let known = Cell::new(known);
        let cluster_id = ClusterId { meta, known };
        let state = group.state();
        if matches!(&state.members[..], [only] if only.member.id == state.node_id) {
            cluster_id.begin().await?;
        }
        Ok(cluster_id)
    }

    /// 0 where it is not known.
    pub fn known(&self) -> u64 {
        self.known.get()
    }

    /// Draws it, unless it is known: this node is the first.
    ///
    /// # Errors
    /// Where it cannot be kept.
    pub async fn begin(&self) -> Result<(), Fatal> {
        match self.known() {
            0 => self.keep(draw_id()).await,
            _ => Ok(()),
        }
    }

    async fn keep(&self, id: u64) -> Result<(), Fatal> {
        let kept = self.meta.put(CLUSTER_ID, id.to_le_bytes().to_vec()).await;
        kept.map_err(|error| Fatal::Setup(format!("cannot keep the cluster's id: {error}")))?;
        self.known.set(id);
        Ok(())
    }
}

/// Asks the members for the cluster's id until one of them knows it. A node that has stopped is not
/// kept by this.
pub(super) async fn learn(cluster: Weak<Cluster>) {
    let mut pause = ASK_FIRST;
    while let Some(cluster) = cluster.upgrade()
        && cluster.cluster_id.known() == 0
    {
        if let Some(id) = cluster.id_told().await
            && let Err(error) = cluster.cluster_id.keep(id).await
        {
            tracing::warn!("{error}");
        }
        drop(cluster);
        rt::sleep(pause).await;
        pause = (2 * pause).min(ASK_LAST);
    }
}

impl Cluster {
    async fn id_told(&self) -> Option<u64> {
        for member in self.relay.group.state().members {
            if member.member.id == self.own.id {
                continue;
            }
            let Ok(address) = member.member.address.parse() else {
                continue;
            };
            let told = self.who_is_at(&address).await;
            let id = told.map(|told| told.cluster_id).filter(|id| *id != 0);
            if id.is_some() {
                return id;
            }
        }
        None
    }
}
