//! The closed loop: so many clients, each of which begins its next work when its last is done.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::common::processor_time;
use super::error::BenchError;

/// The options of a closed loop.
#[derive(clap::Args, Clone, Debug)]
pub struct Load {
    /// The number of transactions in flight at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub concurrency: u32,
    /// The time for which each run is measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
    /// The time for which each run goes before it is measured.
    #[arg(long, default_value_t = 2)]
    pub warm_up_seconds: u32,
    /// The number of times that Wholly and its ceiling are measured, alternately.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
}

/// The work that one client does again and again.
pub trait Work: Send + Sync + 'static {
    /// Does it once.
    fn once(&self) -> impl Future<Output = Result<(), BenchError>> + Send;
}

/// A run in its measured time.
pub struct Measured<C> {
    /// The time that each work took.
    pub latencies: Latencies,
    /// The measured time.
    pub seconds: f64,
    /// The time for which the processors worked for this process meanwhile.
    pub processor: Duration,
    /// The reading before.
    pub before: C,
    /// The same, after.
    pub after: C,
}

/// The time that each transaction took, in microseconds.
#[derive(Default)]
pub struct Latencies(Vec<u32>);

impl Load {
    /// The time before the measured one.
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs(self.warm_up_seconds.into())
    }

    /// The measured time.
    pub fn measured(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// Runs `work` in a closed loop. `read` is called when the measured time begins and ends.
    pub async fn run<C>(
        &self,
        work: Arc<impl Work>,
        read: impl Fn() -> C,
    ) -> Result<Measured<C>, BenchError> {
        let from = Instant::now() + self.warm_up();
        let until = from + self.measured();
        let mut clients = JoinSet::new();
        for _ in 0..self.concurrency {
            clients.spawn(client(work.clone(), from, until));
        }
        sleep_until(from).await;
        let (before, processor) = (read(), processor_time());
        sleep_until(until).await;
        let (after, processor) = (read(), processor_time().saturating_sub(processor));
        let mut latencies = Latencies::default();
        while let Some(ended) = clients.join_next().await {
            latencies.append(ended??);
        }
        latencies.0.sort_unstable();
        match latencies.0.is_empty() {
            true => Err(BenchError::Nothing { why: "no transaction ended in the measured time" }),
            false => {
                let seconds = self.measured().as_secs_f64();
                Ok(Measured { latencies, seconds, processor, before, after })
            }
        }
    }
}

/// Keeps the latencies of what ended in the measured time.
async fn client(
    work: Arc<impl Work>,
    from: Instant,
    until: Instant,
) -> Result<Latencies, BenchError> {
    let mut latencies = Latencies::default();
    let mut begun = Instant::now();
    while begun < until {
        work.once().await?;
        let ended = Instant::now();
        if (from..until).contains(&ended) {
            latencies.push(ended - begun);
        }
        begun = ended;
    }
    Ok(latencies)
}

impl Latencies {
    /// Adds one.
    pub fn push(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds all of these.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// The same in order, as a quantile needs them.
    pub fn sorted(mut self) -> Self {
        self.0.sort_unstable();
        self
    }

    /// Their number.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The latency that this part of all does not exceed, in microseconds: the nearest rank.
    pub fn quantile(&self, part: f64) -> f64 {
        let rank = (part * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().map_or(0.0, f64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_nearest_rank() {
        let mut latencies = Latencies::default();
        for micros in (1..=1_000).rev() {
            latencies.push(Duration::from_micros(micros));
        }
        let latencies = latencies.sorted();
        let quantiles = [0.5, 0.99, 0.999, 1.0].map(|part| latencies.quantile(part));
        assert_eq!(quantiles, [500.0, 990.0, 999.0, 1_000.0]);
        assert_eq!(Latencies::default().quantile(0.5), 0.0);
    }
}
