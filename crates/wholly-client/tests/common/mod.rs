//! A server that says, connection by connection, what it is told to say.
#![allow(dead_code, reason = "not every test uses everything")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wholly_client::{Builder, Client};

/// What the server does with a request.
pub enum Play {
    /// Answers with this status, these headers and this body.
    Say(u16, &'static str, String),
    /// Takes the request and closes the connection.
    HangUp,
    /// Takes the request and never answers.
    Silence,
    /// Begins a stream of events with this text, and closes the connection in the midst of it.
    Events(&'static str),
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Received {
    /// `POST /v1/transactions`.
    pub what: String,
    pub head: String,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found == &name).map(|(_, value)| value.to_owned())
    }
}

pub struct Fake {
    url: String,
    asked: Arc<Mutex<Vec<Received>>>,
}

impl Fake {
    /// Plays these, a request each; the last one again and again.
    pub async fn plays(plays: Vec<Play>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Received>>>::default();
        tokio::spawn(play(listener, plays.into(), Arc::clone(&asked)));
        Self { url, asked }
    }

    /// A client that gives up soon.
    pub fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    pub fn builder(&self) -> Builder {
        let (soon, later) = (Duration::from_millis(300), Duration::from_secs(20));
        Client::at(&self.url).answer_timeout(soon).retry_for(later)
    }

    pub fn asked(&self) -> Vec<Received> {
        self.asked.lock().unwrap().clone()
    }
}

async fn play(listener: TcpListener, mut plays: VecDeque<Play>, asked: Arc<Mutex<Vec<Received>>>) {
    let mut silent = Vec::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let request = request(&mut stream).await;
        asked.lock().unwrap().push(request);
        let text = match plays.front().unwrap() {
            Play::Say(status, headers, body) => {
                let length = body.len();
                format!(
                    "HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {length}\r\n\
                     {headers}\r\n{body}"
                )
            }
            Play::Events(text) => format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                 transfer-encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n",
                text.len()
            ),
            Play::HangUp | Play::Silence => String::new(),
        };
        stream.write_all(text.as_bytes()).await.unwrap();
        if matches!(plays.front(), Some(Play::Silence)) {
            silent.push(stream);
        }
        if plays.len() > 1 {
            plays.pop_front();
        }
    }
}

async fn request(stream: &mut TcpStream) -> Received {
    let mut text = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).await.unwrap();
        assert_ne!(count, 0, "the request ends half-way");
        text.extend_from_slice(&bytes[..count]);
        let text = String::from_utf8_lossy(&text);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let what = head.split(" HTTP").next().unwrap().to_owned();
        let asked = Received { what, head: head.to_owned(), body: body.to_owned() };
        let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
        if body.len() == length {
            return asked;
        }
    }
}

pub fn json(body: &str) -> Play {
    Play::Say(200, "content-type: application/json\r\n", body.to_owned())
}

pub fn problem(status: u16, kind: &str, headers: &'static str) -> Play {
    let body = format!(
        r#"{{"type":"/problems/{kind}","title":"t","status":{status},"detail":"it is {kind}"}}"#
    );
    Play::Say(status, headers, body)
}
