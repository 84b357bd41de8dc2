//! One of the shop's services as a process: the hidden command `wholly shop-service`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::serve::ListenerExt;
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use wholly_core::Payload;
use wholly_core::wire::{Answer, HttpAnswer, Operation, header};
use wholly_participant::http::problem;

use crate::process::follow_stdin;
use crate::shop::{ServiceKind, Stock, router};

/// Run one of the shop's services, until the standard input ends.
///
/// Prints "ready" once it listens, and with --tell a line of JSON for each call that it answered.
#[derive(Args, Debug)]
pub struct Service {
    /// order, payment or inventory.
    kind: ServiceKind,
    /// Its port, on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// Its database.
    #[arg(long)]
    database: PathBuf,
    /// The stock of a new inventory, as JSON.
    #[arg(long, value_parser = stock, default_value = "{}")]
    stock: StockArgument,
    /// Do not handle the calls of this operation until the standard input has a line.
    #[arg(long, value_name = "OPERATION")]
    withhold_before: Option<String>,
    /// Handle the calls of this operation, but withhold their answers until then.
    #[arg(long, value_name = "OPERATION")]
    withhold_after: Option<String>,
    /// Print every answer.
    #[arg(long)]
    tell: bool,
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
        self.run_around(|routes| routes)
    }

    /// Serves until the standard input ends, with something around its routes.
    pub fn run_around(self, around: impl FnOnce(Router) -> Router) -> ExitCode {
        match self.serve(around) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                wholly_terminal::report(format_args!("wholly: {error}"));
                ExitCode::FAILURE
            }
        }
    }

    fn serve(
        self,
        around: impl FnOnce(Router) -> Router,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let (go_on, goes_on) = watch::channel(false);
        follow_stdin(move |_| _ = go_on.send_replace(true))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let Self { withhold_before: before, withhold_after: after, tell, .. } = self;
            let observer = Observer { before, after, goes_on, tell };
            let routes = router(self.kind, &self.database, self.stock.0).await?;
            let routes = around(routes.layer(from_fn_with_state(observer, observe)));
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

/// The observer of every call of the coordinator.
#[derive(Clone)]
struct Observer {
    /// The operation whose calls are not handled, and the one whose answers do not leave.
    before: Option<String>,
    after: Option<String>,
    /// True once it was told to go on.
    goes_on: watch::Receiver<bool>,
    tell: bool,
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
    /// Nothing: the call is withheld, and not handled.
    Withheld,
}

async fn observe(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let Some(operation) = operation(request.headers()) else { return next.run(request).await };
    let is_withheld = |withheld: &Option<String>| {
        withheld.as_ref() == Some(&operation) && !*observer.goes_on.borrow()
    };
    // The other end lives as long as the process.
    let until_told = async || _ = observer.goes_on.clone().wait_for(|goes_on| *goes_on).await;
    if is_withheld(&observer.before) {
        if observer.tell {
            say_json(&Answered { operation, said: Said::Withheld, reason: None });
        }
        until_told().await;
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the call was withheld");
    }
    let response = next.run(request).await;
    let response = if observer.tell { tell(&operation, response).await } else { response };
    if is_withheld(&observer.after) {
        until_told().await;
    }
    response
}

/// The operation of a call, unless it is no coordinator's.
pub fn operation(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(header::OPERATION)?.to_str().ok()?.to_owned())
}

/// Tells an answer.
async fn tell(operation: &str, response: Response) -> Response {
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
    // The answers of an action and of a compensation mean the same if done or refused.
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

/// Prints a line for the parent process.
pub(crate) fn say(line: &str) {
    // A reader that is gone does not keep the service from its work.
    let _ = wholly_terminal::write_line(line);
}

/// Prints a line of JSON for the parent process.
pub(crate) fn say_json<T: Serialize>(said: &T) {
    let _ = wholly_terminal::write_json(said);
}
