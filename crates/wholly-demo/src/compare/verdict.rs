//! The verdict on an order that follows from the answers of the three services.
//!
//! The plain reader asks each service once, as the page of a customer does. The reader by rule
//! collects all answers twice: only two equal collects in which nothing is held are a read. In
//! two-phase no such read is halfway: a branch that a commit has not reached is held until it does,
//! and states never go back.
//!
//! If a service does not answer, the others may tell enough: an order that is pending is halfway
//! whatever the third would say.

use crate::shop::standing::Standing;

/// The answers of order, payment and inventory; none of a service that is down.
pub(super) type Collect = [Option<Standing>; 3];

/// The look of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is done everywhere.
    Done,
    /// It is not there, or taken back, everywhere.
    Absent,
    /// Some of it is there, and some is not.
    Intermediate,
}

/// The verdict of a plain reader, if it is the same for every answer of those that gave none. Held
/// work is not there yet: nobody is shown it.
pub(super) fn plain(seen: Collect) -> Option<Verdict> {
    let mut verdict = None;
    for standing in seen.into_iter().flatten() {
        let one = match standing {
            Standing::Done => Verdict::Done,
            Standing::None | Standing::Undone | Standing::Held => Verdict::Absent,
            Standing::Pending => Verdict::Intermediate,
        };
        verdict = match verdict {
            Some(other) if other != one => Some(Verdict::Intermediate),
            _ => Some(one),
        };
    }
    verdict.filter(|verdict| *verdict == Verdict::Intermediate || !seen.contains(&None))
}

/// The verdict on two collects; none where they are no read.
pub(super) fn by_rule(first: Collect, second: Collect) -> Option<Verdict> {
    let is_read = first == second && !first.contains(&Some(Standing::Held));
    plain(first).filter(|_| is_read)
}

/// True if all answered, and agree. Held work does not agree.
pub(super) fn agrees(books: Collect) -> bool {
    let is_decided = plain(books).is_some_and(|verdict| verdict != Verdict::Intermediate);
    is_decided && !books.contains(&Some(Standing::Held))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Option<Standing> = Some(Standing::None);
    const HELD: Option<Standing> = Some(Standing::Held);
    const PENDING: Option<Standing> = Some(Standing::Pending);
    const DONE: Option<Standing> = Some(Standing::Done);
    const UNDONE: Option<Standing> = Some(Standing::Undone);

    #[test]
    fn an_order_is_done_everywhere_or_not_there_or_halfway() {
        assert_eq!(plain([DONE; 3]), Some(Verdict::Done));
        assert_eq!(plain([NONE; 3]), Some(Verdict::Absent));
        assert_eq!(plain([UNDONE, NONE, UNDONE]), Some(Verdict::Absent));
        assert_eq!(plain([HELD, HELD, NONE]), Some(Verdict::Absent));
        for halfway in [
            [PENDING, NONE, NONE],
            [PENDING, DONE, DONE],
            [PENDING; 3],
            [DONE, DONE, NONE],
            [UNDONE, DONE, NONE],
            // A commit fell between the reads.
            [HELD, DONE, DONE],
            [NONE, NONE, DONE],
        ] {
            assert_eq!(plain(halfway), Some(Verdict::Intermediate), "{halfway:?}");
        }
    }

    #[test]
    fn without_an_answer_only_what_is_halfway_in_any_case_is_a_read() {
        assert_eq!(plain([PENDING, None, DONE]), Some(Verdict::Intermediate));
        assert_eq!(plain([DONE, None, NONE]), Some(Verdict::Intermediate));
        for open in [[DONE, None, DONE], [HELD, None, HELD], [NONE, None, None], [None; 3]] {
            assert_eq!(plain(open), None, "{open:?}");
        }
    }

    #[test]
    fn only_two_equal_collects_with_nothing_held_are_a_read() {
        let (before, between, after) = ([NONE; 3], [DONE, HELD, DONE], [DONE; 3]);
        assert_eq!(by_rule(after, after), Some(Verdict::Done));
        assert_eq!(by_rule(before, before), Some(Verdict::Absent));
        assert_eq!(by_rule(between, between), None);
        assert_eq!(by_rule([NONE, NONE, DONE], after), None);
        // A saga's work is there to be read, twice as well.
        let pending = [PENDING, NONE, NONE];
        assert_eq!(by_rule(pending, pending), Some(Verdict::Intermediate));
    }

    #[test]
    fn books_that_are_held_or_halfway_or_not_known_do_not_agree() {
        assert!(agrees([DONE; 3]) && agrees([UNDONE, NONE, UNDONE]));
        for books in [[UNDONE, DONE, NONE], [HELD; 3], [PENDING; 3], [DONE, DONE, None]] {
            assert!(!agrees(books), "{books:?}");
        }
    }
}
