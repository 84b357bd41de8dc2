//! Each law of the log, broken on purpose: the attack that is meant for it notices.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::probe::{Bug, plant};
use super::*;

/// Checks that an attack fails while this law is broken, and only then.
fn catches(bug: Bug, attack: &str, attacks: impl Fn()) {
    attacks();
    plant(Some(bug));
    let caught = catch_unwind(AssertUnwindSafe(attacks));
    plant(None);
    assert!(caught.is_err(), "{bug:?} survived {attack}");
}

#[test]
fn every_planted_bug_is_caught() {
    use super::super::copy_tests::a_backup_in_the_file_of_the_original_is_known_by_its_mark;
    let flips = || flips::flip_every(997);
    let backup = a_backup_in_the_file_of_the_original_is_known_by_its_mark;
    catches(Bug::CopyOpensAsMoved, "the backup", backup);
    catches(Bug::AnyNonce, "the older copy", generations::an_older_copy_is_refused);
    let prefixes = generations::every_prefix_of_the_write_ahead_log_is_refused_or_loses_nothing;
    catches(Bug::AnyHead, "the prefixes", prefixes);
    catches(Bug::SideFileFirst, "the kills", kills::the_log_opens_at_every_point);
    catches(Bug::MadeAnew, "the log that is gone", files::a_log_that_is_gone_is_never_made_anew);
    let vanishes = files::what_vanishes_or_is_replaced_while_it_is_open_is_a_failed_append;
    catches(Bug::NoLook, "what vanishes", vanishes);
    catches(Bug::SeveralNames, "the links", files::a_log_is_one_log_by_whatever_path);
    catches(Bug::Public, "the rights", files::nobody_else_reads_its_files);
    let broken = generations::a_broken_frame_is_noticed_also_when_the_side_file_knows_nothing;
    catches(Bug::BrokenFrameIsTheEnd, "the broken frame", broken);
    catches(Bug::AnyChecksum, "the flipped bits", flips);
    let indexes = super::super::tests::the_indexes_are_made_anew_from_the_entries;
    catches(Bug::AnyIndex, "the indexes", indexes);
    catches(Bug::AnyChain, "the missing entry", flips::a_missing_entry_is_noticed);
    catches(Bug::RemovalBlesses, "the removal", flips::removal_never_blesses_damage);
}
