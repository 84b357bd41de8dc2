//! Orders through three services that react to each other's events, beside plain services.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wholly_demo::bench::common::Output;
use wholly_demo::bench::error::BenchError;
use wholly_demo::bench::load::{Load, Work};
use wholly_demo::bench::report::{Comparison, Figures, Named};
use wholly_demo::choreography::Flow;
use wholly_demo::client::{Http, Reply};
use wholly_demo::fleet::{Books, Fleet, Layout, Role};
use wholly_demo::order::Order;
use wholly_demo::shop::{ServiceKind, Stock};
use wholly_test_postgres::{PostgresError, PostgresServer};

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

/// The stock of the item that is ordered: more than can be ordered.
const OPENING: u32 = 4_000_000_000;
const ITEM: &str = "item1";

impl Choreography {
    pub async fn run(self, wholly: &Path) -> Result<Comparison, BenchError> {
        let directory = self.output.directory()?;
        let server =
            self.postgres.then(|| PostgresServer::start(&[])).transpose().map_err(no_database)?;
        let (mut subject, mut ceiling) = (Vec::new(), Vec::new());
        for nth in 0..self.load.rounds {
            let urls = databases(server.as_ref(), "events", nth).await?;
            subject.push(self.round(wholly, Flow::Sequential, urls, directory.path()).await?);
            let urls = databases(server.as_ref(), "calls", nth).await?;
            ceiling.push(self.round(wholly, Flow::Calls, urls, directory.path()).await?);
        }
        let database = if self.postgres { "PostgreSQL" } else { "SQLite" };
        let (subject, ceiling) =
            (Named::new("events", subject), Named::new("plain calls", ceiling));
        let at_once = self.load.concurrency;
        let workload =
            format!("choreography: {at_once} orders at once, three services on {database}");
        Ok(Comparison::of(workload, subject, ceiling))
    }

    async fn round(
        &self,
        wholly: &Path,
        flow: Flow,
        urls: Urls,
        directory: &Path,
    ) -> Result<Figures, BenchError> {
        let stock = Stock::from([(ITEM.to_owned(), OPENING)]);
        let (program, parent) = (Some(wholly.to_owned()), directory.to_owned());
        let layout = Layout { program, flow: Some(flow), urls, parent, ..Layout::of(stock) };
        let fleet = layout.start().await?;
        let orders = Arc::new(Orders::of(&fleet));
        let run = self.load.run(Arc::clone(&orders), || fleet.processor_time()).await?;
        check(&fleet.books().await?, orders.begun.load(Relaxed))?;
        Ok(Figures::of_process(&run, fleet.resident_bytes()))
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
        let url = server.create_database(&format!("{kind}_{what}_{round}")).await;
        urls.insert(kind, url.map_err(no_database)?);
    }
    Ok(urls)
}

fn no_database(why: PostgresError) -> BenchError {
    BenchError::Database { why: why.to_string() }
}

/// Every order that was begun must have happened, once and wholly.
fn check(books: &Books, begun: u64) -> Result<(), BenchError> {
    let of_item = |line: &wholly_demo::fleet::StockLine| i64::from(OPENING) - line.on_hand;
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
        match self.http.post(&self.url, &order).await? {
            Reply { status: 200, body, .. } if body["status"] == "confirmed" => Ok(()),
            other => Err(BenchError::BareCall { why: format!("{other:?}") }),
        }
    }
}
