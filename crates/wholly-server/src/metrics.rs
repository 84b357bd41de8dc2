//! `/metrics`: the counts of the coordinator and the API, as text that Prometheus reads.
//!
//! INVARIANT: no label holds a payload, a key, a transaction's id or name, or anything else that a
//! client chooses: labels come from the configuration and from this code.

mod engine;
mod feeds;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use wholly::Coordinator;

use crate::logs;
use crate::observer::Observer;
use crate::traces::Traces;
use engine::Engine;
use feeds::Feeds;

/// The types of the text: OpenMetrics, and Prometheus's older one.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All that is counted.
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Histogram, Bounds>,
}

/// The labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Request {
    /// The method; `other` if it is none of HTTP's own.
    pub method: &'static str,
    /// The route as registered, with `{id}` in the place of an id; `other` if there is none.
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
    /// The metrics of this coordinator, of the observer if there is one, and of an API that nobody
    /// has called yet.
    pub fn of(coordinator: Coordinator, traces: &Traces, observer: Option<Arc<Observer>>) -> Self {
        let mut registry = Registry::with_prefix("wholly");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which version runs", build);
        registry.register_collector(Box::new(Engine(coordinator)));
        if let Some(observer) = observer {
            registry.register_collector(Box::new(Feeds(observer)));
        }
        traces.register(&mut registry);
        let help = "Log messages that the standard error did not take";
        registry.register("log_messages_dropped", help, logs::dropped());
        let requests = Family::new_with_constructor(Bounds);
        let help = "How long requests took until their answers began";
        registry.register_with_unit("http_request", help, Unit::Seconds, requests.clone());
        Self { registry, requests }
    }

    /// A request was answered.
    pub fn answered(&self, request: &Request, took: Duration) {
        self.requests.get_or_create(request).observe(took.as_secs_f64());
    }

    /// The metrics, as OpenMetrics text.
    pub fn open_metrics(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// OpenMetrics text in the older format: the samples are the same, and the lines about them have
/// their own names.
pub fn prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        let Some(said) = line.strip_prefix("# ") else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        // Units and the end have no lines there; the help comes before the type, which says how the
        // samples are called.
        if let Some(said) = said.strip_prefix("HELP ") {
            help = said.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) =
            said.strip_prefix("TYPE ").and_then(|s| s.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            text.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_says_the_same() {
        let open = "# HELP w_build Which.\n# TYPE w_build info\nw_build_info{version=\"1\"} 1\n\
            # HELP w_log_written_bytes Bytes.\n# TYPE w_log_written_bytes counter\n\
            # UNIT w_log_written_bytes bytes\nw_log_written_bytes_total 7\n\
            # HELP w_up Up.\n# TYPE w_up gauge\nw_up 1\n# EOF\n";
        let older = "# HELP w_build_info Which.\n# TYPE w_build_info gauge\n\
            w_build_info{version=\"1\"} 1\n\
            # HELP w_log_written_bytes_total Bytes.\n# TYPE w_log_written_bytes_total counter\n\
            w_log_written_bytes_total 7\n# HELP w_up Up.\n# TYPE w_up gauge\nw_up 1\n";
        assert_eq!(prometheus(open), older);
    }
}
