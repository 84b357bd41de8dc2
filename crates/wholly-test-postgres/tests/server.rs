//! The private PostgreSQL server: what it keeps through a crash, and that it leaves no process.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking; this is for its helpers")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};
use wholly_test_postgres::{PostgresError, PostgresServer};

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn text(client: &Client, question: &str) -> String {
    client.query_one(question, &[]).await.unwrap().get(0)
}

/// The postmaster, and every process of the server that tells of itself.
async fn processes(client: &Client) -> Vec<u32> {
    let postmaster = text(client, "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)");
    let rows = client.query("SELECT pid FROM pg_stat_activity", &[]).await.unwrap();
    let others = rows.iter().map(|row| row.get::<_, i32>(0).cast_unsigned());
    let processes: Vec<u32> = others.chain([postmaster.await.parse().unwrap()]).collect();
    assert!(processes.len() > 5 && processes.iter().all(|id| is_alive(*id)), "{processes:?}");
    processes
}

/// True if it has memory: one that has ended has none, though its entry stays until it is reaped.
fn is_alive(process: u32) -> bool {
    let memory = fs::read_to_string(format!("/proc/{process}/statm"));
    memory.is_ok_and(|pages| !pages.starts_with("0 "))
}

#[tokio::test]
async fn what_is_committed_or_prepared_survives_a_kill_and_nothing_else() {
    let mut server = PostgresServer::start(&[]).unwrap();
    let url = server.create_database("shop").await.unwrap();
    let client = connect(&url).await;
    let durable = "SELECT concat_ws(' ', current_setting('fsync'), \
                   current_setting('synchronous_commit'), current_setting('full_page_writes'))";
    assert_eq!(text(&client, durable).await, "on on on");
    // Each transaction has a batch of its own: what stands before a BEGIN in one would be in it.
    for batch in [
        "CREATE TABLE orders (name text); INSERT INTO orders VALUES ('committed')",
        "BEGIN; INSERT INTO orders VALUES ('prepared'); PREPARE TRANSACTION 'held'",
        "BEGIN; INSERT INTO orders VALUES ('open')",
    ] {
        client.batch_execute(batch).await.unwrap();
    }
    let processes = processes(&client).await;

    server.kill().unwrap();
    assert!(!processes.into_iter().any(is_alive));
    server.start_again().unwrap();

    let client = connect(&url).await;
    let names = "SELECT string_agg(name, ' ' ORDER BY name) FROM orders";
    assert_eq!(text(&client, names).await, "committed");
    client.batch_execute("COMMIT PREPARED 'held'").await.unwrap();
    assert_eq!(text(&client, names).await, "committed prepared");
}

#[tokio::test]
async fn a_dropped_server_leaves_no_process_and_no_file() {
    let server = PostgresServer::start(&[("max_connections", "7")]).unwrap();
    let client = connect(&server.url()).await;
    assert_eq!(text(&client, "SHOW max_connections").await, "7");
    let refused = server.create_database("no name").await;
    assert!(matches!(refused, Err(PostgresError::Name(name)) if name == "no name"));
    let processes = processes(&client).await;
    let data = text(&client, "SHOW data_directory").await;
    assert!(fs::exists(&data).unwrap());

    drop(server);
    assert!(!processes.into_iter().any(is_alive));
    assert!(!fs::exists(&data).unwrap());
}

#[tokio::test]
async fn a_server_ends_when_the_program_that_holds_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    // The user whom PostgreSQL runs as passes through it.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "hold_a_server"])
        .env("TMPDIR", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
    let url = lines.filter_map(|line| Some(line.split_once("url: ")?.1.to_owned())).next();
    let client = connect(&url.expect("the holder started a server")).await;
    let processes = processes(&client).await;

    holder.kill().unwrap();
    holder.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while processes.iter().any(|id| is_alive(*id)) {
        assert!(Instant::now() < deadline, "{processes:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The program that is killed.
#[test]
#[ignore = "run by another test"]
fn hold_a_server() {
    let server = PostgresServer::start(&[]).unwrap();
    println!("url: {}", server.url());
    // Whoever runs it is gone when this ends.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

#[test]
fn a_setting_that_the_server_refuses_is_told_at_once() {
    let refused = PostgresServer::start(&[("shared_buffers", "much")]).map(drop);
    let Err(PostgresError::Ended { program: "postgres", last_words }) = refused else {
        panic!("{refused:?}")
    };
    assert!(last_words.contains("shared_buffers"), "{last_words}");
}
