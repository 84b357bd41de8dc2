//! The network between followers and feeds: requests and answers are lost or late, and followers
//! repeat them. A page that arrives may be old.

use super::database::TransactionEnd;
use super::planted::Bug;
use super::service::{Next, PendingRequest, SimulatedFollower, SimulatedService};
use super::violation::{Checked, Property, ensure};
use super::world::World;
use crate::choreography::feed_reader::{self, Checkpoint};
use crate::choreography::job::{JobOutput, StoreJob};
use crate::cursor::Cursor;
use crate::feed::{CursorRefusal, FeedError, FeedInfo, FeedPage, StartFrom};

impl World {
    /// A follower requests the next page.
    pub(super) fn ask(&mut self, service: usize) -> Checked {
        let Some(nth) = self.one_feed(service, |feed| {
            feed.read.is_none() && !feed.refused && feed.reader.has_room()
        }) else {
            return Ok(());
        };
        let now = self.now;
        let feed = self.feed(service, nth);
        let ask = feed.reader.ask();
        feed.read = Some(PendingRequest { ask, began: now, answer: None });
        Ok(())
    }

    /// A request arrives at a feed, or is lost.
    pub(super) fn serve(&mut self, source: usize) -> Checked {
        let asked = (0..self.services.len()).filter_map(|service| {
            let process = self.services[service].process.as_ref()?;
            let is_asked = |feed: &SimulatedFollower| feed.source == source && is_unanswered(feed);
            Some((service, process.feeds.iter().position(is_asked)?))
        });
        let asked: Vec<_> = asked.collect();
        if asked.is_empty() {
            return Ok(());
        }
        let (service, nth) = asked[self.random.index(asked.len())];
        if !self.is_up(source) || self.fault(8) {
            self.see("question lost");
            return self.answer(service, nth, Err(FeedError::Unreachable("lost".to_owned())));
        }
        let Some(read) = &self.feed(service, nth).read else { return Ok(()) };
        let (ask, began) = (read.ask.clone(), read.began);
        if ask.wait.is_zero() {
            let fate = self.fate();
            if !self.sequence(source, fate)? {
                let why = FeedError::Unreachable("the database failed".to_owned());
                return self.answer(service, nth, Err(why));
            }
        }
        let limit = if self.random.percent(30) { 1 + self.random.below(3) } else { ask.limit };
        if ask.start == StartFrom::Earliest {
            // A follower without a stored cursor begins at the earliest retained event.
            self.miss(service, source, self.services[source].trimmed());
        }
        let page = self.page(source, &ask.start, limit)?;
        let is_over = ask.wait.is_zero() || began.until(self.now) >= ask.wait;
        match page {
            Ok(page) if page.ends_wait(&ask.start) || is_over => {
                let one = &self.services[source];
                let (source, retention) = (one.name.clone(), self.retention.outbox);
                self.answer(service, nth, Ok((FeedInfo { source, retention }, page)))
            }
            Ok(_) => Ok(()),
            Err(refusal) => self.answer(service, nth, Err(refusal.into())),
        }
    }

    fn answer(
        &mut self,
        service: usize,
        nth: usize,
        answer: Result<(FeedInfo, FeedPage), FeedError>,
    ) -> Checked {
        if let Some(read) = &mut self.feed(service, nth).read {
            read.answer = Some(answer);
        }
        Ok(())
    }

    /// A page of a feed. The feed must accept or refuse the cursor correctly.
    fn page(
        &mut self,
        source: usize,
        start: &StartFrom,
        limit: u64,
    ) -> Checked<Result<FeedPage, CursorRefusal>> {
        self.look_at_positions(source)?;
        let one = &self.services[source];
        let Some(process) = &one.process else { return Ok(Ok(nothing())) };
        let job = StoreJob::Page(start.clone(), process.head, limit);
        let Some(JobOutput::Page(page)) = self.job(source, job, TransactionEnd::Commits)? else {
            return Ok(Ok(nothing()));
        };
        let StartFrom::After(cursor) = start else { return Ok(page) };
        let is_known = self.services[source].ledger.knows(cursor);
        let is_trimmed = cursor.position < self.services[source].trimmed();
        let is_right = match &page {
            Ok(_) => is_known && !is_trimmed,
            Err(CursorRefusal::Trimmed { .. }) => is_trimmed,
            Err(_) => !is_known,
        };
        ensure(is_right || self.by_consequences, Property::Believed, || {
            let said = page.as_ref().map(|page| &page.cursor);
            format!("of {cursor} (known: {is_known}, trimmed: {is_trimmed}) a feed says {said:?}")
        })?;
        Ok(page)
    }

    /// Checks that every event with a position was committed, and that it keeps its position.
    pub(super) fn look_at_positions(&mut self, source: usize) -> Checked {
        for (position, id) in self.services[source].positions() {
            self.services[source].ledger.placed(position, id)?;
        }
        Ok(())
    }

    /// An answer arrives at its follower, or is lost.
    pub(super) fn take(&mut self, service: usize) -> Checked {
        let is_answered =
            |feed: &SimulatedFollower| feed.read.as_ref().is_some_and(|r| r.answer.is_some());
        let Some(nth) = self.one_feed(service, is_answered) else { return Ok(()) };
        let lost = self.fault(8);
        let (now, inbox, bug) = (self.now, self.retention.inbox, self.bug);
        let one = &mut self.services[service];
        let feed = &mut one.process.as_mut().unwrap().feeds[nth];
        let read = feed.read.take().unwrap();
        let answer = match read.answer {
            Some(Ok((info, page))) if !lost => {
                page.without_repeats(&read.ask.start).map(|page| (info, page))
            }
            Some(Err(error)) if !lost => Err(error),
            _ => Err(FeedError::Unreachable("lost".to_owned())),
        };
        let checked = answer.and_then(|(info, page)| {
            feed_reader::check(&info, &feed.status.source, inbox).map(|()| page)
        });
        match checked {
            Ok(page) => {
                if bug == Some(Bug::CursorMovedBeforeItIsHandled) {
                    let place = page.cursor.clone();
                    feed.watermark = Some(Checkpoint { place, read_to_end_at: None });
                }
                feed.status.unreachable_since = None;
                let said = format!(
                    "takes {:?} of {} to {} of {}",
                    read.ask, read.began, page.cursor, page.head
                );
                feed.reader.take(&one.plan, read.began, &read.ask, page);
                self.note(service, || said);
                self.passed(service, nth);
                Ok(())
            }
            Err(FeedError::Unreachable(_)) => {
                feed.status.unreachable_since.get_or_insert(now);
                Ok(())
            }
            Err(error) => self.refused(service, nth, &error),
        }
    }

    /// A follower stops: its open transactions may be committed, and their results are ignored.
    fn refused(&mut self, service: usize, nth: usize, error: &FeedError) -> Checked {
        self.note(service, || format!("{error}"));
        self.see("refusal of a cursor");
        let source = self.feed(service, nth).source;
        let process = self.process(service);
        for transaction in &mut process.transactions {
            match &transaction.then {
                Next::Deal { source: of, .. }
                | Next::DealFailed { source: of, .. }
                | Next::SetAside { source: of, .. }
                    if *of == source =>
                {
                    transaction.then = Next::Abandoned;
                }
                _ => {}
            }
        }
        process.feeds[nth] =
            SimulatedFollower { refused: true, ..SimulatedFollower::new(source, None) };
        Ok(())
    }

    pub(super) fn passed(&mut self, service: usize, nth: usize) {
        let feed = self.feed(service, nth);
        if let Some(checkpoint) = feed.reader.take_checkpoint(feed.watermark.as_ref()) {
            feed.status.passed(&checkpoint);
            feed.watermark = Some(checkpoint);
        }
    }

    /// A follower stores its checkpoint.
    pub(super) fn save(&mut self, service: usize) -> Checked {
        let Some(nth) = self.one_feed(service, |feed| feed.watermark.is_some()) else {
            return Ok(());
        };
        let feed = self.feed(service, nth);
        let (source, checkpoint) = (feed.status.source.clone(), feed.watermark.clone().unwrap());
        let (job, fate) =
            (StoreJob::Advance(source, checkpoint.place.clone(), self.now), self.fate());
        if self.job(service, job, fate)?.is_some() {
            let feed = self.feed(service, nth);
            feed.status.saved(&checkpoint);
            feed.watermark = None;
        }
        Ok(())
    }

    /// All feeds are read again at once, without a wait.
    pub(super) fn read_now(&mut self, service: usize) {
        let now = self.now;
        let Some(process) = &mut self.services[service].process else { return };
        for feed in process.feeds.iter_mut().filter(|feed| !feed.refused) {
            let ask = feed.reader.ask_now();
            feed.read = Some(PendingRequest { ask, began: now, answer: None });
        }
    }

    pub(super) fn feed(&mut self, service: usize, nth: usize) -> &mut SimulatedFollower {
        &mut self.process(service).feeds[nth]
    }

    pub(super) fn one_feed(
        &mut self,
        service: usize,
        is_it: impl Fn(&SimulatedFollower) -> bool,
    ) -> Option<usize> {
        let feeds = &self.services[service].process.as_ref()?.feeds;
        let found: Vec<_> = (0..feeds.len()).filter(|nth| is_it(&feeds[*nth])).collect();
        (!found.is_empty()).then(|| found[self.random.index(found.len())])
    }
}

fn is_unanswered(feed: &SimulatedFollower) -> bool {
    feed.read.as_ref().is_some_and(|read| read.answer.is_none())
}

fn nothing() -> FeedPage {
    FeedPage { events: Vec::new(), set_aside: Vec::new(), cursor: Cursor::START, head: 0 }
}

impl SimulatedService {
    fn positions(&self) -> Vec<(u64, String)> {
        let sql = "SELECT position, id FROM wholly_outbox WHERE position IS NOT NULL";
        let mut statement = self.database.db.prepare_cached(sql).unwrap();
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get(1)?));
        let rows = statement.query_map([], read).unwrap().map(Result::unwrap);
        rows.map(|(position, id)| (u64::try_from(position).unwrap(), id)).collect()
    }

    pub(super) fn trimmed(&self) -> u64 {
        self.database.number("SELECT trimmed FROM wholly_feed", &[])
    }

    /// The last position, including those still to be assigned.
    pub(super) fn last_position(&self) -> u64 {
        let sql = match self.database.sequenced {
            true => {
                "SELECT head + (SELECT count(*) FROM wholly_outbox WHERE position IS NULL)
                FROM wholly_feed"
            }
            false => {
                "SELECT coalesce((SELECT max(position) FROM wholly_outbox), trimmed)
                FROM wholly_feed"
            }
        };
        self.database.number(sql, &[])
    }
}
