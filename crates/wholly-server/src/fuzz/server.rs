//! The server that is asked, in three forms: everybody may do everything, tokens are needed, and
//! limits are reached at once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Request};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt;
use wholly::{
    Answer, AnswerFuture, Call, Coordinator, Endpoint, KeyScope, MemoryLog, Operation, Outcome,
    Settings,
};
use wholly_core::LogId;

use crate::access::{Access, Caller, Role, Sha256};
use crate::api::{self, Broadcaster, Served};
use crate::audit::Audit;
use crate::config::Config;
use crate::damaged;
use crate::gate::{Gate, Rules};
use crate::metrics::Metrics;
use crate::observer::Observer;
use crate::observer::tests::observing;
use crate::sagas::Sagas;
use crate::stopping::Stopping;
use crate::traces::Traces;

/// The placeholders of the transactions of the open server.
pub const IDS: [&str; 5] = ["$settled", "$undecided", "$unsettled", "$running", "$unreadable"];
/// Stands for a transaction that the limited server has deleted.
const TRIMMED: &str = "$trimmed";
/// The submissions whose ids are [`IDS`]; the last of them is in the log before.
const SUBMITTED: [&str; 4] = [
    r#"{"name":"a","branches":[{"participant":"p","payload":1}]}"#,
    r#"{"name":"b","branches":[{"participant":"p","payload":1},{"participant":"never-1","payload":1}]}"#,
    r#"{"name":"c","branches":[{"participant":"p","payload":1},{"participant":"never-2","payload":1}]}"#,
    r#"{"pattern":"saga","saga":{"name":"d","version":1,"steps":[
        {"name":"never-2","participant":"never-1","compensation":false}]}}"#,
];

pub struct Server {
    pub runtime: Runtime,
    unlimited: Unlimited,
    limited: Router,
    /// Stands for [`TRIMMED`].
    trimmed: String,
    _files: TempDir,
}

struct Unlimited {
    open: Router,
    guarded: Router,
    /// Its transactions, with what stands for them.
    ids: Vec<(&'static str, String)>,
    _files: TempDir,
}

impl Server {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let unlimited = runtime.block_on(Unlimited::start());
        let files = files();
        let (limited, trimmed) = runtime.block_on(limited(files.path()));
        Self { runtime, unlimited, limited, trimmed, _files: files }
    }

    /// Another coordinator, because the log is in memory. The limited one takes little, and stays.
    pub fn renew(&mut self) {
        self.unlimited = self.runtime.block_on(Unlimited::start());
    }

    /// The ids of transactions, with what stands for them.
    pub fn ids(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let ids = self.unlimited.ids.iter().map(|(name, id)| (*name, id.as_str()));
        ids.chain([(TRIMMED, self.trimmed.as_str())])
    }

    /// The form that a request with these headers goes to.
    pub fn router(&self, headers: &HeaderMap) -> Router {
        match headers.get(AUTHORIZATION) {
            Some(token) if token == "Bearer limited" => self.limited.clone(),
            Some(_) => self.unlimited.guarded.clone(),
            None => self.unlimited.open.clone(),
        }
    }
}

impl Unlimited {
    async fn start() -> Self {
        let files = files();
        let log = log();
        let unreadable = damaged::put(&log, false);
        log.damage(unreadable, 0);
        let coordinator = coordinator(log, Settings::default()).await;
        let sagas = Sagas::load(files.path().to_owned()).unwrap();
        let tokens = vec![("operator", everything()), ("reader", vec![Role::Read])];
        let [open, guarded] = [Vec::new(), tokens].map(|tokens| gate(files.path(), "", tokens));
        let observer = observing(&files.path().join("choreographies")).await;
        let guarded = router(coordinator.clone(), Sagas::default(), None, guarded);
        let open = router(coordinator, sagas, Some(observer), open);
        let mut ids = Vec::new();
        for (name, submitted) in IDS.into_iter().zip(SUBMITTED) {
            ids.push((name, submit(&open, submitted).await));
        }
        ids.push((IDS[SUBMITTED.len()], unreadable.to_string()));
        Self { open, guarded, ids, _files: files }
    }
}

/// In memory where there is such a place: what is written is synced.
fn files() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn everything() -> Vec<Role> {
    vec![Role::Submit, Role::Read, Role::Operate]
}

fn log() -> MemoryLog {
    MemoryLog::new(LogId::from_bits(9))
}

async fn coordinator(log: MemoryLog, mut settings: Settings) -> Coordinator {
    // The wait of a client whose submission is never answered.
    settings.patience = Duration::from_millis(20);
    let coordinator = Coordinator::builder(log)
        .settings(settings)
        .participant("p", Says::Yes)
        .participant("orders", Says::Yes)
        .participant("payments", Says::Yes)
        .participant("no", Says::No)
        .participant("never-1", Says::NeverPrepared)
        .participant("never-2", Says::NeverCommitted);
    coordinator.start().await.unwrap()
}

fn router(
    coordinator: Coordinator,
    sagas: Sagas,
    observer: Option<Arc<Observer>>,
    gate: Arc<Gate>,
) -> Router {
    let (broadcaster, traces) =
        (Broadcaster::new(coordinator.clone()), Traces::start(None).unwrap());
    let metrics = Some(Arc::new(Metrics::of(coordinator.clone(), &traces, observer.clone())));
    // Nobody answers to a reload, which is then refused.
    let (reload, _) = tokio::sync::mpsc::channel(1);
    let sagas = Arc::new(sagas);
    let key_scope = KeyScope::Caller;
    let (_, stopping) = Stopping::new();
    api::router(Served {
        coordinator,
        sagas,
        observer,
        metrics,
        gate,
        broadcaster,
        traces,
        reload,
        key_scope,
        stopping,
    })
}

/// A server that has room for one more transaction, but not of `never-1`, and whose one caller may
/// send a few requests only; and a transaction that it has deleted.
async fn limited(files: &Path) -> (Router, String) {
    let log = log();
    let first = coordinator(log.clone(), Settings::default()).await;
    let order = first.two_phase("trimmed").branch("p", &1).unwrap();
    let Outcome::Committed(trimmed) = order.execute().await.unwrap() else {
        panic!("it is not committed")
    };
    first.shutdown(Duration::from_secs(1)).await;
    // A transaction that ended in this very millisecond would be left for the next sweep.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let mut settings = Settings::default();
    settings.in_flight_limit = 2;
    settings.in_flight_limit_per_participant = Some(1);
    settings.retention.history = Some(Duration::ZERO);
    let coordinator = coordinator(log, settings).await;
    while coordinator.get(trimmed.id).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    let undecided = coordinator.two_phase("undecided").branch("p", &1).unwrap();
    undecided.branch("never-1", &1).unwrap().submit().await.unwrap();
    let limits = "[limits]\nrequests_per_second = 1\nburst = 6";
    let gate = gate(files, limits, vec![("limited", everything())]);
    (router(coordinator, Sagas::default(), None, gate), trimmed.id.to_string())
}

async fn submit(router: &Router, body: &'static str) -> String {
    let request = Request::post("/v1/transactions").header("prefer", "wait=0");
    let request = request.header(CONTENT_TYPE, "application/json").body(Body::from(body)).unwrap();
    let reply = router.clone().oneshot(request).await.unwrap().into_body();
    let reply: Value = serde_json::from_slice(&to_bytes(reply, usize::MAX).await.unwrap()).unwrap();
    reply["id"].as_str().unwrap().to_owned()
}

/// As of a server with this configuration, and with these tokens; with none everybody may do all.
fn gate(files: &Path, configuration: &str, tokens: Vec<(&str, Vec<Role>)>) -> Arc<Gate> {
    let Config { limits, .. } = Config::of(configuration).unwrap();
    let callers = tokens
        .into_iter()
        .map(|(name, roles)| (Sha256::of(name.as_bytes()), Caller::new(name, roles)));
    let access = Access::new(callers.collect(), Vec::new(), false);
    let audit = Audit::open(files.join("audit.jsonl")).unwrap();
    Arc::new(Gate::new(Rules { access, limits, tls: None }, audit))
}

/// Says yes; or never says whether it prepared, or committed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Yes,
    No,
    NeverPrepared,
    NeverCommitted,
}

impl Says {
    fn answer(self, never: Self) -> Answer {
        match self {
            Self::No if never == Self::NeverPrepared => Answer::refused("no"),
            says if says == never => Answer::pending(Some(Duration::from_secs(60))),
            _ => Answer::Done,
        }
    }
}

impl Endpoint for Says {
    fn call(&self, call: Call) -> AnswerFuture<'_> {
        let answer = match call.operation {
            Operation::Prepare | Operation::Action => self.answer(Self::NeverPrepared),
            Operation::Commit => self.answer(Self::NeverCommitted),
            _ => Answer::Done,
        };
        Box::pin(std::future::ready(answer))
    }
}
