//! A host whose addresses change or fail. The test looks its name up; each address is a listener of
//! its own on the loopback network.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use wholly_core::wire::{Answer, Call, Operation};
use wholly_core::{LogId, Payload, Timestamp, TransactionId};
use wholly_dns::Names;

use super::super::{BaseUrl, CONNECT_TIMEOUT, HttpParticipant};
use super::*;
use crate::Endpoint;

const FIRST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));
const SECOND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

/// The time within which all that does not hang has happened.
const SOON: Duration = Duration::from_secs(20);

/// A server at one address: how often it was called, and over how many connections.
struct Instance {
    calls: AtomicUsize,
    connections: AtomicUsize,
    /// `None` if it never answers.
    status: Option<StatusCode>,
    address: std::net::SocketAddr,
}

impl Instance {
    /// Answers every call with this status, or not at all.
    async fn start(ip: IpAddr, port: u16, status: impl Into<Option<StatusCode>>) -> Arc<Self> {
        let listener = TcpListener::bind((ip, port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, connections, status) = (0.into(), 0.into(), status.into());
        let instance = Arc::new(Self { calls, connections, status, address });
        let accepting = instance.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(accepting.clone().answer(stream));
            }
        });
        instance
    }

    async fn answer(self: Arc<Self>, stream: tokio::net::TcpStream) {
        let service = service_fn(|request: Request<hyper::body::Incoming>| async {
            request.into_body().collect().await?;
            self.calls.fetch_add(1, Ordering::SeqCst);
            let mut response = Response::new(Full::<Bytes>::default());
            *response.status_mut() = match self.status {
                Some(status) => status,
                None => std::future::pending().await,
            };
            Ok::<_, hyper::Error>(response)
        });
        drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
    }

    fn port(&self) -> u16 {
        self.address.port()
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// The participant at a name of this look-up, with this greatest age of connections.
fn participant(
    port: u16,
    look_up: impl Fn() -> Vec<IpAddr> + Send + Sync + 'static,
    age: Duration,
) -> HttpParticipant {
    let url = format!("http://shop.example:{port}/");
    let mut participant = HttpParticipant::at(&url).unwrap();
    let look_up = move |name: &str| match name {
        "shop.example" => Ok(look_up()),
        _ => Err(io::Error::other("another name")),
    };
    let names = Names::looked_up_by(look_up, wholly_dns::FRESH, CONNECT_TIMEOUT);
    let base = BaseUrl::parse(&url).unwrap().uri().clone();
    let connector = Connector::to(base, names, &Transport::Plain, CONNECT_TIMEOUT);
    let mut connections = Connections::by(connector);
    Arc::get_mut(&mut connections.0).unwrap().age = age;
    participant.connections = connections;
    participant
}

async fn prepare(participant: &HttpParticipant) -> Answer {
    let id = TransactionId::mint(0, Timestamp::default(), 0, LogId::from_bits(1));
    let call = Call::new(id, "shop".parse().unwrap(), Operation::Prepare, Payload::null());
    tokio::time::timeout(SOON, participant.call(call)).await.unwrap()
}

#[tokio::test]
async fn a_participant_that_moved_is_found_under_steady_traffic_once_its_connection_is_old() {
    let before = Instance::start(FIRST, 0, StatusCode::OK).await;
    let after = Instance::start(SECOND, before.port(), StatusCode::OK).await;
    let moved = Arc::new(AtomicBool::new(false));
    let is_moved = moved.clone();
    let look_up = move || match is_moved.load(Ordering::SeqCst) {
        false => vec![FIRST],
        true => vec![SECOND],
    };
    let participant = participant(before.port(), look_up, Duration::ZERO);
    assert_eq!(prepare(&participant).await, Answer::Done);
    moved.store(true, Ordering::SeqCst);
    // As if the look-up were no longer fresh.
    participant.connections.0.connector.refresh_name();
    assert_eq!(prepare(&participant).await, Answer::Done);
    assert_eq!((before.calls(), after.calls()), (1, 1));
}

#[tokio::test]
async fn closing_the_connections_takes_new_addresses_up() {
    let before = Instance::start(FIRST, 0, StatusCode::OK).await;
    let after = Instance::start(SECOND, before.port(), StatusCode::OK).await;
    let looked_up = AtomicUsize::new(0);
    let look_up = move || match looked_up.fetch_add(1, Ordering::SeqCst) {
        0 => vec![FIRST],
        _ => vec![SECOND],
    };
    let participant = participant(before.port(), look_up, AGE);
    for _ in 0..2 {
        assert_eq!(prepare(&participant).await, Answer::Done);
    }
    assert_eq!((before.calls(), before.connections()), (2, 1));
    participant.reconnect();
    assert_eq!(prepare(&participant).await, Answer::Done);
    assert_eq!((before.calls(), after.calls()), (2, 1));
}

#[tokio::test]
async fn an_address_that_only_fails_is_left_for_another_of_the_same_name() {
    let broken = Instance::start(FIRST, 0, StatusCode::BAD_GATEWAY).await;
    let sound = Instance::start(SECOND, broken.port(), StatusCode::OK).await;
    let participant = participant(broken.port(), || vec![FIRST, SECOND], AGE);
    for _ in 0..address_health::FAILING {
        let answer = prepare(&participant).await;
        assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
    }
    for _ in 0..3 {
        assert_eq!(prepare(&participant).await, Answer::Done);
    }
    assert_eq!((broken.calls(), broken.connections()), (3, 1));
    assert_eq!((sound.calls(), sound.connections()), (3, 1));
}

#[tokio::test]
async fn an_address_that_never_answers_is_left_for_another_of_the_same_name() {
    let silent = Instance::start(FIRST, 0, None).await;
    let sound = Instance::start(SECOND, silent.port(), StatusCode::OK).await;
    let participant = participant(silent.port(), || vec![FIRST, SECOND], AGE);
    for _ in 0..address_health::FAILING {
        // Like a lane that gives a call up.
        let calls = silent.calls();
        let is_asked = async {
            while silent.calls() == calls {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answer = prepare(&participant) => panic!("{answer:?}"),
            () = is_asked => {}
        }
    }
    assert_eq!(prepare(&participant).await, Answer::Done);
    assert_eq!((silent.calls(), sound.calls()), (3, 1));
}

#[tokio::test]
async fn an_address_that_cannot_be_connected_to_is_tried_once() {
    let sound = Instance::start(SECOND, 0, StatusCode::OK).await;
    // Nobody listens at the first one, and nobody will.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind((FIRST, sound.port()).into()).unwrap();
    let participant = participant(sound.port(), || vec![FIRST, SECOND], Duration::ZERO);
    assert_eq!(prepare(&participant).await, Answer::Done);
    let health = participant.connections.0.connector.health();
    assert_eq!(health.ranked(&[FIRST, SECOND]), [SECOND, FIRST]);
    assert_eq!(prepare(&participant).await, Answer::Done);
    assert_eq!(sound.calls(), 2);
}
