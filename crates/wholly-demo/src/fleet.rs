//! The shop's three services and the coordinator, as processes on free loopback ports, with their
//! files in a temporary directory. Dropping it kills them all and removes the directory.

mod answers;

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use rustix::process::Signal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::choreography::Flow;
use crate::client::{Http, NoAnswer, Reply};
use crate::network::{Network, Weather};
use crate::process::Process;
use crate::random::{Random, fresh_seed};
use crate::shop::{CREATE_ORDER, ServiceKind, Stock};
pub use answers::{Books, Recorded, ShownStep, StockLine, Transaction};

/// The longest that anything may take which takes milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A process of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A service of the shop.
    Service(ServiceKind),
    /// The coordinator.
    Coordinator,
}

impl Role {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self::Coordinator,
        Self::Service(ServiceKind::Order),
        Self::Service(ServiceKind::Payment),
        Self::Service(ServiceKind::Inventory),
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service(kind) => kind.as_str(),
            Self::Coordinator => "coordinator",
        }
    }
}

/// The fleet.
pub struct Fleet {
    // Before the directory: the processes end before their files go.
    processes: BTreeMap<Role, Process>,
    ports: BTreeMap<Role, u16>,
    /// The ports by which they are reached: their own, or those of the network before them.
    ways: BTreeMap<Role, u16>,
    network: Option<Network>,
    layout: Layout,
    http: Http,
    directory: TempDir,
}

/// A fleet as it is to be.
pub struct Layout {
    /// The binary `wholly`; `None` is this program.
    pub program: Option<PathBuf>,
    /// The stock that the inventory opens with.
    pub stock: Stock,
    /// True if the services tell every answer.
    pub tell: bool,
    /// The way of an order through the shop where no coordinator takes it.
    pub flow: Option<Flow>,
    /// The databases of the services that do not live in SQLite.
    pub urls: BTreeMap<ServiceKind, String>,
    /// True if the processes reach each other by a network only, which can be disturbed.
    pub has_network: bool,
    /// The directory in which that of the fleet is made.
    pub parent: PathBuf,
    /// The processes that another program is, whenever they are started.
    pub stand_ins: BTreeMap<Role, StandIn>,
}

/// A program in the place of `wholly`, which takes the same arguments, and further ones.
#[derive(Clone, Debug)]
pub struct StandIn {
    /// The program.
    pub program: PathBuf,
    /// Its further arguments.
    pub arguments: Vec<String>,
}

/// Why a process cannot be started or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say it")]
pub enum FleetError {
    #[error("cannot {what}: {why}")]
    System { what: &'static str, why: io::Error },
    #[error("the {name} did not start; it said: {last_words}")]
    NotReady { name: &'static str, last_words: String },
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("{url} answered {status}: {body}")]
    Unexpected { url: String, status: u16, body: Value },
    #[error("this did not happen in time: {0}")]
    Late(String),
}

impl Layout {
    /// A coordinator and three services, which open with this stock.
    pub fn of(stock: Stock) -> Self {
        Self {
            program: None,
            stock,
            tell: false,
            flow: None,
            urls: BTreeMap::new(),
            has_network: false,
            parent: std::env::temp_dir(),
            stand_ins: BTreeMap::new(),
        }
    }

    /// The fleet, of which no process runs yet.
    ///
    /// # Errors
    /// When the system gives no ports or no directory.
    pub fn fleet(mut self) -> Result<Fleet, FleetError> {
        let ports = free_ports::<8>().map_err(system("find free ports"))?;
        let (ports, ways) = ports.split_at(Role::ALL.len());
        let ways = if self.has_network { ways } else { ports };
        let pairs = ways.iter().copied().zip(ports.iter().copied());
        let network = self.has_network.then(|| Network::start(pairs)).transpose();
        let of_roles = |ports: &[u16]| Role::ALL.into_iter().zip(ports.iter().copied()).collect();
        let directory = tempfile::Builder::new()
            .prefix("wholly-demo-")
            .tempdir_in(&self.parent)
            .map_err(system("make a temporary directory"))?;
        if self.program.is_none() {
            self.program = Some(std::env::current_exe().map_err(system("find this program"))?);
        }
        let fleet = Fleet {
            processes: BTreeMap::new(),
            ports: of_roles(ports),
            ways: of_roles(ways),
            network: network.map_err(system("make a network"))?,
            layout: self,
            http: Http::default(),
            directory,
        };
        std::fs::write(fleet.config(), fleet.configuration())
            .and_then(|()| std::fs::create_dir(fleet.sagas()))
            .and_then(|()| std::fs::write(fleet.sagas().join("create-order.toml"), CREATE_ORDER))
            .map_err(system("write the configuration"))?;
        Ok(fleet)
    }

    /// The fleet, of which everything runs.
    ///
    /// # Errors
    /// When a process does not start.
    pub async fn start(self) -> Result<Fleet, FleetError> {
        let has_coordinator = self.flow.is_none();
        let mut fleet = self.fleet()?;
        fleet.open_shop().await?;
        if has_coordinator {
            fleet.run(Role::Coordinator).await?;
        }
        Ok(fleet)
    }
}

impl Fleet {
    /// Starts the three services.
    pub async fn open_shop(&mut self) -> Result<(), FleetError> {
        for kind in ServiceKind::ALL {
            self.spawn(Role::Service(kind))?;
        }
        for kind in ServiceKind::ALL {
            self.ready(Role::Service(kind)).await?;
        }
        Ok(())
    }

    /// Starts a process and waits until it serves.
    pub async fn run(&mut self, role: Role) -> Result<(), FleetError> {
        self.spawn(role)?;
        self.ready(role).await
    }

    /// Starts a process, in the place of one that has ended.
    pub fn spawn(&mut self, role: Role) -> Result<(), FleetError> {
        let stand_in = self.layout.stand_ins.get(&role).cloned();
        let program = self.program().to_owned();
        self.spawn_as(role, &stand_in.unwrap_or(StandIn { program, arguments: Vec::new() }))
    }

    /// Starts a process this once as another program is, in the place of one that has ended.
    pub fn spawn_as(&mut self, role: Role, stand_in: &StandIn) -> Result<(), FleetError> {
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
        arguments.extend_from_slice(&stand_in.arguments);
        let directory = self.directory.path();
        let process =
            Process::start(&stand_in.program, role.as_str(), &arguments, directory, "warn")
                .map_err(system("start a process"))?;
        self.processes.insert(role, process);
        // The connections to its predecessor are gone.
        self.http = Http::default();
        Ok(())
    }

    /// The binary `wholly`.
    pub fn program(&self) -> &Path {
        self.layout.program.as_deref().unwrap_or(Path::new("wholly"))
    }

    /// The program whose process this is, if it was started.
    pub fn program_of(&self, role: Role) -> Option<&Path> {
        self.processes.get(&role).map(Process::program)
    }

    /// Sets the weather on the way to a process, where there is a network.
    pub fn set_weather(&self, role: Role, weather: &Weather) {
        if let Some(network) = &self.network {
            network.set(
                Role::ALL.iter().position(|other| *other == role).unwrap_or_default(),
                weather,
            );
        }
    }

    /// The number of requests that processes have sent to each other by the network.
    pub fn messages(&self) -> u64 {
        self.network.as_ref().map_or(0, Network::requests)
    }

    /// Writes a line to the standard input of a process.
    pub fn tell(&mut self, role: Role, line: &str) -> Result<(), FleetError> {
        let process = self.processes.get_mut(&role);
        process.map_or(Ok(()), |process| process.tell(line)).map_err(system("speak to a process"))
    }

    /// Waits until a process serves.
    pub async fn ready(&mut self, role: Role) -> Result<(), FleetError> {
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
        let mut arguments = match self.layout.flow {
            None => vec!["shop-service".to_owned()],
            Some(flow) => vec![
                "shop-by-events".to_owned(),
                format!("--flow={}", name_of(&flow)),
                format!("--ports={}", ServiceKind::ALL.map(way).join(",")),
            ],
        };
        let database = match self.layout.urls.get(&kind) {
            None => format!("--database={}", self.database(kind).display()),
            Some(url) => format!("--postgres={url}"),
        };
        let stock = format!("--stock={}", json!(self.layout.stock));
        arguments.extend([kind.to_string(), port, database, stock]);
        arguments.extend(self.layout.tell.then(|| "--tell".to_owned()));
        arguments
    }

    /// The SQLite file of a service.
    pub fn database(&self, kind: ServiceKind) -> PathBuf {
        self.directory.path().join(format!("{kind}.db"))
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("wholly.toml")
    }

    fn sagas(&self) -> PathBuf {
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
    pub fn kill(&mut self, role: Role) {
        self.processes.remove(&role);
    }

    /// Removes the coordinator's log with all that says that there was one, as nothing may.
    pub fn lose_log(&self) -> Result<(), FleetError> {
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
    pub fn processor_time(&self) -> Duration {
        self.processes.values().map(Process::processor_time).sum()
    }

    /// The memory that all processes hold, in bytes, where the system tells.
    pub fn resident_bytes(&self) -> Option<u64> {
        self.processes.values().map(Process::resident_bytes).sum()
    }

    /// Waits until a process has killed itself.
    pub async fn killed(&mut self, role: Role) -> Result<(), FleetError> {
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

    /// True if a process has ended.
    pub fn has_ended(&mut self, role: Role) -> bool {
        self.processes.get_mut(&role).is_none_or(Process::has_ended)
    }

    /// Stops a process for a while, or lets it go on.
    pub fn signal(&self, role: Role, signal: Signal) -> Result<(), FleetError> {
        let process = self.processes.get(&role);
        process.map_or(Ok(()), |process| process.signal(signal)).map_err(system("send a signal"))
    }

    /// Starts another process of this program, whose files are with those of the fleet.
    pub fn start_beside(&self, name: &str, arguments: &[String]) -> Result<Process, FleetError> {
        Process::start(self.program(), name, arguments, self.directory.path(), "warn")
            .map_err(system("start a process"))
    }

    /// The text that a process answers to this.
    pub async fn text(&self, role: Role, path: &str) -> Result<String, FleetError> {
        let url = self.url(role, path);
        match self.http.get(&url).await? {
            Reply { status: 200, body: Value::String(text), .. } => Ok(text),
            Reply { status, body, .. } => Err(FleetError::Unexpected { url, status, body }),
        }
    }

    /// Fills the disk of a process, so that its files may have no more than this, or frees it.
    pub fn files_may_have(&self, role: Role, bytes: Option<u64>) -> Result<(), FleetError> {
        let limited = self.processes.get(&role).map_or(Ok(()), |one| one.files_may_have(bytes));
        limited.map_err(system("limit a process"))
    }

    /// The end of what a process wrote to its standard error.
    pub fn last_words(&self, role: Role) -> String {
        self.processes.get(&role).map(Process::last_words).unwrap_or_default()
    }

    /// The next line that a process says.
    pub async fn line(&mut self, role: Role) -> Result<String, FleetError> {
        let late = || FleetError::Late(format!("the {} says something", role.as_str()));
        let process = self.processes.get_mut(&role).ok_or_else(late)?;
        let line = tokio::time::timeout(PATIENCE, process.line()).await.map_err(|_| late())?;
        line.ok_or_else(late)
    }

    /// The URL of a path of a process, past the network.
    pub fn url(&self, role: Role, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port(role))
    }

    /// The port of a process, past the network.
    pub fn port(&self, role: Role) -> u16 {
        self.ports[&role]
    }

    /// The URL by which others reach a process.
    pub fn way(&self, role: Role, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ways[&role])
    }

    /// A client that shares the connections of the fleet.
    pub fn http(&self) -> Http {
        self.http.clone()
    }

    /// Asks a service for a change without a coordinator.
    pub async fn ask(
        &self,
        kind: ServiceKind,
        path: &str,
        body: &Value,
    ) -> Result<Reply, FleetError> {
        Ok(self.http.post(&self.url(Role::Service(kind), path), body).await?)
    }

    /// The books of the services that run.
    pub async fn books(&self) -> Result<Books, FleetError> {
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

    /// A transaction as the coordinator shows it: as a [`Transaction`], or all of it as a [`Value`].
    pub async fn transaction<T: DeserializeOwned>(&self, id: &str) -> Result<T, FleetError> {
        self.read(&self.url(Role::Coordinator, &format!("/v1/transactions/{id}"))).await
    }

    /// The ids of the newest transactions, newest first, at most `limit`.
    pub async fn newest(&self, limit: usize) -> Result<Vec<String>, FleetError> {
        Ok(self.page(limit, None).await?.0)
    }

    /// The ids of all transactions, newest first.
    pub async fn transactions(&self) -> Result<Vec<String>, FleetError> {
        let (mut all, mut next) = self.page(1_000, None).await?;
        while let Some(cursor) = next {
            let (more, after) = self.page(1_000, Some(&cursor)).await?;
            all.extend(more);
            next = after;
        }
        Ok(all)
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
    pub async fn read<T: DeserializeOwned>(&self, url: &str) -> Result<T, FleetError> {
        let Reply { status, body, .. } = self.http.get(url).await?;
        let parsed = if status == 200 { T::deserialize(&body).ok() } else { None };
        parsed.ok_or_else(|| FleetError::Unexpected { url: url.to_owned(), status, body })
    }
}

/// Waits until `check` gives something.
pub async fn eventually<T>(
    what: &str,
    check: impl AsyncFnMut() -> Result<Option<T>, FleetError>,
) -> Result<T, FleetError> {
    eventually_within(PATIENCE, what, check).await
}

/// Waits for so long until `check` gives something.
pub async fn eventually_within<T, E: From<FleetError>>(
    patience: Duration,
    what: &str,
    mut check: impl AsyncFnMut() -> Result<Option<T>, E>,
) -> Result<T, E> {
    let all = async {
        let mut turn = tokio::time::interval(Duration::from_millis(5));
        loop {
            turn.tick().await;
            if let Some(found) = check().await? {
                return Ok(found);
            }
        }
    };
    let found = tokio::time::timeout(patience, all).await;
    found.unwrap_or_else(|_| Err(FleetError::Late(what.to_owned()).into()))
}

/// The name that a value has on the command line.
pub fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
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
