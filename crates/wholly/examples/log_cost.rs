//! What the SQLite log costs: throughput, bytes and syncs a transaction.
//!
//! A transaction is three entries of 430, 160 and 145 bytes, which land in three successive
//! batches. `cargo run --release --example log_cost -- [transactions] [keys]`

use std::time::{Duration, Instant};

use wholly::SqliteLog;
use wholly::log::{Entry, Log, OpenLog};
use wholly::{Key, Timestamp, TransactionId};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let transactions: usize = arguments.next().map_or(Ok(100_000), |n| n.parse())?;
    let keys = arguments.next().is_some();
    let directory = tempfile::tempdir_in(".")?;
    println!("batch  transactions/s  bytes  syncs  slowest batch");
    for batch in [16, 32, 64, 500, 1_000, 3_000] {
        let path = directory.path().join(format!("{batch}.db"));
        let mut open = SqliteLog::at(&path).open()?;
        let before = open.writer.written();
        let begun = Instant::now();
        let (done, slowest) = run(&mut open, transactions.min(batch * 3_000), batch, keys)?;
        let (took, after) = (begun.elapsed(), open.writer.written());
        println!(
            "{batch:5}  {:14.0}  {:5}  {:.3}  {slowest:?}",
            done as f64 / took.as_secs_f64(),
            (after.bytes - before.bytes) / done as u64,
            (after.syncs - before.syncs) as f64 / done as f64,
        );
    }
    Ok(())
}

/// Appends batches of about `batch` entries, a third of them the starts of new transactions.
fn run(
    open: &mut OpenLog,
    transactions: usize,
    batch: usize,
    keys: bool,
) -> Result<(usize, Duration), Box<dyn std::error::Error>> {
    let texts = [430, 160, 145].map(|bytes| "x".repeat(bytes));
    let group = (batch / 3).max(1);
    let (mut last, mut groups, mut slowest) = (0, vec![], Duration::ZERO);
    for round in 0..transactions / group + 2 {
        let mut entries = Vec::with_capacity(batch);
        if round < transactions / group {
            let mut ids = Vec::with_capacity(group);
            for _ in 0..group {
                let now = Timestamp::from_millis(1_790_000_000_000 + round as u64);
                let id = TransactionId::mint(last, now, scatter(last), open.identity);
                last = id.ordinal();
                ids.push(id);
            }
            groups.push(ids);
        }
        for (sequence, text) in texts.iter().enumerate() {
            let Some(ids) = round.checked_sub(sequence).and_then(|n| groups.get(n)) else {
                continue;
            };
            for id in ids {
                let random = || format!("{:016x}{:016x}", scatter(id.ordinal()), 7);
                entries.push(Entry {
                    transaction: *id,
                    sequence: sequence as u32,
                    text: text.clone(),
                    key: if keys && sequence == 0 { Some(Key::new(random())?) } else { None },
                    ends: sequence == 2,
                });
            }
        }
        let begun = Instant::now();
        open.head = open.writer.append(open.head, &entries)?;
        slowest = slowest.max(begun.elapsed());
    }
    Ok((groups.len() * group, slowest))
}

/// Scatters a number over all 64 bits, as a random client key is.
fn scatter(number: u64) -> u64 {
    let mixed = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
