//! What a node tells an application of itself without being asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::node::{ClusterCounters, ClusterView, DigestView, Indexes};
use crate::raft::Role;

/// How the Raft core saw the cluster last.
pub(super) struct Published {
    leads: AtomicBool,
    view: Mutex<ClusterView>,
}

impl Default for Published {
    fn default() -> Self {
        Published {
            leads: AtomicBool::new(false),
            view: Mutex::new(ClusterView {
                node_id: 0,
                cluster_id: 0,
                role: Role::Down,
                term: 0,
                leader_id: None,
                has_quorum: false,
                members: Vec::new(),
                indexes: Indexes::default(),
                counters: ClusterCounters::default(),
                digest: DigestView::default(),
                failure: None,
            }),
        }
    }
}

impl Published {
    fn lock(&self) -> MutexGuard<'_, ClusterView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raft core: how it sees the cluster now.
    pub fn publish(&self, leads: bool, view: Option<ClusterView>) {
        if let Some(view) = view {
            *self.lock() = view;
        }
        self.leads.store(leads, Ordering::Release);
    }

    /// The node has stopped.
    pub fn end(&self) {
        let mut view = self.lock();
        (view.role, view.leader_id, view.has_quorum) = (Role::Down, None, false);
        self.leads.store(false, Ordering::Release);
    }

    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Acquire)
    }

    pub fn view(&self) -> ClusterView {
        self.lock().clone()
    }
}
