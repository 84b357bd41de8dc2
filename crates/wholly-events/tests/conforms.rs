//! A service of this crate, by the suite that a service in any language must pass.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::path::{Path, PathBuf};

use common::{Node, database};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use wholly_events::conformance::follower::{ServiceProcess, follower_conformance};
use wholly_events::feed::HttpFeed;
use wholly_events::{Choreography, Failure, Incoming, Reacted};

#[derive(Debug, Serialize, Deserialize)]
struct Number {
    n: i64,
}

fn ask(_: &Connection, asked: Incoming<Number>) -> Result<Reacted<Number, Number>, Failure> {
    Ok(match asked.n {
        ..0 => Reacted::Refused(asked.data),
        0.. => Reacted::Done(asked.data),
    })
}

fn undo(_: &Connection, undone: Incoming<Number>) -> Result<Reacted<Number>, Failure> {
    Ok(Reacted::Done(undone.data))
}

/// A service in this process: what is dropped ends as in a crash.
struct InProcess {
    path: PathBuf,
    follows: u16,
    port: u16,
    node: Option<Node>,
}

impl ServiceProcess for InProcess {
    async fn kill(&mut self) -> bool {
        self.node = None;
        true
    }

    async fn start(&mut self) -> Result<(), String> {
        let feed = HttpFeed::at(&format!("http://127.0.0.1:{}/feed", self.follows)).unwrap();
        let choreography = Choreography::new("subject")
            .on("ConformanceAsked", ask)
            .emits("ConformanceAnswered")
            .refuses("ConformanceRefused")
            .on("ConformanceUndone", undo)
            .undoes(ask)
            .emits("ConformanceTakenBack")
            .follow("conformance", feed);
        self.node =
            Some(common::node(choreography, database(&self.path, "").await, self.port).await);
        Ok(())
    }
}

async fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_this_crate_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = port(&TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
    let path = Path::join(directory.path(), "subject.db");
    let process = InProcess { path, follows: port(&listener).await, port: own, node: None };
    let feed = HttpFeed::at(&format!("http://127.0.0.1:{own}/feed")).unwrap();
    let report = follower_conformance(feed, listener, process).await.unwrap();
    assert!(report.passed(), "\n{report}");
    println!("{report}");
}
