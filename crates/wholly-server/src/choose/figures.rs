//! The figures of the last `wholly compare` on this machine, as far as its file has them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;
use wholly_client::Timestamp;

use super::approach::Approach;
use crate::cli::time;

/// The figures of two approaches side by side.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// The time since they were made, in words.
    pub age: Option<String>,
    /// The run was a short one.
    pub quick: bool,
    /// The run was not broken off.
    pub complete: bool,
    /// The regimes that were measured.
    pub regimes: [&'static str; 2],
    pub lines: Vec<Line>,
}

/// A figure of each.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub what: &'static str,
    pub values: [Option<String>; 2],
}

/// The reason why there are no figures although there is a file.
#[derive(Debug, thiserror::Error)]
pub enum FiguresError {
    #[error("{} cannot be read ({why}); `wholly compare` writes it again", .file.display())]
    Unreadable { file: PathBuf, why: std::io::Error },
    #[error("{} is no comparison; `wholly compare` writes it again", .file.display())]
    NoComparison { file: PathBuf },
}

/// The file of the last comparison: in the user's directory of state.
pub fn file() -> Option<PathBuf> {
    // A relative one is to be ignored, says the XDG Base Directory Specification.
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local").join("state")))?;
    Some(state.join("wholly").join("compare.json"))
}

impl Figures {
    /// The figures in a file; none if there is no file, or nothing in it of these approaches.
    ///
    /// # Errors
    /// When the file cannot be read, or is something else.
    pub fn read(file: &Path, pair: [Approach; 2]) -> Result<Option<Self>, FiguresError> {
        match std::fs::read(file) {
            Ok(text) => {
                let document = serde_json::from_slice::<Value>(&text).ok();
                let regimes =
                    document.as_ref().and_then(|document| document.get("regimes")?.as_array());
                let (Some(document), Some(regimes)) = (&document, regimes) else {
                    return Err(FiguresError::NoComparison { file: file.to_owned() });
                };
                Ok(Self::of(document, regimes, pair))
            }
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(FiguresError::Unreadable { file: file.to_owned(), why }),
        }
    }

    fn of(document: &Value, measured: &[Value], pair: [Approach; 2]) -> Option<Self> {
        let [Some(first), Some(second)] = pair.map(Approach::regime) else { return None };
        let regimes = [first, second];
        let measured = regimes.map(|name| measured.iter().find(|one| one["regime"] == name));
        let lines = LINES.iter().map(|(what, shape, figures)| Line {
            what,
            values: measured.map(|regime| shape.said(regime?, figures)),
        });
        let lines: Vec<Line> =
            lines.filter(|line| line.values.iter().any(Option::is_some)).collect();
        (!lines.is_empty()).then(|| Self {
            age: document["made_at"].as_str().and_then(age),
            quick: document["quick"].as_bool().unwrap_or(false),
            complete: document["complete"].as_bool().unwrap_or(true),
            regimes,
            lines,
        })
    }
}

fn age(made_at: &str) -> Option<String> {
    let at = humantime::parse_rfc3339_weak(made_at).ok()?;
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(time::age(Timestamp::from_millis(u64::try_from(since.as_millis()).ok()?)))
}

/// The lines, and the places of their figures in a regime.
const LINES: &[(&str, Shape, &[&str])] = &[
    ("orders a second, fair weather", Shape::Number, &["/fair/cost/orders_per_second"]),
    (
        "latency, p50 / p99",
        Shape::Milliseconds,
        &["/fair/cost/latency_ms/p50", "/fair/cost/latency_ms/p99"],
    ),
    (
        "goods or money held, p50 / p99",
        Shape::Milliseconds,
        &["/fair/locks/held_ms/p50", "/fair/locks/held_ms/p99"],
    ),
    (
        "accepted in a long outage",
        Shape::Share,
        &["/bad/availability/outage_long/accepted", "/bad/availability/outage_long/submitted"],
    ),
    (
        "plain reads that saw it half done",
        Shape::Share,
        &["/bad/consistency/reader_plain/intermediate", "/bad/consistency/reader_plain/reads"],
    ),
    (
        "messages / syncs an order",
        Shape::Pair,
        &["/fair/complexity/messages_per_order", "/fair/complexity/syncs_per_order"],
    ),
];

/// The look of figures.
enum Shape {
    Number,
    Milliseconds,
    Pair,
    /// The first of the second.
    Share,
}

impl Shape {
    fn said(&self, regime: &Value, at: &[&str]) -> Option<String> {
        let figures: Option<Vec<f64>> =
            at.iter().map(|place| regime.pointer(place)?.as_f64()).collect();
        let figures = figures?;
        let rounded: Vec<String> = figures.iter().copied().map(round).collect();
        match (self, figures.as_slice()) {
            (Self::Number | Self::Pair, _) => Some(rounded.join(" / ")),
            (Self::Milliseconds, _) => Some(format!("{} ms", rounded.join(" / "))),
            (Self::Share, [part, whole]) if *whole > 0.0 => {
                Some(format!("{} %", round(100.0 * part / whole)))
            }
            (Self::Share, _) => None,
        }
    }
}

/// A figure, with a digit behind the point if it is small.
fn round(value: f64) -> String {
    let small = value.abs() < 10.0 && value.fract().abs() >= 0.05;
    format!("{value:.*}", usize::from(small))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(document: &Value) -> Option<Figures> {
        let regimes = document["regimes"].as_array().unwrap();
        Figures::of(document, regimes, [Approach::Saga, Approach::TwoPhase])
    }

    #[test]
    fn figures_are_shown_as_far_as_they_are_there() {
        let saga = json!({"regime": "saga",
            "fair": {"cost": {"orders_per_second": 412.3, "latency_ms": {"p50": 4.26, "p99": 31}},
                     "complexity": {"messages_per_order": 8, "syncs_per_order": null}},
            "bad": {"availability": {"outage_long": {"submitted": 200, "accepted": 199}},
                    "consistency": {"reader_plain": {"reads": 0, "intermediate": 0}}}});
        let two_phase = json!({"regime": "two-phase", "fair": {"cost": null},
            "bad": {"availability": {"outage_long": {"submitted": 200, "accepted": 8}}}});
        let document = json!({"version": 1, "made_at": "2999-01-01T00:00:00Z", "quick": true,
            "regimes": [saga, two_phase]});
        let figures = read(&document).unwrap();
        assert_eq!(figures.age.as_deref(), Some("0s"));
        assert!(figures.quick && figures.complete);
        let line = |what, one: &str, other: Option<&str>| Line {
            what,
            values: [Some(one.to_owned()), other.map(str::to_owned)],
        };
        assert_eq!(
            figures.lines,
            [
                line("orders a second, fair weather", "412", None),
                line("latency, p50 / p99", "4.3 / 31 ms", None),
                line("accepted in a long outage", "100 %", Some("4 %")),
            ]
        );
    }

    #[test]
    fn a_comparison_without_the_regimes_has_no_figures() {
        assert_eq!(read(&json!({"regimes": []})), None);
        assert_eq!(read(&json!({"regimes": [{"regime": "saga", "fair": 3}, 7, null]})), None);
    }

    #[test]
    fn what_is_no_comparison_is_said_and_what_is_not_there_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let pair = [Approach::Saga, Approach::TwoPhase];
        let file = directory.path().join("compare.json");
        assert_eq!(Figures::read(&file, pair).unwrap(), None);
        for text in ["", "{}", "[]", "{\"regimes\": 1}", "\u{fffd}"] {
            std::fs::write(&file, text).unwrap();
            let said = Figures::read(&file, pair).unwrap_err().to_string();
            assert!(said.contains("compare.json is no comparison"), "{text}: {said}");
        }
        let said = Figures::read(directory.path(), pair).unwrap_err().to_string();
        assert!(said.contains("cannot be read"), "{said}");
    }
}
