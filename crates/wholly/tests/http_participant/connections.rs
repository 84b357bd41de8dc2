//! What becomes of connections, and of answers that do not end.

use wholly_core::wire::{HttpHead, REASON_LIMIT};

use super::*;

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
    let Answer::Unknown { reason, .. } = answer else { panic!("{answer:?}") };
    assert!(reason.starts_with("status 500: x"), "{reason}");
    in_body.connection_closed().await;
}

#[tokio::test]
async fn a_redirect_is_followed_nowhere() {
    let target = Server::start(|_| Reply::Send(http(200, "", ""))).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}/prepare\r\n", target.url);
        let answer = answer_to(move || Reply::Send(http(status, &location, ""))).await;
        assert!(is_unknown(&answer), "{status}: {answer:?}");
        let redirect = Some(format!("{}/prepare", target.url));
        assert_eq!(answer.http(), Some(&HttpHead { status, redirect }));
        // Also where only the reason is recorded.
        let says =
            format!("a redirect to {}/prepare, which is not followed: status {status}", target.url);
        assert!(answer.reason().starts_with(&says), "{answer:?}");
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
    let Answer::Unknown { reason, .. } = answer else { panic!("{answer:?}") };
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
