//! The promises of an overloaded server, and those that it broke.

use std::fmt;

use serde::Serialize;

use wholly_demo::bench::report::{latency, memory};

/// The time past the deadline, by which a transaction is decided, that the way to the server and
/// its last calls may take.
const ALLOWANCE_MILLIS: u32 = 250;
/// The memory that a server may always gain: the caches of its log, its threads' heaps.
const FIXED_BYTES: u64 = 32 << 20;
/// The memory that it may gain for each transaction that it takes at once. It pays for the
/// connections of the clients that it turns away, too.
const BYTES_PER_IN_FLIGHT: u64 = 256 << 10;

/// The server's work for a crowd.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Served {
    pub clients: u32,
    pub in_flight_limit: u32,
    pub seconds: u32,
    pub deadline_millis: u32,
    /// The number that its slots and the participants' pause allow.
    pub possible_per_second: f64,
    pub accepted: u64,
    pub accepted_per_second: f64,
    pub committed: u64,
    /// Answered by the deadline.
    pub in_time: u64,
    /// The latencies of accepted requests, from before submission until the answer.
    pub p50_micros: f64,
    pub p99_micros: f64,
    /// With 429: as many transactions in flight as it takes.
    pub refused_429: u64,
    /// With 503: as many connections as it takes.
    pub refused_503: u64,
    pub refused_without_retry_after: u64,
    /// No answer at all: a connection that was closed.
    pub unanswered: u64,
    /// At the end, after the deadline of everything.
    pub unsettled: u64,
    /// Before the first client, the most ever, and after the last. Absent where the system does
    /// not tell.
    pub idle_bytes: Option<u64>,
    /// In equal pauses while the clients asked.
    pub bytes_over_time: Vec<u64>,
    pub most_bytes: Option<u64>,
    pub end_bytes: Option<u64>,
    /// The limit of `most_bytes`.
    pub most_bytes_allowed: Option<u64>,
}

impl Served {
    /// The limit for a server that held `idle` bytes before.
    pub fn allowed(idle: u64, in_flight_limit: u32) -> u64 {
        idle + FIXED_BYTES + BYTES_PER_IN_FLIGHT * u64::from(in_flight_limit)
    }

    /// The promises that were not kept, a sentence each.
    pub fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut promise = |kept: bool, why: String| {
            if !kept {
                broken.push(why);
            }
        };
        let p99_limit = f64::from(self.deadline_millis + ALLOWANCE_MILLIS) * 1e3;
        let refused = self.refused_429 + self.refused_503;
        promise(self.accepted > 0, "nothing was accepted".to_owned());
        promise(refused > 0, "nothing was refused, so this was no overload".to_owned());
        promise(
            self.refused_without_retry_after == 0,
            format!("{} refusals had no Retry-After", self.refused_without_retry_after),
        );
        promise(self.unanswered == 0, format!("{} requests had no answer", self.unanswered));
        promise(
            self.p99_micros <= p99_limit,
            format!("the p99 of what was accepted is {}", latency(self.p99_micros)),
        );
        let aborted = self.accepted.saturating_sub(self.committed);
        promise(
            aborted * 100 <= self.accepted,
            format!("{aborted} of {} accepted did not commit by the deadline", self.accepted),
        );
        promise(self.unsettled == 0, format!("{} accepted did not settle", self.unsettled));
        if let Some((most, allowed)) = self.most_bytes.zip(self.most_bytes_allowed) {
            let (held, may) = (memory(Some(most)), memory(Some(allowed)));
            promise(most <= allowed, format!("it held {held} of memory, and may hold {may}"));
        }
        broken
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, in_flight_limit, seconds, .. } = self;
        let share = |part: u64| 100.0 * part as f64 / self.accepted.max(1) as f64;
        let kept = match self.broken() {
            broken if broken.is_empty() => "kept".to_owned(),
            broken => format!("NOT KEPT: {}", broken.join("; ")),
        };
        writeln!(
            f,
            "overload: {clients} clients for {seconds} s, {in_flight_limit} transactions at once\n"
        )?;
        let rows = [
            (
                "accepted",
                format!(
                    "{:.0}/s of at most {:.0}/s",
                    self.accepted_per_second, self.possible_per_second
                ),
            ),
            ("committed", format!("{:.2}%", share(self.committed))),
            (
                "by the deadline",
                format!("{:.2}%, within {} ms", share(self.in_time), self.deadline_millis),
            ),
            ("p50, p99", format!("{}, {}", latency(self.p50_micros), latency(self.p99_micros))),
            ("refused", format!("{} by 429, {} by 503", self.refused_429, self.refused_503)),
            ("no Retry-After", self.refused_without_retry_after.to_string()),
            ("no answer", self.unanswered.to_string()),
            ("unsettled", self.unsettled.to_string()),
            (
                "memory",
                format!(
                    "{} before, {} at most (may have {}), {} after",
                    memory(self.idle_bytes),
                    memory(self.most_bytes),
                    memory(self.most_bytes_allowed),
                    memory(self.end_bytes)
                ),
            ),
            ("over time", over_time(&self.bytes_over_time)),
            ("promises", kept),
        ];
        let rows = rows.map(|(name, value)| format!("{name:16} {value}"));
        f.write_str(&rows.join("\n"))
    }
}

/// In whole mebibytes, one look after the other.
fn over_time(bytes: &[u64]) -> String {
    let looks = bytes.iter().map(|bytes| format!("{:.0}", *bytes as f64 / f64::from(1 << 20)));
    format!("{} MiB", looks.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_promised() -> Served {
        Served {
            deadline_millis: 2_000,
            accepted: 1_000,
            committed: 990,
            p99_micros: 2_250_000.0,
            refused_429: 1,
            most_bytes: Some(Served::allowed(1 << 20, 64)),
            most_bytes_allowed: Some(Served::allowed(1 << 20, 64)),
            ..Served::default()
        }
    }

    #[test]
    fn what_is_just_within_every_bound_is_kept() {
        assert_eq!(as_promised().broken(), Vec::<String>::new());
        // If the system does not tell, nothing is said of it.
        let unknown = Served { most_bytes: None, most_bytes_allowed: None, ..as_promised() };
        assert_eq!(unknown.broken(), Vec::<String>::new());
    }

    #[test]
    fn each_promise_can_be_broken() {
        let kept = as_promised;
        let broken = [
            (Served { accepted: 0, committed: 0, ..kept() }, "nothing was accepted"),
            (Served { refused_429: 0, ..kept() }, "no overload"),
            (Served { refused_without_retry_after: 1, ..kept() }, "1 refusals had no Retry-After"),
            (Served { unanswered: 1, ..kept() }, "1 requests had no answer"),
            (Served { p99_micros: 2_250_001.0, ..kept() }, "p99"),
            (Served { committed: 989, ..kept() }, "11 of 1000 accepted did not commit"),
            (Served { unsettled: 1, ..kept() }, "1 accepted did not settle"),
            (Served { most_bytes: Some(Served::allowed(1 << 20, 64) + 1), ..kept() }, "of memory"),
        ];
        for (served, why) in broken {
            let broken = served.broken();
            assert!(broken.len() == 1 && broken[0].contains(why), "{why}: {broken:?}");
        }
    }

    #[test]
    fn memory_is_bounded_by_what_is_in_flight_and_not_by_who_asks() {
        assert_eq!(Served::allowed(5, 2) - Served::allowed(5, 1), BYTES_PER_IN_FLIGHT);
    }
}
