//! Where each node is reached now.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Addresses by node id, as the newest membership has them. Clones share it.
///
/// openraft keeps a client for as long as its node is a member. A node that comes back at another
/// address is therefore looked up again for each request.
#[derive(Clone, Default)]
pub(in crate::raft) struct Addresses(Rc<RefCell<HashMap<u64, String>>>);

impl Addresses {
    /// Takes over `members`, in place of all others.
    pub(in crate::raft) fn replace<'a>(&self, members: impl Iterator<Item = (u64, &'a str)>) {
        let members = members.map(|(id, address)| (id, address.to_string()));
        *self.0.borrow_mut() = members.collect();
    }

    /// The address of `id`, where it is a member.
    pub(super) fn get(&self, id: u64) -> Option<String> {
        self.0.borrow().get(&id).cloned()
    }
}
