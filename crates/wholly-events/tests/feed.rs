//! A feed over HTTP: who may read it, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use wholly_events::feed::{self, Feed, FeedError, FeedRequest, HttpFeed, StartFrom};
use wholly_events::{Choreography, Service};
use wholly_participant::signature::Keys;
use wholly_participant::sqlite::Database;

const SECRET: &[u8] = b"a secret with at least 32 bytes in it";
const OTHER: &[u8] = b"another one with at least 32 bytes in it";

async fn service() -> (tempfile::TempDir, Service<Database>) {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path().join("order.db")).unwrap();
    let service = Choreography::new("order").start(database).await.unwrap();
    (directory, service)
}

async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    format!("http://{address}/feed")
}

async fn read(feed: &HttpFeed) -> Result<(), FeedError> {
    let ask = FeedRequest { start: StartFrom::Earliest, limit: 10, wait: Duration::ZERO };
    feed.read(ask).await.map(drop)
}

fn is_unauthorized(result: Result<(), FeedError>) -> bool {
    matches!(result, Err(FeedError::Unreachable(why)) if why.contains("401"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_where_the_service_says_so() {
    let (_directory, service) = service().await;
    let routes = feed::bearer(feed::router(service), ["right".to_owned(), "new".to_owned()]);
    let url = serve(routes).await;
    let feed = || HttpFeed::at(&url).unwrap();
    assert!(is_unauthorized(read(&feed()).await));
    for wrong in ["wrong", "rightt", "righ", ""] {
        assert!(is_unauthorized(read(&feed().token(wrong).unwrap()).await), "{wrong}");
    }
    for right in ["right", "new"] {
        read(&feed().token(right).unwrap()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_asked_for_where_the_service_says_so() {
    let (_directory, service) = service().await;
    let keys = Keys::new("2026-11", SECRET).unwrap();
    let url = serve(keys.protect_reads(feed::router(service))).await;
    let feed = || HttpFeed::at(&url).unwrap();
    assert!(is_unauthorized(read(&feed()).await));
    for (key_id, secret) in [("2026-11", OTHER), ("2026-12", SECRET)] {
        assert!(is_unauthorized(read(&feed().signed(key_id, secret).unwrap()).await), "{key_id}");
    }
    read(&feed().signed("2026-11", SECRET).unwrap()).await.unwrap();
    assert!(feed().signed("2026-11", b"short").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_of_another_service_or_none_is_told() {
    let (_directory, service) = service().await;
    let url = serve(feed::router(service)).await;
    let elsewhere = HttpFeed::at(&url.replace("/feed", "/nothing")).unwrap();
    assert!(
        matches!(read(&elsewhere).await, Err(FeedError::Unreachable(why)) if why.contains("404"))
    );
    for wrong in ["order", "ftp://order/feed", "http:///feed", "http://order/feed?after=1"] {
        assert!(HttpFeed::at(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_keeps_a_page() {
    let (_directory, service) = service().await;
    let url = serve(feed::router(service)).await;
    let address = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /feed HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap().to_lowercase();
    assert!(answer.contains("\r\ncache-control: no-store\r\n"), "{answer}");
}
