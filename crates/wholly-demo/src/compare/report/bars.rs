//! A figure of each regime as a bar beside its name.

use maud::{Markup, html};

const WIDTH: f64 = 360.0;
const LEFT: f64 = 100.0;
/// Behind the longest bar there is room for its figures.
const RIGHT: f64 = 262.0;
const ROW: f64 = 24.0;

/// A bar: the regime, its value, a second value behind it where there is one, and both as text.
pub(super) struct Bar {
    pub(super) name: &'static str,
    pub(super) value: f64,
    /// Drawn as a thin line from the bar's end: a p99 beside a median.
    pub(super) whisker: Option<f64>,
    pub(super) said: String,
}

/// The chart.
pub(super) fn chart(label: &str, bars: &[Bar]) -> Markup {
    let most =
        bars.iter().map(|bar| bar.value.max(bar.whisker.unwrap_or(0.0))).fold(0.001, f64::max);
    let length = |value: f64| ((RIGHT - LEFT) * value / most * 10.0).round() / 10.0;
    let height = ROW * bars.len() as f64;
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(label) {
            @for (nth, bar) in bars.iter().enumerate() {
                @let top = ROW * nth as f64;
                @let end = length(bar.value.max(bar.whisker.unwrap_or(0.0)));
                text.name x=(LEFT - 8.0) y=(top + 15.5) text-anchor="end" { (bar.name) }
                rect.p50 x=(LEFT) y=(top + 5.0) width=(length(bar.value).max(1.0)) height=(ROW - 10.0) rx="2" {}
                @if let Some(whisker) = bar.whisker {
                    @let y = top + ROW / 2.0;
                    path.p99 d=(format!("M{} {y}H{}", LEFT + length(bar.value), LEFT + length(whisker))) {}
                }
                text.value x=(LEFT + end + 6.0) y=(top + 15.5) { (bar.said) }
            }
        }
    }
}
