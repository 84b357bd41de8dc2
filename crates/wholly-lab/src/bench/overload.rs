//! More clients than the server can serve, and a participant that hangs.
//!
//! Some of it is not a figure but a promise, and the command fails where one is not kept:
//!
//! | module | contents |
//! |---|---|
//! | `crowd` | ten times more clients than the server can serve, which retry as they are told |
//! | `promises` | the server's promises to them, and the breaches |
//! | `hanging` | transactions that do not touch a participant that hangs |

mod crowd;
mod hanging;
mod promises;

use std::fmt;
use std::path::Path;

use serde::Serialize;

use self::crowd::Crowd;
use self::hanging::{Hanging, Stream};
use self::promises::Served;
use wholly_demo::bench::common::Common;
use wholly_demo::bench::error::BenchError;

/// A server with ten times more clients than it can serve: what it accepts, how it refuses the
/// others, its memory, and that all that was accepted settles. Then transactions on two
/// participants beside a third that hangs, beside one that answers, and alone. Each part takes
/// --seconds.
///
/// It fails where the server does not keep what it promises: 429 or 503 with Retry-After for all
/// that it does not accept, the deadline for 99 in a hundred of what it accepts, bounded memory,
/// and nothing that stays unsettled.
#[derive(clap::Args, Debug)]
pub(super) struct Overload {
    /// The time for which each of the two parts is measured.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// The number of clients; by default ten times --in-flight.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=25_000))]
    clients: Option<u32>,
    /// The number of transactions that the server takes at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=2_500))]
    in_flight: u32,
    /// The number of calls that each participant takes at once, half of them kept for second phases.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    slots: u32,
    /// The time that each call to a participant takes.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pause_millis: u32,
    /// The deadline of every transaction.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    deadline_millis: u32,
    /// The number of clients of the participants that do not hang.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    concurrency: u32,
    /// The number of transactions a second that touch the third participant.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    touching_per_second: u32,
    /// The number of times that each of the second part's three is measured, alternately.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Serialize)]
pub(super) struct Overloaded {
    workload: &'static str,
    overload: Served,
    hanging: Hanging,
}

impl Overload {
    pub async fn run(self, wholly: &Path) -> Result<Overloaded, BenchError> {
        let overload = Crowd(&self).run(wholly).await?;
        let hanging = Stream(&self).run(wholly).await?;
        Ok(Overloaded { workload: "overload", overload, hanging })
    }
}

impl Overloaded {
    /// An error if the server broke a promise.
    pub fn verdict(&self) -> Result<(), BenchError> {
        match self.overload.broken() {
            broken if broken.is_empty() => Ok(()),
            broken => Err(BenchError::Broken { why: broken.join("; ") }),
        }
    }
}

impl fmt::Display for Overloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", self.overload, self.hanging)
    }
}
