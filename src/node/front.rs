//! What stands in front of the engine on a core: the wires.

use crate::rt::{Completion, Ring};

use super::client::Clients;
use super::engine::Engine;

/// The connections of one core. The core's main task calls these once a turn.
pub trait Front: Clients {
    /// The node serves from now on: begins to accept.
    fn open(&mut self, ring: &Ring);

    /// A socket operation ended.
    fn complete(&mut self, ring: &Ring, completion: Completion, engine: &mut Engine);

    /// Goes on with connections that had to wait. Answers whether any went on.
    fn resume(&mut self, ring: &Ring, engine: &mut Engine) -> bool;

    /// Whether requests wait that no completion announces. Asked before the core sleeps.
    fn has_work(&self) -> bool {
        false
    }

    /// Sends what the turn wrote.
    fn flush(&mut self, ring: &Ring);

    /// About ten times a second: idle connections, limits.
    fn tick(&mut self, ring: &Ring, engine: &mut Engine);

    /// Accepts no more, and closes every connection whose replies are sent.
    fn close(&mut self, ring: &Ring);

    /// Whether nothing is open any more.
    fn is_closed(&self) -> bool;
}
