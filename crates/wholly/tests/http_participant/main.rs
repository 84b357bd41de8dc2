//! `HttpParticipant` against real listeners that keep the contract, and that break everything else.
#![cfg(feature = "http")]
// What the server cannot unwrap fails the test.
#![allow(clippy::unwrap_used)]

mod actions;
mod answers;
mod connections;
#[path = "../common/warnings.rs"]
mod warnings;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use warnings::Warnings;
use wholly::{
    Answer, Call, Endpoint, HttpParticipant, LogId, Operation, Payload, Timestamp, TransactionId,
};

/// What a server does with a request.
enum Reply {
    /// Writes this and keeps the connection.
    Send(Vec<u8>),
    /// Writes this and closes the connection.
    SendAndClose(Vec<u8>),
    /// Writes this, then that over and over until the client has had enough.
    SendWithoutEnd(Vec<u8>, &'static [u8], Duration),
    /// Keeps the connection and says nothing.
    Nothing,
}

#[derive(Clone, Debug)]
struct Seen {
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

struct Server {
    url: String,
    accepted: AtomicUsize,
    /// A permit for each connection that has ended.
    closed: Semaphore,
    seen: Mutex<Vec<Seen>>,
}

impl Server {
    /// Answers request number 0, 1, 2 … of all connections with what `reply` says.
    async fn start(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            accepted: AtomicUsize::new(0),
            closed: Semaphore::new(0),
            seen: Mutex::default(),
        });
        let (accepting, reply) = (server.clone(), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepting.accepted.fetch_add(1, SeqCst);
                let (server, reply) = (accepting.clone(), reply.clone());
                tokio::spawn(async move {
                    // A client that goes away is part of these tests.
                    let _ = server.converse(stream, &*reply).await;
                    server.closed.add_permits(1);
                });
            }
        });
        server
    }

    async fn converse(
        &self,
        stream: TcpStream,
        reply: &(impl Fn(usize) -> Reply + Send + Sync),
    ) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(seen) = read_request(&mut stream).await? {
            let number = {
                let mut all = self.seen.lock().unwrap();
                all.push(seen);
                all.len() - 1
            };
            match reply(number) {
                Reply::Send(bytes) => stream.write_all(&bytes).await?,
                Reply::SendAndClose(bytes) => {
                    stream.write_all(&bytes).await?;
                    stream.shutdown().await?;
                    break;
                }
                Reply::SendWithoutEnd(head, rest, pace) => {
                    stream.write_all(&head).await?;
                    loop {
                        stream.write_all(rest).await?;
                        tokio::time::sleep(pace).await;
                    }
                }
                Reply::Nothing => {}
            }
        }
        // Until the client has seen the end, too.
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    }

    fn participant(&self) -> HttpParticipant {
        HttpParticipant::at(&self.url).unwrap()
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    async fn connection_closed(&self) {
        self.closed.acquire().await.unwrap().forget();
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Seen>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: BTreeMap<_, _> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8(body).unwrap();
    Ok(Some(Seen { line: lines[0].clone(), headers, body }))
}

/// A whole answer.
fn http(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

fn call(operation: Operation) -> Call {
    let id = TransactionId::mint(0, Timestamp::from_millis(1), 7, LogId::from_bits(9));
    let payload = Payload::parse(r#"{"order_id":  "é"}"#).unwrap();
    let expires = operation.is_first_phase().then(|| Timestamp::from_millis(1234));
    Call { expires, ..Call::new(id, "orders".parse().unwrap(), operation, payload) }
}

async fn ask(participant: &HttpParticipant, operation: Operation) -> Answer {
    participant.call(call(operation)).await
}

/// What a prepare is taken to have said when the server replies with this.
async fn answer_to(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Answer {
    let server = Server::start(move |_| reply()).await;
    ask(&server.participant(), Operation::Prepare).await
}

fn is_unknown(answer: &Answer) -> bool {
    matches!(answer, Answer::Unknown { .. })
}
