//! Votes and memberships as bytes. Integers are little-endian; the first byte is the version.
//!
//! ```text
//! vote              1 | term u64 | node u64 | committed u8
//! membership        1 | configs u16 * (voters u16 * u64) | nodes u16 * (id u64 | length u16 | address)
//! kept membership   1 | known u8 | term u64 | leader u64 | index u64 | membership
//! ```
//!
//! A membership has one config, or two while it changes. A node in no config is a learner. A kept
//! membership is one with the position it was logged at; `known` is 0 where it has none.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use openraft::impls::BasicNode;

use super::types::{LeaderId, Membership, StoredMembership, Vote};
use crate::log::Position;

const VERSION: u8 = 1;

pub(super) fn encode_vote(vote: &Vote) -> Bytes {
    let mut out = BytesMut::with_capacity(18);
    out.put_u8(VERSION);
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.node_id);
    out.put_u8(vote.committed.into());
    out.freeze()
}

/// # Errors
/// `InvalidData` where the bytes are no vote.
pub(super) fn decode_vote(bytes: &[u8]) -> io::Result<Vote> {
    let mut fields = Fields::begin(bytes, "vote")?;
    let leader_id = LeaderId {
        term: fields.u64()?,
        node_id: fields.u64()?,
    };
    let committed = fields.u8()? != 0;
    fields.end()?;
    Ok(Vote {
        leader_id,
        committed,
    })
}

pub(super) fn encode_membership(membership: &Membership) -> Bytes {
    let mut out = BytesMut::new();
    put_membership(&mut out, membership);
    out.freeze()
}

fn put_membership(out: &mut BytesMut, membership: &Membership) {
    out.put_u8(VERSION);
    let configs = membership.get_joint_config();
    out.put_u16_le(configs.len() as u16);
    for config in configs {
        out.put_u16_le(config.len() as u16);
        config.iter().for_each(|id| out.put_u64_le(*id));
    }
    out.put_u16_le(membership.nodes().count() as u16);
    for (id, node) in membership.nodes() {
        // A longer address has no meaning to any resolver; it is cut rather than misread.
        let address = &node.addr.as_bytes()[..node.addr.len().min(usize::from(u16::MAX))];
        out.put_u64_le(*id);
        out.put_u16_le(address.len() as u16);
        out.put_slice(address);
    }
}

/// # Errors
/// `InvalidData` where the bytes are no membership, or one whose voters are not among its nodes.
pub(super) fn decode_membership(bytes: &[u8]) -> io::Result<Membership> {
    let mut fields = Fields::begin(bytes, "membership")?;
    let mut configs = Vec::new();
    for _ in 0..fields.u16()? {
        let mut config = BTreeSet::new();
        for _ in 0..fields.u16()? {
            config.insert(fields.u64()?);
        }
        configs.push(config);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..fields.u16()? {
        let id = fields.u64()?;
        let length = fields.u16()?;
        let address = std::str::from_utf8(fields.take(usize::from(length))?);
        let address = address.map_err(|_| fields.invalid())?;
        nodes.insert(id, BasicNode::new(address));
    }
    fields.end()?;
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|_| fields.invalid())
}

pub(super) fn encode_kept(kept: &StoredMembership) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    out.put_u8(kept.log_id().is_some().into());
    let position = kept.log_id().map(Position::from).unwrap_or_default();
    out.put_u64_le(position.term);
    out.put_u64_le(position.leader);
    out.put_u64_le(position.index);
    put_membership(&mut out, kept.membership());
    out.freeze()
}

/// Empty bytes are the membership of a group that has none yet.
///
/// # Errors
/// `InvalidData` where the bytes are no kept membership.
pub(super) fn decode_kept(bytes: &[u8]) -> io::Result<StoredMembership> {
    if bytes.is_empty() {
        return Ok(StoredMembership::default());
    }
    let mut fields = Fields::begin(bytes, "kept membership")?;
    let known = fields.u8()? != 0;
    let position = Position {
        term: fields.u64()?,
        leader: fields.u64()?,
        index: fields.u64()?,
    };
    let membership = decode_membership(fields.bytes)?;
    Ok(StoredMembership::new(
        known.then(|| position.into()),
        membership,
    ))
}

/// Reads fields off the front of bytes that came from a disk or a peer.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    /// Of bytes that carry no version of their own.
    pub(super) fn of(bytes: &'a [u8], what: &'static str) -> Self {
        Fields { bytes, what }
    }

    fn begin(bytes: &'a [u8], what: &'static str) -> io::Result<Self> {
        let mut fields = Fields { bytes, what };
        match fields.u8()? {
            VERSION => Ok(fields),
            _ => Err(fields.invalid()),
        }
    }

    pub(super) fn invalid(&self) -> io::Error {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("not a {} of ours", self.what),
        )
    }

    pub(super) fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (front, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or_else(|| self.invalid())?;
        self.bytes = rest;
        Ok(front)
    }

    pub(super) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let front = self.take(N)?;
        front.try_into().map_err(|_| self.invalid())
    }

    pub(super) fn u8(&mut self) -> io::Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> io::Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// 0 or 1.
    pub(super) fn flag(&mut self) -> io::Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.invalid()),
        }
    }

    /// Everything that is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn end(&self) -> io::Result<()> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(self.invalid())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::LogId;

    fn membership() -> Membership {
        let configs = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([1, 2, 4])];
        let nodes: BTreeMap<u64, BasicNode> = (1..=5)
            .map(|id| (id, BasicNode::new(format!("host-{id}:7000"))))
            .collect();
        Membership::new(configs, nodes).expect("voters are nodes")
    }

    #[test]
    fn votes_and_memberships_come_back_as_they_were() {
        let leader_id = LeaderId {
            term: u64::MAX,
            node_id: 3,
        };
        let vote = Vote {
            leader_id,
            committed: true,
        };
        assert_eq!(decode_vote(&encode_vote(&vote)).unwrap(), vote);

        assert_eq!(
            decode_membership(&encode_membership(&membership())).unwrap(),
            membership()
        );
        let empty = Membership::default();
        assert_eq!(
            decode_membership(&encode_membership(&empty)).unwrap(),
            empty
        );

        let kept = StoredMembership::new(Some(LogId::new(leader_id, 9)), membership());
        assert_eq!(decode_kept(&encode_kept(&kept)).unwrap(), kept);
        let none = StoredMembership::default();
        assert_eq!(decode_kept(&encode_kept(&none)).unwrap(), none);
        assert_eq!(decode_kept(&[]).unwrap(), none);
    }

    #[test]
    fn every_cut_and_every_other_version_is_refused() {
        let leader_id = LeaderId {
            term: 7,
            node_id: 3,
        };
        let vote = encode_vote(&Vote {
            leader_id,
            committed: false,
        });
        let kept = encode_kept(&StoredMembership::new(None, membership()));
        let members = encode_membership(&membership());
        for cut in 0..vote.len() {
            assert!(decode_vote(&vote[..cut]).is_err(), "vote cut at {cut}");
        }
        for cut in 0..members.len() {
            assert!(
                decode_membership(&members[..cut]).is_err(),
                "membership cut at {cut}"
            );
        }
        for cut in 1..kept.len() {
            assert!(
                decode_kept(&kept[..cut]).is_err(),
                "kept membership cut at {cut}"
            );
        }
        let mut newer = vote.to_vec();
        newer[0] = 2;
        assert!(decode_vote(&newer).is_err());
        let mut longer = members.to_vec();
        longer.push(0);
        assert!(decode_membership(&longer).is_err());
    }
}
