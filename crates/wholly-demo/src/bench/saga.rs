//! Sagas in a closed loop, beside the log alone, bare calls, or sagas of which none is refused.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wholly::log::Entry;
use wholly::{Coordinator, SagaHandle, SagaOutcome, SagaRun, Submission};
use wholly_core::saga::Graph;

use super::bare_calls::{self, Plan};
use super::common::{Common, Transport, key};
use super::error::BenchError;
use super::load::{Load, Work};
use super::report::{Comparison, Figures, Named, Ratio};
use super::shape::Shape;
use super::{log_alone, participants, under_load};

/// Sagas in a closed loop: throughput, latency, and what the log costs.
///
/// In process the ceiling is the log alone: the same entries in batches of the same sizes,
/// appended by one thread; its latencies are those of an append. Over HTTP it is the same calls in
/// the same order to the same participants, with no protocol and no log. Where some are refused, it
/// is sagas of which none is. With --concurrency 1 the latency is also compared with its parts: the
/// syncs that it waits for and, over HTTP, its calls.
#[derive(clap::Args, Debug)]
pub struct Saga {
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    shape: Shape,
    /// The percentage of sagas whose last step is refused, so that the others are compensated.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    failures: u8,
    /// The place of the participants. The steps take turns among them.
    #[arg(long, value_enum, default_value_t = Transport::InProcess)]
    transport: Transport,
    /// In process: typed steps in code instead of participants.
    #[arg(long)]
    in_code: bool,
    #[command(flatten)]
    pub common: Common,
}

impl Saga {
    pub async fn run(self) -> Result<Comparison, BenchError> {
        if self.in_code && self.transport == Transport::Http {
            return Err(BenchError::Nothing { why: "steps in code are in process, not over HTTP" });
        }
        let directory = self.common.directory()?;
        let processes = self.transport.start(&self.common.names(), directory.path()).await?;
        let urls: Vec<_> = processes.iter().map(|process| process.url.clone()).collect();
        let path = |what, round| directory.path().join(format!("{what}-{round}.db"));
        let (mut subject, mut ceiling, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.load.rounds {
            let (figures, sample) =
                self.wholly(&path("wholly", round), &urls, self.failures).await?;
            subject.push(figures);
            if self.failures > 0 {
                ceiling.push(self.wholly(&path("forward", round), &urls, 0).await?.0);
                continue;
            }
            if self.transport == Transport::Http {
                let graph = self.shape.graph(&self.common.names(), false)?;
                let payload = self.common.payload()?;
                let plan = Plan::saga(&graph, self.shape.layers(), &urls, &payload);
                ceiling.push(bare_calls::run(&plan, &self.load).await?);
            }
            if self.transport == Transport::InProcess || self.load.concurrency == 1 {
                alone.push(log_alone::run(path("alone", round), sample, &self.load).await?);
            }
        }
        self.comparison(subject, ceiling, alone)
    }

    /// A coordinator under load, with participants at `urls` or, where there are none, in process.
    async fn wholly(
        &self,
        path: &Path,
        urls: &[String],
        failures: u8,
    ) -> Result<(Figures, Vec<Vec<Entry>>), BenchError> {
        let names = self.common.names();
        let in_code = Cell::new(None);
        let with_participants = |mut builder: wholly::Builder| {
            if self.in_code {
                let mut saga = |refused| builder.saga(self.shape.in_code(refused));
                in_code.set(Some((saga(false)?, saga(true)?)));
                return Ok(builder);
            }
            participants::add(builder, &names, urls)
        };
        let sagas = |coordinator: Coordinator| {
            let by_participants = |refused| {
                let graph = Arc::new(self.shape.graph(&names, refused)?);
                Ok::<_, BenchError>(Begun::ByParticipants(coordinator.clone(), graph))
            };
            let (forward, refused) = match in_code.take() {
                Some((forward, refused)) => (Begun::InCode(forward), Begun::InCode(refused)),
                None => (by_participants(false)?, by_participants(true)?),
            };
            Ok(Sagas {
                forward,
                refused,
                input: self.common.payload()?.to()?,
                keys: self.common.keys,
                failures: failures.into(),
                begun: AtomicU64::new(0),
            })
        };
        under_load::run(path, &self.load, with_participants, sagas).await
    }

    /// `alone` is the figures of the log alone, where that was measured.
    fn comparison(
        &self,
        subject: Vec<Figures>,
        ceiling: Vec<Figures>,
        alone: Vec<Figures>,
    ) -> Result<Comparison, BenchError> {
        let append = Figures::median(&alone).p50_micros;
        let syncs = append * self.shape.forced(self.in_code) as f64;
        let subject = Named::new("wholly", subject);
        let (ceiling, mut ratio, parts) = match (self.failures, self.transport) {
            (0, Transport::InProcess) => {
                let ceiling = Named::new("log alone", alone);
                let ratio = Ratio::of_throughput(&subject.median, &ceiling.median);
                (ceiling, ratio, Some(syncs))
            }
            (0, Transport::Http) => {
                let ceiling = Named::new("bare calls", ceiling);
                let ratio = Ratio::of(&subject.median, &ceiling.median);
                let parts = syncs + ceiling.median.p50_micros;
                (ceiling, ratio, Some(parts))
            }
            _ => {
                let ceiling = Named::new("none refused", ceiling);
                let ratio = Ratio::of(&subject.median, &ceiling.median);
                (ceiling, ratio, None)
            }
        };
        ratio.latency_by_parts = parts
            .filter(|_| self.load.concurrency == 1)
            .map(|parts| subject.median.p50_micros / parts);
        Ok(Comparison { ratio, ..Comparison::of(self.workload(), subject, ceiling) })
    }

    fn workload(&self) -> String {
        let Common { payload_bytes, keys, .. } = self.common;
        let how = if self.in_code { "in code" } else { self.transport.as_str() };
        let refused = match self.failures {
            0 => String::new(),
            percent => format!(", {percent}% refused"),
        };
        let keyed = if keys { ", with keys" } else { "" };
        format!(
            "saga {how}: {} at once, {}, inputs of {payload_bytes} bytes{refused}{keyed}",
            self.load.concurrency, self.shape
        )
    }
}

/// The beginning of a saga.
enum Begun {
    ByParticipants(Coordinator, Arc<Graph>),
    InCode(SagaHandle<String>),
}

impl Begun {
    fn with(&self, input: &String) -> Submission<SagaRun> {
        match self {
            Self::ByParticipants(coordinator, graph) => {
                coordinator.saga(graph.clone()).input(input)
            }
            Self::InCode(saga) => saga.start(input),
        }
    }
}

/// The work of one client: a saga that must end as it was meant to.
struct Sagas {
    forward: Begun,
    refused: Begun,
    input: String,
    keys: bool,
    /// The percentage of refused sagas.
    failures: u64,
    begun: AtomicU64,
}

impl Work for Sagas {
    async fn once(&self) -> Result<(), BenchError> {
        let nth = self.begun.fetch_add(1, Relaxed);
        // Spread evenly.
        let is_refused = nth * self.failures % 100 < self.failures;
        let begun = if is_refused { &self.refused } else { &self.forward };
        let mut saga = begun.with(&self.input);
        if self.keys {
            saga = saga.key(key(nth)?);
        }
        match (saga.execute().await?, is_refused) {
            (SagaOutcome::Completed(_), false) | (SagaOutcome::Compensated(_), true) => Ok(()),
            (other, _) => Err(BenchError::WrongEnd { id: other.id(), what: format!("{other:?}") }),
        }
    }
}
