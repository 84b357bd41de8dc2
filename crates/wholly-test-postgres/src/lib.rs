//! A PostgreSQL server for a test, a torture or a benchmark alone: its own folder, its own port on
//! the loopback interface, and every client is trusted. What a transaction promises it keeps: the
//! defaults for `fsync`, `synchronous_commit` and `full_page_writes` stand.
//!
//! INVARIANT: it does not outlive the [`PostgresServer`] that stands for it, nor the program that
//! started it: a watcher beside it reads a pipe that this program holds, and ends it when that ends.
//!
//! Starting, killing and dropping block the thread, for a second or two at most as a rule; each is
//! bounded.

mod installed;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use installed::Installed;

/// The longest that a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The interval at which a start looks whether it is done.
const PACE: Duration = Duration::from_millis(10);

/// The number of ports that a start tries: between its choice and its use another program may take one.
const PORTS: u32 = 10;

/// The shell becomes the server. Beside it the watcher stays, and asks it to end at once (SIGQUIT)
/// when the pipe ends. The watcher does not hold the server's standard output.
const WATCHED: &str = r#"
exec 3<&0 </dev/null
{ cat <&3; kill -QUIT $$; } >/dev/null &
exec "$@" 3<&-
"#;

/// The first message of a client: protocol 3.0, as the user `postgres`.
const HELLO: &[u8] = b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0";

/// The server. Dropping it ends it and removes its folder.
pub struct PostgresServer {
    installed: Installed,
    settings: Vec<String>,
    port: u16,
    running: Option<Running>,
    /// Its log, its Unix socket, and in `data` the database cluster.
    folder: TempDir,
}

/// Why a server cannot be started, ended or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The programs are not there.
    #[error(
        "PostgreSQL's initdb and postgres are neither on PATH nor where Debian's package \
         `postgresql` puts them; install it"
    )]
    NotInstalled,
    /// There is nobody whom it may run as.
    #[error("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")]
    NoUser,
    /// The operating system refused something.
    #[error("cannot {what}: {why}")]
    System {
        /// The request that was refused.
        what: &'static str,
        /// Its reason.
        why: io::Error,
    },
    /// Another program has the port.
    #[error("the port {0} is in use")]
    PortInUse(u16),
    /// A program of PostgreSQL ended too early.
    #[error("{program} ended; it said: {last_words}")]
    Ended {
        /// Which one.
        program: &'static str,
        /// The end of its messages.
        last_words: String,
    },
    /// Something did not happen in time.
    #[error("PostgreSQL did not {what} within {PATIENCE:?}; it said: {last_words}")]
    Late {
        /// The thing that did not happen.
        what: &'static str,
        /// The end of its messages.
        last_words: String,
    },
    /// The name would need quotes or escapes in SQL or in a URL.
    #[error("a database here is named by a-z, 0-9 and _, and `{0}` is not")]
    Name(String),
    /// The server did not make the database.
    #[error("the database was not created: {0}")]
    NotCreated(#[from] tokio_postgres::Error),
}

impl PostgresServer {
    /// Creates a cluster and starts its server, with these settings over the module's own.
    ///
    /// # Errors
    /// When PostgreSQL is not there, or does not start within a minute.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self, PostgresError> {
        let installed = Installed::find()?;
        let folder = tempfile::Builder::new().prefix("wholly-postgres-").tempdir();
        let folder = folder.map_err(cannot("make a temporary folder"))?;
        installed.give(folder.path()).map_err(cannot("give the folder to PostgreSQL's user"))?;
        let settings = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut server = Self { installed, settings, port: 0, running: None, folder };
        server.create_cluster()?;
        let mut tried = 1;
        loop {
            server.port = free_port()?;
            match server.launch() {
                Err(PostgresError::PortInUse(_)) if tried < PORTS => tried += 1,
                launched => return launched.map(|()| server),
            }
        }
    }

    /// Where the database `postgres` is reached; its user is a superuser.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Creates a database, and says where it is reached.
    ///
    /// # Errors
    /// When the name has other characters than `a-z`, `0-9` and `_`, or the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<String, PostgresError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !name.bytes().all(plain) {
            return Err(PostgresError::Name(name.to_owned()));
        }
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await?;
        // It ends with the client; what goes wrong with it, the client is told.
        tokio::spawn(connection);
        client.batch_execute(&format!("CREATE DATABASE \"{name}\"")).await?;
        Ok(self.url_of(name))
    }

    /// Kills every process of the server by SIGKILL, as a crash does, and waits until all are gone.
    ///
    /// # Errors
    /// When one is still there after a minute.
    pub fn kill(&mut self) -> Result<(), PostgresError> {
        let Some(running) = self.running.take() else { return Ok(()) };
        running.kill().map_err(|()| self.late("end"))
    }

    /// Starts the server again on the same folder and port; one that runs is killed first.
    ///
    /// # Errors
    /// When it does not start within a minute.
    pub fn start_again(&mut self) -> Result<(), PostgresError> {
        self.kill()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.launch() {
                // A client that tries to reach it may have got the port for its own end.
                Err(PostgresError::PortInUse(_)) if Instant::now() < deadline => {}
                launched => return launched,
            }
        }
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn create_cluster(&self) -> Result<(), PostgresError> {
        let log = File::create(self.log()).map_err(cannot("write PostgreSQL's log"))?;
        let mut initdb = self
            .installed
            .command(self.installed.program("initdb"), self.folder.path())
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            // The cluster is new: a power failure now would lose nothing of anybody's.
            .arg("--no-sync")
            .arg("--pgdata")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(cannot("start initdb"))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match initdb.try_wait().map_err(cannot("wait for initdb"))? {
                Some(status) if status.success() => return Ok(()),
                Some(_) => return Err(self.ended("initdb")),
                None if Instant::now() < deadline => thread::sleep(PACE),
                None => {
                    // Both fail only where it is gone already.
                    let _ = initdb.kill();
                    let _ = initdb.wait();
                    return Err(self.late("create a cluster"));
                }
            }
        }
    }

    /// Starts the server, and waits until it accepts connections.
    fn launch(&mut self) -> Result<(), PostgresError> {
        let log = File::create(self.log()).map_err(cannot("write PostgreSQL's log"))?;
        let mut command = self.installed.command("sh", self.folder.path());
        command.args(["-c", WATCHED, "sh"]).arg(self.installed.program("postgres"));
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        let port = format!("port={}", self.port);
        let own = [
            port.as_str(),
            "listen_addresses=127.0.0.1",
            "max_prepared_transactions=64",
            "shared_buffers=16MB",
            // In the folder: what a killed server leaves behind goes with it.
            "dynamic_shared_memory_type=mmap",
        ];
        let given = self.settings.iter().map(String::as_str);
        command.args(own.into_iter().chain(given).flat_map(|setting| ["-c", setting]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let postmaster = command.spawn().map_err(cannot("start PostgreSQL"))?;
        self.running = Some(Running::of(postmaster));
        let ready = self.wait_until_ready();
        if ready.is_err() {
            // Why it is not ready says more than what this might say.
            let _ = self.kill();
        }
        ready
    }

    fn wait_until_ready(&mut self) -> Result<(), PostgresError> {
        let deadline = Instant::now() + PATIENCE;
        while !self.accepts() {
            if self.running.as_mut().is_none_or(Running::has_ended) {
                return Err(self.why_not_started());
            }
            if Instant::now() > deadline {
                return Err(self.late("accept a connection"));
            }
            thread::sleep(PACE);
        }
        Ok(())
    }

    /// True if a client is let in, by the Unix socket: it is nobody else's, where a port may be,
    /// and the server listens on it only after it has its port.
    fn accepts(&self) -> bool {
        let socket = self.folder.path().join(format!(".s.PGSQL.{}", self.port));
        let mut answer = [0];
        let asked = UnixStream::connect(socket).and_then(|mut server| {
            server.set_read_timeout(Some(PATIENCE))?;
            server.write_all(HELLO)?;
            server.read_exact(&mut answer)
        });
        // Authentication is over; a server that is starting up answers with an error.
        asked.is_ok() && answer == *b"R"
    }

    fn why_not_started(&self) -> PostgresError {
        match self.ended("postgres") {
            PostgresError::Ended { last_words, .. }
                if last_words.contains("Address already in use") =>
            {
                PostgresError::PortInUse(self.port)
            }
            other => other,
        }
    }

    fn ended(&self, program: &'static str) -> PostgresError {
        PostgresError::Ended { program, last_words: self.last_words() }
    }

    fn late(&self, what: &'static str) -> PostgresError {
        PostgresError::Late { what, last_words: self.last_words() }
    }

    /// The end of its messages.
    fn last_words(&self) -> String {
        let words = fs::read(self.log()).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        let lines: Vec<_> = words.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.end();
            // Nobody is there to be told.
            let _ = running.kill();
        }
    }
}

/// The processes of a server: the postmaster, which leads a process group with the watcher in it,
/// and the postmaster's children, each in a session of its own.
struct Running {
    postmaster: Child,
    /// It disconnects when all that have the server's standard output are gone: the postmaster
    /// and its children.
    gone: mpsc::Receiver<()>,
}

impl Running {
    fn of(mut postmaster: Child) -> Self {
        let (held, gone) = mpsc::channel();
        let stdout = postmaster.stdout.take();
        thread::spawn(move || {
            let _ = stdout.map(|mut stdout| io::copy(&mut stdout, &mut io::sink()));
            drop(held);
        });
        Self { postmaster, gone }
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.postmaster.try_wait(), Ok(None))
    }

    /// Lets the watcher end the server at once. Unlike a killed one, it leaves nothing of its
    /// shared memory to the system.
    fn end(&mut self) {
        drop(self.postmaster.stdin.take());
        let _ = self.gone.recv_timeout(PATIENCE);
    }

    /// Kills all, and waits until they are gone; an error where they are not in time.
    fn kill(mut self) -> Result<(), ()> {
        // The watcher is in the group for as long as this program holds its pipe, so that the
        // group's id is this one's even where the postmaster has ended. Every signal fails only
        // where its process is gone already.
        if let Some(postmaster) = Pid::from_raw(self.postmaster.id().cast_signed()) {
            // One that is stopped starts no more children and reaps none: their ids stay theirs.
            // A child that is missed ends by itself, when it sees that the postmaster is gone.
            let _ = kill_process(postmaster, Signal::STOP);
            for child in children(postmaster) {
                let _ = kill_process(child, Signal::KILL);
            }
            let _ = kill_process_group(postmaster, Signal::KILL);
        }
        let _ = self.postmaster.wait();
        match self.gone.recv_timeout(PATIENCE) {
            Err(mpsc::RecvTimeoutError::Timeout) => Err(()),
            _ => Ok(()),
        }
    }
}

/// The children of a process, where the system tells.
fn children(parent: Pid) -> Vec<Pid> {
    let id = parent.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let ids = children.unwrap_or_default();
    ids.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect()
}

/// A port that nobody had a moment ago.
fn free_port() -> Result<u16, PostgresError> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(listener.map_err(cannot("find a free port"))?.port())
}

fn cannot(what: &'static str) -> impl FnOnce(io::Error) -> PostgresError {
    move |why| PostgresError::System { what, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_in_use_is_told_apart_and_had_once_it_is_free() {
        let mut server = PostgresServer::start(&[]).unwrap();
        server.kill().unwrap();
        let other = TcpListener::bind(("127.0.0.1", server.port)).unwrap();
        let refused = server.launch();
        assert!(matches!(refused, Err(PostgresError::PortInUse(port)) if port == server.port));
        drop(other);
        server.start_again().unwrap();
    }
}
