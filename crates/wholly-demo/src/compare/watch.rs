//! This program's hold of the reader: the orders it is told, and its findings.

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::CompareError;
use super::reader::{Finding, Said, Totals};
use crate::fleet::{Fleet, PATIENCE, Role};
use crate::process::Process;
use crate::shop::ServiceKind;

pub(super) struct Watch {
    lines: mpsc::UnboundedSender<String>,
    seen: oneshot::Receiver<Result<Seen, CompareError>>,
    // Dropped with this, and with it the process.
    _running: JoinSet<()>,
}

/// All that the reader saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) findings: Vec<Finding>,
    pub(super) totals: Totals,
}

/// The sender that tells the reader of orders.
#[derive(Clone)]
pub(super) struct Teller(mpsc::UnboundedSender<String>);

impl Teller {
    pub(super) fn watch(&self, order: &str) {
        // It is gone only where the run is over.
        let _ = self.0.send(format!("watch {order}"));
    }

    pub(super) fn leave(&self, order: &str) {
        let _ = self.0.send(format!("leave {order}"));
    }
}

const TOTAL: &str = "total";

impl Watch {
    /// Starts the reader beside the services, and waits until it reads.
    pub(super) async fn start(fleet: &Fleet) -> Result<Self, CompareError> {
        let ports = ServiceKind::ALL.map(|kind| fleet.port(Role::Service(kind)).to_string());
        let arguments = ["compare-reader".to_owned(), format!("--ports={}", ports.join(","))];
        let mut process = fleet.start_beside("reader", &arguments)?;
        match next(&mut process).await? {
            Said::Ready => {}
            other => return Err(CompareError::Reader(format!("{other:?}"))),
        }
        let (lines, told) = mpsc::unbounded_channel();
        let (found, seen) = oneshot::channel();
        let mut running = JoinSet::new();
        running.spawn(async move {
            // A program that does not wait for it any more has ended the run.
            let _ = found.send(attend(process, told).await);
        });
        Ok(Self { lines, seen, _running: running })
    }

    pub(super) fn teller(&self) -> Teller {
        Teller(self.lines.clone())
    }

    /// The reader's findings until now. It ends then.
    pub(super) async fn finish(self) -> Result<Seen, CompareError> {
        let nothing = || CompareError::Reader("nothing".to_owned());
        self.lines.send(TOTAL.to_owned()).map_err(|_| nothing())?;
        let seen = tokio::time::timeout(PATIENCE, self.seen).await;
        seen.ok().and_then(Result::ok).ok_or_else(nothing)?
    }
}

/// Tells the reader of the orders and keeps its findings, until it gives its totals.
async fn attend(
    mut process: Process,
    mut told: mpsc::UnboundedReceiver<String>,
) -> Result<Seen, CompareError> {
    let mut findings = Vec::new();
    loop {
        let line = tokio::select! {
            line = told.recv() => {
                let line = line.unwrap_or_else(|| TOTAL.to_owned());
                process.tell(&line).map_err(|why| CompareError::Reader(why.to_string()))?;
                continue;
            }
            line = process.line() => line,
        };
        match parse(&process, line)? {
            Said::Ready => {}
            Said::Intermediate(finding) => findings.push(finding),
            Said::Total(totals) => return Ok(Seen { findings, totals }),
        }
    }
}

async fn next(process: &mut Process) -> Result<Said, CompareError> {
    let line = tokio::time::timeout(PATIENCE, process.line()).await.ok().flatten();
    parse(process, line)
}

fn parse(process: &Process, line: Option<String>) -> Result<Said, CompareError> {
    let line = line.ok_or_else(|| CompareError::Reader(process.last_words()))?;
    serde_json::from_str(&line).map_err(|_| CompareError::Reader(line))
}
