//! What the answers of the three services say of an order.
//!
//! The plain reader asks each service once, as the page of a customer does. The reader by rule
//! collects all answers twice: only two equal collects in which nothing is held are a read. In
//! two-phase no such read is halfway: a branch that a commit has not reached is held until it does,
//! and states never go back.

use crate::shop::standing::Standing;

/// The answers of order, payment and inventory.
pub(super) type Collect = [Standing; 3];

/// How an order looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is done everywhere.
    Done,
    /// It is not there, or taken back, everywhere.
    Absent,
    /// Some of it is there, and some is not.
    Intermediate,
}

/// The verdict on what a plain reader saw. What is held is not there yet: nobody is shown it.
pub(super) fn plain(seen: Collect) -> Verdict {
    let is_done = |one: &Standing| *one == Standing::Done;
    let is_absent =
        |one: &Standing| matches!(one, Standing::None | Standing::Undone | Standing::Held);
    match () {
        () if seen.iter().all(is_done) => Verdict::Done,
        () if seen.iter().all(is_absent) => Verdict::Absent,
        () => Verdict::Intermediate,
    }
}

/// The verdict on two collects; none where they are no read.
pub(super) fn by_rule(first: Collect, second: Collect) -> Option<Verdict> {
    let is_read = first == second && !first.contains(&Standing::Held);
    is_read.then(|| plain(first))
}

/// True if the books of an order agree at the end. What is still held does not.
pub(super) fn agrees(books: Collect) -> bool {
    !books.contains(&Standing::Held) && plain(books) != Verdict::Intermediate
}

#[cfg(test)]
mod tests {
    use super::Standing::{Done, Held, None, Pending, Undone};
    use super::*;

    #[test]
    fn an_order_is_done_everywhere_or_not_there_or_halfway() {
        assert_eq!(plain([Done, Done, Done]), Verdict::Done);
        assert_eq!(plain([None, None, None]), Verdict::Absent);
        assert_eq!(plain([Undone, None, Undone]), Verdict::Absent);
        assert_eq!(plain([Held, Held, None]), Verdict::Absent);
        for halfway in [
            [Pending, None, None],
            [Pending, Done, Done],
            [Done, Done, None],
            [Undone, Done, None],
            // A commit fell between the reads.
            [Held, Done, Done],
            [None, None, Done],
        ] {
            assert_eq!(plain(halfway), Verdict::Intermediate, "{halfway:?}");
        }
    }

    #[test]
    fn only_two_equal_collects_with_nothing_held_are_a_read() {
        let (before, between, after) = ([None; 3], [Done, Held, Done], [Done; 3]);
        assert_eq!(by_rule(after, after), Some(Verdict::Done));
        assert_eq!(by_rule(before, before), Some(Verdict::Absent));
        assert_eq!(by_rule(between, between), Option::None);
        assert_eq!(by_rule([None, None, Done], after), Option::None);
        // What a saga shows is there to be read, twice as well.
        let pending = [Pending, None, None];
        assert_eq!(by_rule(pending, pending), Some(Verdict::Intermediate));
    }

    #[test]
    fn books_that_are_held_or_halfway_do_not_agree() {
        assert!(agrees([Done; 3]) && agrees([Undone, None, Undone]));
        assert!(!agrees([Undone, Done, None]) && !agrees([Held; 3]) && !agrees([Pending; 3]));
    }
}
