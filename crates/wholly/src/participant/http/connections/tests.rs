use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::sleep;

use super::*;

fn pool() -> Arc<Pool> {
    let Connections(pool) =
        Connections::to(Uri::from_static("http://shop"), &Transport::Plain, IDLE);
    pool
}

/// A new connection, and its other end.
async fn connection(pool: &Pool) -> (Connection, DuplexStream) {
    let (ours, theirs) = duplex(1_024);
    let generation = pool.generation.load(Ordering::SeqCst);
    let stream = Box::new(TokioIo::new(ours));
    (pool.over(stream, Arc::default(), generation).await.unwrap(), theirs)
}

/// Keeps a connection; its other end.
async fn keep_one(pool: &Arc<Pool>) -> DuplexStream {
    let (mut connection, theirs) = connection(pool).await;
    assert!(poll_fn(|context| Poll::Ready(connection.is_open(context))).await);
    pool.clone().keep(connection);
    theirs
}

async fn take(pool: &Pool) -> Option<Connection> {
    poll_fn(|context| Poll::Ready(pool.take(context))).await
}

#[tokio::test(start_paused = true)]
async fn what_its_server_closed_or_spoke_on_is_not_taken() {
    let pool = pool();
    let _open = keep_one(&pool).await;
    drop(keep_one(&pool).await);
    let mut speaks = keep_one(&pool).await;
    speaks.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let mut taken = take(&pool).await.unwrap();
    assert!(poll_fn(|context| Poll::Ready(taken.is_open(context))).await, "the open one");
    assert!(take(&pool).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_is_closed_in_time() {
    let pool = pool();
    for _ in 0..2 {
        let mut older = keep_one(&pool).await;
        sleep(IDLE / 2).await;
        let mut younger = keep_one(&pool).await;
        sleep(IDLE * 3 / 4).await;
        assert_eq!(older.read(&mut [0]).await.unwrap(), 0, "closed");
        assert_eq!(pool.idle().connections.len(), 1);
        assert_eq!(younger.read(&mut [0]).await.unwrap(), 0, "closed in the end");
        assert!(!pool.idle().swept, "nothing is left to do");
    }
}

#[tokio::test(start_paused = true)]
async fn the_youngest_goes_first_and_no_old_one() {
    let pool = pool();
    let _older = keep_one(&pool).await;
    sleep(IDLE / 2).await;
    let mut younger = keep_one(&pool).await;
    drop(take(&pool).await.unwrap());
    assert_eq!(younger.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(pool.idle().connections.len(), 1);
    // As if no sweep had run.
    tokio::time::advance(IDLE / 2).await;
    assert!(take(&pool).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_steady_use_ends_with_its_greatest_age() {
    let pool = pool();
    let _theirs = keep_one(&pool).await;
    let began = Instant::now();
    // Bounded: a connection without a greatest age would be used for ever.
    while began.elapsed() < AGE * 2 {
        match take(&pool).await {
            Some(connection) => pool.clone().keep(connection),
            None => break,
        }
        sleep(IDLE / 2).await;
    }
    let age = began.elapsed();
    assert!(age > AGE * 4 / 5 - IDLE && age <= AGE + IDLE, "{age:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_open_when_connections_are_closed_is_not_used_again() {
    let pool = pool();
    let mut idle = keep_one(&pool).await;
    let (in_use, _theirs) = connection(&pool).await;
    pool.close();
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0, "closed at once");
    pool.clone().keep(in_use);
    assert!(take(&pool).await.is_none());
    let _new = keep_one(&pool).await;
    assert!(take(&pool).await.is_some());
}
