//! The ceiling over HTTP: the same calls in the same order to the same participants, by a bare
//! HTTP client, with no protocol and no log.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::{Deserialize, Serialize};
use wholly::Payload;
use wholly_core::saga::Graph;
use wholly_core::wire::header;

use super::error::BenchError;
use super::load::{Load, Work};
use super::report::Figures;

/// A bare client, and the calls that it makes for each transaction.
pub struct BareCalls {
    client: Client<HttpConnector, Full<Bytes>>,
    /// The calls that are made at once, and then those that come after them.
    phases: Vec<Vec<Request<Full<Bytes>>>>,
}

/// The calls of one transaction, as the protocol would make them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The calls that are made at once, and then those that come after them.
    phases: Vec<Vec<Asked>>,
    payload: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Asked {
    url: String,
    branch: String,
    operation: String,
    expires: bool,
}

impl Plan {
    /// Prepare, then commit, each asked of all participants at once.
    pub fn two_phase(names: &[String], urls: &[String], payload: &Payload) -> Self {
        let phase = |operation: &str, expires| {
            let asked = |(branch, url): (&String, &String)| Asked {
                url: url.clone(),
                branch: branch.clone(),
                operation: operation.to_owned(),
                expires,
            };
            names.iter().zip(urls).map(asked).collect()
        };
        let phases = vec![phase("prepare", true), phase("commit", false)];
        Self { phases, payload: payload.as_str().to_owned() }
    }

    /// The actions of a saga that succeeds: those of a layer at once.
    pub fn saga(
        graph: &Graph,
        layers: Vec<Range<usize>>,
        urls: &[String],
        payload: &Payload,
    ) -> Self {
        let steps = &graph.definition().steps;
        let asked = |step: usize| Asked {
            url: urls[step % urls.len()].clone(),
            branch: steps[step].name.to_string(),
            operation: steps[step].name.to_string(),
            expires: true,
        };
        let phases = layers.into_iter().map(|layer| layer.map(asked).collect()).collect();
        Self { phases, payload: payload.as_str().to_owned() }
    }
}

impl BareCalls {
    /// A client that makes the calls of this plan.
    ///
    /// # Errors
    /// When a call cannot be written as a request.
    pub fn of(Plan { phases, payload }: &Plan) -> Result<Self, BenchError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(tcp);
        let phase =
            |asked: &Vec<Asked>| asked.iter().map(|asked| request(asked, payload)).collect();
        Ok(Self { client, phases: phases.iter().map(phase).collect::<Result<_, _>>()? })
    }

    async fn call(&self, request: Request<Full<Bytes>>) -> Result<(), BenchError> {
        let failed = |why: String| BenchError::BareCall { why };
        let response = self.client.request(request).await.map_err(|e| failed(e.to_string()))?;
        if !response.status().is_success() {
            return Err(failed(format!("the participant answered {}", response.status())));
        }
        // Read to its end, so that the connection is used again.
        response.into_body().collect().await.map_err(|e| failed(e.to_string()))?;
        Ok(())
    }
}

impl Work for BareCalls {
    async fn once(&self) -> Result<(), BenchError> {
        for phase in &self.phases {
            try_join_all(phase.iter().map(|request| self.call(request.clone()))).await?;
        }
        Ok(())
    }
}

/// The figures of the calls of this plan under load.
pub(super) async fn run(plan: &Plan, load: &Load) -> Result<Figures, BenchError> {
    let calls = Arc::new(BareCalls::of(plan)?);
    Ok(Figures::of_run(&load.run(calls, || ()).await?))
}

/// A request as long on the wire as the call that it stands for.
fn request(asked: &Asked, payload: &str) -> Result<Request<Full<Bytes>>, BenchError> {
    const ID: &str = "0199a1f2c3d47000b000000000000001-0123456789abcdef";
    let Asked { url, branch, operation, expires } = asked;
    let failed = |why: String| BenchError::BareCall { why };
    let uri: Uri = format!("{url}/{operation}")
        .parse()
        .map_err(|e: http::uri::InvalidUri| failed(e.to_string()))?;
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header("content-type", "application/json")
        .header(header::TRANSACTION, ID)
        .header(header::BRANCH, branch)
        .header(header::OPERATION, operation)
        .header(header::IDEMPOTENCY_KEY, format!("{ID}/{branch}/{operation}"));
    if *expires {
        request = request.header(header::EXPIRES, "1790000000000");
    }
    let body = Full::new(Bytes::copy_from_slice(payload.as_bytes()));
    request.body(body).map_err(|e| failed(e.to_string()))
}
