//! Planted bugs. The simulation must catch each one, by a check that is meant for it.

use super::shop::ShopKind;
use super::violation::{Property, Violation};
use super::world::Disruption;
use super::{run, seeds};
use crate::probe::Law;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bug {
    /// An event is published although its transaction was rolled back.
    PublishBeforeTheCommit,
    /// An inbox row is written in a separate transaction after the change.
    InboxOutsideTheTransaction,
    /// A follower stores a cursor before all events up to it are handled.
    CursorMovedBeforeItIsHandled,
    /// An event's sequence is its position in the feed.
    CursorOverTheSequence,
    /// The next position follows the largest one in the table.
    PositionsReusedAfterTrimming,
    /// The last old event is trimmed with all events before it, even recent ones.
    TrimsBehindTheYoung,
    /// An invalid entry is skipped and not stored.
    NoEventIsPassedOver,
    /// An operator drops a call that is out, and may have taken effect.
    DropsACallThatIsOut,
    /// A law of the product is broken.
    Broken(Law),
}

/// The world in which a bug shows soon. Open parts are random.
#[derive(Default)]
pub(super) struct WorldSetup {
    pub(super) shop: Option<ShopKind>,
    pub(super) sequenced: Option<bool>,
    pub(super) story: Option<Disruption>,
}

impl Bug {
    pub(super) fn shows_in(self) -> WorldSetup {
        let (mut shop, mut sequenced, mut story) = (None, None, None);
        match self {
            Self::CursorOverTheSequence => sequenced = Some(true),
            Self::PositionsReusedAfterTrimming => story = Some(Disruption::Forgetful),
            Self::Broken(Law::CursorsAreJudged) => story = Some(Disruption::Restored),
            Self::DropsACallThatIsOut
            | Self::Broken(Law::NoUndoOfACallThatIsOut | Law::TimeoutsKnowAllEvents) => {
                shop = Some(ShopKind::Gateway);
            }
            Self::Broken(Law::LateOnesAreSuppressed | Law::UndoingWaitsItsTurn) => {
                shop = Some(ShopKind::Parallel);
            }
            Self::Broken(Law::MarksOutliveTheirEvents) => story = Some(Disruption::Forgetful),
            Self::TrimsBehindTheYoung => {
                (sequenced, story) = (Some(true), Some(Disruption::Forgetful));
            }
            _ => {}
        }
        WorldSetup { shop, sequenced, story }
    }

    pub(super) fn law(self) -> Option<Law> {
        match self {
            Self::Broken(law) => Some(law),
            _ => None,
        }
    }
}

/// The number of seeds that a planted bug may survive.
const SEEDS: u64 = 300;

#[test]
fn every_planted_bug_is_caught() {
    use Property::*;
    for (bug, checks) in [
        (Bug::Broken(Law::UndoingWaitsItsTurn), &[Ordered][..]),
        (Bug::Broken(Law::NoUndoOfACallThatIsOut), &[Whole]),
        (Bug::PublishBeforeTheCommit, &[Orphan]),
        (Bug::InboxOutsideTheTransaction, &[Once]),
        (Bug::CursorMovedBeforeItIsHandled, &[Delivered]),
        (Bug::CursorOverTheSequence, &[Delivered]),
        (Bug::PositionsReusedAfterTrimming, &[Positions]),
        (Bug::TrimsBehindTheYoung, &[Trimmed]),
        (Bug::NoEventIsPassedOver, &[Kept]),
        (Bug::DropsACallThatIsOut, &[Whole]),
        (Bug::Broken(Law::LanesByCorrelation), &[Ordered]),
        // Caught at once, and by its consequences if the run goes on.
        (Bug::Broken(Law::CursorsAreJudged), &[Believed]),
        (Bug::Broken(Law::CursorsAreJudged), &[Delivered]),
        (Bug::Broken(Law::MarksOutliveTheirEvents), &[Once]),
        (Bug::Broken(Law::LateOnesAreSuppressed), &[Whole]),
        (Bug::Broken(Law::TimeoutsKnowAllEvents), &[TimedOut]),
    ] {
        // A violation found by another check does not count.
        let is_its_check = |wrong: &Violation| checks.contains(&wrong.property);
        let by_its_check = |seed| run(seed, Some(bug)).err().filter(is_its_check);
        let found = seeds(SEEDS).zip(1..).find_map(|(seed, nth)| Some((nth, by_its_check(seed)?)));
        let Some((nth, wrong)) = found else {
            panic!("{bug:?} survived {SEEDS} seeds, or others than {checks:?} caught it")
        };
        println!("{bug:?}: caught by seed {nth}: {wrong}");
    }
}
