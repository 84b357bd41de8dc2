//! The ceiling of the whole way: a bare server that makes the calls of a plan for every request,
//! and then answers. A process of its own, with as many threads as Wholly's server has.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

use wholly_demo::bench::bare_calls::{BareCalls, Plan};
use wholly_demo::bench::bare_participant::serve_connections;
use wholly_demo::bench::error::BenchError;
use wholly_demo::bench::load::Work;
use wholly_demo::process::end_with_stdin;

/// An answer as long as the one that it stands for.
const DONE: &str =
    r#"{"id":"0199a1f2c3d47000b000000000000001-0123456789abcdef","state":"committed"}"#;

/// The bare server's plan, in JSON.
#[derive(clap::Args, Debug)]
pub(super) struct Relay {
    plan: String,
}

/// The arguments that start the process.
pub(super) fn arguments(plan: &Plan) -> Result<Vec<String>, BenchError> {
    Ok(vec!["bench".to_owned(), "relay".to_owned(), serde_json::to_string(plan)?])
}

impl Relay {
    /// Serves until the standard input ends.
    pub fn serve(&self) -> Result<(), BenchError> {
        end_with_stdin()?;
        let plan: Plan = serde_json::from_str(&self.plan)?;
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
            let calls = Arc::new(BareCalls::of(&plan)?);
            serve_connections(move |request| answer(calls.clone(), request)).await
        })
    }
}

async fn answer(
    calls: Arc<BareCalls>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // Read to its end, so that the connection is used again.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::from(DONE));
    if let Err(error) = calls.once().await {
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        *response.body_mut() = Full::from(error.to_string());
    }
    Ok(response)
}
