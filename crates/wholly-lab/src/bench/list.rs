//! The time that a page of a list takes, of a log with millions of transactions and of a small one.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use wholly::log::listing::{Labels, Page, Query};
use wholly::log::{Log, LogReader};
use wholly::{Cursor, Filter, InvalidName, ParticipantName, Pattern, SqliteLog, State};

use super::made::{self, LONG_AGO, Made};
use wholly_demo::bench::common::{Common, random};
use wholly_demo::bench::error::BenchError;
use wholly_demo::bench::load::Latencies;
use wholly_demo::bench::report::{latency, write_table};

/// The time that a page of a list takes, with several filters, from places all over the log: of a log
/// with many transactions, beside one with few.
#[derive(clap::Args, Debug)]
pub(super) struct List {
    /// The number of transactions in the log.
    #[arg(long, value_name = "N", default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    stored: u64,
    /// The number of those in the small log.
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    beside: u64,
    /// The number of names that they have between them.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    names: u64,
    /// The number of times that a page is read with each filter.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    times: u64,
    /// The number of transactions of a page.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// The large log's file, which is kept; one that is there already is taken as it is.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Have the system forget the file before each page, so that all of it comes from the disk.
    #[arg(long)]
    cold: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Serialize)]
pub(super) struct Lists {
    workload: String,
    lists: Vec<Compared>,
}

/// One filter, on both logs.
#[derive(Debug, Serialize)]
struct Compared {
    filter: &'static str,
    large: Pages,
    small: Pages,
}

#[derive(Debug, Serialize)]
struct Pages {
    p50_micros: f64,
    p99_micros: f64,
    /// The number of the newest transactions, up to a page's limit, in as many pages as it
    /// takes.
    rows: usize,
    /// The number of pages that had less than their limit, and were not the last.
    short: usize,
}

impl List {
    pub async fn run(self) -> Result<Lists, BenchError> {
        tokio::task::spawn_blocking(move || self.measure()).await?
    }

    fn measure(self) -> Result<Lists, BenchError> {
        let directory = self.common.directory()?;
        let filters = filters()?;
        let kept = self.file.clone();
        let large = kept.unwrap_or_else(|| directory.path().join("large.db"));
        let large = self.pages(&large, self.stored, &filters)?;
        let small = self.pages(&directory.path().join("small.db"), self.beside, &filters)?;
        let compared = |((filter, _), (large, small))| Compared { filter, large, small };
        let lists = filters.into_iter().zip(large.into_iter().zip(small)).map(compared).collect();
        let Self { stored, beside, names, limit, .. } = self;
        let workload = format!(
            "list: pages of {limit} of a log with {stored} transactions, and of one with {beside}; \
             {names} names"
        );
        Ok(Lists { workload, lists })
    }

    /// The figures of each filter.
    fn pages(
        &self,
        path: &Path,
        stored: u64,
        filters: &[(&str, Filter)],
    ) -> Result<Vec<Pages>, BenchError> {
        if !path.exists() {
            made::labelled(path, &self.common, stored, |nth| made(nth, self.names))?;
        }
        let open = SqliteLog::at(path).create_if_missing().open()?;
        let newest = open.last_ordinal;
        let file = File::open(path)?;
        let forget = || self.cold.then(|| forget(&file)).transpose();
        let read = |(_, filter): &(_, _)| {
            self.read(&*open.reader, filter, newest, stored, &|| forget().map(drop))
        };
        filters.iter().map(read).collect()
    }

    fn read(
        &self,
        reader: &dyn LogReader,
        filter: &Filter,
        newest: u64,
        stored: u64,
        prepare: &dyn Fn() -> std::io::Result<()>,
    ) -> Result<Pages, BenchError> {
        let mut short = 0;
        let mut latencies = Latencies::default();
        let mut rows = 0;
        for nth in 0..self.times {
            // The newest page first, then others from anywhere: the made ordinals are in a row.
            let after = (nth > 0).then(|| Cursor::after(newest - random(nth) % stored));
            let filter = filter.clone();
            let query = Query { filter, after, ..Query::newest(usize::from(self.limit)) };
            prepare()?;
            let begun = Instant::now();
            let page = reader.list(&query)?;
            latencies.push(begun.elapsed());
            short += usize::from(page.next.is_some() && page.rows.len() < query.limit);
            if nth == 0 {
                rows = all(reader, query, page)?;
            }
        }
        let latencies = latencies.sorted();
        Ok(Pages {
            p50_micros: latencies.quantile(0.5),
            p99_micros: latencies.quantile(0.99),
            rows,
            short,
        })
    }
}

/// The number of transactions of this page and those after it, up to its limit.
fn all(reader: &dyn LogReader, mut query: Query, mut page: Page) -> Result<usize, BenchError> {
    let mut rows = page.rows.len();
    while page.next.is_some() && query.limit > page.rows.len() {
        (query.after, query.limit) = (page.next, query.limit - page.rows.len());
        page = reader.list(&query)?;
        rows += page.rows.len();
    }
    Ok(rows)
}

/// Has the system forget the file's pages in memory.
#[cfg(target_os = "linux")]
fn forget(file: &File) -> std::io::Result<()> {
    // Pages that are not on the disk yet cannot be forgotten.
    file.sync_all()?;
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &File) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// The nth transaction: of every thousand one is stuck, ten turned back; one in 100,000
/// has a name of its own.
fn made(nth: u64, names: u64) -> Result<(Made, Labels), InvalidName> {
    let flow = nth % names;
    let who = |n: u64| ParticipantName::new(format!("participant-{}", (flow + n) % 10));
    let pattern = if flow.is_multiple_of(2) { Pattern::TwoPhase } else { Pattern::Saga };
    let (stuck, back) = (nth % 1_000 == 999, nth % 100 == 50 || nth % 100 == 51);
    let state = match (pattern, back, stuck) {
        (Pattern::TwoPhase, true, _) => State::Aborted,
        (Pattern::TwoPhase, false, _) => State::Committed,
        (Pattern::Saga, true, _) => State::Compensated,
        (Pattern::Saga, false, true) => State::Running,
        (Pattern::Saga, false, false) => State::Completed,
    };
    let labels = Labels {
        name: if nth % 100_000 == 7 { "rare".parse()? } else { format!("flow {flow}").parse()? },
        pattern,
        participants: [who(0)?, who(1)?, who(2)?].into(),
        state,
        stuck,
    };
    Ok((if stuck { Made::Committed } else { Made::Finished }, labels))
}

/// Lists that people ask for, in the words of the API.
fn filters() -> Result<Vec<(&'static str, Filter)>, BenchError> {
    let all = Filter::default;
    let participant = || Ok::<_, InvalidName>(Some("participant-3".parse()?));
    let rare = || Ok::<_, InvalidName>(Some("rare".parse()?));
    let (aborted, compensated) = (Some(State::Aborted), Some(State::Compensated));
    Ok(vec![
        ("", all()),
        ("state=committed", Filter { state: Some(State::Committed), ..all() }),
        ("state=aborted", Filter { state: aborted, ..all() }),
        ("stuck=true", Filter { stuck: Some(true), ..all() }),
        ("settled=false", Filter { settled: Some(false), ..all() }),
        ("pattern=saga", Filter { pattern: Some(Pattern::Saga), ..all() }),
        ("name=flow+3", Filter { name: Some("flow 3".parse()?), ..all() }),
        ("name=rare", Filter { name: rare()?, ..all() }),
        ("participant=participant-3", Filter { participant: participant()?, ..all() }),
        (
            "state=compensated&participant=participant-3&settled=true",
            Filter {
                state: compensated,
                participant: participant()?,
                settled: Some(true),
                ..all()
            },
        ),
        // Nothing is both.
        ("name=rare&stuck=true", Filter { name: rare()?, stuck: Some(true), ..all() }),
        (
            "state=aborted&pattern=saga",
            Filter { state: aborted, pattern: Some(Pattern::Saga), ..all() },
        ),
        ("state=aborted&since=…", Filter { state: aborted, since: Some(LONG_AGO), ..all() }),
    ])
}

impl fmt::Display for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.workload)?;
        let rows = self.lists.iter().map(|Compared { filter, large, small }| {
            let filter = if filter.is_empty() { "none" } else { filter };
            let figures = [large, small].map(|pages| {
                let (p50, p99) = (latency(pages.p50_micros), latency(pages.p99_micros));
                [pages.rows.to_string(), pages.short.to_string(), p50, p99]
            });
            std::iter::once(filter.to_owned()).chain(figures.into_iter().flatten()).collect()
        });
        let header = ["filter", "rows", "short", "p50", "p99", "rows", "short", "p50", "p99"];
        write_table(f, &header, rows)
    }
}
