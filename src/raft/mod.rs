//! Agrees on opaque bytes, in one order, on every member of a group.
//!
//! What goes in through [`Group::propose`] comes out of [`Applier::apply`] on every member, in the
//! same order, once a quorum has it. openraft does the agreeing; this module gives it a runtime
//! (glommio), a log ([`Log`](crate::log::Log)), a vote store, a state machine (an [`Applier`]) and
//! a network, and keeps its types to itself.
//!
//! ```text
//! propose -> core (openraft) -> store -> Log            the entry is written
//!                            -> network -> peers        .. and replicated
//!            done, quorum    -> machine -> Applier      .. and applied, in order
//! ```
//!
//! Everything runs on the executor that started the group, and nothing is `Send`. With one voter
//! the same way is gone, without the peers.
//!
//! Invariants
//! - Every index is applied or skipped exactly once and in order, from the checkpoint on.
//! - A proposal that was accepted ends in exactly one of `apply` with its tag or `failed` with it.
//!   One whose fate is not known fails as uncertain, never as refused.
//! - The first storage failure, or a panic of the applier, poisons the group: nothing is accepted
//!   after it, what is in flight fails, and the executor goes on.
//! - The vote is on disk before anybody hears of it; so are blank and membership entries. For the
//!   others their proposer chooses.
//! - A node that may have forgotten what it acknowledged, or whom it follows, gives no vote.
//! - Membership changes one at a time, and votes through a joint configuration.
//! - The log behind a checkpoint goes only once the checkpoint is complete.
//! - No type of openraft is part of what this module exports; glommio is named in `runtime/` only.
//!
//! Not done here: what the bytes mean (`node/`), when to make a checkpoint (`node/`, by bytes and
//! time), which queue and core a group runs in (whoever starts it), and when to change the members
//! (`node/`).

mod applier;
mod codec;
#[cfg(test)]
pub mod conformance;
mod group;
mod machine;
mod network;
mod proposals;
mod runtime;
mod store;
#[cfg(test)]
pub mod tests;
mod types;
mod wire;

pub use applier::{Applier, CheckpointMeta, Chunks, VoteStore};
pub use group::{
    ChangeError, Group, GroupOptions, Leadership, Member, MemberCopy, MemberState, Role, Standing,
    State,
};
pub use network::{
    CallError, PeerCertificates, PeerHandler, Transport, TransportCounters, TransportOptions,
};
