//! Requests of which two programs could disagree where they end, or whom they name.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::common::within;
use super::*;

const FIRST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The answers to this until the server closes the connection.
async fn answered(server: &Server, sent: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    // A reset is an end, too.
    let _ = within("the server closes", stream.read_to_end(&mut read)).await;
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn a_request_with_two_readings_is_refused_and_the_connection_closed() {
    let guarded = Guarded::start("[limits]\nhead_timeout = '1h'").await;
    let submit = "POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\n\
                  Content-Type: application/json\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    let hidden = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for malformed in [
        "GET /healthz HTTP/1.1\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nhost: evil.example\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\nHost: localhost\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nHost: localhost\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: 1\nY: 2\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\n".to_owned(),
        format!("{submit}Content-Length: 5\r\n{chunked}\r\n0\r\n\r\n"),
        format!("{submit}{chunked}Content-Length: 5\r\n\r\n0\r\n\r\n"),
        format!("{submit}{chunked}content-length: 0\r\n\r\n0\r\n\r\n"),
        format!("{submit}Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456"),
        format!("{submit}Content-Length: +5\r\n\r\n12345"),
        format!("{submit}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ] {
        let said = answered(&guarded.server, &format!("{malformed}{hidden}")).await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{malformed:?}: {said}");
        assert_eq!(said.matches("HTTP/1.1").count(), 1, "{malformed:?}: {said}");
        // The same behind one that is well formed.
        let said = answered(&guarded.server, &format!("{FIRST}{malformed}{hidden}")).await;
        let statuses: Vec<_> = said.split("HTTP/1.1 ").skip(1).map(|one| &one[..3]).collect();
        assert_eq!(statuses, ["200", "400"], "{malformed:?}: {said}");
    }
    assert!(guarded.orders.asked_to("prepare").is_empty());
}

#[tokio::test]
async fn what_is_well_formed_is_taken() {
    let guarded = Guarded::start("").await;
    let size = ORDER.len();
    let head =
        "POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
    let chunked = format!(
        "{head}\r\nTransfer-Encoding: chunked\r\n\r\n{size:x};a=b\r\n{ORDER}\r\n0\r\nT: t\r\n\r\n"
    );
    let plain = format!("{head}\r\nContent-Length: {size}\r\n\r\n{ORDER}");
    let older = "GET /healthz HTTP/1.0\r\n\r\n";
    let said = answered(&guarded.server, &format!("{chunked}{plain}{FIRST}{older}")).await;
    assert_eq!(said.matches(" 200 OK\r\n").count(), 4, "{said}");
}
