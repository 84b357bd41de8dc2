//! The commands of the coordinator's handles to the loop.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use wholly_core::{Target, Timestamp};

use super::Caller;
use crate::engine::{Input, Terms};
use crate::participant::Endpoint;
use crate::participant::Slots;

/// A command to the loop.
pub(super) enum Command {
    Input(Input<Caller>),
    Register { target: Target, endpoint: Arc<dyn Endpoint>, slots: Slots },
    Shutdown { until: Timestamp, to: oneshot::Sender<()> },
}

/// A command that waits for the loop, and since when.
pub(super) struct QueuedCommand {
    pub since: Instant,
    pub command: Command,
}

/// An endpoint as it was registered.
#[derive(Clone)]
pub(super) struct Registered {
    pub endpoint: Arc<dyn Endpoint>,
    pub slots: Slots,
}

impl Registered {
    pub fn terms(&self) -> Terms {
        let in_flight_limit = self.slots.in_flight_limit();
        Terms { one_phase: self.endpoint.offers_one_phase(), in_flight_limit }
    }
}
