//! One of the services as a process: what the hidden command `wholly shop-by-events` runs.

use std::path::PathBuf;
use std::process::ExitCode;

use axum::Router;
use axum::serve::ListenerExt;
use clap::Args;
use serde::{Deserialize, Serialize};
use wholly_events::choreography::EndedReaction;
use wholly_events::{Failure, feed, store};
use wholly_participant::sqlite::Database;

use super::desk::{self, Desk, WaitingClients};
use super::store::ShopStore;
use super::{Flow, Ports, Refusal, calls, choreography, in_turn};
use crate::process::end_with_stdin;
use crate::service::{StockArgument, listen, say, say_json, stock};
use crate::shop::ServiceKind;

/// Run one of the shop's services by events, until the standard input ends.
///
/// Prints "ready" once it listens, and with --tell a line of JSON for each event that it published
/// and for each reaction that ended.
#[derive(Args, Debug)]
#[command(override_usage = "wholly shop-by-events [OPTIONS] <KIND>")]
pub struct EventService {
    /// order, payment or inventory.
    kind: ServiceKind,
    /// The way of an order through the shop.
    #[arg(long, value_enum, default_value_t = Flow::Sequential)]
    flow: Flow,
    /// Where order, payment and inventory listen, on 127.0.0.1.
    #[arg(long, value_delimiter = ',', required = true)]
    ports: Vec<u16>,
    /// Where it listens itself, where the others reach it by another port.
    #[arg(long)]
    port: Option<u16>,
    /// Its database, in SQLite.
    #[arg(long, required_unless_present = "postgres", conflicts_with = "postgres")]
    database: Option<PathBuf>,
    /// Its database, in PostgreSQL.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// The stock of a new inventory, as JSON.
    #[arg(long, value_parser = stock, default_value = "{}")]
    stock: StockArgument,
    /// Print every event and every reaction.
    #[arg(long)]
    tell: bool,
}

/// The changes that a program that tests the service makes to it.
pub struct Staging {
    /// Something around its routes.
    pub around: Box<dyn FnOnce(Router) -> Router>,
    /// Its planted fault.
    pub wrong: Option<Wrong>,
    /// Hears the name of each reaction that is committed, before anybody else does.
    pub after_commit: Box<dyn Fn(&str) + Send + Sync>,
}

impl Default for Staging {
    fn default() -> Self {
        let (around, after_commit) = (Box::new(|routes| routes), Box::new(|_: &str| {}));
        Self { around, wrong: None, after_commit }
    }
}

/// The planted faults of a service: a torture must find each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Wrong {
    /// The order service creates an order in one transaction, and says so in the next.
    PublishesApart,
    /// The inventory does not remember across a restart what it has dealt with, and reads it again.
    ForgetsInbox,
}

impl Wrong {
    /// Whose fault it is.
    pub fn service(self) -> ServiceKind {
        match self {
            Self::PublishesApart => ServiceKind::Order,
            Self::ForgetsInbox => ServiceKind::Inventory,
        }
    }
}

/// The most connections that a service has to PostgreSQL.
const CONNECTIONS: usize = 12;

impl EventService {
    /// Serves until the standard input ends.
    pub fn run(self) -> ExitCode {
        self.run_staged(Staging::default())
    }

    /// Serves until the standard input ends, changed.
    pub fn run_staged(self, staging: Staging) -> ExitCode {
        match self.serve(staging) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                wholly_terminal::report(format_args!("wholly: {error}"));
                ExitCode::FAILURE
            }
        }
    }

    fn serve(self, staging: Staging) -> Result<(), Failure> {
        end_with_stdin()?;
        let ports = self.ports.as_slice().try_into().map_err(|_| "three ports are needed")?;
        let ports = Ports(ports);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let port = self.port.unwrap_or(ports.of(self.kind));
            let routes = self.routes(ports, staging).await?;
            let listener = listen(port).await?;
            let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
            say("ready");
            Ok(axum::serve(listener, routes).await?)
        })
    }

    async fn routes(self, ports: Ports, staging: Staging) -> Result<Router, Failure> {
        match (&self.database, &self.postgres) {
            (Some(path), _) => {
                let database = Database::open(path)?;
                self.over(database, ports, staging).await
            }
            (None, Some(url)) => {
                let pool = store::pool(url, CONNECTIONS)?;
                self.over(pool, ports, staging).await
            }
            (None, None) => Err("a database is needed".into()),
        }
    }

    async fn over<S: ShopStore>(
        self,
        store: S,
        ports: Ports,
        staging: Staging,
    ) -> Result<Router, Failure> {
        let Staging { around, wrong, after_commit } = staging;
        let books = store.books_of(self.kind, self.stock.0.clone()).await?;
        Ok(around(books.merge(match self.flow {
            Flow::Sequential | Flow::Parallel => {
                self.by_events(store, ports, wrong, after_commit).await?
            }
            Flow::Calls => calls::routes(self.kind, store, ports),
            Flow::InTurn => in_turn::routes(self.kind, store, ports),
        })))
    }

    async fn by_events<S: ShopStore>(
        self,
        store: S,
        ports: Ports,
        wrong: Option<Wrong>,
        after_commit: Box<dyn Fn(&str) + Send + Sync>,
    ) -> Result<Router, Failure> {
        let Self { kind, flow, tell, .. } = self;
        if wrong == Some(Wrong::ForgetsInbox) {
            store.forget_inbox().await?;
        }
        let waiting = WaitingClients::default();
        let observing = waiting.clone();
        let choreography = choreography::<S>(kind, flow, ports)?.observe(move |ended| {
            after_commit(ended.reaction.as_str());
            observing.observe(&ended);
            if tell {
                ServiceReport::ended(&ended).say();
            }
        });
        let service = choreography.start(store.clone()).await?;
        let mut routes = feed::router(service.clone());
        if kind == ServiceKind::Order {
            let publishes_apart = wrong == Some(Wrong::PublishesApart);
            let desk = Desk { store, service, waiting, tell, publishes_apart };
            routes = routes.merge(desk::routes(desk));
        }
        Ok(routes)
    }
}

/// A reaction that ended, or an event that a service published on its own, as the service tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceReport {
    pub(crate) order: String,
    /// The event to which it reacted, and the outcome; of its own event there is neither.
    pub(crate) on: Option<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) emitted: Option<String>,
    /// The reason of a refusal.
    pub(crate) reason: Option<String>,
}

impl ServiceReport {
    pub(super) fn published(event: &str, order: &str) -> Self {
        let (on, outcome, reason) = (None, None, None);
        Self { order: order.to_owned(), on, outcome, emitted: Some(event.to_owned()), reason }
    }

    fn ended(ended: &EndedReaction<'_>) -> Self {
        let refusal = ended
            .emitted
            .filter(|_| ended.outcome == wholly_events::inbox::ReactionOutcome::Refused);
        let refusal = refusal.and_then(|event| serde_json::from_str::<Refusal>(event.data()).ok());
        Self {
            order: ended.event.correlation.to_string(),
            on: Some(ended.event.kind.to_string()),
            outcome: Some(ended.outcome.to_string()),
            emitted: ended.emitted.map(|event| event.kind().to_string()),
            reason: refusal.map(|refusal| refusal.reason),
        }
    }

    pub(super) fn say(&self) {
        say_json(self);
    }
}
