//! The course of a run over time, for charts.

use std::time::Duration;

use serde::Serialize;

use super::faults::Happened;
use super::measures::millis;
use super::reader::Manner;
use super::run::Run;

/// Orders and reads by time, and the faults.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Timeline {
    #[serde(serialize_with = "millis")]
    pub(super) bucket_ms: Duration,
    pub(super) buckets: Vec<Bucket>,
    pub(super) faults: Vec<Happened>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Bucket {
    pub(super) submitted: u32,
    accepted: u32,
    pub(super) finished: u32,
    pub(super) intermediate_plain: u32,
    pub(super) intermediate_by_rule: u32,
    /// The mean latency of the orders that finished in it.
    pub(super) latency_ms: u64,
}

impl Timeline {
    pub(super) fn of(run: &Run, width: Duration) -> Self {
        let mut timeline =
            Self { bucket_ms: width, buckets: Vec::new(), faults: run.faults.clone() };
        for placed in run.orders.values() {
            timeline.bucket(placed.submitted).submitted += 1;
            if let Some(accepted) = placed.accepted {
                timeline.bucket(accepted).accepted += 1;
            }
            if let Some(finished) = placed.finished {
                let bucket = timeline.bucket(finished);
                bucket.finished += 1;
                bucket.latency_ms += finished.saturating_sub(placed.submitted).as_millis() as u64;
            }
        }
        for finding in &run.seen.findings {
            let at = run.clock.offset(Duration::from_micros(finding.at_micros));
            let bucket = timeline.bucket(at);
            match finding.reader {
                Manner::Plain => bucket.intermediate_plain += 1,
                Manner::ByRule => bucket.intermediate_by_rule += 1,
            }
        }
        for bucket in &mut timeline.buckets {
            bucket.latency_ms /= u64::from(bucket.finished.max(1));
        }
        timeline
    }

    fn bucket(&mut self, at: Duration) -> &mut Bucket {
        let nth = (at.as_micros() / self.bucket_ms.as_micros().max(1)) as usize;
        if self.buckets.len() <= nth {
            self.buckets.resize(nth + 1, Bucket::default());
        }
        &mut self.buckets[nth]
    }
}
