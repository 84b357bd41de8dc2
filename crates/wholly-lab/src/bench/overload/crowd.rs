//! Ten times more clients than the server can serve, who retry as they are told.

use std::path::Path;
use std::time::Duration;

use hyper::Method;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};

use super::promises::Served;
use crate::bench::listeners::may_open;
use crate::bench::served::{self, participants_at, transaction};
use wholly_demo::bench::bare_participant::BareParticipant;
use wholly_demo::bench::common::Common;
use wholly_demo::bench::error::BenchError;
use wholly_demo::bench::load::Latencies;
use wholly_demo::client::{Http, Reply};

/// The time that the server waits for a transaction past its deadline (the default), and as long again:
/// an answer that has not come by then does not come.
const PAST_DEADLINE: Duration = Duration::from_secs(20);
/// The most clients that find no connection. More than 256 at once are not even told so.
const MOST_WITHOUT_CONNECTION: u32 = 128;
/// The wait of a client that was told nothing.
const UNTOLD: Duration = Duration::from_secs(1);
/// The number of looks at the server's memory, in each run.
const LOOKS: u32 = 12;
/// The number of times that the unsettled are counted.
const LOOKING: Duration = Duration::from_millis(50);

pub(super) struct Crowd {
    pub clients: u32,
    pub in_flight_limit: u32,
    pub slots: u32,
    pub pause: Duration,
    pub deadline: Duration,
    pub lasts: Duration,
}

/// The answers to the clients.
#[derive(Default)]
struct Told {
    latencies: Latencies,
    committed: u64,
    in_time: u64,
    refused_429: u64,
    refused_503: u64,
    refused_without_retry_after: u64,
    unanswered: u64,
}

impl Crowd {
    pub async fn run(&self, wholly: &Path, common: &Common) -> Result<Served, BenchError> {
        may_open(u64::from(2 * self.clients) + 1_000)?;
        let directory = common.directory()?;
        let names = common.names();
        let pause_millis = self.pause.as_millis() as u64;
        let participants =
            BareParticipant::start_pausing(&names, pause_millis, directory.path()).await?;
        let server = self.serve(wholly, &names, &participants, directory.path()).await?;
        let idle_bytes = server.process.resident_bytes();
        let body = transaction(&names, &common.payload()?)?.to_string();
        let until = Instant::now() + self.lasts;
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            let url = server.url("/v1/transactions");
            clients.spawn(client(url, body.clone(), self.deadline, until));
        }
        let mut told = Told::default();
        let mut bytes_over_time = Vec::new();
        let every = self.lasts / LOOKS;
        let mut look = interval_at(Instant::now() + every, every);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = clients.join_next() => match ended {
                    Some(ended) => told.add(ended??),
                    None => break,
                },
                _ = look.tick() => bytes_over_time.extend(server.process.resident_bytes()),
            }
        }
        let unsettled = self.unsettled(&server).await?;
        let most_bytes = server.process.most_resident_bytes();
        let end_bytes = server.process.resident_bytes();
        let told = Told { latencies: told.latencies.sorted(), ..told };
        let accepted = told.latencies.count() as u64;
        Ok(Served {
            clients: self.clients,
            in_flight_limit: self.in_flight_limit,
            seconds: self.lasts.as_secs() as u32,
            deadline_millis: self.deadline.as_millis() as u32,
            possible_per_second: self.possible_per_second(),
            accepted,
            accepted_per_second: accepted as f64 / self.lasts.as_secs_f64(),
            committed: told.committed,
            in_time: told.in_time,
            p50_micros: told.latencies.quantile(0.5),
            p99_micros: told.latencies.quantile(0.99),
            refused_429: told.refused_429,
            refused_503: told.refused_503,
            refused_without_retry_after: told.refused_without_retry_after,
            unanswered: told.unanswered,
            unsettled,
            idle_bytes,
            bytes_over_time,
            most_bytes,
            end_bytes,
            most_bytes_allowed: idle_bytes.map(|idle| Served::allowed(idle, self.in_flight_limit)),
        })
    }

    /// Some clients find no connection, so that both refusals are seen.
    async fn serve(
        &self,
        wholly: &Path,
        names: &[String],
        participants: &[BareParticipant],
        directory: &Path,
    ) -> Result<served::Served, BenchError> {
        let Self { clients, in_flight_limit, slots, .. } = self;
        // Longer than a participant's pause, whatever it is.
        let call_timeout = self.pause.as_millis() + 5_000;
        let connections = clients - (clients / 5).min(MOST_WITHOUT_CONNECTION);
        let reserved = slots / 2;
        let slots =
            format!("slots = {{ total = {slots}, reserved_for_second_phase = {reserved} }}\n");
        let text = format!(
            "[settings]\ndeadline = '{}ms'\ncall_timeout = '{call_timeout}ms'\n\
             in_flight_limit = {in_flight_limit}\n\
             in_flight_limit_per_participant = {in_flight_limit}\n[limits]\nconnections = {connections}\n{}",
            self.deadline.as_millis(),
            participants_at(names, participants, &slots)
        );
        served::Served::start(wholly, &text, directory).await
    }

    /// Each transaction takes two calls one after the other, each of which takes a pause.
    fn possible_per_second(&self) -> f64 {
        f64::from(self.in_flight_limit.min(self.slots)) / (2.0 * self.pause.as_secs_f64())
    }

    /// The number of those that have not settled although they had every time.
    async fn unsettled(&self, server: &served::Served) -> Result<u64, BenchError> {
        let http = Http::default();
        let give_up = Instant::now() + self.deadline + PAST_DEADLINE;
        loop {
            match count_unsettled(&http, server).await? {
                some if some > 0 && Instant::now() < give_up => sleep(LOOKING).await,
                count => return Ok(count),
            }
        }
    }
}

/// Over all pages, of which each may be short.
async fn count_unsettled(http: &Http, server: &served::Served) -> Result<u64, BenchError> {
    let mut count = 0;
    let mut path = "/v1/transactions?settled=false".to_owned();
    loop {
        let page = server.read(http, &path).await?;
        let Some(listed) = page["transactions"].as_array() else {
            return Err(BenchError::BareCall { why: format!("no list: {page}") });
        };
        count += listed.len() as u64;
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/transactions?settled=false&cursor={next}"),
            None => return Ok(count),
        }
    }
}

/// Submits one transaction after the other, with a connection of its own.
async fn client(
    url: String,
    body: String,
    deadline: Duration,
    until: Instant,
) -> Result<Told, BenchError> {
    let http = Http::default();
    let mut told = Told::default();
    while Instant::now() < until {
        let begun = Instant::now();
        let patience = deadline + PAST_DEADLINE;
        let wait = match http.send(Method::POST, &url, &[], body.clone(), patience).await {
            Ok(reply) => told.hear(&reply, begun.elapsed(), deadline)?,
            Err(_) => {
                told.unanswered += 1;
                Some(UNTOLD)
            }
        };
        if let Some(wait) = wait {
            sleep_until((Instant::now() + wait).min(until)).await;
        }
    }
    Ok(told)
}

impl Told {
    /// The wait before the next request, if it was refused.
    fn hear(
        &mut self,
        reply: &Reply,
        took: Duration,
        deadline: Duration,
    ) -> Result<Option<Duration>, BenchError> {
        match reply.status {
            200 | 202 => {
                self.latencies.push(took);
                self.committed += u64::from(reply.body["state"] == "committed");
                self.in_time += u64::from(took <= deadline);
                return Ok(None);
            }
            429 => self.refused_429 += 1,
            503 => self.refused_503 += 1,
            _ => return Err(BenchError::BareCall { why: format!("{reply:?}") }),
        }
        self.refused_without_retry_after += u64::from(reply.retry_after.is_none());
        Ok(Some(reply.retry_after.unwrap_or(UNTOLD)))
    }

    fn add(&mut self, other: Self) {
        self.latencies.append(other.latencies);
        self.committed += other.committed;
        self.in_time += other.in_time;
        self.refused_429 += other.refused_429;
        self.refused_503 += other.refused_503;
        self.refused_without_retry_after += other.refused_without_retry_after;
        self.unanswered += other.unanswered;
    }
}
