//! Host names that do not resolve or lead elsewhere, made by a hosts file of the server's own.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;

use common::{Little, Server, eventually, wholly_with_hosts};
use hyper::StatusCode;
use rustix::process::Signal;
use tempfile::tempdir;

/// A file whose opening hangs: nobody ever writes to it.
fn hangs(file: &Path) {
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

fn submission(participant: &str) -> String {
    let branch = format!(r#"{{"participant": "{participant}", "payload": 1}}"#);
    format!(r#"{{"name": "order", "branches": [{branch}]}}"#)
}

/// The look-ups of names that are on their way in the server.
fn look_ups(server: &Server) -> usize {
    let threads = format!("/proc/{}/task", server.pid().as_raw_nonzero());
    let names = std::fs::read_dir(threads).unwrap().filter_map(|thread| {
        // A thread may have ended meanwhile.
        std::fs::read_to_string(thread.ok()?.path().join("comm")).ok()
    });
    names.filter(|name| name.trim_end() == "wholly-dns").count()
}

#[tokio::test]
async fn a_name_that_hangs_stalls_nobody_and_keeps_no_server_from_its_end() {
    let directory = tempdir().unwrap();
    let hosts = directory.path().join("hosts");
    hangs(&hosts);
    let (orders, secret) = (Little::start().await, directory.path().join("secret"));
    std::fs::write(&secret, format!("whsec_{}", "abcd".repeat(8))).unwrap();
    let config = format!(
        "listen = '127.0.0.1:0'\ncreate_log = true\n\
         [settings]\ncall_timeout = '50ms'\nstuck_after_tries = 3\ndeadline = '1s'\n\
         [participants.orders]\nurl = '{}'\n\
         [participants.stalls]\nurl = 'http://stalls.example:9/'\n\
         [participants.also]\nurl = 'http://stalls.example:9/also'\n\
         [alerts]\nurl = 'http://stalls.example:9/alerts'\nsecret = 'file:{}'\n\
         [feeds.shipping]\nurl = 'http://stalls.example:9/feed'\n",
        orders.url(),
        secret.display()
    );
    let server = Server::start_with_hosts(&hosts, directory.path(), &config).await;
    let respond_async = [("prefer", "respond-async")];
    for stalled in ["stalls", "also"] {
        let reply = server.submit(&respond_async, &submission(stalled)).await;
        let location = reply.header("location").to_owned();
        eventually("it was asked and aborted, and is stuck", async || {
            let it = server.get(&location).await.json();
            (it["stuck"] == true).then_some(())
        })
        .await;
    }
    assert_eq!(look_ups(&server), 1, "for both participants, the webhook and the feed");
    let reply = server.submit(&[], &submission("orders")).await;
    assert_eq!((reply.status, &reply.json()["state"]), (StatusCode::OK, &"committed".into()));
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    assert_eq!(server.terminate().await.0, Some(0));
}

#[tokio::test]
async fn a_command_ends_though_a_name_hangs() {
    let directory = tempdir().unwrap();
    let hosts = directory.path().join("hosts");
    hangs(&hosts);
    let url = "http://stalls.example:9/choreography";
    let told = wholly_with_hosts(&hosts, &["check", url]).await;
    assert!(told.code.is_some_and(|code| code != 0), "{told:?}");
    assert!(told.stderr.contains("the name stalls.example did not resolve within"), "{told:?}");
}

#[tokio::test]
async fn a_file_of_the_configuration_that_hangs_keeps_no_server_from_its_end() {
    let directory = tempdir().unwrap();
    let (orders, token) = (Little::start().await, directory.path().join("token"));
    std::fs::write(&token, "a-token").unwrap();
    let config = format!(
        "listen = '127.0.0.1:0'\ncreate_log = true\n\
         [participants.orders]\nurl = '{}'\nauth.bearer = 'file:{}'\n",
        orders.url(),
        token.display()
    );
    let server = Server::start_configured(directory.path(), &config).await;
    std::fs::remove_file(&token).unwrap();
    hangs(&token);
    server.signal(Signal::HUP);
    let audit = directory.path().join("audit.jsonl");
    eventually("it is about to read its files again", async || {
        std::fs::read_to_string(&audit).unwrap().contains("SIGHUP").then_some(())
    })
    .await;
    assert_eq!(server.terminate().await.0, Some(0));
}

#[tokio::test]
async fn a_reload_takes_up_where_a_participant_is() {
    let directory = tempdir().unwrap();
    let hosts = directory.path().join("hosts");
    let before = Little::start().await;
    let after = Little::start_at(&format!("127.0.0.2:{}", before.port())).await;
    std::fs::write(&hosts, "127.0.0.1 orders.example\n").unwrap();
    let config = format!(
        "listen = '127.0.0.1:0'\ncreate_log = true\n\
         [participants.orders]\nurl = 'http://orders.example:{}'\n",
        before.port()
    );
    let server = Server::start_with_hosts(&hosts, directory.path(), &config).await;
    let order = async || {
        let reply = server.submit(&[], &submission("orders")).await;
        assert_eq!(reply.json()["state"], "committed", "{reply:?}");
    };
    order().await;
    std::fs::write(&hosts, "127.0.0.2 orders.example\n").unwrap();
    order().await;
    assert_eq!((before.asked_to("commit").len(), after.asked_to("commit").len()), (2, 0));
    let reply = server.post("/v1/reload", "").await;
    assert_eq!(reply.json()["changed_participants"], serde_json::json!([]), "{reply:?}");
    order().await;
    assert_eq!((before.asked_to("commit").len(), after.asked_to("commit").len()), (2, 1));
    // A second reload looks again, although what was found is fresh.
    std::fs::write(&hosts, "127.0.0.1 orders.example\n").unwrap();
    server.post("/v1/reload", "").await;
    order().await;
    assert_eq!(before.asked_to("commit").len(), 3);
}
