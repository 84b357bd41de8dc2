//! Orders in a closed loop, for a short while, with nothing else to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::CompareError;
use super::place::Client;
use super::plan::Scale;
use super::regime::Regime;
use crate::bench::error::BenchError;
use crate::bench::load::{Latencies, Load, Work};
use crate::client::{Http, Reply};
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
    let run = load.run(Arc::new(Orders::of(regime, scale, fleet)), || ()).await?;
    let orders_per_second = run.latencies.count() as f64 / run.seconds;
    Ok(Cost { orders_per_second, latencies: run.latencies })
}

struct Orders {
    regime: Regime,
    client: Client,
    http: Http,
    url: String,
    begun: AtomicU64,
}

impl Orders {
    fn of(regime: Regime, scale: &Scale, fleet: &Fleet) -> Self {
        let path = match regime {
            Regime::TwoPhase | Regime::Saga => "/v1/transactions",
            Regime::NoCoordination => "/orders",
            Regime::Choreography => "/orders?wait_ms=20000",
        };
        Self {
            regime,
            client: Client::of(regime, fleet, scale.deadline),
            http: Http::default(),
            url: fleet.url(regime.leader(), path),
            begun: AtomicU64::new(0),
        }
    }
}

impl Work for Orders {
    async fn once(&self) -> Result<(), BenchError> {
        let nth = self.begun.fetch_add(1, Relaxed);
        let item = format!("item{}", 1 + nth % 5);
        let order = Order::new(format!("LOOP{nth:08}"), &item, 1, 100);
        let body = match self.regime {
            Regime::TwoPhase | Regime::Saga => self.client.submission(&order),
            Regime::NoCoordination | Regime::Choreography => order.input(),
        };
        match self.http.post(&self.url, &body).await? {
            Reply { status: 200, body, .. } if is_done(&body) => Ok(()),
            other => Err(BenchError::BareCall { why: format!("{other:?}") }),
        }
    }
}

fn is_done(body: &serde_json::Value) -> bool {
    let end = body["state"].as_str().or_else(|| body["status"].as_str());
    matches!(end, Some("committed" | "completed" | "confirmed"))
}
