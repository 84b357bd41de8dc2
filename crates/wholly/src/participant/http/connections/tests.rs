use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::sleep;

use super::*;

fn pool() -> Arc<Pool> {
    let Connections(pool) =
        Connections::to(Uri::from_static("http://shop"), &Transport::Plain, IDLE);
    pool
}

/// Keeps a connection; its other end.
async fn keep_one(pool: &Arc<Pool>) -> DuplexStream {
    let (ours, theirs) = duplex(1_024);
    let mut connection = Connection::over(Box::new(TokioIo::new(ours))).await.unwrap();
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
    // As if nobody had swept.
    tokio::time::advance(IDLE / 2).await;
    assert!(take(&pool).await.is_none());
}
