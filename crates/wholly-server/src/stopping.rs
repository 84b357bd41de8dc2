//! The stop of the server, in phases, as its clients and load balancers see it.
//!
//! | phase | `/readyz` | new transactions | kept connections |
//! |---|---|---|---|
//! | serving | 200 | taken | stay |
//! | draining | 503 | taken | stay |
//! | refusing | 503 | answered with 503 | close with their next answer |
//! | closing | | | close at once, or with the answer that is due |
//!
//! A load balancer needs time to notice `/readyz`: while it still sends transactions they are taken,
//! so that no client sees the stop. Phases only ever go forward.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::serve::{ServeError, denied};

/// The least time for which clients are told with 503 to go elsewhere, if nobody is in haste.
pub const REFUSED_FOR: Duration = Duration::from_secs(1);

/// The phase of the server on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    Draining,
    Refusing,
    Closing,
}

/// The phase, for tasks that act by it.
#[derive(Clone)]
pub struct Stopping(watch::Receiver<Phase>);

impl Stopping {
    /// A server that serves, and the sender that changes its phase.
    pub fn new() -> (watch::Sender<Phase>, Self) {
        let (phase, seen) = watch::channel(Phase::Serving);
        (phase, Self(seen))
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until no connection is to be accepted any more.
    pub async fn closing(mut self) {
        // Without its sender, the server has nothing more to serve.
        drop(self.0.wait_for(|phase| *phase == Phase::Closing).await);
    }
}

/// The haste with which the server is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// The grace has passed.
    None,
    /// An operator wants it to end: by SIGINT, or by a second SIGTERM.
    AtOnce,
}

/// The signals that end the server.
pub struct EndingSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndingSignals {
    /// From now on the signals no longer end the process by themselves.
    pub fn new() -> Result<Self, ServeError> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(denied("signals"))?,
            interrupt: signal(SignalKind::interrupt()).map_err(denied("signals"))?,
        })
    }

    /// Waits for SIGTERM, and from then on for `grace`, in which the server is
    /// [draining](Phase::Draining). SIGINT, or another SIGTERM, ends both waits.
    pub async fn drained(mut self, phase: &watch::Sender<Phase>, grace: Duration) -> Haste {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => return Haste::AtOnce,
        }
        phase.send_replace(Phase::Draining);
        tracing::info!(
            "stopping: /readyz answers 503, and transactions are accepted for another {grace:?}"
        );
        let again = async {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        };
        match timeout(grace, again).await {
            Ok(()) => Haste::AtOnce,
            Err(_) => Haste::None,
        }
    }
}
