//! The pause before asking again, and the random numbers for it.

use std::time::Duration;

use wholly_core::saga::{Factor, Retry};
use wholly_core::wire::Answer;

use crate::participant::throttle::LONGEST_PAUSE;

/// The pause before a retry: doubled from `first` up to `cap`, and at least [`Backoff::FLOOR`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub cap: Duration,
}

/// The pauses between the tries of one operation.
pub(crate) struct Pauses {
    first: Duration,
    factor: Factor,
    cap: Duration,
}

impl Backoff {
    /// The shortest pause before an operation is asked again, whatever the settings, a saga's own
    /// retry policy, or the participant's `Retry-After` say: 10 ms.
    pub const FLOOR: Duration = Duration::from_millis(10);

    /// These pauses, as far as a saga's step does not set its own.
    pub(super) fn or(&self, own: Option<&Retry>) -> Pauses {
        let millis =
            |part: fn(&Retry) -> Option<u64>| own.and_then(part).map(Duration::from_millis);
        let first = millis(|retry| retry.first_millis).unwrap_or(self.first);
        Pauses {
            first,
            factor: own.and_then(|retry| retry.factor).unwrap_or(Factor::TWO),
            // A first pause above the default cap raises that cap.
            cap: millis(|retry| retry.cap_millis).unwrap_or(self.cap.max(first)),
        }
    }
}

/// Random numbers for jitter and for the free bits of ids, not for secrets.
///
/// Seeded from outside, so that a simulation repeats.
pub(crate) struct Random(fastrand::Rng);

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// The pause before the next try: as the participant asked for, or else a grown one.
    pub fn pause_after(&mut self, answer: &Answer, pauses: &Pauses, tries: u32) -> Duration {
        let pause = match answer {
            Answer::Pending { retry_after: Some(pause), .. } => *pause,
            Answer::Unknown { retry_after: Some(pause), .. } => {
                self.backoff(pauses, tries).max((*pause).min(LONGEST_PAUSE))
            }
            _ => self.backoff(pauses, tries),
        };
        pause.max(Backoff::FLOOR)
    }

    /// The pause after `tries` tries: between half and the whole of the grown pause, so that calls
    /// that failed together do not return together.
    fn backoff(&mut self, pauses: &Pauses, tries: u32) -> Duration {
        let half = pauses.whole(tries) / 2;
        let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_micros(self.next() % spread)
    }
}

impl Pauses {
    /// The pause after `tries` tries, without its spread.
    fn whole(&self, tries: u32) -> Duration {
        // Saturating: an overflow is past any cap.
        let cap = self.cap.as_secs_f64();
        let factor = f64::from(self.factor).powf(f64::from(tries.saturating_sub(1)));
        Duration::from_secs_f64((self.first.as_secs_f64() * factor).min(cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_cap_and_spreads() {
        let mut random = Random::seeded(7);
        let backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(1) };
        for (tries, whole) in [(1, 100), (2, 200), (3, 400), (5, 1_000), (u32::MAX, 1_000)] {
            let whole = Duration::from_millis(whole);
            let grow = backoff.or(None);
            let pauses: Vec<_> = (0..100).map(|_| random.backoff(&grow, tries)).collect();
            assert!(pauses.iter().all(|&p| whole / 2 <= p && p <= whole), "{tries}: {pauses:?}");
            assert!(pauses.iter().any(|p| p != &pauses[0]));
        }
    }
    #[test]
    fn a_step_s_own_pauses_go_before() {
        let backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(1) };
        let retry = |json: &str| serde_json::from_str::<Retry>(json).unwrap();
        let whole = |json: &str, tries| backoff.or(Some(&retry(json))).whole(tries).as_millis();
        let own = r#"{"first_millis": 10, "factor": 1.5, "cap_millis": 20}"#;
        assert_eq!([1, 2, 3, u32::MAX].map(|tries| whole(own, tries)), [10, 15, 20, 20]);
        // An unset value is the coordinator's.
        assert_eq!(
            [1, 2, 9].map(|tries| whole(r#"{"first_millis": 400}"#, tries)),
            [400, 800, 1_000]
        );
        assert_eq!([1, 2].map(|tries| whole(r#"{"first_millis": 5000}"#, tries)), [5_000, 5_000]);
        assert_eq!([1, 2, 9].map(|tries| whole(r#"{"factor": 1}"#, tries)), [100, 100, 100]);
    }
}
