//! The feed of the service, as the suite follows it.

use std::collections::HashMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::super::report::{RuleFailure, RuleResult, ensure};
use crate::Event;
use crate::feed::{Feed, FeedError, FeedPage, FeedRequest, HttpFeed, StartFrom};
use crate::names::EventId;
use crate::wire::PositionedEvent;

/// The longest that the service may take for what it is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at what tells nothing of itself.
pub(super) const PAUSE: Duration = Duration::from_millis(20);
/// One wait of the service for an event: what comes meanwhile is looked at after it.
const WAIT: Duration = Duration::from_millis(500);

/// The events that the service has published, as far as they were read.
pub(super) struct Downstream {
    pub(super) feed: HttpFeed,
    start: StartFrom,
    /// All that was read, in its order.
    pub(super) read: Vec<PositionedEvent>,
    /// Every wait ends then, so that the suite does.
    pub(super) give_up: Instant,
}

impl Downstream {
    pub(super) fn new(feed: HttpFeed, give_up: Instant) -> Self {
        Self { feed, start: StartFrom::Earliest, read: Vec::new(), give_up }
    }

    /// The moment until which something that begins now is waited for.
    pub(super) fn patience(&self) -> Instant {
        self.give_up.min(Instant::now() + PATIENCE)
    }

    /// The events that these ones caused, one each, in their order.
    pub(super) async fn answers(&mut self, causes: &[EventId]) -> RuleResult<Vec<Event>> {
        let give_up = self.patience();
        loop {
            let answers = self.known_answers();
            let found: Vec<_> = causes.iter().map(|cause| answers.get(cause)).collect();
            if let Some(found) = found.iter().copied().collect::<Option<Vec<_>>>() {
                if let Some(many) = found.iter().find(|found| found.len() > 1) {
                    return Err(RuleFailure::Seen(format!(
                        "one event has several answers: {many:?}"
                    )));
                }
                return Ok(found.into_iter().flatten().map(|event| (*event).clone()).collect());
            }
            let missing = found.iter().filter(|found| found.is_none()).count();
            ensure(Instant::now() < give_up, || {
                format!("{missing} of {} events were not answered in time", causes.len())
            })?;
            self.read_on(WAIT).await?;
        }
    }

    /// The answers to this event, after all that there is was read.
    pub(super) async fn answers_now(&mut self, cause: &EventId) -> RuleResult<usize> {
        while self.read_on(Duration::ZERO).await? > 0 {}
        Ok(self.known_answers().get(cause).map_or(0, Vec::len))
    }

    /// The events that were read, by the event that caused them.
    pub(super) fn known_answers(&self) -> HashMap<&EventId, Vec<&Event>> {
        let mut answers: HashMap<_, Vec<_>> = HashMap::new();
        for placed in &self.read {
            if let Some(cause) = &placed.event.causation {
                answers.entry(cause).or_default().push(&placed.event);
            }
        }
        answers
    }

    /// Reads a page more; returns the number of its events.
    async fn read_on(&mut self, wait: Duration) -> RuleResult<usize> {
        let page = self.page(&self.start, 1_000, wait).await?;
        let count = page.events.len();
        self.read.extend(page.events);
        self.start = StartFrom::After(page.cursor);
        Ok(count)
    }

    /// A page of the service's feed, as the contract has it. It may be away for a while.
    pub(super) async fn page(
        &self,
        start: &StartFrom,
        limit: u64,
        wait: Duration,
    ) -> RuleResult<FeedPage> {
        let give_up = self.patience();
        let (info, page) = loop {
            let ask = FeedRequest { start: start.clone(), limit, wait };
            match self.feed.read(ask).await {
                Ok(read) => break read,
                Err(FeedError::Unreachable(_)) if Instant::now() < give_up => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(why) => return Err(RuleFailure::Seen(format!("{start:?}: {why}"))),
            }
        };
        let told = || format!("{start:?} by {limit}: {page:?}");
        ensure(page.set_aside.is_empty(), told)?;
        ensure(page.events.len() as u64 <= limit, told)?;
        ensure(page.events.iter().all(|placed| placed.event.source == info.source), told)?;
        ensure(page.events.iter().all(|placed| placed.position > start.position()), told)?;
        ensure(page.cursor.position <= page.head, told)?;
        if let (Some(last), Some(id)) = (page.events.last(), &page.cursor.id) {
            let is_last = last.position == page.cursor.position;
            ensure(!is_last || last.event.id == *id, told)?;
        }
        Ok(page)
    }

    /// The service's status, once it is as the check expects it.
    pub(super) async fn status<T: DeserializeOwned + std::fmt::Debug>(
        &self,
        what: &str,
        is_so: impl Fn(&T) -> bool,
    ) -> RuleResult<T> {
        let give_up = self.patience();
        let mut seen = "nothing".to_owned();
        while Instant::now() < give_up {
            match self.feed.get_beside("choreography/status").await {
                Ok(body) => match serde_json::from_slice(&body) {
                    Ok(status) if is_so(&status) => return Ok(status),
                    Ok(status) => seen = format!("{status:?}"),
                    Err(why) => seen = why.to_string(),
                },
                Err(why) => seen = why.to_string(),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(RuleFailure::Seen(format!("choreography/status does not show {what}, but {seen}")))
    }
}
