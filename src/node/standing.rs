//! How a node stands in its group, and what the group takes from it.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Unavailable;

/// What the group takes.
pub trait Proposer {
    fn standing(&self) -> Standing;

    /// Hands over an entry, to be logged in this `term` or not at all; its end is told with `tag`.
    ///
    /// # Errors
    /// It was not handed over.
    fn propose(&self, term: u64, tag: u64, payload: Bytes, sync: bool) -> Result<(), Unavailable>;
}

/// How this node stands in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    pub term: u64,
    pub seat: Seat,
}

/// What every core knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stand {
    pub standing: Standing,
    /// What this node has is no older than this, on the steady clock; 0 where it does not know.
    pub fresh_ms: u64,
    /// On the leader: a voter cannot be reached.
    pub voters_missing: bool,
    /// Where clients reach the leader, on a follower.
    pub leader: Option<Arc<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seat {
    /// The only member, with all that was ever acknowledged applied.
    Alone,
    Leader {
        /// A quorum has answered lately.
        has_quorum: bool,
    },
    /// Another node leads, if this one knows it.
    #[default]
    Lost,
    Follower {
        leader: u64,
    },
    /// The log can no longer be written here.
    Down,
}

/// What is new in a [`Stand`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    Nothing,
    /// That its state is fresher, and nothing else.
    Fresher,
    Standing,
}

impl Stand {
    /// Takes over how the node stands now. Where it follows, `address_of` says where clients reach
    /// a node: it is asked until it knows, since who leads may be known before its membership is.
    pub fn follow(
        &mut self,
        standing: Standing,
        fresh_ms: u64,
        voters_missing: bool,
        address_of: impl FnOnce(u64) -> Option<Arc<str>>,
    ) -> News {
        if standing != self.standing {
            self.leader = None;
        }
        let found = match standing.seat {
            Seat::Follower { leader } if self.leader.is_none() => address_of(leader),
            _ => None,
        };
        let is_as_before = (standing, voters_missing) == (self.standing, self.voters_missing);
        let news = match is_as_before && found.is_none() {
            true if fresh_ms == self.fresh_ms => News::Nothing,
            true => News::Fresher,
            false => News::Standing,
        };
        self.standing = standing;
        self.fresh_ms = fresh_ms;
        self.voters_missing = voters_missing;
        self.leader = found.or(self.leader.take());
        news
    }
}

impl Standing {
    pub fn leads(&self) -> bool {
        matches!(self.seat, Seat::Alone | Seat::Leader { has_quorum: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who leads a term may be known before where it is reached: the cores are told as soon as that
    /// is, and no core keeps where the leader of an older term was.
    #[test]
    fn the_leaders_address_is_told_once_it_is_known() {
        let mut stand = Stand::default();
        let in_term = |term, leader| Standing {
            term,
            seat: Seat::Follower { leader },
        };
        let unknown = |_| None;
        let known = |node: u64| Some(Arc::from(format!("node-{node}:6379")));
        let asked_in_vain = |_| panic!("it is known already");
        let first = in_term(1, 7);
        let mut news = |fresh_ms, address_of| stand.follow(first, fresh_ms, false, address_of);
        type AddressOf = fn(u64) -> Option<Arc<str>>;
        for (fresh_ms, address_of, expected) in [
            (10, unknown as AddressOf, News::Standing),
            (10, unknown, News::Nothing),
            (20, unknown, News::Fresher),
            (20, known, News::Standing),
            (20, asked_in_vain, News::Nothing),
        ] {
            assert_eq!(news(fresh_ms, address_of), expected);
        }
        assert_eq!(stand.leader.as_deref(), Some("node-7:6379"));
        assert_eq!(stand.follow(first, 20, true, asked_in_vain), News::Standing);
        assert_eq!(stand.leader.as_deref(), Some("node-7:6379"));
        let second = in_term(2, 8);
        assert_eq!(stand.follow(second, 20, true, unknown), News::Standing);
        assert_eq!(stand.leader, None);
        let lost = Standing {
            term: 3,
            seat: Seat::Lost,
        };
        stand.follow(second, 20, true, known);
        assert_eq!(stand.follow(lost, 20, true, asked_in_vain), News::Standing);
        assert_eq!(stand.leader, None);
    }
}
