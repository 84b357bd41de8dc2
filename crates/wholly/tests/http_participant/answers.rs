//! What is asked, and what an answer means.

use super::*;

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
    let pending = |seconds: Option<u64>| Answer::pending(seconds.map(Duration::from_secs));
    let still = |reason: &str| {
        let (reason, retry_after, http) = (reason.to_owned(), None, None);
        Answer::Pending { reason, retry_after, http }
    };
    let unavailable = |reason, seconds| Answer::unavailable(reason, Duration::from_secs(seconds));
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
        (Prepare, 409, "", "in progress", still("in progress")),
        (Commit, 202, "retry-after: 7\r\n", "", pending(Some(7))),
        (Commit, 202, "retry-after: 3601\r\n", "", pending(Some(3600))),
        (Commit, 202, "retry-after: 99999999999999999999999\r\n", "", pending(Some(3600))),
        (Commit, 202, "retry-after: -1\r\n", "", pending(None)),
        (Commit, 202, "retry-after: \r\n", "", pending(None)),
        (Commit, 202, "retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n", "", pending(None)),
        (Abort, 410, "wholly-answer: heuristic\r\n", problem, Answer::heuristic("no stock")),
        (Commit, 429, "retry-after: 7\r\n", "", unavailable("status 429: ", 7)),
        (Prepare, 503, "retry-after: 0\r\n", problem, unavailable("status 503: no stock", 0)),
        (Prepare, 502, "retry-after: 7\r\n", "", Answer::unknown("status 502: ")),
    ];
    for (operation, status, headers, body, expected) in cases {
        let server = Server::start(move |_| Reply::Send(http(status, headers, body))).await;
        // Of these, what a gateway says of a service that is down is left out.
        let participant = server.participant().refused_statuses(&[402, 200, 503]);
        let answer = ask(&participant, operation).await;
        let expected = expected.with_http(status, None);
        assert_eq!(answer, expected, "{operation} {status} {headers:?}");
    }
    for status in [300, 305, 400, 401, 403, 404, 408, 410, 418, 429, 500, 502, 503, 504, 999] {
        let server = Server::start(move |_| Reply::Send(http(status, "", "why"))).await;
        let participant = server.participant().refused_statuses(&[503]);
        let answer = ask(&participant, Operation::Prepare).await;
        let expected = Answer::unknown(format!("status {status}: why")).with_http(status, None);
        assert_eq!(answer, expected);
    }
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
    let unknown = Answer::unknown("status 500: no st").with_http(500, None);
    assert_eq!(cut_off(500, "").await, unknown);
    let chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    assert_eq!(answer_to(|| Reply::SendAndClose(chunk.to_vec())).await, Answer::Done);
}

#[tokio::test]
async fn a_likely_mistake_in_configuration_is_reported_once() {
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let statuses = [404, 404, 401, 409, 422, 425, 500, 404, 422];
    let server =
        Server::start(move |number| Reply::Send(http(statuses[number], "", "no such page"))).await;
    let participant = server.participant().refused_statuses(&[422]);
    for _ in statuses {
        ask(&participant, Operation::Prepare).await;
    }
    assert_eq!(warnings.said().len(), 2, "one for 404, one for 401");
}

#[tokio::test]
async fn an_output_that_cannot_be_used_is_reported_once() {
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let bodies = [r#"{"id": 7}"#, r#"{"id": 7"#, "[1, 2"];
    let json = "content-type: application/json\r\n";
    let server = Server::start(move |number| Reply::Send(http(200, json, bodies[number]))).await;
    let participant = server.participant();
    assert!(matches!(ask(&participant, Operation::Action).await, Answer::DoneWith { .. }));
    for _ in 1..bodies.len() {
        assert!(is_unknown(&ask(&participant, Operation::Action).await));
    }
    let said = warnings.said();
    assert!(matches!(&said[..], [one] if one.contains("no JSON")), "{said:?}");
}

#[tokio::test]
async fn what_contradicts_itself_is_unknown_and_reported_once() {
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let refused = "wholly-answer: refused\r\n";
    let twice = "wholly-answer: read-only\r\nwholly-answer: read-only\r\n";
    let heads = [refused, "Wholly-Answer: Read-Only\r\n", twice, "wholly-answer: \u{e9}\r\n"];
    let page = ("content-type: text/html\r\n", "<!DOCTYPE html><title>Sign in</title>");
    let server = Server::start(move |number| match heads.get(number) {
        Some(head) => Reply::Send(http(200, head, "")),
        None => Reply::Send(http(200, page.0, page.1)),
    })
    .await;
    let participant = server.participant();
    for head in heads.iter().chain([&page.0]) {
        let answer = ask(&participant, Operation::Prepare).await;
        assert!(is_unknown(&answer), "{head:?}: {answer:?}");
    }
    let said = warnings.said();
    assert!(matches!(&said[..], [one] if one.contains("contradicts itself")), "{said:?}");
}

#[tokio::test]
async fn an_answer_without_a_length_that_stays_open_is_the_heads() {
    let open = |head: &'static str| answer_to(move || Reply::Send(head.into()));
    assert_eq!(open("HTTP/1.1 200 X\r\n\r\n").await, Answer::Done);
    assert_eq!(
        open("HTTP/1.1 409 X\r\nwholly-answer: refused\r\n\r\nno stock").await,
        Answer::refused("no stock")
    );
    let chunked = "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n";
    assert_eq!(open(chunked).await, Answer::Done);
}

#[tokio::test]
async fn too_many_headers_are_named_as_the_reason() {
    let many = |count| {
        let headers: String = (1..count).map(|n| format!("x-{n}: 1\r\n")).collect();
        answer_to(move || Reply::Send(http(200, &headers, "")))
    };
    assert_eq!(many(100).await, Answer::Done);
    let Answer::Unknown { reason, .. } = many(101).await else { panic!("not unknown") };
    assert!(reason.contains("more than 100 headers"), "{reason}");
}
