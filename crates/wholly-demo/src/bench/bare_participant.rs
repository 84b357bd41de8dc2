//! A participant over HTTP: a process of its own with one thread, a bare server without a barrier
//! that answers at once, or after a pause: 200, or a refusal where it is asked for one.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use wholly_core::wire::{answer as said, header};

use super::error::BenchError;
use super::participants::REFUSED;
use crate::process::{Process, end_with_stdin};

/// The options of the process.
#[derive(clap::Args, Debug)]
pub struct AnswerFuture {
    /// The time that each call takes.
    #[arg(long, default_value_t = 0)]
    pause_millis: u64,
}

/// The process, and where it answers.
pub struct BareParticipant {
    _process: Process,
    /// The address at which it answers.
    pub url: String,
}

impl BareParticipant {
    /// Starts one for each name; their files are in the directory.
    ///
    /// # Errors
    /// When a process does not start.
    pub async fn start_all(names: &[String], directory: &Path) -> Result<Vec<Self>, BenchError> {
        Self::start_pausing(names, 0, directory).await
    }

    /// The same, with answers that take so long.
    pub async fn start_pausing(
        names: &[String],
        pause_millis: u64,
        directory: &Path,
    ) -> Result<Vec<Self>, BenchError> {
        let mut participants = Vec::new();
        for name in names {
            participants.push(Self::start(name, pause_millis, directory).await?);
        }
        Ok(participants)
    }

    async fn start(name: &str, pause_millis: u64, directory: &Path) -> Result<Self, BenchError> {
        let pause = pause_millis.to_string();
        let arguments = ["bench", "participant", "--pause-millis", &pause].map(str::to_owned);
        let mut process =
            Process::start(&std::env::current_exe()?, name, &arguments, directory, "warn")?;
        match process.line().await {
            Some(url) => Ok(Self { _process: process, url }),
            None => Err(BenchError::Participant { why: process.last_words() }),
        }
    }
}

/// Serves until the standard input ends.
pub fn serve(answering: &AnswerFuture) -> Result<(), BenchError> {
    end_with_stdin()?;
    let pause = Duration::from_millis(answering.pause_millis);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async { serve_connections(move |request| answer(request, pause)).await })
}

/// Says at which URL it serves, and answers every request there.
///
/// # Errors
/// When the system gives no connections any more.
pub async fn serve_connections<F, B>(
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> Result<(), BenchError>
where
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    wholly_terminal::write_line(format_args!("http://{}", listener.local_addr()?))?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let serving = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(answer.clone()));
        tokio::spawn(serving);
    }
}

async fn answer(
    request: Request<Incoming>,
    pause: Duration,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let is_refused = request.uri().path().ends_with(REFUSED);
    // Read to its end, so that the connection is used again.
    let _ = request.into_body().collect().await;
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    let mut response = Response::new(Empty::new());
    if is_refused {
        *response.status_mut() = StatusCode::CONFLICT;
        response.headers_mut().insert(header::ANSWER, HeaderValue::from_static(said::REFUSED));
    }
    Ok(response)
}
