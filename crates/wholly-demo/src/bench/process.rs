//! Participants over HTTP: each a process of its own with one thread, a bare server without a
//! barrier that answers 200 at once.
//!
//! INVARIANT: such a process does not outlive the program that started it: it ends when its
//! standard input, a pipe that nobody writes to, does.

use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::error::BenchError;

/// A participant's process, and where it answers.
pub(super) struct ParticipantProcess {
    child: Child,
    pub url: String,
}

impl ParticipantProcess {
    /// Executes this program once more.
    pub fn start() -> Result<Self, BenchError> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "participant"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut url)?;
        }
        let url = url.trim().to_owned();
        match url.starts_with("http://") {
            true => Ok(Self { child, url }),
            false => {
                let why = format!("it said {url:?} instead of its address");
                let _ = child.kill();
                let _ = child.wait();
                Err(BenchError::Participant { why })
            }
        }
    }
}

impl Drop for ParticipantProcess {
    fn drop(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What such a process does, until its standard input ends.
pub(super) fn serve() -> Result<(), BenchError> {
    std::thread::Builder::new().spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(0)
    })?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("http://{}", listener.local_addr()?);
        io::stdout().flush()?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(serving);
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    // Read to its end, so that the connection is used again.
    let _ = request.into_body().collect().await;
    Ok(Response::new(Empty::new()))
}
