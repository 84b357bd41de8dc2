//! A saga's operations, and their outputs.

use wholly_core::OperationName;
use wholly_core::wire::compensation_payload;

use super::*;

/// A call of a saga's step that has names of its own.
fn own(operation: Operation, name: &str) -> Call {
    let operation_name = Some(OperationName::new(name).unwrap());
    Call { branch: "hold-stock".parse().unwrap(), operation_name, ..call(operation) }
}

/// What an action is taken to have said when the server replies with this.
async fn action_when(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Answer {
    let server = Server::start(move |_| reply()).await;
    server.participant().call(own(Operation::Action, "reserve")).await
}

#[tokio::test]
async fn a_sagas_operations_go_to_addresses_of_their_own() {
    let server = Server::start(|_| Reply::Send(http(200, "", ""))).await;
    let participant = HttpParticipant::at(&format!("{}/base/", server.url)).unwrap();
    let half = Payload::of(&"x".repeat(Payload::LIMIT - 2)).unwrap();
    let both = compensation_payload(&half, Some(&half));
    for _ in 0..2 {
        assert_eq!(participant.call(own(Operation::Action, "reserve")).await, Answer::Done);
        let mut release = own(Operation::Compensation, "release_1");
        release.payload = both.clone();
        assert_eq!(participant.call(release).await, Answer::Done);
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
    let with_newline = format!("{longest}\r\n");
    let refused = "wholly-answer: refused\r\n";
    let pending = |reason: &str| {
        let (reason, retry_after, http) = (reason.to_owned(), None, None);
        Answer::Pending { reason, retry_after, http }
    };
    let cases = [
        (200, "", "", Answer::Done),
        (204, "", "", Answer::Done),
        (200, json, "", Answer::Done),
        (200, json, r#"{"id": 7}"#, output(r#"{"id": 7}"#)),
        (201, json, "null", output("null")),
        (200, "", "7", output("7")),
        (200, "content-type: text/plain\r\n", "it is reserved", Answer::Done),
        (200, "content-type: text/html\r\n", "OK", Answer::Done),
        (200, json, &longest, output(&longest)),
        (200, json, &with_newline, output(&longest)),
        (200, "", &with_newline, output(&longest)),
        (202, json, "7", pending("7")),
        (409, refused, "no stock", Answer::refused("no stock")),
        (409, "", "7", pending("7")),
    ];
    for (status, headers, body, expected) in cases {
        let reply = http(status, headers, body);
        let answer = action_when(move || Reply::Send(reply.clone())).await;
        let expected = expected.with_http(status, None);
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
        ("text/html", "<p>json"),
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
        assert!(is_unknown(&participant.call(own(Operation::Action, "reserve")).await));
        server.connection_closed().await;
    }
    // No other answer depends on its body.
    let refused = head(409, "wholly-answer: refused\r\ncontent-length: 9\r\n") + "no st";
    let answer = action_when(move || Reply::SendAndClose(refused.clone().into())).await;
    assert_eq!(answer, Answer::refused("no st"));
    let half = format!("{}12", head(200, "content-length: 4\r\n"));
    let server = Server::start(move |_| Reply::SendAndClose(half.clone().into())).await;
    let release = own(Operation::Compensation, "release");
    assert_eq!(server.participant().call(release).await, Answer::Done);
}
