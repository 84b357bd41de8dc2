//! Planted bugs. Each is caught, and by a check that is meant for it, or the simulation proves
//! nothing.

use super::shop::ShopKind;
use super::violation::{Property, Violation};
use super::world::Disruption;
use super::{run, seeds};
use crate::probe::Law;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bug {
    /// An event is there although its transaction was rolled back.
    PublishBeforeTheCommit,
    /// A mark is written in a transaction of its own, behind that of the change.
    InboxOutsideTheTransaction,
    /// A follower saves a place before all up to it is dealt with.
    CursorMovedBeforeItIsHandled,
    /// An event's number in its table is its place in the feed.
    CursorOverTheSequence,
    /// The next position is the largest that is there, and one.
    PositionsReusedAfterTrimming,
    /// The last old event is trimmed, with all that is before it.
    TrimsBehindTheYoung,
    /// Something that is no event is passed over, and not kept.
    NoEventIsPassedOver,
    /// An operator says of a call that is out that it did not happen.
    DropsACallThatIsOut,
    /// A law of the product is broken.
    Broken(Law),
}

/// The world in which a bug shows itself soon; chance chooses what is left open.
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
        // It is caught at once, and by what follows where that is left to happen.
        (Bug::Broken(Law::CursorsAreJudged), &[Believed]),
        (Bug::Broken(Law::CursorsAreJudged), &[Delivered]),
        (Bug::Broken(Law::MarksOutliveTheirEvents), &[Once]),
        (Bug::Broken(Law::LateOnesAreSuppressed), &[Whole]),
        (Bug::Broken(Law::TimeoutsKnowAllEvents), &[TimedOut]),
    ] {
        // What another check finds first does not count.
        let is_its_check = |wrong: &Violation| checks.contains(&wrong.property);
        let by_its_check = |seed| run(seed, Some(bug)).err().filter(is_its_check);
        let found = seeds(SEEDS).zip(1..).find_map(|(seed, nth)| Some((nth, by_its_check(seed)?)));
        let Some((nth, wrong)) = found else {
            panic!("{bug:?} survived {SEEDS} seeds, or others than {checks:?} caught it")
        };
        println!("{bug:?}: caught by seed {nth}: {wrong}");
    }
}
