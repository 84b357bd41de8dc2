//! Ten times more clients than the server can serve, who retry as they are told.

use std::path::Path;
use std::time::Duration;

use hyper::Method;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};

use super::Overload;
use super::promises::Served;
use crate::bench::listeners::may_open;
use crate::bench::served::{self, participants_at, transaction};
use wholly_demo::bench::bare_participant::BareParticipant;
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

pub(super) struct Crowd<'a>(pub &'a Overload);

/// The answers to the clients.
#[derive(Default)]
struct AnswerCounts {
    latencies: Latencies,
    counts: Served,
}

impl Crowd<'_> {
    pub async fn run(&self, wholly: &Path) -> Result<Served, BenchError> {
        let Overload { in_flight, seconds, deadline_millis, common, .. } = self.0;
        let (lasts, deadline) = (Duration::from_secs((*seconds).into()), self.deadline());
        may_open(u64::from(2 * self.clients()) + 1_000)?;
        let directory = common.directory()?;
        let names = common.names();
        let pause_millis = self.0.pause_millis.into();
        let participants =
            BareParticipant::start_pausing(&names, pause_millis, directory.path()).await?;
        let server = self.serve(wholly, &names, &participants, directory.path()).await?;
        let idle_bytes = server.process.resident_bytes();
        let body = transaction(&names, &common.payload()?)?.to_string();
        let until = Instant::now() + lasts;
        let mut clients = JoinSet::new();
        for _ in 0..self.clients() {
            let url = server.url("/v1/transactions");
            clients.spawn(client(url, body.clone(), deadline, until));
        }
        let mut told = AnswerCounts::default();
        let mut bytes_over_time = Vec::new();
        let every = lasts / LOOKS;
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
        let latencies = told.latencies.sorted();
        let accepted = latencies.count() as u64;
        Ok(Served {
            clients: self.clients(),
            in_flight_limit: *in_flight,
            seconds: *seconds,
            deadline_millis: *deadline_millis,
            possible_per_second: self.possible_per_second(),
            accepted,
            accepted_per_second: accepted as f64 / lasts.as_secs_f64(),
            p50_micros: latencies.quantile(0.5),
            p99_micros: latencies.quantile(0.99),
            unsettled,
            idle_bytes,
            bytes_over_time,
            most_bytes,
            end_bytes,
            most_bytes_allowed: idle_bytes.map(|idle| Served::allowed(idle, *in_flight)),
            ..told.counts
        })
    }

    fn clients(&self) -> u32 {
        self.0.clients.unwrap_or(10 * self.0.in_flight)
    }

    fn deadline(&self) -> Duration {
        Duration::from_millis(self.0.deadline_millis.into())
    }

    /// Some clients find no connection, so that both refusals are seen.
    async fn serve(
        &self,
        wholly: &Path,
        names: &[String],
        participants: &[BareParticipant],
        directory: &Path,
    ) -> Result<served::Served, BenchError> {
        let Overload { in_flight, slots, deadline_millis, pause_millis, .. } = self.0;
        // Longer than a participant's pause, whatever it is.
        let (clients, call_timeout) = (self.clients(), pause_millis + 5_000);
        let connections = clients - (clients / 5).min(MOST_WITHOUT_CONNECTION);
        let reserved = slots / 2;
        let slots =
            format!("slots = {{ total = {slots}, reserved_for_second_phase = {reserved} }}\n");
        let text = format!(
            "[settings]\ndeadline = '{deadline_millis}ms'\ncall_timeout = '{call_timeout}ms'\n\
             in_flight_limit = {in_flight}\n\
             in_flight_limit_per_participant = {in_flight}\n[limits]\nconnections = {connections}\n{}",
            participants_at(names, participants, &slots)
        );
        served::Served::start(wholly, &text, directory).await
    }

    /// Each transaction takes two calls one after the other, each of which takes a pause.
    fn possible_per_second(&self) -> f64 {
        let Overload { in_flight, slots, pause_millis, .. } = self.0;
        f64::from(*in_flight.min(slots)) * 1e3 / f64::from(2 * pause_millis)
    }

    /// The number of those that have not settled although they had every time.
    async fn unsettled(&self, server: &served::Served) -> Result<u64, BenchError> {
        let http = Http::default();
        let give_up = Instant::now() + self.deadline() + PAST_DEADLINE;
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
) -> Result<AnswerCounts, BenchError> {
    let http = Http::default();
    let mut told = AnswerCounts::default();
    while Instant::now() < until {
        let begun = Instant::now();
        let patience = deadline + PAST_DEADLINE;
        let wait = match http.send(Method::POST, &url, &[], body.clone(), patience).await {
            Ok(reply) => told.hear(&reply, begun.elapsed(), deadline)?,
            Err(_) => {
                told.counts.unanswered += 1;
                Some(UNTOLD)
            }
        };
        if let Some(wait) = wait {
            sleep_until((Instant::now() + wait).min(until)).await;
        }
    }
    Ok(told)
}

impl AnswerCounts {
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
                self.counts.committed += u64::from(reply.body["state"] == "committed");
                self.counts.in_time += u64::from(took <= deadline);
                return Ok(None);
            }
            429 => self.counts.refused_429 += 1,
            503 => self.counts.refused_503 += 1,
            _ => return Err(BenchError::BareCall { why: format!("{reply:?}") }),
        }
        self.counts.refused_without_retry_after += u64::from(reply.retry_after.is_none());
        Ok(Some(reply.retry_after.unwrap_or(UNTOLD)))
    }

    fn add(&mut self, other: Self) {
        self.latencies.append(other.latencies);
        let (counts, other) = (&mut self.counts, other.counts);
        counts.committed += other.committed;
        counts.in_time += other.in_time;
        counts.refused_429 += other.refused_429;
        counts.refused_503 += other.refused_503;
        counts.refused_without_retry_after += other.refused_without_retry_after;
        counts.unanswered += other.unanswered;
    }
}
