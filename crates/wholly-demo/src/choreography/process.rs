//! One of the services as a process: what the hidden command `wholly shop-by-events` runs.

use std::path::PathBuf;
use std::process::ExitCode;

use axum::Router;
use axum::serve::ListenerExt;
use clap::Args;
use serde::{Deserialize, Serialize};
use wholly_events::choreography::Ended;
use wholly_events::feed;
use wholly_participant::sqlite::Database;

use super::desk::{self, Desk, Waiting};
use super::{Flow, Ports, Refusal, calls, choreography, order};
use crate::process::end_with_stdin;
use crate::service::{StockArgument, listen, say, stock};
use crate::shop::{ServiceKind, books_of};

/// Run one of the shop's services by events, until the standard input ends.
///
/// Prints "ready" once it listens, and with --tell a line of JSON for each event that it published
/// and for each reaction that ended.
#[derive(Args, Debug)]
#[command(override_usage = "wholly shop-by-events [OPTIONS] <KIND>")]
pub struct EventService {
    /// order, payment or inventory.
    kind: ServiceKind,
    /// How an order goes through the shop.
    #[arg(long, value_enum, default_value_t = Flow::Sequential)]
    flow: Flow,
    /// Where order, payment and inventory listen, on 127.0.0.1.
    #[arg(long, value_delimiter = ',', required = true)]
    ports: Vec<u16>,
    /// Its database.
    #[arg(long)]
    database: PathBuf,
    /// What a new inventory has, as JSON.
    #[arg(long, value_parser = stock, default_value = "{}")]
    stock: StockArgument,
    /// Print every event and every reaction.
    #[arg(long)]
    tell: bool,
}

impl EventService {
    /// Serves until the standard input ends.
    pub fn run(self) -> ExitCode {
        match self.serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("wholly: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn serve(self) -> Result<(), Box<dyn std::error::Error>> {
        end_with_stdin()?;
        let ports = self.ports.as_slice().try_into().map_err(|_| "three ports are needed")?;
        let ports = Ports(ports);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let port = ports.of(self.kind);
            let routes = self.routes(ports).await?;
            let listener = listen(port).await?;
            let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
            say("ready");
            Ok(axum::serve(listener, routes).await?)
        })
    }

    async fn routes(self, ports: Ports) -> Result<Router, Box<dyn std::error::Error>> {
        let Self { kind, flow, tell, .. } = self;
        // Another database than SQLite is opened here.
        let database = Database::open(&self.database)?;
        let books = books_of(kind, database.clone(), self.stock.0).await?;
        if flow == Flow::Calls {
            return Ok(books.merge(calls::routes(kind, database, ports)));
        }
        order::create_table(&database).await?;
        let waiting = Waiting::default();
        let observing = waiting.clone();
        let choreography = choreography(kind, flow, ports)?.observe(move |ended| {
            observing.observe(&ended);
            if tell {
                Told::ended(&ended).say();
            }
        });
        let service = choreography.start(database.clone()).await?;
        let routes = books.merge(feed::router(service.clone()));
        Ok(match kind {
            ServiceKind::Order => {
                routes.merge(desk::routes(Desk { database, service, waiting, tell }))
            }
            ServiceKind::Payment | ServiceKind::Inventory => routes,
        })
    }
}

/// A reaction that ended, or an event that a service published on its own, as the service tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) order: String,
    /// The event to which it reacted, and the outcome; of its own event there is neither.
    pub(crate) on: Option<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) emitted: Option<String>,
    /// The reason of a refusal.
    pub(crate) reason: Option<String>,
}

impl Told {
    pub(super) fn published(event: &str, order: &str) -> Self {
        let (on, outcome, reason) = (None, None, None);
        Self { order: order.to_owned(), on, outcome, emitted: Some(event.to_owned()), reason }
    }

    fn ended(ended: &Ended<'_>) -> Self {
        let refusal =
            ended.emitted.filter(|_| ended.outcome == wholly_events::inbox::Outcome::Refused);
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
        if let Ok(line) = serde_json::to_string(self) {
            say(&line);
        }
    }
}
