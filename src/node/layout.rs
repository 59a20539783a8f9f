//! Which core does what.

/// Which core does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub cores: usize,
    pub shards: usize,
    /// Core of the Raft tasks; shard cores are those after it when it is dedicated.
    pub raft_core: usize,
    pub dedicated: bool,
}

impl Layout {
    /// The layout of `cores` cores: from three on, and when asked, the first one is Raft's own.
    pub fn new(cores: usize, dedicated: bool) -> Self {
        let dedicated = dedicated && cores > 1;
        Layout {
            cores,
            shards: cores - dedicated as usize,
            raft_core: 0,
            dedicated,
        }
    }

    /// Core of a shard.
    #[inline]
    pub fn core_of(&self, shard: usize) -> usize {
        shard + self.dedicated as usize
    }

    /// Shard of a core, if it has one.
    pub fn shard_on(&self, core: usize) -> Option<usize> {
        core.checked_sub(self.dedicated as usize)
    }
}
