//! How long to wait before asking again, and the random numbers for it.

use std::time::Duration;

use super::Backoff;

/// A small generator (SplitMix64): for jitter and for the free bits of ids, not for secrets.
///
/// Seeded from outside, so that a simulation repeats.
pub(crate) struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The pause after `tries` tries: between half and the whole of the doubled pause, so that
    /// those who failed together do not ask again together.
    pub fn backoff(&mut self, backoff: &Backoff, tries: u32) -> Duration {
        let doublings = tries.saturating_sub(1).min(31);
        let whole = backoff.first.saturating_mul(1 << doublings).min(backoff.cap);
        let half = whole / 2;
        let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_micros(self.next() % spread)
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
            let pauses: Vec<_> = (0..100).map(|_| random.backoff(&backoff, tries)).collect();
            assert!(pauses.iter().all(|&p| whole / 2 <= p && p <= whole), "{tries}: {pauses:?}");
            assert!(pauses.iter().any(|p| p != &pauses[0]));
        }
    }
}
