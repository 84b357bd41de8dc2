//! Clients that know the API and nothing else: they submit, hang up, ask again with the same key,
//! read, list, listen, abort, walk away, and keep all that they are told. Some only listen.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::events::{Streams, Topic};
use super::listener::Listener;
use super::plan;
use super::told::{Moment, Statement, Testimony};
use wholly_demo::client::{Http, NoAnswer, Reply};
use wholly_demo::fleet::{Fleet, PATIENCE, Role, Transaction, eventually};
use wholly_demo::order::Order;
use wholly_demo::process::lock;
use wholly_demo::random::Random;

const CLIENTS: u64 = 12;

/// The longest that an order may take: more than its deadline, and some rounds of trouble.
const LONGEST_ORDER: Duration = Duration::from_secs(60);

/// The clients' doings, and what they know.
#[derive(Default)]
pub(super) struct Kept {
    /// Clients that stayed until the end, and that walked away: there may be a transaction or not.
    pub(super) orders: BTreeMap<String, (Order, Stayed)>,
    pub(super) testimony: Testimony,
    pub(super) streams: Streams,
    pub(super) failures: Vec<String>,
    /// The number of times clients had to ask again, and were told that it cannot be now.
    pub(super) retries: u64,
    pub(super) turned_away: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stayed {
    UntilTheEnd,
    NotLong,
}

pub(super) struct Clients {
    shared: Arc<ClientsState>,
    tasks: Vec<JoinHandle<()>>,
    /// Listeners, until the end.
    listeners: Vec<JoinHandle<()>>,
}

pub(super) struct ClientsState {
    pub(super) url: String,
    /// Some events do not come to those who listen, which must be found.
    pub(super) loses_events: bool,
    stop: AtomicBool,
    ended: watch::Sender<u64>,
    kept: Mutex<Kept>,
}

impl Clients {
    pub(super) fn start(fleet: &Fleet, loses_events: bool, random: &mut Random) -> Self {
        let shared = Arc::new(ClientsState {
            url: fleet.way(Role::Coordinator, ""),
            loses_events,
            stop: AtomicBool::new(false),
            ended: watch::Sender::new(0),
            kept: Mutex::default(),
        });
        let client = |number| {
            let random = Random::seeded(random.next());
            let client = Client { shared: Arc::clone(&shared), http: Http::default(), random };
            tokio::spawn(client.order_on(number))
        };
        let tasks = (0..CLIENTS).map(client).collect();
        // One from the first event on, the others from when they come.
        let topics = [(Topic::All, true), (Topic::All, false), (Topic::OfPattern("saga"), false)];
        let listen = |(topic, all): (Topic, bool)| {
            let random = Random::seeded(random.next());
            tokio::spawn(Listener::new(&shared, random, topic, all.then_some(0)).listen_on())
        };
        let listeners = topics.map(listen).into();
        Self { shared, tasks, listeners }
    }

    /// Waits until another order has ended.
    pub(super) async fn go_on(&self) -> bool {
        let mut ended = self.shared.ended.subscribe();
        tokio::time::timeout(PATIENCE, ended.changed()).await.is_ok()
    }

    /// Contradictions since it was last asked.
    pub(super) fn contradictions(&self) -> Vec<String> {
        self.shared.keep(|kept| kept.testimony.contradictions())
    }

    /// Ends every client where it is: what is wrong is known already.
    pub(super) fn abandon(self) {
        self.tasks.iter().chain(&self.listeners).for_each(JoinHandle::abort);
    }

    /// Lets every client finish its order.
    pub(super) async fn finish(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await {
                self.shared.keep(|kept| kept.failures.push(format!("a client ended: {error}")));
            }
        }
    }

    /// All that is known, once who listens has heard the end of all these transactions.
    pub(super) async fn hear_out(self, transactions: &[Transaction]) -> Kept {
        let missing = || {
            let ids = transactions.iter().map(|transaction| transaction.id.as_str());
            self.shared.keep(|kept| kept.streams.missing(ids))
        };
        let all = eventually("all events are told", async || Ok(missing().is_none().then_some(())));
        if all.await.is_err()
            && let Some(missing) = missing()
        {
            let late = format!("it was not told within {PATIENCE:?}: {missing}");
            self.shared.keep(|kept| kept.failures.push(late));
        }
        for listener in &self.listeners {
            if listener.is_finished() {
                self.shared.keep(|kept| kept.failures.push("a listener ended".to_owned()));
            }
            listener.abort();
        }
        self.shared.keep(std::mem::take)
    }
}

impl ClientsState {
    pub(super) fn keep<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        change(&mut lock(&self.kept))
    }

    fn transactions(&self) -> String {
        format!("{}/v1/transactions", self.url)
    }

    /// There is no answer, or none that says anything.
    pub(super) fn not_told(&self, reply: Result<Reply, NoAnswer>) {
        self.keep(|kept| match reply {
            Err(_) => {}
            Ok(Reply { status: 429 | 503, retry_after: Some(_), .. }) => kept.turned_away += 1,
            // The network cut the request's end off.
            Ok(Reply { status: 400 | 408, .. }) => {}
            Ok(Reply { status, body, .. }) => {
                kept.failures.push(format!("an answer that nobody expects: {status} {body}"));
            }
        });
    }
}

struct Client {
    shared: Arc<ClientsState>,
    http: Http,
    random: Random,
}

impl Client {
    async fn order_on(mut self, client: u64) {
        for number in 0.. {
            if self.shared.stop.load(Ordering::SeqCst) {
                break;
            }
            let order = plan::order(format!("{client}-{number}"), &mut self.random);
            self.order(&order).await;
            self.shared.ended.send_modify(|ended| *ended += 1);
        }
    }

    async fn order(&mut self, order: &Order) {
        let stayed = match self.random.below(16) {
            0 => Stayed::NotLong,
            _ => Stayed::UntilTheEnd,
        };
        let entry = (order.clone(), stayed);
        self.shared.keep(|kept| kept.orders.insert(order.id.clone(), entry));
        let give_up = Instant::now() + LONGEST_ORDER;
        let Some(id) = self.accepted(order, stayed, give_up).await else { return };
        if self.random.below(12) == 0 {
            self.abort(&id, order).await;
        }
        if stayed == Stayed::NotLong {
            return;
        }
        if self.random.below(3) == 0 {
            let random = Random::seeded(self.random.next());
            let topic = Topic::One(id.clone());
            Listener::new(&self.shared, random, topic, Some(0)).until_settled(give_up).await;
        }
        while Instant::now() < give_up {
            self.pause().await;
            let settled = match self.random.below(8) {
                0 => self.list().await,
                _ => self.read(&id).await,
            };
            if settled {
                return;
            }
        }
        let late = format!("order {} has not settled after {LONGEST_ORDER:?}", order.id);
        self.shared.keep(|kept| kept.failures.push(late));
    }

    /// Submits until it is accepted, always with the same key.
    async fn accepted(
        &mut self,
        order: &Order,
        stayed: Stayed,
        give_up: Instant,
    ) -> Option<String> {
        while Instant::now() < give_up {
            let (one, patience) = (self.submission(order), self.patience());
            let heard = match self.random.below(8) {
                // Twice at the same time.
                0 => {
                    let (other, other_patience) = (self.submission(order), self.patience());
                    let one = self.submit(order, one, patience);
                    let (one, other) = tokio::join!(one, self.submit(order, other, other_patience));
                    one.or(other)
                }
                _ => self.submit(order, one, patience).await,
            };
            if let Some(told) = heard {
                return Some(told.id);
            }
            if stayed == Stayed::NotLong {
                return None;
            }
            self.shared.keep(|kept| kept.retries += 1);
            self.pause().await;
        }
        let late = format!("order {} was not accepted within {LONGEST_ORDER:?}", order.id);
        self.shared.keep(|kept| kept.failures.push(late));
        None
    }

    /// The headers and the body of a submission.
    fn submission(&mut self, order: &Order) -> (Vec<(&'static str, String)>, Value) {
        let (mut body, mut headers) = (order.submission(), Vec::new());
        if self.random.below(2) == 0
            && let Some(body) = body.as_object_mut()
        {
            body.remove("key");
            headers.push(("idempotency-key", order.id.clone()));
        }
        let prefer = ["", "", "respond-async", "wait=1"][self.random.below(4) as usize];
        headers.extend((!prefer.is_empty()).then(|| ("prefer", prefer.to_owned())));
        (headers, body)
    }

    async fn submit(
        &self,
        order: &Order,
        (headers, body): (Vec<(&'static str, String)>, Value),
        patience: Duration,
    ) -> Option<Statement> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let (url, body) = (self.shared.transactions(), body.to_string());
        let (asked, reply) = self.ask(Method::POST, &url, &headers, body, patience).await;
        match reply {
            Ok(reply) if [200, 202].contains(&reply.status) => {
                let told = Statement::of(&reply.body).map(|told| told.for_key(&order.id));
                self.told(asked, told, &reply)
            }
            reply => self.not_told(reply),
        }
    }

    /// Reads a transaction; whether it has settled.
    async fn read(&mut self, id: &str) -> bool {
        let url = format!("{}/{id}", self.shared.transactions());
        let patience = self.patience();
        let (asked, reply) = self.ask(Method::GET, &url, &[], String::new(), patience).await;
        let heard = match reply {
            Ok(Reply { status: 404, .. }) => {
                self.shared.keep(|kept| kept.testimony.hear_unknown(asked, id));
                None
            }
            Ok(reply) if reply.status == 200 => {
                self.told(asked, Statement::of(&reply.body), &reply)
            }
            reply => self.not_told(reply),
        };
        heard.is_some_and(|told| told.settled == Some(true))
    }

    /// Lists the newest; that settles nothing.
    async fn list(&mut self) -> bool {
        let url = format!("{}?limit={}", self.shared.transactions(), 1 + self.random.below(20));
        let patience = self.patience();
        let (asked, reply) = self.ask(Method::GET, &url, &[], String::new(), patience).await;
        match reply {
            Ok(reply) if reply.status == 200 => {
                let rows = reply.body["transactions"].as_array();
                for row in rows.into_iter().flatten() {
                    self.told(asked, Statement::of(row), &reply);
                }
            }
            reply => drop(self.not_told(reply)),
        }
        false
    }

    async fn abort(&mut self, id: &str, order: &Order) {
        let url = format!("{}/{id}/abort", self.shared.transactions());
        let body = json!({ "reason": "the client changed its mind" }).to_string();
        let patience = self.patience();
        let (asked, reply) = self.ask(Method::POST, &url, &[], body, patience).await;
        match reply {
            Ok(Reply { status: 204, .. }) => {
                let told = Statement::turned_back(id, order.is_saga());
                self.shared.keep(|kept| kept.testimony.hear(asked, &told));
            }
            // It is too late for that.
            Ok(Reply { status: 409, .. }) => {}
            Ok(Reply { status: 404, .. }) => {
                self.shared.keep(|kept| kept.testimony.hear_unknown(asked, id));
            }
            reply => drop(self.not_told(reply)),
        }
    }

    async fn ask(
        &self,
        method: Method,
        url: &str,
        headers: &[(&'static str, &str)],
        body: String,
        patience: Duration,
    ) -> (Moment, Result<Reply, NoAnswer>) {
        let asked = self.shared.keep(|kept| kept.testimony.now());
        (asked, self.http.send(method, url, headers, body, patience).await)
    }

    fn told(&self, asked: Moment, told: Option<Statement>, reply: &Reply) -> Option<Statement> {
        self.shared.keep(|kept| match told {
            Some(told) => {
                kept.testimony.hear(asked, &told);
                Some(told)
            }
            None => {
                kept.failures.push(format!("an answer has no id: {}", reply.body));
                None
            }
        })
    }

    fn not_told(&self, reply: Result<Reply, NoAnswer>) -> Option<Statement> {
        self.shared.not_told(reply);
        None
    }

    /// The time until the client hangs up: often too short for an answer.
    fn patience(&mut self) -> Duration {
        match self.random.below(4) {
            0 => Duration::from_millis(1) + self.random.moment(Duration::from_millis(30)),
            _ => Duration::from_millis(50) + self.random.moment(Duration::from_secs(2)),
        }
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.random.moment(Duration::from_millis(40))).await;
    }
}
