//! The tables of the shop's services in PostgreSQL, and the route that shows their contents.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;
use wholly_events::Failure;
use wholly_events::store::Pool;
use wholly_participant::http::problem;

use crate::shop::{ServiceKind, Stock, json};

/// Makes the tables where they are not there; `GET /books`.
pub(super) async fn of(pool: Pool, kind: ServiceKind, stock: Stock) -> Result<Router, Failure> {
    create(&pool, kind, &stock).await?;
    Ok(Router::new().route("/books", get(show)).with_state((pool, kind)))
}

async fn create(pool: &Pool, kind: ServiceKind, stock: &Stock) -> Result<(), Failure> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    tx.batch_execute(tables(kind)).await?;
    let empty = "SELECT NOT EXISTS (SELECT 1 FROM stock)";
    if kind == ServiceKind::Inventory && tx.query_one(empty, &[]).await?.try_get(0)? {
        for (item, quantity) in stock {
            let line = "INSERT INTO stock (item_id, on_hand) VALUES ($1, $2)";
            tx.execute(line, &[item, &i64::from(*quantity)]).await?;
        }
    }
    Ok(tx.commit().await?)
}

const fn tables(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::Order => {
            "CREATE TABLE IF NOT EXISTS orders (
                order_id text PRIMARY KEY, item text,
                status text NOT NULL CHECK (status IN ('created', 'confirmed', 'cancelled')));
            CREATE TABLE IF NOT EXISTS arrived (
                order_id text NOT NULL, event text NOT NULL, PRIMARY KEY (order_id, event))"
        }
        ServiceKind::Payment => {
            "CREATE TABLE IF NOT EXISTS payments (order_id text PRIMARY KEY, amount bigint NOT NULL)"
        }
        ServiceKind::Inventory => {
            "CREATE TABLE IF NOT EXISTS stock (
                item_id text PRIMARY KEY, on_hand bigint NOT NULL,
                reserved bigint NOT NULL DEFAULT 0 CHECK (reserved BETWEEN 0 AND on_hand))"
        }
    }
}

async fn show(State((pool, kind)): State<(Pool, ServiceKind)>) -> Response {
    match books(&pool, kind).await {
        Ok(books) => json(StatusCode::OK, &books),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// The books, in the form of the same services over SQLite.
async fn books(pool: &Pool, kind: ServiceKind) -> Result<Value, Failure> {
    let books = match kind {
        ServiceKind::Order => {
            "SELECT 'orders', jsonb_object_agg(order_id,
                jsonb_build_object('item', item, 'status', status))::text FROM orders"
        }
        ServiceKind::Payment => {
            "SELECT 'payments', jsonb_object_agg(order_id, amount)::text FROM payments"
        }
        ServiceKind::Inventory => {
            "SELECT 'stock', jsonb_object_agg(item_id, jsonb_build_object('on_hand', on_hand,
                'available', on_hand - reserved, 'reserved', reserved))::text FROM stock"
        }
    };
    let row = pool.get().await?.query_one(books, &[]).await?;
    let (what, lines): (&str, Option<&str>) = (row.try_get(0)?, row.try_get(1)?);
    let lines: Value = serde_json::from_str(lines.unwrap_or("{}"))?;
    Ok(serde_json::json!({ what: lines, "in_doubt": 0 }))
}
