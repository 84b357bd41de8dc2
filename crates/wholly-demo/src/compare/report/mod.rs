//! The report: one page that needs nothing else, with the table, what surprised, and charts. It has
//! no script.

mod bars;
mod timeline;

use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::bars::Bar;
use self::timeline::Axes;
use super::document::{Compared, Document, KeepError};
use super::measures::Quantiles;
use super::table::{ROWS, time};

const STYLE: &str = include_str!("style.css");

/// Writes the page into a file.
pub(super) fn write(document: &Document, file: &Path) -> Result<(), KeepError> {
    let of = |why| KeepError::Report { file: file.to_owned(), why };
    std::fs::write(file, page(document)).map_err(of)
}

/// The whole page.
fn page(document: &Document) -> String {
    let regimes = &document.regimes;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Wholly: the patterns compared" }
                // It asks no server for an icon.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(document))
                (surprises(&document.surprises))
                @if !regimes.is_empty() {
                    h2 { "Figures beside each other" }
                    (figures(regimes))
                    h2 { "Bad weather over time" }
                    (timelines(regimes))
                    h2 { "The table" }
                    (table(regimes))
                    p.soft { "In bad weather; rows with * in fair weather." }
                }
                (meaning())
            }
        }
    };
    page.into_string()
}

fn head(document: &Document) -> Markup {
    let Document { seed, quick, complete, made_at, machine, regimes, .. } = document;
    let quick = if *quick { " --quick" } else { "" };
    html! {
        h1 { "One shop, four ways to place an order" }
        p {
            "The same orders went through an order, a payment and an inventory service under each of \
             four regimes, in fair weather and under the same faults: services that are down, answers \
             that are lost, kills, refused payments, too little stock."
        }
        p.soft {
            (made_at) ", on " (machine.cores) " cores (" (machine.os) "). To replay it: "
            code { "wholly compare" (quick) " --seed " (seed) }
        }
        @if !complete {
            p.partial { "Interrupted: " (regimes.len()) " of 4 regimes were measured." }
        }
    }
}

fn surprises(surprises: &[String]) -> Markup {
    html! {
        @if !surprises.is_empty() {
            h2 { "What surprised" }
            ul.surprises { @for surprise in surprises { li { (surprise) } } }
        }
    }
}

fn table(regimes: &[Compared]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="The table" {
            table {
                thead {
                    tr { th {} @for one in regimes { th scope="col" { (one.regime.name()) } } }
                }
                @for row in &ROWS {
                    tbody {
                        tr.word {
                            th scope="row" { (row.name) }
                            @for one in regimes { td { ((row.word)(one)) } }
                        }
                        @for (name, figure) in row.figures {
                            tr.figure {
                                // A part of the figure above is set off from it.
                                th.part[name.starts_with(' ')] scope="row" { (name.trim_start()) }
                                @for one in regimes { td { (figure(one)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn timelines(regimes: &[Compared]) -> Markup {
    let axes = Axes::of(regimes.iter().map(|one| &one.timeline));
    html! {
        p.key.soft {
            span { i.submitted {} "submitted" }
            span { i.finished {} "finished" }
            span { i.latency {} "mean latency" }
            span { i.plain {} "halfway to a plain read" }
            span { i.rule {} "halfway to a read by rule" }
            span { i.fault {} "fault" }
        }
        div.charts {
            @for one in regimes {
                figure {
                    h3 { (one.regime.name()) }
                    (timeline::chart(one.regime.name(), &one.timeline, axes))
                    figcaption { (timeline::faults(&one.timeline)) }
                }
            }
        }
    }
}

fn figures(regimes: &[Compared]) -> Markup {
    let latency = |of: fn(&Compared) -> Quantiles| {
        bars_of(regimes, move |one| {
            let Quantiles { p50, p99 } = of(one);
            (p50, Some(p99), format!("{} · {}", time(p50), time(p99)))
        })
    };
    let throughput = bars_of(regimes, |one| {
        let rate = one.fair.cost.orders_per_second;
        (rate, None, format!("{rate:.0}/s"))
    });
    let wrong = bars_of(regimes, |one| {
        let wrong = one.bad.consistency.orders_with_disagreeing_books;
        (wrong as f64, None, format!("{wrong} of {}", one.bad.orders.submitted))
    });
    let charts = [
        ("Throughput", "orders a second in a closed loop, in fair weather", throughput),
        ("Latency", "median · p99 in fair weather", latency(|one| one.fair.cost.latency_ms)),
        (
            "Stock kept from others",
            "per order, median · p99 in bad weather",
            latency(|one| one.bad.locks.held_ms),
        ),
        ("Books that disagree", "orders at the end of bad weather", wrong),
    ];
    html! {
        div.charts {
            @for (title, caption, bars) in &charts {
                figure {
                    h3 { (title) }
                    (bars::chart(&format!("{title}: {caption}"), bars))
                    figcaption { (caption) }
                }
            }
        }
    }
}

fn bars_of(regimes: &[Compared], of: impl Fn(&Compared) -> (f64, Option<f64>, String)) -> Vec<Bar> {
    let bar = |one: &Compared| {
        let (value, whisker, said) = of(one);
        Bar { name: one.regime.name(), value, whisker, said }
    };
    regimes.iter().map(bar).collect()
}

/// The meaning of the page's words.
fn meaning() -> Markup {
    let words = [
        ("Halfway", "the three services did not agree on whether the order is done."),
        (
            "A plain read",
            "asks the three services one after the other, as a customer's page does. It \
            may fall on both sides of a commit.",
        ),
        ("A read by rule", "asks twice, and takes only two equal answers with nothing held."),
        ("Accepted", "somebody durable has said that the order will be done, or undone."),
        ("Finished", "its client learned how it ended."),
        (
            "Kept from others",
            "from the moment at which an order takes stock or holds it until it is \
            confirmed or gives it back.",
        ),
    ];
    html! {
        footer {
            h2 { "Words" }
            dl { @for (word, meaning) in words { dt { b { (word) } } dd { (meaning) } } }
        }
    }
}
