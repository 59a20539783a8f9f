//! Commands about the node.

use crate::command::Spec;
use crate::resp::{Args, Error};

use super::client::Client;
use super::dispatch::Flow;
use super::engine::Engine;

impl Engine {
    pub(super) fn admin_command(
        &mut self,
        client: &mut Client,
        _id: u64,
        spec: &'static Spec,
        _args: Args<'_>,
    ) -> Flow {
        client.refuse(Error::new(format!("ERR {} is not available yet", spec.name)));
        Flow::Continue
    }
}
