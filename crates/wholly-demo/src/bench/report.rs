//! Figures, their ratio to the ceiling's, and the table of them.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use wholly::log::Written;

use super::common::resident_bytes;
use super::load::{Latencies, Measured};

/// The figures of one run, or the medians of several.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Transactions that ended, a second.
    pub transactions_per_second: f64,
    /// The median latency.
    pub p50_micros: f64,
    /// The latency that 99 in 100 do not exceed.
    pub p99_micros: f64,
    /// The latency that 999 in 1,000 do not exceed.
    pub p999_micros: f64,
    /// The time for which the processors worked for the measuring process: a machine with other work
    /// to do distorts least. Processes of participants are not counted.
    pub processor_micros_per_transaction: f64,
    /// Absent where there is no log.
    pub syncs_per_transaction: Option<f64>,
    /// Bytes that went to the log's storage, write-ahead log and checkpoints counted.
    pub log_bytes_per_transaction: Option<f64>,
    /// The memory that the measuring process held at the end of the run.
    pub resident_bytes: Option<f64>,
}

impl Figures {
    /// The figures of so many transactions in this time; `latencies` are sorted.
    pub fn new(
        transactions: u64,
        seconds: f64,
        processor: Duration,
        latencies: &Latencies,
    ) -> Self {
        Self {
            transactions_per_second: transactions as f64 / seconds,
            p50_micros: latencies.quantile(0.5),
            p99_micros: latencies.quantile(0.99),
            p999_micros: latencies.quantile(0.999),
            processor_micros_per_transaction: processor.as_secs_f64() * 1e6
                / transactions.max(1) as f64,
            syncs_per_transaction: None,
            log_bytes_per_transaction: None,
            resident_bytes: resident_bytes().map(|bytes| bytes as f64),
        }
    }

    /// The figures of a run, without a log.
    pub fn of_run<C>(run: &Measured<C>) -> Self {
        Self::new(run.latencies.count() as u64, run.seconds, run.processor, &run.latencies)
    }

    /// The figures of a run of another process: its work, and its memory now.
    pub fn of_process(run: &Measured<Duration>, resident_bytes: Option<u64>) -> Self {
        let processor = run.after.saturating_sub(run.before);
        let transactions = run.latencies.count() as u64;
        let figures = Self::new(transactions, run.seconds, processor, &run.latencies);
        Self { resident_bytes: resident_bytes.map(|bytes| bytes as f64), ..figures }
    }

    /// The same with the cost of the log, which had written this much before and after.
    pub fn with_log(mut self, transactions: u64, before: Written, after: Written) -> Self {
        let each = |now: u64, then: u64| (now - then) as f64 / transactions.max(1) as f64;
        self.syncs_per_transaction = Some(each(after.syncs, before.syncs));
        self.log_bytes_per_transaction = Some(each(after.bytes, before.bytes));
        self
    }

    /// The median of each figure.
    pub fn median(runs: &[Self]) -> Self {
        let median_of = |figure: fn(&Self) -> f64| median(runs.iter().map(figure).collect());
        let median_if = |figure: fn(&Self) -> Option<f64>| {
            runs.iter().map(figure).collect::<Option<Vec<_>>>().map(median)
        };
        Self {
            transactions_per_second: median_of(|f| f.transactions_per_second),
            p50_micros: median_of(|f| f.p50_micros),
            p99_micros: median_of(|f| f.p99_micros),
            p999_micros: median_of(|f| f.p999_micros),
            processor_micros_per_transaction: median_of(|f| f.processor_micros_per_transaction),
            syncs_per_transaction: median_if(|f| f.syncs_per_transaction),
            log_bytes_per_transaction: median_if(|f| f.log_bytes_per_transaction),
            resident_bytes: median_if(|f| f.resident_bytes),
        }
    }
}

/// The median; of an even number of values the mean of the middle two, of none 0.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Two things that were measured alternately.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The workload, in words.
    pub workload: String,
    /// The number of times that both were measured.
    pub rounds: usize,
    /// The side that is measured.
    pub subject: Named,
    /// The side that it is measured against.
    pub ceiling: Named,
    /// The one by the other.
    pub ratio: Ratio,
}

/// The figures of one of them.
#[derive(Debug, Serialize)]
pub struct Named {
    /// Its name.
    pub name: &'static str,
    /// The median of each figure.
    pub median: Figures,
    /// The figures of each run.
    pub runs: Vec<Figures>,
}

/// The subject's medians by the ceiling's.
#[derive(Debug, Serialize)]
pub struct Ratio {
    /// The ratio of transactions a second.
    pub throughput: f64,
    /// Absent where the ceiling has latencies of something else.
    pub p50: Option<f64>,
    /// The same for the latency that 99 in 100 do not exceed.
    pub p99: Option<f64>,
    /// One at a time: the median latency by the sum of those of its parts, which are the appends
    /// that it waits for and, over HTTP, its calls.
    pub latency_by_parts: Option<f64>,
}

impl Ratio {
    /// The comparison of two whose latencies are of the same.
    pub fn of(subject: &Figures, ceiling: &Figures) -> Self {
        Self {
            p50: Some(subject.p50_micros / ceiling.p50_micros),
            p99: Some(subject.p99_micros / ceiling.p99_micros),
            ..Self::of_throughput(subject, ceiling)
        }
    }

    /// The comparison of two whose latencies are of different things.
    pub fn of_throughput(subject: &Figures, ceiling: &Figures) -> Self {
        let throughput = subject.transactions_per_second / ceiling.transactions_per_second;
        Self { throughput, p50: None, p99: None, latency_by_parts: None }
    }

    /// The row of a table: throughput, p50 and p99.
    pub fn row(&self, name: &str) -> [String; 4] {
        let ratio = |value: f64| format!("{value:.2}");
        let [p50, p99] = [self.p50, self.p99].map(|value| optional(value, ratio));
        [name.to_owned(), ratio(self.throughput), p50, p99]
    }
}

impl Comparison {
    /// The comparison of two whose latencies are of the same.
    pub fn of(workload: String, subject: Named, ceiling: Named) -> Self {
        let ratio = Ratio::of(&subject.median, &ceiling.median);
        Self { workload, rounds: subject.runs.len(), subject, ceiling, ratio }
    }
}

impl Named {
    /// The medians of these runs.
    pub fn new(name: &'static str, runs: Vec<Figures>) -> Self {
        Self { name, median: Figures::median(&runs), runs }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}; medians of {} rounds", self.workload, self.rounds)?;
        let header = [
            "",
            "transactions/s",
            "p50",
            "p99",
            "p99.9",
            "processor",
            "syncs",
            "log bytes",
            "memory",
        ];
        let row = |Named { name, median, .. }: &Named| {
            [
                (*name).to_owned(),
                format!("{:.0}", median.transactions_per_second),
                latency(median.p50_micros),
                latency(median.p99_micros),
                latency(median.p999_micros),
                latency(median.processor_micros_per_transaction),
                optional(median.syncs_per_transaction, |syncs| format!("{syncs:.3}")),
                optional(median.log_bytes_per_transaction, |bytes| format!("{bytes:.0}")),
                optional(median.resident_bytes, mebibytes),
            ]
        };
        let mut ratio = self.ratio.row("ratio").to_vec();
        ratio.resize(header.len(), String::new());
        let rows = [row(&self.subject), row(&self.ceiling)].map(Vec::from);
        write_table(f, &header, rows.into_iter().chain([ratio]))?;
        match self.ratio.latency_by_parts {
            Some(by) => write!(f, "\n\np50 by its parts: {by:.2}"),
            None => Ok(()),
        }
    }
}

fn optional(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

/// Writes a header and rows after an empty line. Columns are as wide as they need; all but the
/// first are aligned to the right.
pub fn write_table(
    f: &mut fmt::Formatter<'_>,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> fmt::Result {
    let header = header.iter().map(|&name| name.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    for row in &rows {
        f.write_str("\n")?;
        for (column, cell) in row.iter().enumerate() {
            let width = width(column).unwrap_or(0);
            match column {
                0 => write!(f, "{cell:width$}")?,
                _ => write!(f, "  {cell:>width$}")?,
            }
        }
    }
    Ok(())
}

/// A latency, as tables show it.
pub fn latency(micros: f64) -> String {
    match micros {
        0.0..10_000.0 => format!("{micros:.0} µs"),
        _ => format!("{:.1} ms", micros / 1_000.0),
    }
}

/// The memory of a process, where the system tells.
pub fn memory(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unknown".to_owned(), |bytes| mebibytes(bytes as f64))
}

/// A size, as tables show it.
pub fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
        assert_eq!(median(vec![]), 0.0);
    }
}
