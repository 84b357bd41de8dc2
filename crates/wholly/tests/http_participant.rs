//! `HttpParticipant` against real listeners that keep the contract, and that break everything else.
#![cfg(feature = "http")]
// What the server cannot unwrap fails the test.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use wholly::{
    Answer, Call, HttpParticipant, LogId, Operation, Participant, Payload, Timestamp, TransactionId,
};
use wholly_core::wire::{REASON_LIMIT, compensation_payload};
use wholly_core::{BranchName, OperationName};

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
    Call {
        transaction: TransactionId::mint(0, Timestamp::from_millis(1), 7, LogId::from_bits(9)),
        branch: BranchName::new("orders").unwrap(),
        operation,
        own_name: None,
        expires: operation.is_first_phase().then(|| Timestamp::from_millis(1234)),
        payload: Payload::parse(r#"{"order_id":  "é"}"#).unwrap(),
        trace: None,
    }
}

async fn ask(participant: &HttpParticipant, operation: Operation) -> Answer {
    match operation {
        Operation::Prepare => participant.prepare(call(operation)).await,
        Operation::Commit => participant.commit(call(operation)).await,
        Operation::Abort => participant.abort(call(operation)).await,
        Operation::CommitOnePhase => participant.commit_one_phase(call(operation)).await,
        Operation::Action => participant.action(call(operation)).await,
        Operation::Compensation => participant.compensate(call(operation)).await,
    }
}

/// What a prepare is taken to have said when the server replies with this.
async fn answer_to(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Answer {
    let server = Server::start(move |_| reply()).await;
    ask(&server.participant(), Operation::Prepare).await
}

fn is_unknown(answer: &Answer) -> bool {
    matches!(answer, Answer::Unknown { .. })
}

#[tokio::test]
async fn a_call_is_what_the_contract_says() {
    let server = Server::start(|_| Reply::Send(http(200, "", ""))).await;
    let participant = HttpParticipant::at(&format!("{}/base/", server.url)).unwrap();
    let operations =
        [Operation::Prepare, Operation::Commit, Operation::Abort, Operation::CommitOnePhase];
    for operation in operations {
        assert_eq!(ask(&participant, operation).await, Answer::Done);
    }
    let seen = server.seen.lock().unwrap().clone();
    let transaction = "00000000000170008000000000000001-0000000000000009";
    for (seen, operation) in seen.iter().zip(operations) {
        let mut expected = BTreeMap::from([
            ("host", server.url.trim_start_matches("http://").to_owned()),
            ("content-type", "application/json".to_owned()),
            ("content-length", "19".to_owned()),
            ("wholly-transaction", transaction.to_owned()),
            ("wholly-branch", "orders".to_owned()),
            ("wholly-operation", operation.to_string()),
            ("idempotency-key", format!("{transaction}/orders/{operation}")),
        ]);
        if operation.is_first_phase() {
            expected.insert("wholly-expires", "1234".to_owned());
        }
        assert_eq!(seen.line, format!("POST /base/{operation} HTTP/1.1"));
        let headers = seen.headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
        assert_eq!(headers.collect::<BTreeMap<_, _>>(), expected);
        assert_eq!(seen.body, r#"{"order_id":  "é"}"#, "the payload goes as it was written");
    }
    assert_eq!(server.accepted.load(SeqCst), 1, "one connection carries all calls");
}

#[tokio::test]
async fn every_answer_of_the_contract_means_what_it_says() {
    use Operation::{Abort, Commit, CommitOnePhase, Prepare};
    let pending =
        |seconds: Option<u64>| Answer::Pending { retry_after: seconds.map(Duration::from_secs) };
    let refused = "wholly-answer: refused\r\n";
    let problem = r#"{"title":"No","detail":"no stock"}"#;
    let cases = [
        (Prepare, 200, "", "{}", Answer::Done),
        (Prepare, 204, "", "", Answer::Done),
        (Commit, 200, "", "", Answer::Done),
        (Prepare, 200, "Wholly-Answer: read-only\r\n", "", Answer::ReadOnly),
        (Commit, 200, "wholly-answer: read-only\r\n", "", Answer::Done),
        (Prepare, 409, refused, "no stock", Answer::refused("no stock")),
        (Prepare, 422, refused, problem, Answer::refused("no stock")),
        (CommitOnePhase, 409, refused, problem, Answer::refused("no stock")),
        (Prepare, 402, "", problem, Answer::refused("no stock")),
        (Prepare, 202, "", "", pending(None)),
        (Prepare, 425, "", "", pending(None)),
        (Prepare, 409, "", "in progress", pending(None)),
        (Commit, 202, "retry-after: 7\r\n", "", pending(Some(7))),
        (Commit, 202, "retry-after: 3601\r\n", "", pending(Some(3600))),
        (Commit, 202, "retry-after: 99999999999999999999999\r\n", "", pending(Some(3600))),
        (Commit, 202, "retry-after: -1\r\n", "", pending(None)),
        (Commit, 202, "retry-after: \r\n", "", pending(None)),
        (Commit, 202, "retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n", "", pending(None)),
        (Abort, 410, "wholly-answer: heuristic\r\n", problem, Answer::heuristic("no stock")),
    ];
    for (operation, status, headers, body, expected) in cases {
        let server = Server::start(move |_| Reply::Send(http(status, headers, body))).await;
        // Of these, what a gateway says of a service that is down is left out.
        let participant = server.participant().refused_statuses(&[402, 200, 503]);
        let answer = ask(&participant, operation).await;
        assert_eq!(answer, expected, "{operation} {status} {headers:?}");
    }
    for status in [300, 305, 400, 401, 403, 404, 408, 410, 418, 429, 500, 502, 503, 504, 999] {
        let server = Server::start(move |_| Reply::Send(http(status, "", "why"))).await;
        let participant = server.participant().refused_statuses(&[503]);
        let answer = ask(&participant, Operation::Prepare).await;
        assert_eq!(answer, Answer::unknown(format!("status {status}: why")));
    }
}

#[tokio::test]
async fn a_connection_is_reused_whatever_was_answered() {
    let server = Server::start(|number| match number % 3 {
        0 => Reply::Send(http(200, "", "some output")),
        1 => Reply::Send(http(409, "wholly-answer: refused\r\n", "no")),
        _ => Reply::Send(http(503, "", &"busy".repeat(100))),
    })
    .await;
    let participant = server.participant();
    for _ in 0..30 {
        ask(&participant, Operation::Prepare).await;
    }
    assert_eq!((server.requests(), server.accepted.load(SeqCst)), (30, 1));
}

#[tokio::test]
async fn garbage_is_unknown() {
    let garbage: [&[u8]; 8] = [
        b"",
        b"\x00\xff\x16\x03\x01\x7f\x7f\x7f\r\n\r\n",
        b"hello\r\n\r\n",
        b"HTTP/1.1 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: tea\r\n\r\n",
    ];
    for bytes in garbage {
        let answer = answer_to(move || Reply::SendAndClose(bytes.to_vec())).await;
        assert!(is_unknown(&answer), "{:?}: {answer:?}", String::from_utf8_lossy(bytes));
    }
    let endless = || Reply::SendWithoutEnd(Vec::new(), &[b'x'; 4096], Duration::ZERO);
    assert!(is_unknown(&answer_to(endless).await));
    let head = b"HTTP/1.1 200 OK\r\nx: ";
    let endless_head = || Reply::SendWithoutEnd(head.to_vec(), &[b'x'; 4096], Duration::ZERO);
    assert!(is_unknown(&answer_to(endless_head).await));
}

#[tokio::test]
async fn the_head_is_the_answer_where_the_body_breaks_off() {
    let cut_off = |status: u16, header: &'static str| {
        let head = format!("HTTP/1.1 {status} X\r\n{header}content-length: 100\r\n\r\nno st");
        answer_to(move || Reply::SendAndClose(head.clone().into_bytes()))
    };
    assert_eq!(cut_off(200, "").await, Answer::Done);
    assert_eq!(cut_off(409, "wholly-answer: refused\r\n").await, Answer::refused("no st"));
    assert_eq!(cut_off(500, "").await, Answer::unknown("status 500: no st"));
    let chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    assert_eq!(answer_to(|| Reply::SendAndClose(chunk.to_vec())).await, Answer::Done);
}

#[tokio::test]
async fn a_huge_body_is_not_read() {
    let huge = "x".repeat(10_000_000);
    let server = Server::start(move |number| match number {
        0 => Reply::Send(http(200, "", &huge)),
        1 => Reply::Send(http(409, "wholly-answer: refused\r\n", &huge)),
        2 => {
            let head = b"HTTP/1.1 500 X\r\n\r\n".to_vec();
            Reply::SendWithoutEnd(head, &[b'y'; 4096], Duration::ZERO)
        }
        _ => Reply::Send(http(200, "", "")),
    })
    .await;
    let participant = server.participant();
    assert_eq!(ask(&participant, Operation::Prepare).await, Answer::Done);
    let refused = Answer::refused("x".repeat(REASON_LIMIT));
    assert_eq!(ask(&participant, Operation::Prepare).await, refused);
    assert!(is_unknown(&ask(&participant, Operation::Prepare).await));
    for _ in 0..3 {
        // The server could end each of these only because the client hung up.
        server.connection_closed().await;
    }
    assert_eq!(ask(&participant, Operation::Prepare).await, Answer::Done);
    assert_eq!(server.accepted.load(SeqCst), 4);
}

#[tokio::test]
async fn a_call_ends_by_its_time_out() {
    let never = Server::start(|_| Reply::Nothing).await;
    let slow = Duration::from_millis(5);
    let in_head = Server::start(move |_| {
        Reply::SendWithoutEnd(b"HTTP/1.1 200 OK\r\nx:".to_vec(), b"x", slow)
    })
    .await;
    for server in [never, in_head] {
        let participant = server.participant().call_timeout(Duration::from_millis(100));
        let answer = ask(&participant, Operation::Prepare).await;
        assert_eq!(answer, Answer::unknown("no answer within 100ms"));
        server.connection_closed().await;
    }
    // After the head a time-out only cuts the reason short.
    let in_body = Server::start(move |number| match number {
        0 => Reply::SendWithoutEnd(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), b"x", slow),
        _ => Reply::SendWithoutEnd(b"HTTP/1.1 500 X\r\n\r\n".to_vec(), b"x", slow),
    })
    .await;
    let participant = in_body.participant().call_timeout(Duration::from_millis(100));
    assert_eq!(ask(&participant, Operation::Prepare).await, Answer::Done);
    in_body.connection_closed().await;
    let answer = ask(&participant, Operation::Prepare).await;
    let Answer::Unknown { reason } = answer else { panic!("{answer:?}") };
    assert!(reason.starts_with("status 500: x"), "{reason}");
    in_body.connection_closed().await;
}

/// A call of a saga's step that has names of its own.
fn own(operation: Operation, name: &str) -> Call {
    let own_name = Some(OperationName::new(name).unwrap());
    Call { branch: BranchName::new("hold-stock").unwrap(), own_name, ..call(operation) }
}

/// What an action is taken to have said when the server replies with this.
async fn action_when(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Answer {
    let server = Server::start(move |_| reply()).await;
    server.participant().action(own(Operation::Action, "reserve")).await
}

#[tokio::test]
async fn a_sagas_operations_go_to_addresses_of_their_own() {
    let server = Server::start(|_| Reply::Send(http(200, "", ""))).await;
    let participant = HttpParticipant::at(&format!("{}/base/", server.url)).unwrap();
    let half = Payload::of(&"x".repeat(Payload::LIMIT - 2)).unwrap();
    let both = compensation_payload(&half, Some(&half));
    for _ in 0..2 {
        assert_eq!(participant.action(own(Operation::Action, "reserve")).await, Answer::Done);
        let mut release = own(Operation::Compensation, "release_1");
        release.payload = both.clone();
        assert_eq!(participant.compensate(release).await, Answer::Done);
    }
    let seen = server.seen.lock().unwrap().clone();
    let transaction = "00000000000170008000000000000001-0000000000000009";
    let payload = call(Operation::Action).payload;
    for (number, seen) in seen.iter().enumerate() {
        let (name, expires, body) = match number % 2 {
            0 => ("reserve", Some("1234"), payload.as_str()),
            // Two payloads, each as long as one may be, arrive whole.
            _ => ("release_1", None, both.as_str()),
        };
        let header = |name: &str| seen.headers.get(name).map(String::as_str);
        assert_eq!(seen.line, format!("POST /base/{name} HTTP/1.1"));
        assert_eq!(header("wholly-transaction"), Some(transaction));
        assert_eq!(header("wholly-branch"), Some("hold-stock"));
        assert_eq!(header("wholly-operation"), Some(name));
        let key = format!("{transaction}/hold-stock/{name}");
        assert_eq!(header("idempotency-key"), Some(key.as_str()));
        assert_eq!(header("wholly-expires"), expires);
        assert_eq!(seen.body, body);
    }
    assert_eq!((server.requests(), server.accepted.load(SeqCst)), (4, 1));
}

#[tokio::test]
async fn the_body_of_an_action_that_was_done_is_its_output() {
    let output = |text: &str| Answer::DoneWith { output: Payload::parse(text).unwrap() };
    let json = "content-type: application/json\r\n";
    let longest = format!("\"{}\"", "x".repeat(Payload::LIMIT - 2));
    let refused = "wholly-answer: refused\r\n";
    let cases = [
        (200, "", "", Answer::Done),
        (204, "", "", Answer::Done),
        (200, json, "", Answer::Done),
        (200, json, r#"{"id": 7}"#, output(r#"{"id": 7}"#)),
        (201, json, "null", output("null")),
        (200, "", "7", output("7")),
        (200, "content-type: text/plain\r\n", "it is reserved", Answer::Done),
        (200, "content-type: text/html\r\n", "<p>json", Answer::Done),
        (200, json, &longest, output(&longest)),
        (202, json, "7", Answer::Pending { retry_after: None }),
        (409, refused, "no stock", Answer::refused("no stock")),
        (409, "", "7", Answer::Pending { retry_after: None }),
    ];
    for (status, headers, body, expected) in cases {
        let reply = http(status, headers, body);
        let answer = action_when(move || Reply::Send(reply.clone())).await;
        assert_eq!(answer, expected, "{status} {headers:?} {:.20}", body);
    }
    let chunks =
        "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n";
    assert_eq!(action_when(|| Reply::Send(chunks.into())).await, output("[1,2]"));
}

#[tokio::test]
async fn an_output_that_is_no_use_leaves_the_action_unknown() {
    let too_long = format!("\"{}\"", "x".repeat(Payload::LIMIT - 1));
    let kinds = [
        ("application/json", "{\"id\""),
        ("Application/JSON ; charset=utf-8", "it is reserved"),
        ("application/vnd.shop+json", "it is reserved"),
        ("application/json", &too_long),
        ("text/plain", &too_long),
    ];
    for (kind, body) in kinds {
        let reply = http(200, &format!("content-type: {kind}\r\n"), body);
        let answer = action_when(move || Reply::Send(reply.clone())).await;
        assert!(is_unknown(&answer), "{kind} {body:.20}: {answer:?}");
    }
}

#[tokio::test]
async fn half_an_output_is_none() {
    let json = "content-type: application/json\r\n";
    let head = |status: u16, more: &str| format!("HTTP/1.1 {status} X\r\n{json}{more}\r\n");
    // What has come is JSON, and half of what was to come.
    let half = format!("{}12", head(200, "content-length: 4\r\n"));
    assert!(is_unknown(&action_when(move || Reply::SendAndClose(half.clone().into())).await));
    let none = head(200, "content-length: 4\r\n");
    assert!(is_unknown(&action_when(move || Reply::SendAndClose(none.clone().into())).await));
    let chunk = format!("{}2\r\n12\r\n", head(200, "transfer-encoding: chunked\r\n"));
    assert!(is_unknown(&action_when(move || Reply::SendAndClose(chunk.clone().into())).await));
    for (rest, pace) in [(&b"1"[..], 5), (&[b'1'; 4096], 0)] {
        let (endless, pace) = (head(200, ""), Duration::from_millis(pace));
        let reply = move |_| Reply::SendWithoutEnd(endless.clone().into(), rest, pace);
        let server = Server::start(reply).await;
        let participant = server.participant().call_timeout(Duration::from_millis(200));
        assert!(is_unknown(&participant.action(own(Operation::Action, "reserve")).await));
        server.connection_closed().await;
    }
    // No other answer depends on its body.
    let refused = head(409, "wholly-answer: refused\r\ncontent-length: 9\r\n") + "no st";
    let answer = action_when(move || Reply::SendAndClose(refused.clone().into())).await;
    assert_eq!(answer, Answer::refused("no st"));
    let half = format!("{}12", head(200, "content-length: 4\r\n"));
    let server = Server::start(move |_| Reply::SendAndClose(half.clone().into())).await;
    let release = own(Operation::Compensation, "release");
    assert_eq!(server.participant().compensate(release).await, Answer::Done);
}

#[tokio::test]
async fn a_redirect_is_followed_nowhere() {
    let target = Server::start(|_| Reply::Send(http(200, "", ""))).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}/prepare\r\n", target.url);
        let answer = answer_to(move || Reply::Send(http(status, &location, ""))).await;
        assert!(is_unknown(&answer), "{status}: {answer:?}");
    }
    assert_eq!(target.accepted.load(SeqCst), 0);
}

#[tokio::test]
async fn nobody_there_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let participant = HttpParticipant::at(&url).unwrap();
    let answer = ask(&participant, Operation::Prepare).await;
    let Answer::Unknown { reason } = answer else { panic!("{answer:?}") };
    assert!(reason.starts_with(&format!("cannot connect to {url}: ")), "{reason}");
    assert!(reason.to_lowercase().contains("refused"), "{reason}");
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_is_replaced() {
    let server = Server::start(|_| Reply::SendAndClose(http(200, "", ""))).await;
    let participant = server.participant();
    for connections in 1..=3 {
        assert_eq!(ask(&participant, Operation::Commit).await, Answer::Done);
        // Now both ends have closed it, so that the next call cannot meet the closing half-way.
        server.connection_closed().await;
        assert_eq!(server.accepted.load(SeqCst), connections);
    }
}

#[tokio::test]
async fn a_call_that_was_sent_is_never_repeated_here() {
    let server = Server::start(|number| match number {
        1 => Reply::SendAndClose(Vec::new()),
        _ => Reply::Send(http(200, "", "")),
    })
    .await;
    let participant = server.participant();
    assert_eq!(ask(&participant, Operation::Commit).await, Answer::Done);
    assert!(is_unknown(&ask(&participant, Operation::Commit).await));
    assert_eq!((server.requests(), server.accepted.load(SeqCst)), (2, 1));
    assert_eq!(ask(&participant, Operation::Commit).await, Answer::Done);
    assert_eq!((server.requests(), server.accepted.load(SeqCst)), (3, 2));
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_answers_nothing() {
    let server = Server::start(|number| match number {
        0 => {
            let mut twice = http(200, "", "");
            twice.extend(http(409, "wholly-answer: refused\r\n", "late"));
            Reply::Send(twice)
        }
        _ => Reply::Send(http(200, "", "")),
    })
    .await;
    let participant = server.participant();
    assert_eq!(ask(&participant, Operation::Prepare).await, Answer::Done);
    let next = ask(&participant, Operation::Prepare).await;
    assert!(next == Answer::Done || is_unknown(&next), "{next:?}");
}

#[tokio::test]
async fn many_calls_at_once_each_get_their_own_answer() {
    let server = Server::start(|number| Reply::Send(http(500, "", &number.to_string()))).await;
    let participant = server.participant();
    let calls = (0..50).map(|_| ask(&participant, Operation::Prepare));
    let answers = futures_util::future::join_all(calls).await;
    let distinct: std::collections::HashSet<_> = answers.into_iter().collect();
    assert_eq!((distinct.len(), server.requests()), (50, 50));
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn https_speaks_tls_and_never_plain_text() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let participant = HttpParticipant::at(&url).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).await.unwrap();
        stream.write_all(&http(200, "", "")).await.unwrap();
        first[0]
    };
    let (answer, first) = tokio::join!(ask(&participant, Operation::Prepare), serve);
    assert_eq!(first, 0x16, "the first byte of a TLS handshake");
    assert!(is_unknown(&answer), "{answer:?}");
}

#[cfg(not(feature = "tls"))]
#[test]
fn https_without_tls_is_refused() {
    let error = HttpParticipant::at("https://shop").err().unwrap();
    assert!(matches!(error, wholly::InvalidUrl::Tls { .. }), "{error}");
}

#[tokio::test]
async fn a_likely_mistake_in_configuration_is_reported_once() {
    let warnings = Arc::new(AtomicUsize::new(0));
    let _guard = tracing::subscriber::set_default(CountsWarnings(warnings.clone()));
    let statuses = [404, 404, 401, 409, 422, 425, 500, 404, 422];
    let server =
        Server::start(move |number| Reply::Send(http(statuses[number], "", "no such page"))).await;
    let participant = server.participant().refused_statuses(&[422]);
    for _ in statuses {
        ask(&participant, Operation::Prepare).await;
    }
    assert_eq!(warnings.load(SeqCst), 2, "one for 404, one for 401");
}

struct CountsWarnings(Arc<AtomicUsize>);

impl tracing::Subscriber for CountsWarnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN && metadata.target().starts_with("wholly")
    }
    fn event(&self, _event: &tracing::Event<'_>) {
        self.0.fetch_add(1, SeqCst);
    }
    fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}
    fn enter(&self, _span: &tracing::span::Id) {}
    fn exit(&self, _span: &tracing::span::Id) {}
}
