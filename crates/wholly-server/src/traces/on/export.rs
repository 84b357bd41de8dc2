//! Spans on their way to the collector, by OTLP over HTTP.
//!
//! INVARIANT: a task that tells a span never waits. The queue is bounded; a span that does not fit,
//! or that the collector does not take within its time and its tries, is counted and dropped.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, Protocol, SpanExporter,
    WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use wholly_dns::https;

use crate::config::traces::Traces;
use crate::traces::TracesError;

/// The most spans that wait.
const QUEUE: usize = 8_192;
/// The most spans in one request.
const BATCH: usize = 512;
/// The time that the first span of a request waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// The time limit of one request.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of an answer that are read.
const ANSWER_LIMIT: usize = 64 * 1024;

/// The queue of spans to the collector.
pub(super) struct Exporter {
    queue: mpsc::Sender<ExporterMessage>,
    pub dropped: Counter,
    /// True after the warning about a full queue, until the queue is empty again.
    is_full: Arc<AtomicBool>,
}

enum ExporterMessage {
    Span(Box<SpanData>),
    /// Send all spans, then answer.
    Flush(oneshot::Sender<()>),
}

/// True if one of OpenTelemetry's variables names a collector. It takes precedence over the
/// configuration.
pub(super) fn by_variable() -> bool {
    [OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT]
        .into_iter()
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

impl Exporter {
    pub fn start(configured: Traces) -> Result<Self, TracesError> {
        let client = Collector(https::web_client().map_err(cannot)?);
        let headers = configured.headers.iter();
        let headers =
            headers.map(|(name, secret)| (name.to_string(), secret.expose().to_owned())).collect();
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_headers(headers)
            .with_protocol(Protocol::HttpBinary);
        if !by_variable() {
            let base = configured.endpoint.to_string();
            exporter = exporter.with_endpoint(format!("{}/v1/traces", base.trim_end_matches('/')));
        }
        let mut exporter = exporter.build().map_err(cannot)?;
        // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are read here.
        let resource = Resource::builder();
        exporter.set_resource(&match env::var_os("OTEL_SERVICE_NAME") {
            Some(_) => resource.build(),
            None => resource.with_service_name(configured.service_name).build(),
        });
        let (queue, told) = mpsc::channel(QUEUE);
        let started = Self { queue, dropped: Counter::default(), is_full: Arc::default() };
        let (dropped, is_full) = (started.dropped.clone(), Arc::clone(&started.is_full));
        tokio::spawn(export(told, exporter, dropped, is_full));
        Ok(started)
    }

    /// Tells a span.
    pub fn tell(&self, span: SpanData) {
        if self.queue.try_send(ExporterMessage::Span(Box::new(span))).is_err() {
            self.dropped.inc();
            if !self.is_full.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "spans are dropped: {QUEUE} spans wait for the collector, which is too slow"
                );
            }
        }
    }

    /// Sends the spans told before.
    pub async fn flush(&self) {
        let (to, flushed) = oneshot::channel();
        if self.queue.send(ExporterMessage::Flush(to)).await.is_ok() {
            let _ = flushed.await;
        }
    }
}

fn cannot(why: impl std::error::Error) -> TracesError {
    TracesError { why: why.to_string() }
}

/// Sends batch after batch, until no sender of spans is left.
async fn export(
    mut told: mpsc::Receiver<ExporterMessage>,
    exporter: SpanExporter,
    dropped: Counter,
    is_full: Arc<AtomicBool>,
) {
    let mut is_down = false;
    while let Some(first) = told.recv().await {
        let (batch, flush) = gather(first, &mut told).await;
        let spans = batch.len();
        let sent = match spans {
            0 => Ok(()),
            _ => exporter.export(batch).await,
        };
        match (&sent, is_down) {
            (Err(why), false) => tracing::warn!("the collector does not accept spans: {why}"),
            (Ok(()), true) => tracing::info!("the collector accepts spans again"),
            _ => {}
        }
        is_down = sent.is_err();
        if is_down {
            dropped.inc_by(spans as u64);
        }
        if told.is_empty() {
            is_full.store(false, Ordering::Relaxed);
        }
        if let Some(to) = flush {
            let _ = to.send(());
        }
    }
}

/// The spans of one request to the collector: those within a moment, up to a flush.
async fn gather(
    first: ExporterMessage,
    told: &mut mpsc::Receiver<ExporterMessage>,
) -> (Vec<SpanData>, Option<oneshot::Sender<()>>) {
    let until = Instant::now() + GATHER;
    let mut batch = Vec::new();
    let mut next = Some(first);
    while let Some(said) = next {
        match said {
            ExporterMessage::Span(span) => batch.push(*span),
            ExporterMessage::Flush(to) => return (batch, Some(to)),
        }
        if batch.len() == BATCH {
            break;
        }
        next = timeout_at(until, told.recv()).await.unwrap_or_default();
    }
    (batch, None)
}

/// The server's own way to speak HTTP.
#[derive(Debug)]
struct Collector(https::HttpsClient);

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let exchange = async {
            let answer = self.0.request(request.map(Full::new)).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_LIMIT).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        timeout(PATIENCE, exchange).await?
    }
}
