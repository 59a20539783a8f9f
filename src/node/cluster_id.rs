//! The id that all members of a cluster share: drawn by whoever begins it, before there is any
//! other, and told to each other from there on. A node never changes the one that it knows.
//!
//! One is drawn before the cluster begins and known once it has begun: while the node tries, another
//! cluster may take it in, and has an id of its own.

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
        let state = group.state();
        // A cluster for which one was drawn and that did not begin has none.
        let known = Cell::new(if state.members.is_empty() { 0 } else { known });
        let cluster_id = ClusterId { meta, known };
        if matches!(&state.members[..], [only] if only.member.id == state.node_id) {
            let drawn = cluster_id.draw().await?;
            cluster_id.begun(drawn);
        }
        Ok(cluster_id)
    }

    /// 0 where it is not known.
    pub fn known(&self) -> u64 {
        self.known.get()
    }

    /// Keeps one for a cluster that is about to begin here: a new one, unless it is known. To be
    /// followed by [`ClusterId::begun`] or [`ClusterId::not_begun`].
    ///
    /// # Errors
    /// Where it cannot be kept.
    pub async fn draw(&self) -> Result<u64, Fatal> {
        match self.known() {
            0 => {
                let drawn = draw_id();
                self.put(drawn).await?;
                Ok(drawn)
            }
            known => Ok(known),
        }
    }

    /// The cluster has begun for which this one was drawn.
    pub fn begun(&self, drawn: u64) {
        self.known.set(drawn);
    }

    /// It has not: this node belongs to another, whose id it may know by now.
    ///
    /// # Errors
    /// Where the one that was drawn stays on disk.
    pub async fn not_begun(&self) -> Result<(), Fatal> {
        self.put(self.known()).await
    }

    /// A member has told it.
    async fn keep(&self, id: u64) -> Result<(), Fatal> {
        self.put(id).await?;
        self.known.set(id);
        Ok(())
    }

    async fn put(&self, id: u64) -> Result<(), Fatal> {
        let kept = self.meta.put(CLUSTER_ID, id.to_le_bytes().to_vec()).await;
        kept.map_err(|error| Fatal::Setup(format!("cannot keep the cluster's id: {error}")))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::net::run_test;

    fn kept(meta: &Meta) -> u64 {
        let kept = meta.get(CLUSTER_ID).unwrap_or(vec![0; 8]);
        u64::from_le_bytes(kept.try_into().unwrap())
    }

    /// A node that another cluster takes in while it tries to begin one learns that cluster's id.
    #[test]
    fn what_was_drawn_for_a_cluster_that_did_not_begin_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().to_path_buf();
        run_test(async move {
            let meta = Rc::new(Meta::open(&dir).unwrap());
            let cluster_id = ClusterId {
                meta: meta.clone(),
                known: Cell::default(),
            };
            let drawn = cluster_id.draw().await.unwrap();
            assert_eq!((kept(&meta), cluster_id.known()), (drawn, 0));
            cluster_id.not_begun().await.unwrap();
            assert_eq!((kept(&meta), cluster_id.known()), (0, 0));
            // Another cluster's members tell theirs, before the drawn one is on disk or after.
            for told_first in [true, false] {
                cluster_id.known.set(0);
                let (drawn, told) = if told_first {
                    let (told, drawn) = futures::join!(cluster_id.keep(77), cluster_id.draw());
                    (drawn, told)
                } else {
                    futures::join!(cluster_id.draw(), cluster_id.keep(77))
                };
                drawn.and(told).unwrap();
                cluster_id.not_begun().await.unwrap();
                assert_eq!((kept(&meta), cluster_id.known()), (77, 77));
            }
            assert_eq!(cluster_id.draw().await.unwrap(), 77);
            let begins = ClusterId {
                meta: meta.clone(),
                known: Cell::default(),
            };
            let drawn = begins.draw().await.unwrap();
            begins.begun(drawn);
            assert_eq!((kept(&meta), begins.known()), (drawn, drawn));
        });
    }
}
