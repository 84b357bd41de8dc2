//! The lesson's table, with a figure behind every word.

use std::fmt;

use super::document::{Compared, Document};
use super::measures::{Outage, ReaderFigures};
use super::regime::Regime;

pub(super) struct Table<'a>(pub(super) &'a Document);

/// The width of the column that names the figures, and of each regime's column.
const NAMES: usize = 31;
const FIGURES: usize = 16;

/// The text of a cell.
pub(super) type Cell = fn(&Compared) -> String;

/// A row of the lesson's table, and the figures behind it.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) word: Cell,
    pub(super) figures: &'static [(&'static str, Cell)],
}

pub(super) const ROWS: [Row; 5] = [
    Row {
        name: "consistency",
        word: consistency,
        figures: &[
            ("books disagree at the end", |one| {
                let wrong = one.bad.consistency.orders_with_disagreeing_books;
                format!("{wrong} of {}", one.bad.orders.submitted)
            }),
            ("halfway to a plain read", |one| halfway(&one.bad.consistency.reader_plain)),
            ("  one order for at most", |one| longest(&one.bad.consistency.reader_plain)),
            ("halfway to a read by rule", |one| halfway(&one.bad.consistency.reader_by_rule)),
            ("  one order for at most", |one| longest(&one.bad.consistency.reader_by_rule)),
        ],
    },
    Row {
        name: "availability",
        word: availability,
        figures: &[
            ("short outage: accepted", |one| accepted(short(one))),
            ("  finished meanwhile", |one| short(one).finished_during.to_string()),
            ("  confirmed in the end", |one| short(one).confirmed_in_the_end.to_string()),
            ("long outage: accepted", |one| accepted(long(one))),
            ("  finished meanwhile", |one| long(one).finished_during.to_string()),
            ("  confirmed in the end", |one| long(one).confirmed_in_the_end.to_string()),
            ("lost by the deadline", |one| one.bad.orders.lost_by_deadline.to_string()),
            ("lost by a killed coordinator", |one| one.bad.orders.lost_by_restart.to_string()),
            ("given up, outcome unknown", |one| one.bad.orders.given_up.to_string()),
            ("all finished after the faults", |one| match one.bad.availability.never_finished {
                0 => time(one.bad.availability.settled_after_ms),
                _ => "never".to_owned(),
            }),
        ],
    },
    Row {
        name: "locks",
        word: locks,
        figures: &[
            ("stock kept, median", |one| time(one.bad.locks.held_ms.p50)),
            ("  p99", |one| time(one.bad.locks.held_ms.p99)),
            ("  p99 in fair weather", |one| time(one.fair.locks.held_ms.p99)),
            ("refused, and stock came back", |one| {
                one.bad.orders.refused_for_stock_that_came_back.to_string()
            }),
        ],
    },
    Row {
        name: "complexity",
        word: complexity,
        figures: &[
            ("operations to write", |one| one.fair.complexity.operations_to_write.to_string()),
            ("messages an order *", |one| format!("{:.1}", one.fair.complexity.messages_per_order)),
            ("log writes an order *", |one| {
                format!("{:.1}", one.fair.complexity.log_writes_per_order)
            }),
            ("syncs an order *", |one| format!("{:.1}", one.fair.complexity.syncs_per_order)),
        ],
    },
    Row {
        name: "cost *",
        word: |one| format!("{:.0}/s", one.fair.cost.orders_per_second),
        figures: &[
            ("latency, median", |one| time(one.fair.cost.latency_ms.p50)),
            ("  p99", |one| time(one.fair.cost.latency_ms.p99)),
        ],
    },
];

fn short(one: &Compared) -> Outage {
    one.bad.availability.outage_short
}

fn long(one: &Compared) -> Outage {
    one.bad.availability.outage_long
}

fn accepted(outage: Outage) -> String {
    format!("{} of {}", outage.accepted, outage.submitted)
}

/// The word of the lesson for its consistency.
pub(super) fn consistency(one: &Compared) -> String {
    let measured = one.bad.consistency;
    match (measured.orders_with_disagreeing_books, measured.reader_by_rule.intermediate) {
        (1.., _) => "broken",
        (0, 0) => "strong",
        (0, 1..) => "eventual",
    }
    .to_owned()
}

fn availability(one: &Compared) -> String {
    let (short, long) = (short(one), long(one));
    let submitted = short.submitted + long.submitted;
    let finished = short.finished_during + long.finished_during;
    match short.confirmed_during + long.confirmed_during {
        _ if 2 * (short.accepted + long.accepted) < submitted => "fails",
        0 if finished == 0 => "waits",
        0 => "goes on in part",
        _ => "goes on",
    }
    .to_owned()
}

fn locks(one: &Compared) -> String {
    match one.regime {
        Regime::NoCoordination => "taken at once",
        Regime::TwoPhase => "held in doubt",
        Regime::Saga | Regime::Choreography => "taken, returned",
    }
    .to_owned()
}

fn complexity(one: &Compared) -> String {
    match one.fair.complexity.operations_to_write {
        ..=5 => "low",
        6..=7 => "medium",
        8.. => "high",
    }
    .to_owned()
}

fn halfway(reader: &ReaderFigures) -> String {
    format!("{} of {}", reader.intermediate, reader.reads)
}

fn longest(reader: &ReaderFigures) -> String {
    match (reader.intermediate, reader.longest_ms) {
        (0, _) => "-".to_owned(),
        (_, millis) if millis < 1.0 => "one read".to_owned(),
        (_, millis) => time(millis),
    }
}

/// A time in the unit that it is read in.
pub(super) fn time(millis: f64) -> String {
    match millis {
        0.0..10.0 => format!("{millis:.1} ms"),
        0.0..1_000.0 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", millis / 1_000.0),
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Document { regimes, surprises, seed, complete, quick, .. } = self.0;
        if !complete {
            writeln!(f, "Interrupted: {} of 4 regimes were measured.", regimes.len())?;
        }
        if regimes.is_empty() {
            return Ok(());
        }
        line(f, "", regimes, |one| one.regime.name().to_owned())?;
        for row in &ROWS {
            writeln!(f)?;
            line(f, row.name, regimes, row.word)?;
            for (name, figure) in row.figures {
                line(f, &format!("  {name}"), regimes, *figure)?;
            }
        }
        let replay = if *quick { " --quick" } else { "" };
        writeln!(
            f,
            "\nIn bad weather; * in fair weather. To replay it: wholly compare{replay} --seed {seed}"
        )?;
        if !surprises.is_empty() {
            writeln!(f, "\nWhat surprised:")?;
        }
        for surprise in surprises {
            wrapped(f, surprise)?;
        }
        Ok(())
    }
}

/// The words of the table alone, each with its first figure.
pub(crate) struct Words<'a>(pub(super) &'a Document);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let regimes = &self.0.regimes;
        line(f, "", regimes, |one| one.regime.name().to_owned())?;
        for row in &ROWS {
            line(f, row.name, regimes, row.word)?;
            for (name, figure) in row.figures.iter().take(1) {
                line(f, &format!("  {name}"), regimes, *figure)?;
            }
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, regimes: &[Compared], cell: Cell) -> fmt::Result {
    write!(f, "{name:NAMES$}")?;
    for one in regimes {
        write!(f, " {:>FIGURES$}", cell(one))?;
    }
    writeln!(f)
}

/// A sentence as an item of a list, on lines that fit the table.
fn wrapped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let width = NAMES + 4 * (FIGURES + 1);
    let mut column = 0;
    write!(f, "-")?;
    for word in text.split(' ') {
        if column + word.len() + 2 > width {
            write!(f, "\n ")?;
            column = 0;
        }
        write!(f, " {word}")?;
        column += word.chars().count() + 1;
    }
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::measures::Measures;
    use crate::compare::timeline::Timeline;

    fn compared(regime: Regime, change: impl FnOnce(&mut Measures)) -> Compared {
        let mut bad = Measures::default();
        change(&mut bad);
        let fair = Measures::default();
        Compared::new(regime, (fair, Timeline::default()), (bad, Timeline::default()))
    }

    #[test]
    fn words_follow_from_figures() {
        let of = |change: fn(&mut Measures)| compared(Regime::Saga, change);
        let wrong = of(|bad| bad.consistency.orders_with_disagreeing_books = 1);
        assert_eq!(consistency(&wrong), "broken");
        let halfway = of(|bad| bad.consistency.reader_by_rule.intermediate = 1);
        assert_eq!(consistency(&halfway), "eventual");
        // A plain read may fall on both sides of a commit.
        let plain = of(|bad| bad.consistency.reader_plain.intermediate = 1);
        assert_eq!(consistency(&plain), "strong");

        let refused = of(|bad| bad.availability.outage_long.submitted = 2);
        assert_eq!(availability(&refused), "fails");
        let waiting = of(|bad| {
            let outage = &mut bad.availability.outage_long;
            (outage.submitted, outage.accepted) = (2, 2);
        });
        assert_eq!(availability(&waiting), "waits");
        let going_on = of(|bad| {
            let outage = &mut bad.availability.outage_long;
            (outage.submitted, outage.accepted, outage.finished_during) = (2, 2, 1);
        });
        assert_eq!(availability(&going_on), "goes on in part");
        let confirming = of(|bad| {
            let outage = &mut bad.availability.outage_long;
            (outage.submitted, outage.accepted) = (2, 2);
            (outage.finished_during, outage.confirmed_during) = (1, 1);
        });
        assert_eq!(availability(&confirming), "goes on");
    }

    #[test]
    fn the_table_fits_100_columns_and_says_that_it_is_partial() {
        let mut document = Document::new(u64::MAX, true);
        for regime in Regime::ALL {
            document.add(compared(regime, |bad| {
                let consistency = &mut bad.consistency;
                consistency.orders_with_disagreeing_books = 10_000;
                consistency.reader_plain.intermediate = 100_000;
                consistency.reader_plain.reads = 100_000;
            }));
        }
        let table = Table(&document).to_string();
        assert!(table.starts_with("Interrupted"), "{table}");
        let long: Vec<_> = table.lines().filter(|line| line.chars().count() > 100).collect();
        assert!(long.is_empty(), "{long:#?}");
        document.complete = true;
        assert!(!Table(&document).to_string().contains("Interrupted"));
    }
}
