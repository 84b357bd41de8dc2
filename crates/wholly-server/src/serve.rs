//! The server from start to end.
//!
//! The order of a start: bind, then open the log and begin recovery, then say where. So a port
//! that is taken leaves the log alone, and who reads the line can submit at once. The order of an
//! end: accept nothing new, let what is in flight settle, close the log.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use wholly::log::Log;
use wholly::{Coordinator, HttpParticipant, Participant, SqliteLog, StartError};

use crate::api;
use crate::config::Config;
use crate::sagas::Sagas;

/// How long what is in flight has to settle.
const GRACE: Duration = Duration::from_secs(10);
/// How long answers that are ready have to reach their clients.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why the server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {why}; stop what listens there, or name another address")]
    Listen { address: SocketAddr, why: io::Error },
    /// The coordinator did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system denies what every program needs.
    #[error("the system denies {what}: {why}")]
    System { what: &'static str, why: io::Error },
}

/// Serves until SIGTERM or SIGINT. `log` and `participant` may put something between the server
/// and its log and participants, as tests do; else they return what they are given.
pub fn run<L: Log, P: Participant>(
    config: Config,
    sagas: Sagas,
    log: impl FnOnce(SqliteLog) -> L,
    participant: impl Fn(HttpParticipant) -> P,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Runtime::new().map_err(denied("threads"))?;
    runtime.block_on(serve(config, sagas, log, participant))
}

async fn serve<L: Log, P: Participant>(
    config: Config,
    sagas: Sagas,
    log: impl FnOnce(SqliteLog) -> L,
    participant: impl Fn(HttpParticipant) -> P,
) -> Result<(), ServeError> {
    warn_of_strangers(&config, &sagas);
    let mut terminate = signal(SignalKind::terminate()).map_err(denied("signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(denied("signals"))?;
    let address = config.listen.address();
    let listener =
        TcpListener::bind(address).await.map_err(|why| ServeError::Listen { address, why })?;
    let address = listener.local_addr().map_err(denied("the socket's address"))?;

    let mut builder =
        Coordinator::builder(log(SqliteLog::at(&config.log))).settings(config.settings);
    for (name, configured) in config.participants {
        builder = builder.participant_with(
            name.as_str(),
            participant(configured.participant),
            configured.slots,
        );
    }
    let coordinator = builder.start().await?;

    let (stop, stopping) = oneshot::channel::<()>();
    let hub = api::Hub::new(coordinator.clone());
    let server = axum::serve(listener, api::router(coordinator.clone(), sagas, hub.clone()))
        .with_graceful_shutdown(async { drop(stopping.await) });
    let server = tokio::spawn(server.into_future());
    announce(address)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("shutting down; what is in flight has {GRACE:?} to settle");
    drop(stop);
    hub.close();
    coordinator.shutdown(GRACE).await;
    // A client that does not read its answer must not keep the server.
    if tokio::time::timeout(FAREWELL, server).await.is_err() {
        tracing::warn!("some clients did not take their answers");
    }
    Ok(())
}

/// A saga may be there before its participants are; submitted, it is turned away until then.
fn warn_of_strangers(config: &Config, sagas: &Sagas) {
    for graph in sagas.all() {
        let named = graph.steps().filter_map(|(step, _)| step.participant.as_ref());
        for participant in named.filter(|name| !config.participants.contains_key(*name)) {
            let saga = &graph.definition().name;
            tracing::warn!("the saga {saga:?} needs {participant}, which is not configured");
        }
    }
}

/// The one line on the standard output, which programs read.
fn announce(address: SocketAddr) -> Result<(), ServeError> {
    use std::io::Write;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "wholly is listening on http://{address}")
        .and_then(|()| stdout.flush())
        .map_err(denied("the standard output"))
}

pub fn denied(what: &'static str) -> impl Fn(io::Error) -> ServeError {
    move |why| ServeError::System { what, why }
}
