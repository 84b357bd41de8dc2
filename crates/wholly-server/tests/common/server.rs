//! The real binary as a process of its own, and a plain HTTP client to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::{Little, Stream, eventually, within};

const BINARY: &str = env!("CARGO_BIN_EXE_wholly");

pub struct Server {
    process: Child,
    stdout: BufReader<ChildStdout>,
    base: String,
    config: PathBuf,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer of the server.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: hyper::HeaderMap,
    pub text: String,
}

impl Server {
    /// Starts the server with these participants and a log in `directory`, and with the sagas in
    /// its folder `sagas`, if it has one.
    pub async fn start(directory: &Path, participants: &[(&str, &Little)]) -> Self {
        Self::start_with(directory, participants, "").await
    }

    pub async fn start_with(
        directory: &Path,
        participants: &[(&str, &Little)],
        settings: &str,
    ) -> Self {
        Self::run(configure(directory, participants, settings)).await
    }

    /// Starts the server so that its log messages go to a file, and WHOLLY_LOG is this filter, or
    /// is not set.
    pub async fn start_logging(
        directory: &Path,
        participants: &[(&str, &Little)],
        settings: &str,
        filter: Option<&str>,
        messages: &Path,
    ) -> Self {
        let set = match filter {
            Some(filter) => format!("WHOLLY_LOG={filter}; export WHOLLY_LOG"),
            None => "unset WHOLLY_LOG".to_owned(),
        };
        Self::start_after(directory, participants, settings, &set, messages).await
    }

    /// Starts the server by a shell that does this before; its log messages go to a file.
    pub async fn start_after(
        directory: &Path,
        participants: &[(&str, &Little)],
        settings: &str,
        before: &str,
        messages: &Path,
    ) -> Self {
        let config = configure(directory, participants, settings);
        let mut shell = Command::new("sh");
        let then = format!("{before}; exec \"$@\" 2>>\"$0\"");
        shell.args(["-c", &then]).arg(messages).arg(BINARY);
        Self::run_by(shell, config).await
    }

    /// Starts the server with this text as its configuration.
    pub async fn start_configured(directory: &Path, text: &str) -> Self {
        let config = directory.join("wholly.toml");
        std::fs::write(&config, text).unwrap();
        Self::run(config).await
    }

    /// Starts the server with this text as its configuration, where this file is `/etc/hosts`.
    pub async fn start_with_hosts(hosts: &Path, directory: &Path, text: &str) -> Self {
        let config = directory.join("wholly.toml");
        std::fs::write(&config, text).unwrap();
        Self::run_by(binary_with_hosts(hosts), config).await
    }

    /// Starts the server with the configuration that `directory` has, and these arguments more.
    pub async fn start_by(directory: &Path, arguments: &[&str]) -> Self {
        Self::run_with(Command::new(BINARY), directory.join("wholly.toml"), arguments).await
    }

    /// The same, with these environment variables.
    pub async fn start_where(
        variables: &[(&str, &str)],
        directory: &Path,
        arguments: &[&str],
    ) -> Self {
        let mut command = Command::new(BINARY);
        command.envs(variables.iter().copied());
        Self::run_with(command, directory.join("wholly.toml"), arguments).await
    }

    /// Starts the server with the configuration that `directory` has, with so much private memory at
    /// most; its log messages go to a file.
    pub async fn start_limited(directory: &Path, bytes: u64, messages: &Path) -> Self {
        let mut shell = Command::new("sh");
        let limited = format!("ulimit -d {}; exec \"$@\" 2>>\"$0\"", bytes / 1_024);
        shell.args(["-c", &limited]).arg(messages).arg(BINARY);
        Self::run_by(shell, directory.join("wholly.toml")).await
    }

    /// Starts the server by a command line as a document prints it.
    pub async fn start_as_printed(line: &str, directory: &Path) -> Self {
        let mut shell = Command::new("sh");
        // The shell becomes the server, so that it ends with it.
        shell.args(["-c", &format!("exec {line}")]).current_dir(directory).env("PATH", path());
        Self::started(shell, directory.join("wholly.toml")).await
    }

    /// Starts the server with these variables.
    pub async fn start_in(
        directory: &Path,
        participants: &[(&str, &Little)],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(BINARY);
        command.envs(variables.iter().copied());
        Self::run_by(command, configure(directory, participants, "")).await
    }

    async fn run(config: PathBuf) -> Self {
        Self::run_by(Command::new(BINARY), config).await
    }

    async fn run_by(command: Command, config: PathBuf) -> Self {
        Self::run_with(command, config, &[]).await
    }

    async fn run_with(mut command: Command, config: PathBuf, arguments: &[&str]) -> Self {
        command.arg("serve").arg("--config").arg(&config).args(arguments);
        let sagas = config.with_file_name("sagas");
        if sagas.is_dir() {
            command.arg("--sagas").arg(sagas);
        }
        Self::started(command, config).await
    }

    async fn started(mut command: Command, config: PathBuf) -> Self {
        let mut process = command
            .env("WHOLLY_LOG", "warn")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        within("the server starts", stdout.read_line(&mut line)).await.unwrap();
        let base = line.trim_end().strip_prefix("wholly is listening on ");
        let base = base.unwrap_or_else(|| panic!("not the line: {line:?}")).to_owned();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { process, stdout, base, config, client }
    }

    /// What a shell makes of a command line as a document prints it, with this server.
    pub async fn as_printed(&self, line: &str, directory: &Path) -> Told {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(directory).env("PATH", path());
        told(shell, &self.base, "").await
    }

    /// Kills the server as a power failure does.
    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Kills the server as a power failure does, and starts it again on the same log.
    pub async fn kill_and_restart(self) -> Self {
        let config = self.config.clone();
        self.kill().await;
        Self::run(config).await
    }

    /// Has the server end without the grace in which load balancers notice; the exit code, and what
    /// it printed after its one line.
    pub async fn terminate(self) -> (Option<i32>, String) {
        self.signal(Signal::INT);
        self.ended().await
    }

    /// Waits for the end of a server that was told to end; the exit code, and what it printed after
    /// its one line.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        within("the output ends", self.stdout.read_to_string(&mut rest)).await.unwrap();
        let status = within("the server ends", self.process.wait()).await.unwrap();
        (status.code(), rest)
    }

    /// What the command line makes of these arguments, with this server.
    pub async fn wholly(&self, arguments: &[&str]) -> Told {
        wholly(&self.base, arguments, "").await
    }

    /// The same, with this on the standard input.
    pub async fn wholly_reads(&self, arguments: &[&str], stdin: &str) -> Told {
        wholly(&self.base, arguments, stdin).await
    }

    /// A command of this server that goes on: its lines as they come.
    pub fn wholly_lives(&self, arguments: &[&str]) -> Living {
        let mut process = Command::new(BINARY)
            .args(arguments)
            .env("WHOLLY_SERVER", &self.base)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap()).lines();
        Living { _process: process, stdout }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().unwrap() as i32).unwrap()
    }

    /// A connection that is kept for as long as the server keeps it.
    pub async fn connection(&self) -> Connection {
        let stream = TcpStream::connect(self.address()).await.unwrap();
        let (requests, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let open = tokio::spawn(connection);
        Connection { requests, open, host: self.address().to_string() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.base.split_once("://").unwrap().1.parse().unwrap()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Reply {
        self.post_with(path, &[], body).await
    }

    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let json = [("content-type", "application/json")];
        self.send(Method::POST, path, &[&json, headers].concat(), body).await
    }

    /// Submits a transaction.
    pub async fn submit(&self, headers: &[(&str, &str)], body: &str) -> Reply {
        self.post_with("/v1/transactions", headers, body).await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        Reply::read(self.open(method, path, headers, body).await).await
    }

    /// Sends a request, whose answer need not end.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        within("the server answers", self.client.request(request)).await.unwrap()
    }

    /// Listens to the events at `path`, after the event `last`.
    pub async fn listen(&self, path: &str, last: Option<&str>) -> Stream {
        let last = last.map(|last| ("last-event-id", last));
        let answer = self.open(Method::GET, path, last.as_slice(), "").await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Stream::new(answer.into_body())
    }

    /// The transaction, once it is settled.
    pub async fn settled(&self, location: &str) -> Value {
        eventually("the transaction settles", async || {
            let reply = self.get(location).await;
            assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
            Some(reply.json()).filter(|transaction| transaction["settled"] == true)
        })
        .await
    }
}

impl Reply {
    async fn read(answer: Response<Incoming>) -> Self {
        let (head, body) = answer.into_parts();
        let body = within("the answer ends", body.collect()).await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Self { status: head.status, headers: head.headers, text }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    pub fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that this is a problem document of this status and type; its detail.
    #[track_caller]
    pub fn problem(&self, status: u16, kind: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["type"], format!("/problems/{kind}"), "{self:?}");
        assert_eq!(body["status"], status, "{self:?}");
        assert!(body["title"].is_string(), "{self:?}");
        body["detail"].as_str().unwrap().to_owned()
    }
}

pub fn configure(directory: &Path, participants: &[(&str, &Little)], settings: &str) -> PathBuf {
    let mut text = format!(
        "listen = '127.0.0.1:0'\n[settings]\nbackoff_first = '5ms'\nbackoff_cap = '20ms'\n\
         {settings}\n"
    );
    for (name, little) in participants {
        text.push_str(&format!("[participants.{name}]\nurl = '{}'\n", little.url()));
    }
    let config = directory.join("wholly.toml");
    std::fs::write(&config, text).unwrap();
    config
}

/// A connection to the server, which is not opened again once it is closed.
pub struct Connection {
    requests: http1::SendRequest<Full<Bytes>>,
    open: JoinHandle<hyper::Result<()>>,
    host: String,
}

impl Connection {
    pub async fn send(&mut self, method: Method, path: &str, body: &str) -> Reply {
        let request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = request.header("prefer", "respond-async");
        let request = request.body(Full::from(body.to_owned())).unwrap();
        within("the connection has room", self.requests.ready()).await.unwrap();
        let answer = within("the server answers", self.requests.send_request(request)).await;
        Reply::read(answer.unwrap()).await
    }

    /// Waits until the server has closed it.
    pub async fn closed(self) {
        // The other half is kept until then: without it the client would close the connection.
        let Self { requests: _kept, open, .. } = self;
        drop(within("the server closes the connection", open).await);
    }
}

/// A command that has not ended; it ends with this.
pub struct Living {
    _process: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Living {
    pub async fn line(&mut self) -> Option<String> {
        self.stdout.next_line().await.unwrap()
    }
}

/// What a command said to whoever called it.
#[derive(Debug)]
pub struct Told {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Told {
    /// Asserts this exit code; the standard output.
    #[track_caller]
    pub fn exits(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stdout
    }

    /// Asserts this exit code, nothing on the standard output and this on the standard error.
    #[track_caller]
    pub fn fails(self, code: i32, says: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        assert!(self.stderr.starts_with("wholly: ") && self.stderr.contains(says), "{self:?}");
    }
}

/// What the command line makes of these arguments with the server at a URL.
pub async fn wholly(server: &str, arguments: &[&str], stdin: &str) -> Told {
    let mut command = Command::new(BINARY);
    command.args(arguments);
    told(command, server, stdin).await
}

/// The same where this file is `/etc/hosts`, without a server.
pub async fn wholly_with_hosts(hosts: &Path, arguments: &[&str]) -> Told {
    let mut command = binary_with_hosts(hosts);
    command.args(arguments);
    told(command, "http://127.0.0.1:9", "").await
}

/// The binary where this file is in the place of `/etc/hosts`: for its process alone, in a namespace
/// of its own. Who is not root needs one of users, too.
fn binary_with_hosts(hosts: &Path) -> Command {
    let mut shell = Command::new("unshare");
    let mount = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    shell.args(["--map-root-user", "--mount", "sh", "-c", mount]).arg(hosts).arg(BINARY);
    shell
}

/// Where a shell finds `wholly` first.
fn path() -> std::ffi::OsString {
    let own = Path::new(BINARY).parent().unwrap().to_owned();
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([own].into_iter().chain(std::env::split_paths(&others))).unwrap()
}

async fn told(mut command: Command, server: &str, stdin: &str) -> Told {
    let mut process = command
        .env("WHOLLY_SERVER", server)
        .env_remove("WHOLLY_TOKEN")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    // One that reads no input has closed it by now.
    drop(input.write_all(stdin.as_bytes()).await);
    drop(input);
    let output = within("the command ends", process.wait_with_output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Told { code: output.status.code(), stdout, stderr }
}

/// What the binary makes of these arguments: its exit code, its standard output and error.
pub fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = std::process::Command::new(BINARY).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Starts a server that must fail to: its exit code and the one line that it says.
pub async fn start_fails(arguments: &[&str]) -> (Option<i32>, String) {
    let process = Command::new(BINARY).args(arguments).kill_on_drop(true).output();
    let output = within("the server gives up", process).await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}
