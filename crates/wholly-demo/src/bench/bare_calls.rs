//! The ceiling over HTTP: the same calls in the same order to the same participants, by a bare
//! HTTP client, with no protocol and no log.

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use wholly_core::wire::header;

use super::error::BenchError;
use super::load::Work;

pub(super) struct BareCalls {
    client: Client<HttpConnector, Full<Bytes>>,
    /// What is asked at once, and then what is asked after it.
    phases: Vec<Vec<Request<Full<Bytes>>>>,
}

/// A call to be made, as the protocol would make it.
pub(super) struct Asked<'a> {
    pub url: &'a str,
    pub branch: &'a str,
    pub operation: &'a str,
    pub expires: bool,
}

impl BareCalls {
    /// Those of each phase at once, all with this payload.
    pub fn new(phases: &[Vec<Asked<'_>>], payload: &str) -> Result<Self, BenchError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(tcp);
        let phase = |asked: &Vec<_>| asked.iter().map(|asked| request(asked, payload)).collect();
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

/// As long on the wire as the call that it stands for.
fn request(asked: &Asked<'_>, payload: &str) -> Result<Request<Full<Bytes>>, BenchError> {
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
        .header(header::BRANCH, *branch)
        .header(header::OPERATION, *operation)
        .header(header::IDEMPOTENCY_KEY, format!("{ID}/{branch}/{operation}"));
    if *expires {
        request = request.header(header::EXPIRES, "1790000000000");
    }
    let body = Full::new(Bytes::copy_from_slice(payload.as_bytes()));
    request.body(body).map_err(|e| failed(e.to_string()))
}
