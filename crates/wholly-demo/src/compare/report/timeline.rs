//! One regime in bad weather over time: orders that finish, how long they took, and the reads that
//! saw an order halfway, each in a panel, with the faults behind all of them.

use std::fmt::Write;

use maud::{Markup, html};

use super::super::faults::{FaultKind, Happened};
use super::super::timeline::{Bucket, Timeline};

const WIDTH: f64 = 360.0;
const LEFT: f64 = 38.0;
const RIGHT: f64 = 356.0;
const TOP: f64 = 27.0;
const PANEL: f64 = 58.0;
const GAP: f64 = 22.0;

/// The rate at which bars are cut, in times of the highest rate of submission.
const CUT: f64 = 2.5;

/// The greatest values of all regimes: their charts have the same axes, so that they compare.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Axes {
    seconds: f64,
    /// Higher bars are cut: what waited for the end of an outage finishes all at once.
    per_second: f64,
    latency_ms: f64,
    halfway: f64,
}

impl Axes {
    /// Axes on which all of these fit.
    pub(super) fn of<'a>(timelines: impl IntoIterator<Item = &'a Timeline>) -> Self {
        let mut axes = Self { seconds: 1.0, per_second: 1.0, latency_ms: 1.0, halfway: 1.0 };
        for timeline in timelines {
            let bucket = timeline.bucket_ms.as_secs_f64();
            axes.seconds = axes.seconds.max(bucket * timeline.buckets.len() as f64);
            for one in &timeline.buckets {
                let submitted = f64::from(one.submitted) / bucket.max(0.001);
                axes.per_second = axes.per_second.max(submitted * CUT);
                axes.latency_ms = axes.latency_ms.max(one.latency_ms as f64);
                let halfway = one.intermediate_plain.max(one.intermediate_by_rule);
                axes.halfway = axes.halfway.max(f64::from(halfway));
            }
        }
        axes
    }

    fn x(self, seconds: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (seconds / self.seconds).min(1.0)
    }
}

/// A panel: its place from the top, and the value at its upper edge.
#[derive(Clone, Copy)]
struct Panel {
    top: f64,
    most: f64,
}

impl Panel {
    fn nth(nth: u8, most: f64) -> Self {
        Self { top: TOP + f64::from(nth) * (PANEL + GAP), most }
    }

    fn bottom(self) -> f64 {
        self.top + PANEL
    }

    fn y(self, value: f64) -> f64 {
        self.bottom() - PANEL * (value / self.most).min(1.0)
    }

    fn frame(self, title: &str, most: &str) -> Markup {
        let (top, bottom) = (self.top, self.bottom());
        html! {
            text x=(LEFT) y=(top - 5.0) { (title) }
            text x=(LEFT - 4.0) y=(top + 8.0) text-anchor="end" { (most) }
            text x=(LEFT - 4.0) y=(bottom) text-anchor="end" { "0" }
            path.axis d=(format!("M{LEFT} {top}V{bottom}H{RIGHT}")) {}
        }
    }
}

/// The chart of a regime.
pub(super) fn chart(name: &str, timeline: &Timeline, axes: Axes) -> Markup {
    let per_second = Panel::nth(0, axes.per_second);
    let latency = Panel::nth(1, axes.latency_ms);
    let halfway = Panel::nth(2, axes.halfway);
    let bottom = halfway.bottom();
    let rate = 1.0 / timeline.bucket_ms.as_secs_f64().max(0.001);
    let (submitted, finished) = (
        |one: &Bucket| f64::from(one.submitted) * rate,
        |one: &Bucket| f64::from(one.finished) * rate,
    );
    let label = format!("{name} in bad weather, over {:.0} seconds", axes.seconds);
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {}", bottom + 18.0)) role="img" aria-label=(label) {
            @for (nth, fault) in (1..).zip(&timeline.faults) { (band(nth, fault, axes, bottom)) }
            path.finished d=(bars(timeline, axes, per_second, 0.0, 1.0, finished)) {}
            path.submitted d=(line(timeline, axes, per_second, submitted)) {}
            (per_second.frame("orders a second", &format!("{:.0}+", axes.per_second)))
            path.latency d=(bars(timeline, axes, latency, 0.0, 1.0, |one| one.latency_ms as f64)) {}
            (latency.frame("latency of those that finish", &super::super::table::time(axes.latency_ms)))
            path.plain d=(bars(timeline, axes, halfway, 0.0, 0.5, |one| one.intermediate_plain.into())) {}
            path.rule d=(bars(timeline, axes, halfway, 0.5, 0.5, |one| one.intermediate_by_rule.into())) {}
            (halfway.frame("reads that saw an order halfway", &format!("{:.0}", axes.halfway)))
            text x=(LEFT) y=(bottom + 13.0) { "0 s" }
            text x=(RIGHT) y=(bottom + 13.0) text-anchor="end" { (format!("{:.0} s", axes.seconds)) }
        }
    }
}

fn band(nth: u32, fault: &Happened, axes: Axes, bottom: f64) -> Markup {
    let (from, to) = (axes.x(fault.began.as_secs_f64()), axes.x(fault.ended.as_secs_f64()));
    html! {
        rect.fault x=(round(from)) y="12" width=(round((to - from).max(1.5))) height=(bottom - 12.0) {
            title { (said(fault)) }
        }
        text.mark x=(round(from.midpoint(to))) y="9" text-anchor="middle" { (nth) }
    }
}

/// The faults by their numbers in the chart.
pub(super) fn faults(timeline: &Timeline) -> Markup {
    html! {
        ol.faults {
            @for (nth, fault) in (1..).zip(&timeline.faults) { li { b { (nth) } " " (said(fault)) } }
        }
    }
}

fn said(fault: &Happened) -> String {
    let lasted =
        super::super::table::time(fault.ended.saturating_sub(fault.began).as_secs_f64() * 1e3);
    match fault.kind {
        FaultKind::AnswersLost => format!("answers of {} lost, {lasted}", fault.who),
        FaultKind::CallsDelayed => format!("calls to {} late, {lasted}", fault.who),
        FaultKind::ParticipantDownShort | FaultKind::ParticipantDownLong => {
            format!("{} down, {lasted}", fault.who)
        }
        FaultKind::CoordinatorKilled | FaultKind::ServiceKilled => format!("{} killed", fault.who),
    }
}

/// A bar for each bucket that has a value, over a part of the bucket's width.
fn bars(
    timeline: &Timeline,
    axes: Axes,
    panel: Panel,
    from: f64,
    part: f64,
    value: impl Fn(&Bucket) -> f64,
) -> String {
    let bucket = timeline.bucket_ms.as_secs_f64();
    let width = (axes.x(bucket) - LEFT) * part;
    let mut path = String::new();
    for (nth, one) in timeline.buckets.iter().enumerate() {
        let value = value(one);
        if value > 0.0 {
            let x = axes.x((nth as f64 + from) * bucket);
            // A value that is far below the greatest one is still seen.
            let y = panel.y(value).min(panel.bottom() - 1.0);
            let (x, y, width, bottom) = (round(x), round(y), round(width), panel.bottom());
            // Writing into a string never fails.
            let _ = write!(path, "M{x} {bottom}V{y}h{width}V{bottom}z");
        }
    }
    path
}

fn line(timeline: &Timeline, axes: Axes, panel: Panel, value: impl Fn(&Bucket) -> f64) -> String {
    let bucket = timeline.bucket_ms.as_secs_f64();
    let mut path = String::new();
    for (nth, one) in timeline.buckets.iter().enumerate() {
        let start = if path.is_empty() { 'M' } else { 'L' };
        let (x, y) = (axes.x((nth as f64 + 0.5) * bucket), panel.y(value(one)));
        let _ = write!(path, "{start}{} {}", round(x), round(y));
    }
    path
}

/// To a tenth of a unit of the drawing.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
