//! Bounded rings between cores: one single-producer single-consumer ring for each ordered pair.

use std::collections::VecDeque;

use rtrb::{Consumer, Producer, RingBuffer};

use super::park::Doorbell;

/// Messages that a ring holds. A message carries a batch, so this is many turns' worth.
const RING_MESSAGES: usize = 128;

/// One core's ends of the rings.
pub struct Mesh<M> {
    core: usize,
    senders: Vec<Option<Sender<M>>>,
    receivers: Vec<Option<Consumer<M>>>,
}

struct Sender<M> {
    ring: Producer<M>,
    /// What found the ring full, oldest first. Its bound is that of what a core's connections may
    /// have in flight: they are not read while their requests wait here.
    overflow: VecDeque<M>,
    doorbell: Doorbell,
    dirty: bool,
}

/// Makes the rings of `doorbells.len()` cores.
pub fn mesh<M>(doorbells: &[Doorbell]) -> Vec<Mesh<M>> {
    let count = doorbells.len();
    let mut cores: Vec<Mesh<M>> = (0..count)
        .map(|core| Mesh {
            core,
            senders: (0..count).map(|_| None).collect(),
            receivers: (0..count).map(|_| None).collect(),
        })
        .collect();
    for from in 0..count {
        for to in (0..count).filter(|to| *to != from) {
            let (ring, receiver) = RingBuffer::new(RING_MESSAGES);
            cores[from].senders[to] = Some(Sender {
                ring,
                overflow: VecDeque::new(),
                doorbell: doorbells[to].clone(),
                dirty: false,
            });
            cores[to].receivers[from] = Some(receiver);
        }
    }
    cores
}

impl<M> Mesh<M> {
    /// This core's number.
    pub fn core(&self) -> usize {
        self.core
    }

    /// How many cores there are.
    pub fn cores(&self) -> usize {
        self.senders.len()
    }

    /// Queues `message` for core `to`, which sees it after [`Mesh::flush`].
    ///
    /// # Panics
    /// When `to` is this core.
    pub fn send(&mut self, to: usize, message: M) {
        let sender = self.senders[to]
            .as_mut()
            .expect("a core sends itself nothing");
        sender.dirty = true;
        if !sender.overflow.is_empty() {
            sender.overflow.push_back(message);
        } else if let Err(rtrb::PushError::Full(message)) = sender.ring.push(message) {
            sender.overflow.push_back(message);
        }
    }

    /// Rings the doorbell of every core that was sent something, and moves on what had no room.
    pub fn flush(&mut self) {
        for sender in self
            .senders
            .iter_mut()
            .flatten()
            .filter(|sender| sender.dirty)
        {
            while let Some(message) = sender.overflow.pop_front() {
                if let Err(rtrb::PushError::Full(message)) = sender.ring.push(message) {
                    sender.overflow.push_front(message);
                    break;
                }
            }
            sender.dirty = !sender.overflow.is_empty();
            sender.doorbell.ring();
        }
    }

    /// Whether messages wait for room, so that [`Mesh::flush`] must be called again.
    pub fn is_backed_up(&self) -> bool {
        self.senders
            .iter()
            .flatten()
            .any(|sender| !sender.overflow.is_empty())
    }

    /// The next message from any core, with its sender.
    pub fn receive(&mut self) -> Option<(usize, M)> {
        self.receivers
            .iter_mut()
            .enumerate()
            .find_map(|(from, receiver)| {
                receiver.as_mut()?.pop().ok().map(|message| (from, message))
            })
    }

    /// Whether a message waits.
    pub fn has_mail(&self) -> bool {
        self.receivers
            .iter()
            .flatten()
            .any(|receiver| !receiver.is_empty())
    }
}
