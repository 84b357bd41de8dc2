//! Counts of events, to show that a run was not idle.

use std::fmt;

macro_rules! seen {
    ($($name:ident,)*) => {
        /// The number of occurrences of each event.
        #[derive(Clone, Default)]
        pub struct Seen {
            $(pub $name: u64,)*
        }

        impl Seen {
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

seen! {
    crashes, failed_appends, unresolved_names, calls_to_old_addresses, lost_calls, duplicates, late_calls, joined_by_key, reads, reads_that_waited,
    decisions_told, decisions_presumed, cancelled,
    stuck, no_longer_stuck, participants_overloaded,
    // Little memory.
    out_of_room, not_loaded_at_start, loaded_later, joined_by_key_unloaded,
    // In two phases.
    committed, aborted, one_phase, fences, read_only,
    // Sagas, and why they turned back.
    completed, compensated, refused, deadlines, cancels, exhausted, unresolved,
    // The fates of steps.
    refused_at_first, refused_after_a_lost_attempt, forgotten_refusals, refusals_past_the_pivot,
    pivots_refused, pivots_done_at_a_later_try, unknown_compensated, ahead_compensated,
    empty_compensations, late_actions, refused_compensations, compensation_not_needed,
    crashes_in_mid_compensation,
    resolved_as_completed, resolved_as_compensated, compensated_by_hand,
    // Restored copies, and what an operator does about what they hold.
    restored, held_committed_by_hand, held_completed_by_hand, held_called_off, held_released,
    lost_in_doubt,
    // Other logs in the log's place, and damage.
    older_copies_refused, other_logs_refused, new_logs_refused,
    damaged_starts, damaged_decisions, damaged_others, damaged_settled, damaged_in_doubt,
    told_set_aside, joined_by_key_of_damaged, repaired,
    // The wall clock.
    leaps_of_seconds, leaps_of_years, set_back_by_seconds, set_back_by_years, jumps_told,
    starts_behind_the_log, starts_after_a_standstill, sweeps,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.all()).finish()
    }
}

impl Seen {
    pub fn assert_everything_happened(&self) {
        let never: Vec<_> = self.all().into_iter().filter(|&(_, count)| count == 0).collect();
        assert!(never.is_empty(), "never happened: {never:?}");
    }
}
