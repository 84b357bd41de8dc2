//! Connections: accepted, encrypted where the configuration says so, and served.
//!
//! Each has a task of its own from the moment it is accepted, so that a slow handshake keeps nobody
//! else. Everything that a client can make the server wait for has a limit: the handshake, the head
//! of a request (and with it an idle connection), its body. The operating system notices a peer
//! that is gone. Beyond the limit on connections a client is told to try again; these answers have
//! a limit of their own, beyond which a connection is closed at once.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustix::net::sockopt;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::framing::Checked;
use crate::gate::{Gate, Permit, Usage};
use crate::problem::{Kind, Problem};
use crate::stopping::{Phase, Stopping};

/// The most bytes that the head of a request may have, give or take what one read brings; a longer
/// one is answered with 431.
const HEAD_LIMIT: usize = 32 * 1024;
/// The most clients that are told at once that the server is full.
pub const TURNED_AWAY: usize = 256;
/// The time after which a peer that acknowledges nothing counts as gone.
const PEER_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause after the system could not accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The peer of a connection: in the extensions of each of its requests.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// The DNS and URI names of the certificate that it presented and that was verified.
    pub names: Arc<[String]>,
}

/// Serves until the server is closing; then until every request in progress is answered.
pub async fn serve(listener: TcpListener, router: Router, gate: Arc<Gate>, stopping: Stopping) {
    let graceful = GracefulShutdown::new();
    let turned_away = Arc::new(Usage::default());
    let closing = stopping.clone().closing();
    tokio::pin!(closing);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut closing => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(why) => {
                tracing::warn!("a connection cannot be accepted: {why}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let admitted = gate.connections.take(1, gate.rules().limits.connections);
        let (permit, router) = match admitted {
            Some(permit) => (permit, Some(router.clone())),
            None => match turned_away.take(1, TURNED_AWAY) {
                Some(permit) => (permit, None),
                None => continue,
            },
        };
        tokio::spawn(connection(
            stream,
            address,
            permit,
            router,
            Arc::clone(&gate),
            stopping.clone(),
            graceful.watcher(),
        ));
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Serves one connection; without a router it is told to come again.
async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    _permit: Permit,
    router: Option<Router>,
    gate: Arc<Gate>,
    stopping: Stopping,
    watcher: Watcher,
) {
    set_peer_timeout(&stream);
    let rules = gate.rules();
    // In boxes, or every connection would have room for TLS, also where there is none.
    let Some(tls) = &rules.tls else {
        let none = Arc::new([]);
        return Box::pin(requests(stream, address, none, router, &gate, stopping, watcher)).await;
    };
    let handshake = Box::pin(TlsAcceptor::from(Arc::clone(tls)).accept(stream));
    match timeout(rules.limits.handshake_timeout, handshake).await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let names = certificates.first().map(names).unwrap_or_default();
            Box::pin(requests(stream, address, names.into(), router, &gate, stopping, watcher))
                .await;
        }
        Ok(Err(why)) => tracing::info!(%address, "a TLS handshake failed: {why}"),
        Err(_) => tracing::info!(%address, "a TLS handshake failed: it took too long"),
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    names: Arc<[String]>,
    router: Option<Router>,
    gate: &Gate,
    stopping: Stopping,
    watcher: Watcher,
) {
    let peer = Peer { address, names };
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let (router, stopping) = (router.clone(), stopping.clone());
        async move {
            let Some(router) = router else { return Ok(closed_after(no_room())) };
            let response = router.oneshot(request.map(Body::new)).await?;
            Ok::<_, Infallible>(match stopping.phase() {
                Phase::Serving | Phase::Draining => response,
                Phase::Refusing | Phase::Closing => closed_after(response),
            })
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(gate.rules().limits.head_timeout)
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(Checked::new(stream)), service);
    if let Err(why) = watcher.watch(served).await {
        tracing::debug!(%address, "a connection ended early: {why}");
    }
}

fn no_room() -> Response<Body> {
    let detail = "the server has reached its limit on connections; try again later";
    Problem::new(Kind::BUSY, detail).into_response()
}

/// The response, after which the connection closes.
fn closed_after(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The DNS and URI names in a certificate.
fn names(certificate: &CertificateDer<'static>) -> Vec<String> {
    let parsed = webpki::EndEntityCert::try_from(certificate);
    let names = parsed.iter().flat_map(|parsed| {
        parsed.valid_dns_names().chain(parsed.valid_uri_names()).map(str::to_owned)
    });
    names.collect()
}

/// A peer that vanished, or reads nothing, must not keep its connection for ever. If the system
/// cannot do that, the connection is served all the same.
fn set_peer_timeout(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    #[cfg(target_os = "linux")]
    {
        let _ = sockopt::set_tcp_keepidle(stream, PEER_TIMEOUT);
        let _ = sockopt::set_tcp_user_timeout(stream, PEER_TIMEOUT.as_millis() as u32);
    }
}
