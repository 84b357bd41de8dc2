//! Orders in a closed loop, for a short while, with nothing else to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::CompareError;
use super::place::Client;
use super::plan::Scale;
use super::regime::Regime;
use crate::bench::error::BenchError;
use crate::bench::load::{Latencies, Load, Work};
use crate::client::Reply;
use crate::fleet::Fleet;
use crate::order::Order;

/// The number of clients that order at once.
const CLIENTS: u32 = 16;

pub(super) struct Cost {
    pub(super) orders_per_second: f64,
    pub(super) latencies: Latencies,
}

/// Places orders, each client its next one when its last is done.
pub(super) async fn measure(
    regime: Regime,
    scale: &Scale,
    fleet: &Fleet,
) -> Result<Cost, CompareError> {
    let load = Load {
        concurrency: CLIENTS,
        seconds: scale.closed_loop_seconds,
        warm_up_seconds: 0,
        rounds: 1,
    };
    let client = Client::of(regime, fleet, scale.deadline);
    let orders = Orders { client, begun: AtomicU64::new(0) };
    let run = load.run(Arc::new(orders), || ()).await?;
    let orders_per_second = run.latencies.count() as f64 / run.seconds;
    Ok(Cost { orders_per_second, latencies: run.latencies })
}

struct Orders {
    client: Client,
    begun: AtomicU64,
}

impl Work for Orders {
    async fn once(&self) -> Result<(), BenchError> {
        let nth = self.begun.fetch_add(1, Relaxed);
        let item = format!("item{}", 1 + nth % 5);
        let order = Order::new(format!("LOOP{nth:08}"), &item, 1, 100);
        match self.client.ask_once(&order).await? {
            Reply { status: 200, body, .. } if is_done(&body) => Ok(()),
            other => Err(BenchError::BareCall { why: format!("{other:?}") }),
        }
    }
}

fn is_done(body: &serde_json::Value) -> bool {
    let end = body["state"].as_str().or_else(|| body["status"].as_str());
    matches!(end, Some("committed" | "completed" | "confirmed"))
}
