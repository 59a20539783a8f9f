//! Members as a reply, with or without their scores.

use std::borrow::Cow;

use crate::resp::Reply;

/// Collects members: alone, each followed by its score (RESP2), or as pairs (RESP3).
pub(super) struct Pairs<'k> {
    with_scores: bool,
    nested: bool,
    replies: Vec<Reply<'k>>,
}

impl<'k> Pairs<'k> {
    pub(super) fn new(with_scores: bool, resp3: bool, len: usize) -> Self {
        let per_member = if with_scores && !resp3 { 2 } else { 1 };
        Pairs {
            with_scores,
            nested: resp3,
            replies: Vec::with_capacity(per_member * len),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, member: impl Into<Cow<'k, [u8]>>, score: f64) {
        let member = Reply::Bulk(member.into());
        if !self.with_scores {
            self.replies.push(member);
        } else if self.nested {
            let pair = vec![member, Reply::Double(score)];
            self.replies.push(Reply::Array(pair));
        } else {
            self.replies.push(member);
            self.replies.push(Reply::Double(score));
        }
    }

    pub(super) fn reply(self) -> Reply<'k> {
        Reply::Array(self.replies)
    }
}
