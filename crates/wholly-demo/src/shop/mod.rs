//! The shop: order, payment and inventory, each a service with its own database.
//!
//! Each takes part in transactions through [`wholly_participant`]: in two-phase at `/prepare`,
//! `/commit`, `/abort` and `/commit-one-phase`, and in sagas with operations of its own, which
//! [`CREATE_ORDER`] puts together:
//!
//! | service | action | its compensation |
//! |---|---|---|
//! | order | `create-order` | `cancel-order` |
//! | order | `confirm-order` | |
//! | inventory | `reserve-inventory` | `release-inventory` |
//! | payment | `process-payment` | `refund-payment` |
//!
//! Beside that each has endpoints that no coordinator calls:
//!
//! - `GET /books`: what the service has in its books, and how many branches are in doubt;
//! - `GET /orders/{id}`: how one order stands in it;
//! - `GET /work`: how much it has written since it started;
//! - `POST /orders`, `/payments` or `/reservations`: the same change at once and on its own, as a
//!   service without transactions offers it. It is there to show what goes wrong then.

mod held;
pub(crate) mod inventory;
pub(crate) mod order;
pub(crate) mod payment;
pub(crate) mod standing;

use std::collections::BTreeMap;
use std::path::Path;

use axum::body::Bytes;
use axum::extract::{Path as InPath, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rusqlite::{Connection, Transaction};
use serde_json::Value;
use wholly_participant::Failure;
use wholly_participant::barrier::Vote;
use wholly_participant::http::{InvalidOperations, problem};
use wholly_participant::sqlite::{
    self, Actions, Database, OpenError, Participant, TransactionError, WriteCounts,
};

use inventory::Inventory;
use order::Order;
use payment::Payment;
use standing::{Standing, StandingAnswer};

/// The saga `create order`: its definition, as TOML.
pub const CREATE_ORDER: &str = include_str!("create-order.toml");

/// A service of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum ServiceKind {
    /// Takes orders: `{"order_id": "ORD001", "item": "item1"}`.
    Order,
    /// Takes money: `{"order_id": "ORD001", "amount": 1000}`.
    Payment,
    /// Gives goods: `{"item_id": "item1", "quantity": 2}`.
    Inventory,
}

impl ServiceKind {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Order, Self::Payment, Self::Inventory];

    /// The service's name, which is a participant's name too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Payment => "payment",
            Self::Inventory => "inventory",
        }
    }
}

impl std::fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The stock of each item when the inventory's database is new.
pub type Stock = BTreeMap<String, u32>;

/// The stock that the shop opens with: 10 of item1 and 5 of item2.
pub fn opening_stock() -> Stock {
    Stock::from([("item1".to_owned(), 10), ("item2".to_owned(), 5)])
}

/// Why a service of the shop stopped, or did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ServeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the service's tables cannot be made: {0}")]
    Tables(#[from] TransactionError),
    #[error(transparent)]
    Operations(#[from] InvalidOperations),
}

/// All routes of the service. It may be killed at any time: everything that it answered is in the
/// database.
///
/// `stock` is what the inventory starts with where the database is new; others ignore it.
///
/// # Errors
/// See [`ServeError`].
pub async fn router(
    kind: ServiceKind,
    database: &Path,
    stock: Stock,
) -> Result<Router, ServeError> {
    let database = Database::open(database)?;
    match kind {
        ServiceKind::Order => routes(Order, database).await,
        ServiceKind::Payment => routes(Payment, database).await,
        ServiceKind::Inventory => routes(Inventory { stock }, database).await,
    }
}

/// What the shop's services have beside their part in transactions.
trait Shop: Participant<Payload: Send + 'static> + Clone {
    /// Where the change can be had at once and on its own.
    const AT_ONCE: &'static str;

    /// Its part in sagas.
    fn actions(&self) -> Actions;

    /// Makes the tables where they are not yet there.
    fn create(&self, db: &Transaction<'_>) -> rusqlite::Result<()>;

    /// The books.
    fn books(&self, db: &Transaction<'_>) -> rusqlite::Result<Value>;

    /// The standing of an order.
    fn standing(db: &Connection, order_id: &str) -> rusqlite::Result<Standing>;
}

/// The standing of an order in the database of a service.
pub(crate) fn standing(
    kind: ServiceKind,
    db: &Connection,
    order_id: &str,
) -> rusqlite::Result<Standing> {
    match kind {
        ServiceKind::Order => Order::standing(db, order_id),
        ServiceKind::Payment => Payment::standing(db, order_id),
        ServiceKind::Inventory => Inventory::standing(db, order_id),
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default()
}

async fn routes<S: Shop>(service: S, database: Database) -> Result<Router, ServeError> {
    let books = with_books(service.clone(), database.clone()).await?;
    let own = Router::new()
        .route(S::AT_ONCE, post(at_once::<S>))
        .with_state((service.clone(), database.clone()));
    let actions = service.actions().router(database.clone())?;
    Ok(sqlite::router(service, database).merge(actions).merge(books).merge(own))
}

/// Makes the tables of a service where they are not there; the route that shows what is in them.
///
/// # Errors
/// When they cannot be made.
pub(crate) async fn books_of(
    kind: ServiceKind,
    database: Database,
    stock: Stock,
) -> Result<Router, TransactionError> {
    match kind {
        ServiceKind::Order => with_books(Order, database).await,
        ServiceKind::Payment => with_books(Payment, database).await,
        ServiceKind::Inventory => with_books(Inventory { stock }, database).await,
    }
}

async fn with_books<S: Shop>(service: S, database: Database) -> Result<Router, TransactionError> {
    let tables = service.clone();
    database.transaction(move |db| Ok(tables.create(db)?)).await?;
    Ok(Router::new()
        .route("/books", get(books::<S>))
        .route("/orders/{id}", get(tell::<S>))
        .route("/work", get(work::<S>))
        .with_state((service, database)))
}

async fn tell<S: Shop>(
    State((_, database)): State<(S, Database)>,
    InPath(order_id): InPath<String>,
) -> Response {
    let read = move |db: &Transaction<'_>| Ok(S::standing(db, &order_id)?);
    match database.transaction(read).await {
        Ok(state) => Json(StandingAnswer { state }).into_response(),
        Err(error) => failed(&error),
    }
}

async fn work<S: Shop>(State((_, database)): State<(S, Database)>) -> Response {
    let WriteCounts { transactions, commits } = database.written();
    json(StatusCode::OK, &serde_json::json!({ "transactions": transactions, "commits": commits }))
}

async fn books<S: Shop>(State((service, database)): State<(S, Database)>) -> Response {
    let read = move |db: &Transaction<'_>| {
        let mut books = service.books(db)?;
        books["in_doubt"] = sqlite::in_doubt(db)?.into();
        Ok(books)
    };
    match database.transaction(read).await {
        Ok(books) => json(StatusCode::OK, &books),
        Err(error) => failed(&error),
    }
}

/// The change with no coordinator: there is no second phase, and no way back.
async fn at_once<S: Shop>(
    State((service, database)): State<(S, Database)>,
    body: Bytes,
) -> Response {
    let payload = match serde_json::from_slice::<S::Payload>(&body) {
        Ok(payload) => payload,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let change = move |db: &Transaction<'_>| match service.validate(db, payload)? {
        Vote::Yes(prepared) => service.apply(db, prepared),
        Vote::ReadOnly => Ok(()),
        Vote::No(reason) => Err(Box::new(No(reason)) as Failure),
    };
    match database.transaction(change).await {
        Ok(()) => json(StatusCode::CREATED, &serde_json::json!({})),
        Err(TransactionError::Work(failure)) if failure.is::<No>() => {
            problem(StatusCode::CONFLICT, &failure.to_string())
        }
        Err(error) => failed(&error),
    }
}

/// A no, on its way through the transaction that it rolls back.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct No(String);

pub(crate) fn failed(error: &TransactionError) -> Response {
    let status = match error {
        TransactionError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    problem(status, &error.to_string())
}

pub(crate) fn json(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
