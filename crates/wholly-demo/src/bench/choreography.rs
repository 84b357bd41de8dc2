//! Orders through three services that react to each other's events, beside plain services.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::common::Output;
use super::error::BenchError;
use super::load::{Load, Work};
use super::report::{Comparison, Figures, Named, Ratio};
use crate::choreography::Flow;
use crate::client::{Http, Reply};
use crate::fleet::{Books, Fleet, Role};
use crate::order::Order;
use crate::postgres::PostgresServer;
use crate::shop::{ServiceKind, Stock};

/// Orders through the shop's three services by events, in a closed loop: each service is a process
/// with a database of its own, and an order ends when it is confirmed.
///
/// Beside it, the same services call each other: each makes the same change in a committed
/// transaction and then calls the next one, with no outbox and no inbox, so that a crash between the
/// two loses the order. Processor time and memory are those of the three services. After each run
/// the books are checked: every order was reserved, paid and confirmed, once.
#[derive(clap::Args, Debug)]
pub(super) struct Choreography {
    #[command(flatten)]
    load: Load,
    /// The services live in a PostgreSQL server of the benchmark's own, instead of in SQLite.
    #[arg(long)]
    postgres: bool,
    #[command(flatten)]
    pub output: Output,
}

/// What there is of the item that is ordered: more than can be.
const OPENING: u32 = 4_000_000_000;
const ITEM: &str = "item1";

impl Choreography {
    pub async fn run(self) -> Result<Comparison, BenchError> {
        let directory = self.output.directory()?;
        let server = self.postgres.then(|| PostgresServer::start(&[])).transpose()?;
        let (mut subject, mut ceiling) = (Vec::new(), Vec::new());
        for nth in 0..self.load.rounds {
            let urls = databases(server.as_ref(), "events", nth).await?;
            subject.push(self.round(Flow::Sequential, urls, directory.path()).await?);
            let urls = databases(server.as_ref(), "calls", nth).await?;
            ceiling.push(self.round(Flow::Calls, urls, directory.path()).await?);
        }
        let database = if self.postgres { "PostgreSQL" } else { "SQLite" };
        let (subject, ceiling) =
            (Named::new("events", subject), Named::new("plain calls", ceiling));
        let ratio = Ratio::of(&subject.median, &ceiling.median);
        let at_once = self.load.concurrency;
        Ok(Comparison {
            workload: format!(
                "choreography: {at_once} orders at once, three services on {database}"
            ),
            rounds: self.load.rounds as usize,
            subject,
            ceiling,
            ratio,
        })
    }

    async fn round(&self, flow: Flow, urls: Urls, directory: &Path) -> Result<Figures, BenchError> {
        let stock = Stock::from([(ITEM.to_owned(), OPENING)]);
        let fleet = Fleet::without_coordinator(flow, stock, false, directory)?;
        let mut fleet = fleet.living_in(urls);
        fleet.open_shop().await?;
        let orders = Arc::new(Orders::of(&fleet));
        let run = self.load.run(Arc::clone(&orders), || fleet.processor_time()).await?;
        check(&fleet.books().await?, orders.begun.load(Relaxed))?;
        let mut figures = Figures::of_run(&run);
        let processor = run.after.saturating_sub(run.before);
        figures.processor_micros_per_transaction =
            processor.as_secs_f64() * 1e6 / run.latencies.len() as f64;
        figures.resident_bytes = fleet.resident_bytes().map(|bytes| bytes as f64);
        Ok(figures)
    }
}

type Urls = BTreeMap<ServiceKind, String>;

/// New databases for the services, where there is a server.
async fn databases(
    server: Option<&PostgresServer>,
    what: &str,
    round: u32,
) -> Result<Urls, BenchError> {
    let mut urls = Urls::new();
    let Some(server) = server else { return Ok(urls) };
    for kind in ServiceKind::ALL {
        urls.insert(kind, server.create_database(&format!("{kind}_{what}_{round}")).await?);
    }
    Ok(urls)
}

/// Every order that was begun must have happened, once and wholly.
fn check(books: &Books, begun: u64) -> Result<(), BenchError> {
    let of_item = |line: &crate::fleet::StockLine| i64::from(OPENING) - line.on_hand;
    let taken = books.stock.get(ITEM).map(of_item).and_then(|taken| u64::try_from(taken).ok());
    let confirmed = books.orders.values().filter(|order| order["status"] == "confirmed").count();
    let counts = [Some(confirmed as u64), Some(books.payments.len() as u64), taken];
    match counts == [Some(begun); 3] {
        true => Ok(()),
        false => Err(BenchError::Broken {
            why: format!("of {begun} orders were confirmed, paid and reserved: {counts:?}"),
        }),
    }
}

/// The work of one client: an order that must be confirmed when it is answered.
struct Orders {
    http: Http,
    url: String,
    begun: AtomicU64,
}

impl Orders {
    fn of(fleet: &Fleet) -> Self {
        let url = fleet.url(Role::Service(ServiceKind::Order), "/orders?wait_ms=20000");
        Self { http: fleet.http(), url, begun: AtomicU64::new(0) }
    }
}

impl Work for Orders {
    async fn once(&self) -> Result<(), BenchError> {
        let nth = self.begun.fetch_add(1, Relaxed);
        let order = Order::new(format!("ORD{nth:08}"), ITEM, 1, 100).input();
        let reply = self.http.post(&self.url, &order).await;
        match reply.map_err(|why| BenchError::BareCall { why: why.to_string() })? {
            Reply { status: 200, body, .. } if body["status"] == "confirmed" => Ok(()),
            other => Err(BenchError::BareCall { why: format!("{other:?}") }),
        }
    }
}
