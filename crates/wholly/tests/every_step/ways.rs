//! The ways in which a step's action, or its compensation, fails.

use std::time::Duration;

use wholly::test::{Act, Scripted};

use crate::graphs::{Side, Turn};

/// Tries enough for any deadline to pass meanwhile, though every restart begins with short pauses.
const MANY: u64 = 28;
/// How often a step after the pivot is refused before it is done.
const REFUSALS: u32 = 3;
/// How often an action is tried that must not be tried for ever.
pub const TRIES: u32 = 3;

/// One step's action fails.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    pub step: usize,
    pub way: Way,
}

/// One step's compensation fails.
#[derive(Clone, Copy, Debug)]
pub struct FailureBack {
    pub step: usize,
    pub way: WayBack,
}

/// How an action fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Refused,
    RefusedAfterLostRequest,
    RefusedAfterLostAnswer,
    /// Every request is lost until the deadline has passed.
    NotRunByDeadline,
    /// Every answer is.
    RunByDeadline,
    LostRequest,
    LostAnswer,
    Pending,
    Panic,
    /// The answer comes after the time-out, and the call once more.
    Late,
    /// It is tried only so often, and the action arrives after its compensation, unexpired.
    Overtaken,
    /// The same by the deadline, so that it has expired as well.
    OvertakenAndExpired,
}

/// How a compensation fails, which it must not for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayBack {
    Refused,
    LostRequest,
    LostAnswer,
    Pending,
    Panic,
    Hang,
    Late,
    LateAnswer,
    Twice,
    /// So often lost that an operator is told.
    Stuck,
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl Way {
    pub const ALL: [Self; 12] = [
        Self::Refused,
        Self::RefusedAfterLostRequest,
        Self::RefusedAfterLostAnswer,
        Self::NotRunByDeadline,
        Self::RunByDeadline,
        Self::LostRequest,
        Self::LostAnswer,
        Self::Pending,
        Self::Panic,
        Self::Late,
        Self::Overtaken,
        Self::OvertakenAndExpired,
    ];

    pub fn script(self, participant: &Scripted, step: &str) {
        let lose = |from, act: Act| {
            for nth in from..MANY {
                participant.nth(&*format!("do-{step}"), nth, act.clone());
            }
        };
        let nth = |nth, act| _ = participant.nth(&*format!("do-{step}"), nth, act);
        match self {
            Self::Refused => {}
            Self::RefusedAfterLostRequest | Self::LostRequest => nth(0, Act::LoseRequest),
            Self::RefusedAfterLostAnswer | Self::LostAnswer => nth(0, Act::LoseAnswer),
            Self::NotRunByDeadline => lose(0, Act::LoseRequest),
            Self::RunByDeadline => lose(0, Act::LoseAnswer),
            Self::Pending => [0, 1].into_iter().for_each(|n| nth(n, Act::Pending)),
            Self::Panic => nth(0, Act::Panic),
            Self::Late => {
                nth(0, Act::LateAnswer(secs(7)));
                nth(0, Act::Twice(secs(9)));
            }
            Self::Overtaken | Self::OvertakenAndExpired => {
                let late = if self == Self::Overtaken { 20 } else { 60 };
                nth(0, Act::Late(secs(late)));
                lose(1, Act::LoseRequest);
            }
        }
    }

    /// How often the participant refuses.
    pub fn refusals(self, side: Side) -> u32 {
        match self {
            Self::Refused | Self::RefusedAfterLostRequest | Self::RefusedAfterLostAnswer => {
                if side == Side::After { REFUSALS } else { u32::MAX }
            }
            _ => 0,
        }
    }

    pub fn needs_tries(self, side: Side) -> bool {
        self == Self::Overtaken && side == Side::Before
    }

    /// Whether it is about the deadline, which then is a short one.
    pub fn is_by_deadline(self) -> bool {
        matches!(self, Self::NotRunByDeadline | Self::RunByDeadline | Self::OvertakenAndExpired)
    }

    /// Whether it takes seconds, which a short deadline would not leave it.
    pub fn is_slow(self) -> bool {
        matches!(self, Self::Late | Self::Overtaken)
    }

    /// Whether it turns the saga back, and as what.
    pub fn turns_back(self, side: Side) -> Option<Turn> {
        match (side, self) {
            (Side::After, _) => None,
            (_, Self::Refused | Self::RefusedAfterLostRequest | Self::RefusedAfterLostAnswer) => {
                Some(Turn::Refused)
            }
            // The pivot is asked on, and then it has expired, unless it is done already.
            (Side::Pivot, Self::NotRunByDeadline | Self::OvertakenAndExpired) => {
                Some(Turn::Refused)
            }
            (Side::Pivot, _) => None,
            (_, way) if way.is_by_deadline() => Some(Turn::Deadline),
            (_, Self::Overtaken) => Some(Turn::Exhausted),
            _ => None,
        }
    }

    /// How often the action arrives, if nothing else fails; `None` where chance has a say.
    pub fn arrivals(self, side: Side) -> Option<usize> {
        let after = side == Side::After;
        Some(match self {
            Self::Refused | Self::RefusedAfterLostRequest if after => REFUSALS as usize + 1,
            Self::RefusedAfterLostAnswer if after => REFUSALS as usize + 1,
            Self::Refused | Self::RefusedAfterLostRequest => 1,
            Self::RefusedAfterLostAnswer | Self::LostAnswer => 2,
            Self::NotRunByDeadline => usize::from(side != Side::Before),
            Self::RunByDeadline if side == Side::Before => return None,
            Self::RunByDeadline => MANY as usize + 1,
            Self::LostRequest | Self::Panic => 1,
            Self::Pending | Self::Late => 3,
            Self::Overtaken | Self::OvertakenAndExpired => 1 + usize::from(side != Side::Before),
        })
    }

    /// Whether an operator is told: it goes on for long, or is refused, where there is no way back.
    pub fn is_stuck(self, side: Side) -> bool {
        let long = self.is_by_deadline() || self == Self::Overtaken;
        match side {
            Side::Before => false,
            Side::Pivot => long,
            Side::After => long || self.refusals(side) > 0,
        }
    }
}

impl WayBack {
    pub const ALL: [Self; 10] = [
        Self::Refused,
        Self::LostRequest,
        Self::LostAnswer,
        Self::Pending,
        Self::Panic,
        Self::Hang,
        Self::Late,
        Self::LateAnswer,
        Self::Twice,
        Self::Stuck,
    ];

    pub fn script(self, participant: &Scripted, step: &str) {
        let nth = |nth, act| _ = participant.nth(&*format!("undo-{step}"), nth, act);
        match self {
            Self::Refused => (0..3).for_each(|n| nth(n, Act::Refuse)),
            Self::LostRequest => nth(0, Act::LoseRequest),
            Self::LostAnswer => nth(0, Act::LoseAnswer),
            Self::Pending => (0..2).for_each(|n| nth(n, Act::Pending)),
            Self::Panic => nth(0, Act::Panic),
            Self::Hang => nth(0, Act::Hang),
            Self::Late => nth(0, Act::Late(secs(7))),
            Self::LateAnswer => nth(0, Act::LateAnswer(secs(7))),
            Self::Twice => nth(0, Act::Twice(secs(9))),
            Self::Stuck => (0..MANY).for_each(|n| nth(n, Act::LoseRequest)),
        }
    }

    /// How often the compensation arrives.
    pub fn arrivals(self) -> usize {
        match self {
            Self::LostRequest | Self::Panic | Self::Hang | Self::Stuck => 1,
            Self::LostAnswer | Self::Late | Self::LateAnswer | Self::Twice => 2,
            Self::Pending => 3,
            Self::Refused => 4,
        }
    }

    /// How often it must have been done before the coordinator can know of it.
    pub fn done_before_it_is_known(self) -> usize {
        1 + usize::from(matches!(self, Self::LostAnswer | Self::LateAnswer))
    }
}
