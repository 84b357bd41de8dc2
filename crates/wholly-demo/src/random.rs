//! Random numbers from a seed (SplitMix64): a plan that is drawn from them can be drawn again.

use std::fmt::Debug;
use std::time::Duration;

/// The source of random numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers that follow from a seed.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, of all 64 bits.
    #[expect(clippy::should_implement_trait, reason = "there is always another one")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0. That small numbers are a little likelier where
    /// `limit` is large does not matter here.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// A moment between now and `longest` from now.
    pub fn moment(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.below(longest.as_micros().try_into().unwrap_or(u64::MAX)))
    }
}

/// A seed that nobody chose.
pub fn fresh_seed() -> u64 {
    // Without the system's randomness the clock is as good as any other start.
    getrandom::u64().unwrap_or_else(|_| {
        let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_nanos() as u64)
    })
}

/// The plan that a seed draws so many times in a row, as a text, for tests of plans.
///
/// # Panics
/// When the seed does not draw the same again, or another seed draws the same.
pub fn drawn<T: Debug>(times: usize, draw: fn(&mut Random) -> T) -> String {
    let plan = |seed| {
        let mut random = Random::seeded(seed);
        let drawn: Vec<_> = (0..times).map(|_| draw(&mut random)).collect();
        format!("{drawn:?}")
    };
    assert_eq!(plan(7), plan(7));
    assert_ne!(plan(7), plan(8));
    plan(7)
}
