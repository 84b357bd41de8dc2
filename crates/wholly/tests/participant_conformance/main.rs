//! The conformance suites against services that keep the contract, and against services that each
//! break one rule of it.
#![cfg(all(feature = "http", feature = "test"))]
// What the service cannot unwrap fails the test.
#![allow(clippy::unwrap_used)]

mod saga;
mod two_phase;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use wholly::HttpParticipant;

/// Serves at `{url}/tx/`; returns the participant's URL.
async fn serve<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> String
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/tx", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let answer = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), answer));
        }
    });
    url
}

/// A service's work: long enough for a duplicate to come meanwhile. Suite and service share one
/// thread, so it is turns of the runtime that bring the duplicate, however slow the machine is.
async fn work() {
    for _ in 0..300 {
        tokio::task::yield_now().await;
    }
}

/// The participant at this URL, which has as long as a machine takes that does much else.
fn unhurried(url: &str) -> HttpParticipant {
    HttpParticipant::at(url).unwrap().call_timeout(Duration::from_secs(60))
}

/// A URL at which nobody is.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
