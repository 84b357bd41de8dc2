//! A histogram: a fixed set of buckets, each a counter of the values between two bounds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The number of bounds; above the last there is one more bucket.
const BOUNDS: usize = 18;

/// In microseconds: from 50 µs, about what a fast disk takes, to a minute.
const TIMES: [u64; BOUNDS] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 60_000_000,
];

/// Powers of two: the most that a batch can have fits.
const SIZES: [u64; BOUNDS] = [
    1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536,
    131_072,
];

/// Times that were measured.
#[derive(Default)]
pub(crate) struct Times(Histogram);

/// Sizes that were counted.
#[derive(Default)]
pub(crate) struct Sizes(Histogram);

#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS + 1],
    sum: AtomicU64,
}

/// The distribution of the values that were seen.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Distribution {
    /// The number of values.
    pub count: u64,
    /// Their sum; of times, in seconds.
    pub sum: f64,
    /// Ascending upper bounds, and the number of values within each but above the one before it.
    /// The last bound is infinite. Of times, in seconds.
    pub buckets: Vec<(f64, u64)>,
}

impl Times {
    pub fn saw(&self, time: Duration) {
        self.0.saw(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), &TIMES);
    }

    pub fn read(&self) -> Distribution {
        self.0.read(&TIMES, Duration::from_secs(1).as_micros() as f64)
    }
}

impl Sizes {
    pub fn saw(&self, size: usize) {
        self.0.saw(size as u64, &SIZES);
    }

    pub fn read(&self) -> Distribution {
        self.0.read(&SIZES, 1.0)
    }
}

impl Histogram {
    fn saw(&self, value: u64, bounds: &[u64; BOUNDS]) {
        let bucket = bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    fn read(&self, bounds: &[u64; BOUNDS], unit: f64) -> Distribution {
        let bounds = bounds.iter().map(|bound| *bound as f64 / unit).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        // From the buckets, so that both tell of the same moment.
        let count = buckets.iter().map(|(_, count)| count).sum();
        Distribution { count, sum: self.sum.load(Relaxed) as f64 / unit, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_up_to_its_bound() {
        let times = Times::default();
        for micros in [0, 50, 51, 60_000_000, 60_000_001] {
            times.saw(Duration::from_micros(micros));
        }
        let Distribution { count, sum, buckets } = times.read();
        assert_eq!((count, sum), (5, 120.000_102));
        let seen: Vec<_> = buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(seen, [(0.000_05, 2), (0.000_1, 1), (60.0, 1), (f64::INFINITY, 1)]);
    }
}
