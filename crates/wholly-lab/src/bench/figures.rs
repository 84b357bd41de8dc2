//! The report of a workload that has no ceiling: single figures.

use std::fmt;

use serde::Serialize;
use wholly_demo::bench::report::memory;

/// A workload and its figures. In JSON each is a member.
#[derive(Debug, Serialize)]
pub(super) struct SingleFigures<const N: usize> {
    pub workload: &'static str,
    pub transactions: u64,
    #[serde(flatten, serialize_with = "as_map")]
    pub figures: [(&'static str, Figure); N],
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Figure {
    Seconds(f64),
    /// Absent where the system does not tell.
    Bytes(Option<u64>),
}

fn as_map<S: serde::Serializer, const N: usize>(
    figures: &[(&'static str, Figure); N],
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_map(figures.iter().copied())
}

impl<const N: usize> fmt::Display for SingleFigures<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} transactions", self.workload, self.transactions)?;
        self.figures.iter().try_for_each(|(name, figure)| match figure {
            Figure::Seconds(seconds) => write!(f, "\n{name:22} {seconds:>10.2}"),
            Figure::Bytes(bytes) => write!(f, "\n{name:22} {:>10}", memory(*bytes)),
        })
    }
}
