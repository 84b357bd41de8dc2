//! The shop's three services and the coordinator, as processes on free loopback ports, with their
//! files in a temporary directory. Dropping it kills them all and removes the directory.

mod answers;
mod network;

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::choreography::{self, Flow};
use crate::client::{Http, NoAnswer, Reply};
use crate::kill::KillAt;
use crate::process::Process;
use crate::random::{Random, fresh_seed};
use crate::service::Wrong;
use crate::shop::{CREATE_ORDER, ServiceKind, Stock};
pub(crate) use answers::{Books, Recorded, Step, StockLine, Transaction};

/// The longest that anything may take which takes milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Who can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Service(ServiceKind),
    Coordinator,
}

impl Role {
    pub(crate) const ALL: [Self; 4] = [
        Self::Coordinator,
        Self::Service(ServiceKind::Order),
        Self::Service(ServiceKind::Payment),
        Self::Service(ServiceKind::Inventory),
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Service(kind) => kind.as_str(),
            Self::Coordinator => "coordinator",
        }
    }
}

pub(crate) struct Fleet {
    // Before the directory: the processes end before their files go.
    processes: BTreeMap<Role, Process>,
    ports: BTreeMap<Role, u16>,
    /// By which ports they are reached: their own, or those of the proxy before them.
    ways: BTreeMap<Role, u16>,
    proxy: Option<Process>,
    stock: Stock,
    /// How an order goes through the shop where no coordinator takes it.
    flow: Option<Flow>,
    /// Whether the services tell every answer.
    tell: bool,
    /// What a service does wrong on purpose.
    wrong: Option<Wrong>,
    wrong_by_events: Option<choreography::Wrong>,
    /// The databases of the services that do not live in SQLite.
    urls: BTreeMap<ServiceKind, String>,
    http: Http,
    directory: TempDir,
}

/// Why a process cannot be started or asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FleetError {
    #[error("cannot {what}: {why}")]
    System { what: &'static str, why: io::Error },
    #[error("the {name} did not start; it said: {last_words}")]
    NotReady { name: &'static str, last_words: String },
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("{url} answered {status}: {body}")]
    Unexpected { url: String, status: u16, body: Value },
    #[error("this did not happen within {PATIENCE:?}: {0}")]
    Late(String),
}

impl Fleet {
    /// A fleet of which nothing runs yet.
    pub(crate) fn new(stock: Stock, tell: bool) -> Result<Self, FleetError> {
        let ports = free_ports::<4>().map_err(system("find free ports"))?;
        Self::at(ports, ports, stock, tell, &std::env::temp_dir())
    }

    /// A fleet by events, or by plain calls, of which nothing runs yet; its files are in a new
    /// directory in this one.
    pub(crate) fn without_coordinator(
        flow: Flow,
        stock: Stock,
        tell: bool,
        parent: &Path,
    ) -> Result<Self, FleetError> {
        let ports = free_ports::<4>().map_err(system("find free ports"))?;
        let fleet = Self::at(ports, ports, stock, tell, parent)?;
        Ok(Self { flow: Some(flow), ..fleet })
    }

    /// The same fleet, whose services live in these databases instead of in SQLite.
    pub(crate) fn living_in(self, urls: BTreeMap<ServiceKind, String>) -> Self {
        Self { urls, ..self }
    }

    /// A fleet by events of which nothing runs yet but the proxy, by which alone its services reach
    /// each other. A service that has a URL here lives in that database.
    pub(crate) async fn by_events_behind_proxy(
        flow: Flow,
        stock: Stock,
        urls: BTreeMap<ServiceKind, String>,
        wrong: Option<choreography::Wrong>,
    ) -> Result<Self, FleetError> {
        let [a, b, c, d, ways @ ..] = free_ports::<8>().map_err(system("find free ports"))?;
        let fleet = Self::at([a, b, c, d], ways, stock, false, &std::env::temp_dir())?;
        let mut fleet = Self { flow: Some(flow), urls, wrong_by_events: wrong, ..fleet };
        fleet.start_proxy().await?;
        Ok(fleet)
    }

    /// A fleet of which everything runs, whose processes reach each other by a proxy only, and
    /// whose disks may fill.
    pub(crate) async fn start_behind_proxy(
        stock: Stock,
        wrong: Option<Wrong>,
    ) -> Result<Self, FleetError> {
        let [a, b, c, d, ways @ ..] = free_ports::<8>().map_err(system("find free ports"))?;
        let mut fleet = Self::at([a, b, c, d], ways, stock, false, &std::env::temp_dir())?;
        fleet.wrong = wrong;
        fleet.start_proxy().await?;
        fleet.open_shop().await?;
        fleet.run(Role::Coordinator, None).await?;
        Ok(fleet)
    }

    fn at(
        ports: [u16; 4],
        ways: [u16; 4],
        stock: Stock,
        tell: bool,
        parent: &Path,
    ) -> Result<Self, FleetError> {
        let of_roles = |ports: [u16; 4]| Role::ALL.into_iter().zip(ports).collect();
        let (ports, ways) = (of_roles(ports), of_roles(ways));
        let directory = tempfile::Builder::new()
            .prefix("wholly-demo-")
            .tempdir_in(parent)
            .map_err(system("make a temporary directory"))?;
        let fleet = Self {
            processes: BTreeMap::new(),
            ports,
            ways,
            proxy: None,
            stock,
            flow: None,
            tell,
            wrong: None,
            wrong_by_events: None,
            urls: BTreeMap::new(),
            http: Http::new(),
            directory,
        };
        std::fs::write(fleet.config(), fleet.configuration())
            .and_then(|()| std::fs::create_dir(fleet.sagas()))
            .and_then(|()| std::fs::write(fleet.sagas().join("create-order.toml"), CREATE_ORDER))
            .map_err(system("write the configuration"))?;
        Ok(fleet)
    }

    /// A fleet of which everything runs.
    pub(crate) async fn start(stock: Stock, tell: bool) -> Result<Self, FleetError> {
        let mut fleet = Self::new(stock, tell)?;
        fleet.open_shop().await?;
        fleet.run(Role::Coordinator, None).await?;
        Ok(fleet)
    }

    /// Starts the three services.
    pub(crate) async fn open_shop(&mut self) -> Result<(), FleetError> {
        for kind in ServiceKind::ALL {
            self.spawn(Role::Service(kind), None)?;
        }
        for kind in ServiceKind::ALL {
            self.ready(Role::Service(kind)).await?;
        }
        Ok(())
    }

    /// Starts a process and waits until it serves.
    pub(crate) async fn run(
        &mut self,
        role: Role,
        kill_at: Option<&KillAt>,
    ) -> Result<(), FleetError> {
        self.spawn(role, kill_at)?;
        self.ready(role).await
    }

    /// Starts a process, in the place of one that has ended.
    pub(crate) fn spawn(&mut self, role: Role, kill_at: Option<&KillAt>) -> Result<(), FleetError> {
        self.kill(role);
        let mut arguments = match role {
            Role::Service(kind) => self.service(kind),
            Role::Coordinator => {
                let config = self.config().display().to_string();
                let sagas = self.sagas().display().to_string();
                ["serve", "--end-with-stdin", "--config", &config, "--sagas", &sagas]
                    .map(str::to_owned)
                    .to_vec()
            }
        };
        arguments.extend(kill_at.map(|at| format!("--kill-at={at}")));
        let process = Process::start(role.as_str(), &arguments, self.directory.path())
            .map_err(system("start a process"))?;
        self.processes.insert(role, process);
        // The connections to its predecessor are gone.
        self.http = Http::new();
        Ok(())
    }

    /// Waits until a process serves.
    pub(crate) async fn ready(&mut self, role: Role) -> Result<(), FleetError> {
        let Some(process) = self.processes.get_mut(&role) else {
            return Err(FleetError::NotReady { name: role.as_str(), last_words: String::new() });
        };
        match tokio::time::timeout(PATIENCE, process.line()).await {
            Ok(Some(_)) => Ok(()),
            _ => {
                let last_words = process.last_words();
                Err(FleetError::NotReady { name: role.as_str(), last_words })
            }
        }
    }

    fn service(&self, kind: ServiceKind) -> Vec<String> {
        let port = format!("--port={}", self.ports[&Role::Service(kind)]);
        let way = |kind| self.ways[&Role::Service(kind)].to_string();
        let mut arguments = match self.flow.and_then(|flow| flow.to_possible_value()) {
            None => vec!["shop-service".to_owned()],
            Some(flow) => vec![
                "shop-by-events".to_owned(),
                format!("--flow={}", flow.get_name()),
                format!("--ports={}", ServiceKind::ALL.map(way).join(",")),
            ],
        };
        let database = match self.urls.get(&kind) {
            None => format!("--database={}", self.database(kind).display()),
            Some(url) => format!("--postgres={url}"),
        };
        let stock = format!("--stock={}", json!(self.stock));
        arguments.extend([kind.to_string(), port, database, stock]);
        arguments.extend(self.tell.then(|| "--tell".to_owned()));
        let wrong = self.wrong.filter(|wrong| wrong.service() == kind);
        let wrong = wrong.and_then(|wrong| wrong.to_possible_value());
        arguments.extend(wrong.map(|wrong| format!("--wrong={}", wrong.get_name())));
        let wrong = self.wrong_by_events.filter(|wrong| wrong.service() == kind);
        let wrong = wrong.and_then(|wrong| wrong.to_possible_value());
        arguments.extend(wrong.map(|wrong| format!("--wrong={}", wrong.get_name())));
        arguments
    }

    /// The SQLite file of a service.
    pub(crate) fn database(&self, kind: ServiceKind) -> std::path::PathBuf {
        self.directory.path().join(format!("{kind}.db"))
    }

    fn config(&self) -> std::path::PathBuf {
        self.directory.path().join("wholly.toml")
    }

    fn sagas(&self) -> std::path::PathBuf {
        self.directory.path().join("sagas")
    }

    fn configuration(&self) -> String {
        // Short pauses, so that a story goes on soon after a process is back.
        let mut text = format!(
            "listen = '127.0.0.1:{}'\n[settings]\n\
             backoff_first = '20ms'\nbackoff_cap = '200ms'\ncall_timeout = '1s'\n\
             deadline = '5s'\npatience = '5s'\n",
            self.ports[&Role::Coordinator],
        );
        for kind in ServiceKind::ALL {
            let url = self.way(Role::Service(kind), "");
            text.push_str(&format!("[participants.{kind}]\nurl = '{url}'\none_phase = true\n"));
        }
        text
    }

    /// Kills a process, if it runs.
    pub(crate) fn kill(&mut self, role: Role) {
        self.processes.remove(&role);
    }

    /// Removes the coordinator's log with all that says that there was one, as nothing may.
    pub(crate) fn lose_log(&self) -> Result<(), FleetError> {
        let log = self.directory.path().join("wholly.db");
        for end in ["", "-wal", "-shm", "-side"] {
            let file = format!("{}{end}", log.display());
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(system("remove the log")(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The time for which the processors have worked for all processes so far.
    pub(crate) fn processor_time(&self) -> Duration {
        self.processes.values().map(Process::processor_time).sum()
    }

    /// What all processes hold in memory, in bytes, where the system tells.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        self.processes.values().map(Process::resident_bytes).sum()
    }

    /// Waits until a process has killed itself.
    pub(crate) async fn killed(&mut self, role: Role) -> Result<(), FleetError> {
        let late = || FleetError::Late(format!("the {} is killed", role.as_str()));
        let Some(process) = self.processes.get_mut(&role) else { return Err(late()) };
        match tokio::time::timeout(PATIENCE, process.killed()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => {
                let last_words = process.last_words();
                Err(FleetError::NotReady { name: role.as_str(), last_words })
            }
            Ok(Err(why)) => Err(system("wait for a process")(why)),
            Err(_) => Err(late()),
        }
    }

    /// Whether a process has ended.
    pub(crate) fn has_ended(&mut self, role: Role) -> bool {
        self.processes.get_mut(&role).is_none_or(Process::has_ended)
    }

    /// Stops a process for a while, or lets it go on.
    pub(crate) fn signal(&self, role: Role, signal: Signal) -> Result<(), FleetError> {
        let process = self.processes.get(&role);
        process.map_or(Ok(()), |process| process.signal(signal)).map_err(system("send a signal"))
    }

    /// Starts another process of this program, whose files are with those of the fleet.
    pub(crate) fn start_beside(
        &self,
        name: &str,
        arguments: &[String],
    ) -> Result<Process, FleetError> {
        Process::start(name, arguments, self.directory.path()).map_err(system("start a process"))
    }

    /// The text that a process answers to this.
    pub(crate) async fn text(&self, role: Role, path: &str) -> Result<String, FleetError> {
        let url = self.url(role, path);
        match self.http.get(&url).await? {
            Reply { status: 200, body: Value::String(text), .. } => Ok(text),
            Reply { status, body, .. } => Err(FleetError::Unexpected { url, status, body }),
        }
    }

    /// Fills the disk of a process, so that its files may have no more than this, or frees it.
    pub(crate) fn files_may_have(&self, role: Role, bytes: Option<u64>) -> Result<(), FleetError> {
        let process = self.processes.get(&role);
        process
            .map_or(Ok(()), |process| process.files_may_have(bytes))
            .map_err(system("limit a process"))
    }

    /// The end of what a process wrote to its standard error.
    pub(crate) fn last_words(&self, role: Role) -> String {
        self.processes.get(&role).map(Process::last_words).unwrap_or_default()
    }

    /// The next line that a process says.
    pub(crate) async fn line(&mut self, role: Role) -> Result<String, FleetError> {
        let late = || FleetError::Late(format!("the {} says something", role.as_str()));
        let process = self.processes.get_mut(&role).ok_or_else(late)?;
        let line = tokio::time::timeout(PATIENCE, process.line()).await.map_err(|_| late())?;
        line.ok_or_else(late)
    }

    pub(crate) fn url(&self, role: Role, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port(role))
    }

    pub(crate) fn port(&self, role: Role) -> u16 {
        self.ports[&role]
    }

    /// The URL by which others reach a process.
    pub(crate) fn way(&self, role: Role, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ways[&role])
    }

    pub(crate) fn http(&self) -> Http {
        self.http.clone()
    }

    /// Asks a service for a change without a coordinator.
    pub(crate) async fn ask(
        &self,
        kind: ServiceKind,
        path: &str,
        body: &Value,
    ) -> Result<Reply, FleetError> {
        Ok(self.http.post(&self.url(Role::Service(kind), path), body).await?)
    }

    /// What is in the books of the services that run.
    pub(crate) async fn books(&self) -> Result<Books, FleetError> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            orders: BTreeMap<String, Value>,
            #[serde(default)]
            payments: BTreeMap<String, i64>,
            #[serde(default)]
            stock: BTreeMap<String, StockLine>,
            in_doubt: u64,
        }
        let mut books = Books::default();
        for kind in ServiceKind::ALL {
            if !self.processes.contains_key(&Role::Service(kind)) {
                continue;
            }
            let page: Page = self.read(&self.url(Role::Service(kind), "/books")).await?;
            books.orders.extend(page.orders);
            books.payments.extend(page.payments);
            books.stock.extend(page.stock);
            books.in_doubt.insert(kind.as_str(), page.in_doubt);
        }
        Ok(books)
    }

    pub(crate) async fn transaction(&self, id: &str) -> Result<Transaction, FleetError> {
        self.read(&self.url(Role::Coordinator, &format!("/v1/transactions/{id}"))).await
    }

    /// The ids of the newest transactions, newest first, at most `limit`.
    pub(crate) async fn newest(&self, limit: usize) -> Result<Vec<String>, FleetError> {
        Ok(self.page(limit, None).await?.0)
    }

    /// The ids of all transactions, newest first.
    pub(crate) async fn transactions(&self) -> Result<Vec<String>, FleetError> {
        let (mut all, mut next) = self.page(1_000, None).await?;
        while let Some(cursor) = next {
            let (more, after) = self.page(1_000, Some(&cursor)).await?;
            all.extend(more);
            next = after;
        }
        Ok(all)
    }

    /// A transaction with all that the API shows of it.
    pub(crate) async fn whole_transaction(&self, id: &str) -> Result<Value, FleetError> {
        self.read(&self.url(Role::Coordinator, &format!("/v1/transactions/{id}"))).await
    }

    async fn page(
        &self,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>), FleetError> {
        #[derive(Deserialize)]
        struct Page {
            transactions: Vec<Listed>,
            next: Option<String>,
        }
        #[derive(Deserialize)]
        struct Listed {
            id: String,
        }
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("/v1/transactions?limit={limit}{cursor}");
        let page: Page = self.read(&self.url(Role::Coordinator, &path)).await?;
        Ok((page.transactions.into_iter().map(|listed| listed.id).collect(), page.next))
    }

    /// Reads a JSON text from a process.
    pub(crate) async fn read<T: serde::de::DeserializeOwned>(
        &self,
        url: &str,
    ) -> Result<T, FleetError> {
        let Reply { status, body, .. } = self.http.get(url).await?;
        let parsed = if status == 200 { T::deserialize(&body).ok() } else { None };
        parsed.ok_or_else(|| FleetError::Unexpected { url: url.to_owned(), status, body })
    }
}

/// Waits until `check` gives something.
pub(crate) async fn eventually<T>(
    what: &str,
    mut check: impl AsyncFnMut() -> Result<Option<T>, FleetError>,
) -> Result<T, FleetError> {
    let all = async {
        let mut turn = tokio::time::interval(Duration::from_millis(5));
        loop {
            turn.tick().await;
            if let Some(found) = check().await? {
                return Ok(found);
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, all).await;
    found.unwrap_or_else(|_| Err(FleetError::Late(what.to_owned())))
}

/// Free ports.
///
/// They lie below those that systems give to outgoing connections, so that none of these takes the
/// port of a process while it is down.
fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut random = Random::seeded(fresh_seed());
    // Kept until all are found, so that they differ.
    let mut listeners = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let mut tries = 0;
        let listener = loop {
            let port = 20_000 + random.below(12_000) as u16;
            match TcpListener::bind(("127.0.0.1", port)) {
                Err(_) if tries < 1_000 => tries += 1,
                bound => break bound?,
            }
        };
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

fn system(what: &'static str) -> impl Fn(io::Error) -> FleetError {
    move |why| FleetError::System { what, why }
}
