//! What a client can hold of the server, and for how long.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::common::{eventually, within};
use super::*;

/// Sends this, and reads what comes until the server closes the connection.
async fn raw(server: &Server, sent: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    // The server may have closed already.
    let _ = stream.write_all(sent.as_bytes()).await;
    closed(&mut stream).await
}

async fn closed(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    // A reset is an end, too.
    let _ = within("the server closes the connection", stream.read_to_end(&mut read)).await;
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let guarded = Guarded::start("[limits]\nhead_timeout = '50ms'").await;
    for half in ["", "G", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] {
        assert_eq!(raw(&guarded.server, half).await, "", "{half:?}");
    }
    // An idle connection, too, after it was answered.
    let idle = raw(&guarded.server, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200 OK"), "{idle}");
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_the_request() {
    let guarded = Guarded::start("[limits]\nbody_timeout = '50ms'").await;
    for path in ["/v1/transactions".to_owned(), format!("{NOBODY}/abort")] {
        let half = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: 100\r\n\r\n{{\"name\""
        );
        let said = raw(&guarded.server, &half).await;
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("slow-body"), "{said}");
    }
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let guarded = Guarded::start("").await;
    let long =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(200_000));
    let said = raw(&guarded.server, &long).await;
    assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    let many: String = (0..200).map(|nth| format!("X-{nth}: 1\r\n")).collect();
    let said = raw(&guarded.server, &format!("GET / HTTP/1.1\r\n{many}\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
}

#[tokio::test]
async fn a_large_body_is_refused_wherever_it_goes() {
    let guarded = Guarded::start("").await;
    for path in ["/v1/transactions".to_owned(), format!("{NOBODY}/abort")] {
        // No more than is read before it is refused: what is left unread could cost the answer.
        let large = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: 6000000\r\n\r\n{}",
            "x".repeat(5 * 1024 * 1024 + 1)
        );
        let said = raw(&guarded.server, &large).await;
        assert!(said.starts_with("HTTP/1.1 413 ") && said.contains("too-large"), "{said}");
    }
}

#[tokio::test]
async fn more_connections_are_told_to_come_again() {
    let guarded = Guarded::start("[limits]\nconnections = 2\nhead_timeout = '1h'").await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(TcpStream::connect(guarded.server.address()).await.unwrap());
    }
    let reply = guarded.server.get("/healthz").await;
    reply.problem(503, "busy");
    assert_eq!((reply.header("retry-after"), reply.header("connection")), ("1", "close"));
    held.pop();
    eventually("there is room again", async || {
        let status = guarded.server.get("/healthz").await.status;
        (status == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_bodies_in_progress_have_a_limit_together() {
    let guarded = Guarded::start("[limits]\nin_flight_bytes = 5242880\nbody_timeout = '1h'").await;
    let head = "POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\nContent-Length: 5242880\r\n\r\n{";
    let large = eventually("a large body holds all there is", async || {
        // It is refused itself while the other request is in progress, and then tries again.
        let mut large = TcpStream::connect(guarded.server.address()).await.unwrap();
        large.write_all(head.as_bytes()).await.unwrap();
        let reply = guarded.server.submit(&[], ORDER).await;
        (reply.status == StatusCode::SERVICE_UNAVAILABLE).then(|| {
            reply.problem(503, "busy");
            assert_eq!(reply.header("retry-after"), "1");
            large
        })
    })
    .await;
    // What has no body goes through.
    assert_eq!(guarded.server.get("/v1/transactions").await.status, StatusCode::OK);
    drop(large);
    eventually("it is given back", async || {
        let status = guarded.server.submit(&[], ORDER).await.status;
        (status == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_caller_that_is_too_fast_does_not_slow_another() {
    let limits = "[limits]\nrequests_per_second = 1\nburst = 3\n";
    let guarded = Guarded::start(&format!("{limits}{}", three_tokens())).await;
    // Far more than come in the time that this takes.
    let mut refused = None;
    for _ in 0..300 {
        let reply = guarded.send("read", "GET", "/v1/sagas", "").await;
        if reply.status != StatusCode::OK {
            refused = Some(reply);
        }
    }
    let refused = refused.expect("as many were answered as came");
    refused.problem(429, "rate-limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    let other = guarded.send("submit", "POST", "/v1/transactions", ORDER).await;
    assert_eq!(other.status, StatusCode::OK, "{other:?}");
}

#[tokio::test]
async fn a_low_limit_of_open_files_is_raised_to_what_the_connections_need() {
    let directory = tempfile::tempdir().unwrap();
    let messages = directory.path().join("messages");
    let limits = "[limits]\nconnections = 100\nhead_timeout = '1h'";
    let before = "ulimit -Sn 64";
    let server = Server::start_after(directory.path(), &[], limits, before, &messages).await;
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut head = [0; 15];
        within("it is answered", stream.read_exact(&mut head)).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        held.push(stream);
    }
    let said = std::fs::read_to_string(&messages).unwrap();
    assert!(!said.contains("open files"), "{said}");
}

#[tokio::test]
async fn a_limit_of_open_files_that_cannot_be_raised_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let messages = directory.path().join("messages");
    let limits = "[limits]\nconnections = 100";
    let before = "ulimit -n 64";
    let _server = Server::start_after(directory.path(), &[], limits, before, &messages).await;
    let said = std::fs::read_to_string(&messages).unwrap();
    assert!(said.contains("64 open files, but 100 connections"), "{said}");
}
