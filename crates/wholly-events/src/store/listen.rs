//! `LISTEN`: a service over PostgreSQL learns at once of events that another process has published
//! or given a position.
//!
//! Correctness does not depend on it: the poll makes up for a lost notification.

use std::sync::Arc;

use deadpool_postgres::Pool;
use futures_util::stream::{self, StreamExt};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Socket};

use crate::choreography::Service;
use crate::choreography::backoff::Backoff;
use crate::choreography::service::Runtime;
use crate::session::SqlError;
use crate::sql::LISTEN;

impl Service<Pool> {
    /// Listens for events of other processes until the service stops, on a separate connection to
    /// the service's database. A lost connection is reopened.
    ///
    /// Use it if several processes serve one outbox. Without it, each finds the events of the
    /// others by its [poll](crate::Choreography::poll). The connection must reach PostgreSQL
    /// directly: a proxy that pools transactions forwards no notifications.
    pub fn listen<T>(&self, config: Config, tls: T)
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let runtime = Arc::clone(self.runtime());
        self.spawn(async move {
            let mut backoff = Backoff::default();
            loop {
                let ended = match config.connect(tls.clone()).await {
                    Ok((client, connection)) => {
                        forward_notifications(&runtime, &client, connection).await
                    }
                    Err(error) => SqlError::of(&error),
                };
                tracing::warn!(error = %ended, "no notification comes from the database; a poll \
                    stands in until the connection is made again");
                backoff.wait().await;
            }
        });
    }
}

/// Forwards notifications until the connection ends; returns the error.
async fn forward_notifications<S, T>(
    runtime: &Runtime<Pool>,
    client: &Client,
    mut connection: Connection<S, T>,
) -> SqlError
where
    Connection<S, T>: Unpin,
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let mut listen = std::pin::pin!(client.batch_execute(LISTEN));
    let mut is_listening = false;
    loop {
        tokio::select! {
            listening = &mut listen, if !is_listening => {
                if let Err(error) = listening {
                    return error.into();
                }
                is_listening = true;
                // Earlier notifications were missed.
                runtime.published.notify_one();
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(said))) => {
                    if is_of_another_process(said.payload(), runtime) {
                        runtime.published.notify_one();
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return error.into(),
                None => return SqlError("the connection was closed".to_owned()),
            },
        }
    }
}

/// True if another process has assigned positions in this service's feed.
fn is_of_another_process(payload: &str, runtime: &Runtime<Pool>) -> bool {
    let Some((source, head)) = payload.rsplit_once(' ') else { return true };
    let known = runtime.tail.borrow().head().map_or(0, |head| head.position);
    source == runtime.source().as_str() && head.parse() != Ok(known)
}
