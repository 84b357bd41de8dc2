//! The server from start to end.
//!
//! The order of a start: bind, then open the log and begin recovery, then print the address. So a
//! port that is taken leaves the log alone, and a reader of the line can submit at once. The order
//! of an end is in [`stopping`](crate::stopping): let load balancers notice, take nothing new, let
//! transactions in flight settle, close the log. Between them, SIGHUP and the API have the
//! configuration read again.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use wholly::log::Log;
use wholly::{Coordinator, Endpoint, StartError};

use crate::alerts::{self, Webhook};
use crate::api::Served;
use crate::audit::{Audit, AuditRequest};
use crate::config::{Config, ConfiguredFeed, ConfiguredParticipant, Source};
use crate::gate::{Gate, Rules};
use crate::metrics::Metrics;
use crate::observer::{self, Observer};
use crate::reload::{ReloadRequest, Reloader};
use crate::sagas::Sagas;
use crate::stopping::{EndingSignals, Haste, Phase, REFUSED_FOR, Stopping};
use crate::traces::{Traces, TracesError};
use crate::{accept, api, open_files};

/// The time for ready answers to reach their clients.
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
    /// There is no TLS for the webhook.
    #[error("alerts cannot be sent: {0}")]
    Alerts(#[from] rustls::Error),
    /// There is no way to the collector.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The audit cannot be written.
    #[error("the audit {} cannot be written: {why}", .file.display())]
    Audit { file: PathBuf, why: io::Error },
    /// The observer's file cannot be used.
    #[error(transparent)]
    Observer(#[from] observer::StoreError),
    /// The system denies what every program needs.
    #[error("the system denies {what}: {why}")]
    System { what: &'static str, why: io::Error },
}

/// The decorators that a program puts between a server and its log and participants, to test it.
pub trait Decorators: Sync {
    /// The log, decorated.
    fn log(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        log
    }

    /// A participant, decorated: each of the configuration, whenever that is read.
    fn endpoint(&self, endpoint: Arc<dyn Endpoint>) -> Arc<dyn Endpoint> {
        endpoint
    }
}

/// The log and the participants as they are.
pub struct Undecorated;

impl Decorators for Undecorated {}

/// Serves until SIGTERM or SIGINT.
pub fn run(
    source: Source,
    config: Config,
    sagas: Sagas,
    decorators: &dyn Decorators,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Runtime::new().map_err(denied("threads"))?;
    let served = runtime.block_on(serve(source, config, sagas, decorators));
    // A file that hangs, as of the configuration, must not keep the process.
    runtime.shutdown_timeout(FAREWELL);
    served
}

async fn serve(
    source: Source,
    config: Config,
    sagas: Sagas,
    decorators: &dyn Decorators,
) -> Result<(), ServeError> {
    warn_of_unregistered_participants(&config, &sagas);
    open_files::make_room(&config);
    let ending = EndingSignals::new()?;
    let hangup = signal(SignalKind::hangup()).map_err(denied("signals"))?;
    let address = config.listen.address();
    let listener =
        TcpListener::bind(address).await.map_err(|why| ServeError::Listen { address, why })?;
    let address = listener.local_addr().map_err(denied("the socket's address"))?;

    let webhook = config.alerts.map(Webhook::new).transpose()?;
    let traces = Traces::start(config.traces)?;
    let Config { listen, access, limits, tls, shutdown, written, feeds, key_scope, .. } = config;
    let measured = config.settings.measured;
    let builder = Coordinator::builder(decorators.log(config.log)).settings(config.settings);
    let mut builder = traces.of_transactions(builder);
    let mut endpoints = BTreeMap::new();
    for (name, ConfiguredParticipant { endpoint, slots, .. }) in config.participants {
        let endpoint = traces.of_calls(&name, decorators.endpoint(endpoint));
        builder = builder.participant_with(name.as_str(), endpoint.clone(), slots);
        endpoints.insert(name.to_string(), endpoint);
    }
    let coordinator = builder.start().await?;
    // After the log, which is beside it by default: of a folder that is missing, the log tells.
    let audit = match Audit::open(config.audit.clone()) {
        Ok(audit) => audit,
        Err(why) => {
            coordinator.shutdown(Duration::ZERO).await;
            return Err(ServeError::Audit { file: config.audit, why });
        }
    };

    let observing = observe(&config.choreographies, feeds, config.choreographies_kept);
    let observer = match observing.await {
        Ok(observer) => observer,
        Err(why) => {
            coordinator.shutdown(Duration::ZERO).await;
            return Err(why.into());
        }
    };
    if let Some(webhook) = webhook {
        let watched = observer.as_deref().map(|observer| (observer.stuck(), observer.troubles()));
        tokio::spawn(alerts::tell(coordinator.clone(), watched, webhook));
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    if scheme == "http" && !address.ip().is_loopback() {
        tracing::warn!("tokens cross the network in the clear; set [tls], or encrypt in front");
    }
    let gate = Arc::new(Gate::new(Rules { access, limits, tls }, audit));
    let broadcaster = api::Broadcaster::new(coordinator.clone());
    let metrics =
        measured.then(|| Arc::new(Metrics::of(coordinator.clone(), &traces, observer.clone())));
    let (reload, asked) = mpsc::channel(1);
    let (phase, stopping) = Stopping::new();
    let router = api::router(Served {
        coordinator: coordinator.clone(),
        sagas: Arc::new(sagas),
        observer: observer.clone(),
        metrics,
        gate: Arc::clone(&gate),
        broadcaster: broadcaster.clone(),
        traces: traces.clone(),
        reload,
        key_scope,
        stopping: stopping.clone(),
    });
    let mut reloader = Reloader::new(
        source,
        listen,
        written,
        endpoints,
        Arc::clone(&gate),
        coordinator.clone(),
        traces.clone(),
    );
    let server = tokio::spawn(accept::serve(listener, router, Arc::clone(&gate), stopping));
    announce(scheme, address)?;
    let reloading = reload_on_demand(&mut reloader, hangup, asked, &gate.audit, decorators);
    // A reload whose files hang ends with the server.
    let haste = tokio::select! {
        haste = ending.drained(&phase, shutdown.grace) => haste,
        never = reloading => match never {},
    };
    tracing::info!("shutting down; what is in flight has {:?} to settle", shutdown.settle);
    phase.send_replace(Phase::Refusing);
    broadcaster.close();
    if let Some(observer) = &observer {
        observer.close();
    }
    let refused_for = match haste {
        Haste::None => REFUSED_FOR,
        Haste::AtOnce => Duration::ZERO,
    };
    tokio::join!(coordinator.shutdown(shutdown.settle), tokio::time::sleep(refused_for));
    phase.send_replace(Phase::Closing);
    // A client that does not read its answer must not keep the server.
    if tokio::time::timeout(FAREWELL, server).await.is_err() {
        tracing::warn!("some clients did not take their answers");
    }
    traces.flush(FAREWELL).await;
    Ok(())
}

/// Reads the configuration again whenever SIGHUP or the API asks for it.
async fn reload_on_demand(
    reloader: &mut Reloader,
    mut hangup: Signal,
    mut asked: mpsc::Receiver<ReloadRequest>,
    audit: &Arc<Audit>,
    decorators: &dyn Decorators,
) -> Infallible {
    loop {
        tokio::select! {
            Some(()) = hangup.recv() => by_signal(reloader, audit, decorators).await,
            Some(to) = asked.recv() => {
                // The caller may be gone.
                let _ = to.send(reloader.reload(decorators).await);
            }
            else => std::future::pending().await,
        }
    }
}

/// Reads the configuration again because of SIGHUP, which is in the audit as it is by the API.
async fn by_signal(reloader: &mut Reloader, audit: &Arc<Audit>, decorators: &dyn Decorators) {
    let asked = AuditRequest {
        who: Some("SIGHUP".into()),
        from: None,
        what: "reload".to_owned(),
        why: None,
    };
    let action = match audit.asked(asked.clone()).await {
        Ok(action) => action,
        Err(why) => {
            return tracing::error!("nothing is read again, because the audit fails: {why}");
        }
    };
    let status = match reloader.reload(decorators).await {
        Ok(reloaded) => {
            tracing::info!("the configuration was read again: {reloaded:?}");
            200
        }
        Err(why) => {
            tracing::error!("the configuration stays as it was: {why}");
            422
        }
    };
    if let Err(why) = audit.ended(action, asked, status).await {
        tracing::error!("the audit does not say that the configuration was read again: {why}");
    }
}

/// The observer, if there are feeds to follow.
async fn observe(
    file: &Path,
    feeds: Vec<ConfiguredFeed>,
    kept: Duration,
) -> Result<Option<Arc<Observer>>, observer::StoreError> {
    match feeds.is_empty() {
        true => Ok(None),
        false => Observer::start(file, feeds, kept).await.map(Arc::new).map(Some),
    }
}

/// A saga may be there before its participants are; submitted, it is turned away until then.
fn warn_of_unregistered_participants(config: &Config, sagas: &Sagas) {
    for graph in sagas.all() {
        let named = graph.steps().filter_map(|(step, _)| step.participant.as_ref());
        for participant in named.filter(|name| !config.participants.contains_key(*name)) {
            let saga = &graph.definition().name;
            tracing::warn!("the saga {saga:?} needs {participant}, which is not configured");
        }
    }
}

/// The one line on the standard output, which programs read.
fn announce(scheme: &str, address: SocketAddr) -> Result<(), ServeError> {
    wholly_terminal::write_line(format_args!("wholly is listening on {scheme}://{address}"))
        .map_err(denied("the standard output"))
}

pub fn denied(what: &'static str) -> impl Fn(io::Error) -> ServeError {
    move |why| ServeError::System { what, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Shutdown;

    const UNIT: &str = include_str!("../../../packaging/wholly.service");

    #[test]
    fn the_server_stops_by_itself_before_the_unit_kills_it() {
        let Shutdown { grace, settle } = Config::of("").unwrap().shutdown;
        let longest = grace + settle.max(REFUSED_FOR) + 2 * FAREWELL;
        let allowed = UNIT.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
        assert!(longest < Duration::from_secs(allowed.parse().unwrap()), "{longest:?}");
    }
}
