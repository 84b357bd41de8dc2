//! One regime in one weather, on processes of its own.

use std::time::Duration;

use super::CompareError;
use super::arrivals::{Arrivals, Clock, Orders};
use super::books::Books;
use super::cost::{self, Cost};
use super::faults::{self, Happened};
use super::measures::Measures;
use super::place::{Client, End};
use super::plan::{Plan, Scale, Weather};
use super::progress::Progress;
use super::regime::Regime;
use super::timeline::Timeline;
use super::watch::{Seen, Watch};
use super::work::{Meter, Work};
use crate::fleet::Fleet;

/// The time that orders have after the last arrival and the last fault, beside their deadline.
const DRAIN: Duration = Duration::from_secs(10);

/// All that is known of a run when it is over.
pub(super) struct Run {
    pub(super) regime: Regime,
    pub(super) plan: Plan,
    pub(super) clock: Clock,
    pub(super) orders: Orders,
    pub(super) faults: Vec<Happened>,
    pub(super) seen: Seen,
    pub(super) books: Books,
    pub(super) work: Work,
    /// Absent where the weather is bad.
    pub(super) cost: Option<Cost>,
}

/// Runs, and measures.
pub(super) async fn run(
    regime: Regime,
    scale: &Scale,
    weather: Weather,
    seed: u64,
    progress: &Progress,
) -> Result<(Measures, Timeline), CompareError> {
    let title = format!("{} in {} weather", regime.name(), weather.as_str());
    progress.part(&title);
    let plan = Plan::draw(scale, weather, seed);
    let mut fleet = regime.open(plan.stock.clone()).await?;
    let watch = Watch::start(&fleet).await?;
    let mut meter = Meter::start(regime, &fleet).await?;
    let clock = Clock::start();
    let client = Client::of(regime, &fleet, plan.deadline);
    let arrivals = Arrivals::start(&plan, clock, client, &watch);

    let happening = happen(&plan, regime, &mut fleet, clock, &mut meter);
    let faults = tokio::select! {
        faults = happening => faults?,
        () = show(&title, &plan, &arrivals, progress) => Vec::new(),
    };
    let remaining = plan.arrives_until().saturating_sub(clock.now());
    let orders = arrivals.finish(remaining + plan.deadline + DRAIN).await;
    let seen = watch.finish().await?;
    let work = meter.work(&fleet).await?;
    let books = Books::read(&fleet, orders.keys().map(String::as_str))?;
    let cost = match weather {
        Weather::Fair => Some(cost::measure(regime, scale, &fleet).await?),
        Weather::Bad => None,
    };
    drop(fleet);
    let mut run = Run { regime, plan, clock, orders, faults, seen, books, work, cost };
    run.tell_expired();
    Ok((Measures::of(&run), Timeline::of(&run, scale.bucket)))
}

/// Carries out all faults, one after the other.
async fn happen(
    plan: &Plan,
    regime: Regime,
    fleet: &mut Fleet,
    clock: Clock,
    meter: &mut Meter,
) -> Result<Vec<Happened>, CompareError> {
    let mut happened = Vec::new();
    for fault in &plan.faults {
        happened.push(faults::happen(fault, regime, fleet, clock, meter).await?);
    }
    tokio::time::sleep_until(clock.at(plan.arrives_until())).await;
    Ok(happened)
}

/// Shows how far a run is, for ever.
async fn show(title: &str, plan: &Plan, arrivals: &Arrivals, progress: &Progress) {
    let mut turn = tokio::time::interval(Duration::from_millis(250));
    loop {
        turn.tick().await;
        let (submitted, finished) = arrivals.counts();
        let all = plan.orders.len();
        progress.live(&format!("{title}: {submitted} of {all} orders, {finished} finished"));
    }
}

impl Run {
    /// With events only the payment service, not the order service, knows why an order was refused.
    fn tell_expired(&mut self) {
        for order in &self.books.expired {
            if let Some(placed) = self.orders.get_mut(order) {
                placed.end = placed.end.map(|_| End::PastDeadline);
            }
        }
    }
}
