//! `/metrics`: what the coordinator and the API count, as OpenMetrics text, which Prometheus reads.
//!
//! INVARIANT: no label holds a payload, a key, a transaction's id or name, or anything else that a
//! client chooses: labels come from the configuration and from this code.

mod engine;

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use wholly::Coordinator;

use crate::traces::Traces;
use engine::Engine;

/// The type of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that is counted.
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Histogram, Bounds>,
}

/// What tells requests apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Request {
    /// `other` where it is none of HTTP's own.
    pub method: &'static str,
    /// As it was registered, with `{id}` in the place of an id; `other` where there is none.
    pub route: String,
    pub status: u16,
}

/// In seconds: an answer may wait for the end of a transaction.
#[derive(Clone)]
struct Bounds;

impl MetricConstructor<Histogram> for Bounds {
    fn new_metric(&self) -> Histogram {
        Histogram::new([
            0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            60.0,
        ])
    }
}

impl Metrics {
    /// Those of this coordinator, and of an API that nobody has called yet.
    pub fn of(coordinator: Coordinator, traces: &Traces) -> Self {
        let mut registry = Registry::with_prefix("wholly");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which version runs", build);
        registry.register_collector(Box::new(Engine(coordinator)));
        traces.register(&mut registry);
        let requests = Family::new_with_constructor(Bounds);
        let help = "How long requests took until their answers began";
        registry.register_with_unit("http_request", help, Unit::Seconds, requests.clone());
        Self { registry, requests }
    }

    /// A request was answered.
    pub fn answered(&self, request: &Request, took: Duration) {
        self.requests.get_or_create(request).observe(took.as_secs_f64());
    }

    /// What is counted, as text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
