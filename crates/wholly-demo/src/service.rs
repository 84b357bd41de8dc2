//! One of the shop's services as a process: what the hidden command `wholly shop-service` runs.

mod wrong;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::serve::ListenerExt;
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use wholly_core::Payload;
use wholly_core::wire::{Answer, HttpAnswer, Operation, header};

use crate::kill::{KillAt, Killer};
use crate::process::end_with_stdin;
use crate::shop::{ServiceKind, Stock, router};
use wrong::Faulty;
pub(crate) use wrong::Wrong;

/// Run one of the shop's services, until the standard input ends.
///
/// Prints "ready" once it listens, and with --tell a line of JSON for each call that it answered.
#[derive(Args, Debug)]
pub struct Service {
    /// order, payment or inventory.
    kind: ServiceKind,
    /// Where it listens, on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// Its database.
    #[arg(long)]
    database: PathBuf,
    /// What a new inventory has, as JSON.
    #[arg(long, value_parser = stock, default_value = "{}")]
    stock: StockArgument,
    /// Kill the process at this point, like before-call:commit.
    #[arg(long, value_name = "POINT")]
    kill_at: Option<KillAt>,
    /// Print every answer.
    #[arg(long)]
    tell: bool,
    /// Do this wrong: a torture must find it.
    #[arg(long)]
    wrong: Option<Wrong>,
}

/// clap takes a plain map for a list of values.
#[derive(Clone, Debug)]
pub(crate) struct StockArgument(pub(crate) Stock);

pub(crate) fn stock(text: &str) -> Result<StockArgument, serde_json::Error> {
    serde_json::from_str(text).map(StockArgument)
}

impl Service {
    /// Serves until the standard input ends.
    pub fn run(self) -> ExitCode {
        match self.serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                wholly_terminal::report(format_args!("wholly: {error}"));
                ExitCode::FAILURE
            }
        }
    }

    fn serve(self) -> Result<(), Box<dyn std::error::Error>> {
        end_with_stdin()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let around = Around {
                killer: self.kill_at.map(Killer::new),
                tell: self.tell,
                faulty: self.wrong.map(Faulty::new),
            };
            let routes = router(self.kind, &self.database, self.stock.0)
                .await?
                .layer(from_fn_with_state(around, observe));
            let listener = listen(self.port).await?;
            let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
            say("ready");
            Ok(axum::serve(listener, routes).await?)
        })
    }
}

/// Listens on the port, which a connection of the process that had it before may hold a moment
/// longer.
pub(crate) async fn listen(port: u16) -> std::io::Result<TcpListener> {
    let give_up = Instant::now() + Duration::from_secs(10);
    let mut turn = tokio::time::interval(Duration::from_millis(5));
    loop {
        turn.tick().await;
        match TcpListener::bind(("127.0.0.1", port)).await {
            Err(error)
                if error.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < give_up => {}
            bound => return bound,
        }
    }
}

/// What is put around every call of the coordinator.
#[derive(Clone)]
struct Around {
    killer: Option<Killer>,
    tell: bool,
    faulty: Option<Faulty>,
}

/// A call that a service answered, as it tells it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// Its name: in two-phase the protocol's, in a saga the step's own.
    pub(crate) operation: String,
    pub(crate) said: Said,
    /// Why, where it said no.
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Said {
    Done,
    ReadOnly,
    Refused,
    Other,
}

async fn observe(State(around): State<Around>, request: Request, next: Next) -> Response {
    let Some(operation) = operation(request.headers()) else { return next.run(request).await };
    let answering = answer(&around, &operation, async {
        match &around.faulty {
            Some(faulty) => faulty.run(&operation, request, next).await,
            None => next.run(request).await,
        }
    });
    match &around.killer {
        Some(killer) => killer.around(&operation, answering).await,
        None => answering.await,
    }
}

fn operation(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(header::OPERATION)?.to_str().ok()?.to_owned())
}

async fn answer(
    around: &Around,
    operation: &str,
    response: impl Future<Output = Response>,
) -> Response {
    let response = response.await;
    if !around.tell {
        return response;
    }
    let (head, body) = response.into_parts();
    // A service of the shop answers with a line of text or a small output.
    let body = to_bytes(body, Payload::LIMIT).await.unwrap_or_default();
    let answer = head.headers.get(header::ANSWER).and_then(|value| value.to_str().ok());
    let seen = HttpAnswer {
        status: head.status.as_u16(),
        answer,
        retry_after: None,
        body: &body,
        cut_off: false,
        json: false,
    };
    // Of an action and of a compensation done and refused mean the same.
    let kind = operation.parse().unwrap_or(Operation::Action);
    let (said, reason) = match seen.meaning(kind, &[]) {
        Answer::Done | Answer::DoneWith { .. } => (Said::Done, None),
        Answer::ReadOnly => (Said::ReadOnly, None),
        Answer::Refused { reason } => (Said::Refused, Some(reason)),
        other => (Said::Other, Some(format!("{other:?}"))),
    };
    let operation = operation.to_owned();
    say_json(&Answered { operation, said, reason });
    Response::from_parts(head, Body::from(body))
}

/// Prints a line for who started this process.
pub(crate) fn say(line: &str) {
    // Who does not listen any more does not keep the service from its work.
    let _ = wholly_terminal::write_line(line);
}

/// Prints a line of JSON for who started this process.
pub(crate) fn say_json<T: Serialize>(said: &T) {
    let _ = wholly_terminal::write_json(said);
}
