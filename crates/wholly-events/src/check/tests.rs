use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Severity, check};
use crate::shops::{delivered, parallel, sequential, services};
use crate::{Declaration, diagram};

/// The findings, each with its weight.
fn found(declarations: &Value) -> Vec<String> {
    let findings = check(&services(declarations));
    findings.iter().map(|finding| format!("{}: {finding}", finding.severity())).collect()
}

#[track_caller]
fn clean(declarations: &Value) {
    assert_eq!(found(declarations), Vec::<String>::new());
}

/// A choreography with one thing wrong, and the same one mended.
#[track_caller]
fn finds(finding: &str, wrong: &Value, mended: &Value) {
    assert_eq!(found(wrong), [finding]);
    clean(mended);
}

/// The same, with another value at a place.
fn with(declarations: &Value, place: &str, value: Value) -> Value {
    let mut changed = declarations.clone();
    let (before, last) = place.rsplit_once('/').unwrap();
    match changed.pointer_mut(before).unwrap() {
        Value::Array(list) if last == "-" => list.push(value),
        Value::Array(list) => list[last.parse::<usize>().unwrap()] = value,
        other => other[last] = value,
    }
    changed
}

/// The same, without what is at a place.
fn without(declarations: &Value, place: &str) -> Value {
    let mut changed = declarations.clone();
    let (before, last) = place.rsplit_once('/').unwrap();
    match changed.pointer_mut(before).unwrap() {
        Value::Array(list) => drop(list.remove(last.parse().unwrap())),
        other => drop(other.as_object_mut().unwrap().remove(last).unwrap()),
    }
    changed
}

/// An event, and a reaction to it that ends what it began.
fn small() -> Value {
    json!([
        {"service": "a", "begins": ["A"]},
        {"service": "b", "reactions": [{"name": "end", "on": "A", "emits": "B"}], "ends": ["B"]},
    ])
}

/// A reaction that another one refuses to follow, and its undo.
fn undone() -> Value {
    json!([
        {"service": "a", "begins": ["A"],
         "reactions": [
            {"name": "do", "on": "A", "emits": "Done"},
            {"name": "undo", "on": "Refused", "emits": "Undone", "undoes": ["do"]}],
         "ends": ["Undone"]},
        {"service": "b",
         "reactions": [{"name": "end", "on": "Done", "emits": "B", "refuses": "Refused"}],
         "ends": ["B"]},
    ])
}

/// A service that waits for another, and not for ever.
fn awaited() -> Value {
    json!([
        {"service": "a", "begins": ["A"],
         "reactions": [{"name": "end", "on": "B", "emits": "Over"}],
         "timeouts": [{"after": "A", "awaits": ["B"], "within_ms": 1, "emits": "Late"}],
         "ends": ["Over", "Late"]},
        {"service": "b", "reactions": [{"name": "answer", "on": "A", "emits": "B"}]},
    ])
}

#[test]
fn sound_choreographies_are_clean() {
    for sound in [small(), undone(), awaited(), sequential(), parallel(), delivered()] {
        clean(&sound);
    }
}

#[test]
fn a_choreography_begins() {
    let circle = json!([{"service": "a", "ends": ["A"],
                         "reactions": [{"name": "again", "on": "A", "emits": "A"}]}]);
    let wrong = "error: no service begins the choreography; declare the first event where it is \
                 emitted";
    let cycle =
        "warning: these events lead to each other in a cycle, which a reaction has to end: A";
    assert_eq!(found(&circle), [wrong, cycle]);
    assert_eq!(found(&with(&circle, "/0/begins", json!(["A"]))), [cycle]);
}

#[test]
fn a_choreography_ends() {
    let endless = json!([{"service": "a", "begins": ["A"],
                          "reactions": [{"name": "note", "on": "A"}]}]);
    finds(
        "error: no service ends the choreography; declare its last events where they are emitted",
        &endless,
        &with(&endless, "/0/ends", json!(["A"])),
    );
}

#[test]
fn names_are_given_once() {
    finds(
        "error: two services are named b; give each its own name, for it is the source of its \
         events",
        &with(&small(), "/0/service", json!("b")),
        &small(),
    );
    finds(
        "error: order: two reactions are named confirm; give each its own name, for the inbox \
         keeps it",
        &with(&sequential(), "/0/reactions/1/name", json!("confirm")),
        &sequential(),
    );
}

#[test]
fn an_event_has_one_emitter() {
    finds(
        "error: a and b both emit B; give each its own type of event",
        &with(&with(&small(), "/0/begins", json!(["A", "B"])), "/0/ends", json!(["B"])),
        &with(&with(&small(), "/0/begins", json!(["A", "C"])), "/0/ends", json!(["C"])),
    );
}

#[test]
fn an_event_is_handled() {
    let more = with(&small(), "/1/begins", json!(["More"]));
    let wrong = "error: b: nobody reacts to More; react to it, or declare it an end of b";
    finds(wrong, &more, &with(&more, "/1/ends", json!(["B", "More"])));
    finds(wrong, &more, &with(&more, "/0/reactions", json!([{"name": "note", "on": "More"}])));
    // It is no end where another service says so.
    let foreign = with(&more, "/0/ends", json!(["More"]));
    assert!(found(&foreign).contains(&wrong.to_owned()));
}

#[test]
fn an_event_that_is_awaited_is_emitted() {
    let note = |on| with(&small(), "/1/reactions/-", json!({"name": "note", "on": on}));
    finds(
        "error: b: note reacts to Aa, which nobody emits; emit it, or correct its name",
        &note("Aa"),
        &note("A"),
    );
}

#[test]
fn an_end_is_emitted_by_its_service() {
    finds(
        "error: a: B is an end that a does not emit; emit it, or declare it where it is emitted",
        &with(&small(), "/0/ends", json!(["B"])),
        &with(&small(), "/0/ends", json!(["A"])),
    );
}

#[test]
fn a_refusal_is_handled() {
    let shop = without(&sequential(), "/0/reactions/1");
    finds(
        "error: inventory: reserve refuses with InventoryRefused, and nobody reacts to it; take \
         back by it what was done, or declare it an end of inventory",
        &shop,
        &with(&shop, "/1/ends", json!(["InventoryRefused"])),
    );
}

#[test]
fn a_compensation_is_triggered() {
    finds(
        "error: a: nothing triggers undo, which undoes do: nobody emits Refused; emit it, or \
         correct its name",
        &without(&undone(), "/1/reactions/0/refuses"),
        &undone(),
    );
}

#[test]
fn a_compensation_is_of_a_reaction_of_its_service() {
    for name in ["redo", "end", "undo"] {
        let also = with(&undone(), "/0/reactions/1/undoes", json!(["do", name]));
        let wrong = format!(
            "error: a: undo undoes {name}, and a has no other reaction of this name; correct it"
        );
        finds(&wrong, &also, &undone());
    }
}

#[test]
fn a_later_refusal_leads_to_the_undo() {
    // That payment refuses cancels the order, but releases nothing.
    let shop = with(&sequential(), "/1/reactions/1/on", json!("OrderWithdrawn"));
    let shop = with(&shop, "/0/begins", json!(["OrderCreated", "OrderWithdrawn"]));
    let note = json!({"name": "note-unpaid", "on": "PaymentRefused", "emits": "OrderUnpaid"});
    let shop = with(&shop, "/0/reactions/-", note);
    let ends = json!(["OrderConfirmed", "OrderCancelled", "OrderUnpaid", "OrderWithdrawn"]);
    let shop = with(&shop, "/0/ends", ends);
    finds(
        "error: inventory: reserve may be done when charge of payment refuses with \
         PaymentRefused, which does not lead to release; let release react to PaymentRefused, or \
         to an event that follows from it",
        &shop,
        // By a chain of events.
        &with(&shop, "/1/reactions/1/on", json!("OrderUnpaid")),
    );
}

/// The parallel shop, in which the order says that it is cancelled where inventory refuses, and
/// payment's refund has this trigger.
fn refunded_on(trigger: &str) -> Value {
    let shop = with(&parallel(), "/2/reactions/1/on", json!(trigger));
    let withdraw = json!({"name": "withdraw", "on": "InventoryRefused", "emits": "OrderWithdrawn"});
    let shop = with(&shop, "/0/reactions/-", withdraw);
    with(&shop, "/0/ends", json!(["OrderConfirmed", "OrderCancelled", "OrderWithdrawn"]))
}

#[test]
fn a_concurrent_refusal_leads_to_the_undo() {
    let wrong = "error: payment: charge may be done when reserve of inventory refuses with \
                 InventoryRefused, which does not lead to refund; let refund react to \
                 InventoryRefused, or to an event that follows from it";
    finds(wrong, &refunded_on("PaymentRefused"), &refunded_on("InventoryRefused"));
    // By a chain of events.
    finds(wrong, &refunded_on("InventoryReleased"), &refunded_on("OrderWithdrawn"));
    // Not where it takes another refusal.
    let withdraw =
        json!({"name": "withdraw", "on": "InventoryRefused", "refuses": "OrderWithdrawn"});
    let shop = with(&refunded_on("OrderWithdrawn"), "/0/reactions/4", withdraw);
    assert!(found(&shop).contains(&wrong.to_owned()));
    // An event that nobody emits hides nothing of what comes after it.
    let shop = with(&refunded_on("PaymentRefused"), "/0/begins", json!(["OrderConceived"]));
    assert!(found(&shop).contains(&wrong.to_owned()));
}

#[test]
fn what_is_confirmed_by_both_is_undone_of_both() {
    let shop = with(&delivered(), "/1/reactions/2/on", json!("OrderCancelled"));
    finds(
        "error: inventory: reserve may be done when deliver of delivery refuses with \
         DeliveryRefused, which does not lead to release; let release react to DeliveryRefused, \
         or to an event that follows from it",
        &shop,
        &delivered(),
    );
}

#[test]
fn who_says_an_event_twice_one_after_the_other_waits_for_nothing() {
    let note = |name, on| json!({"name": name, "on": on, "emits": "OrderChanged"});
    let shop = with(&sequential(), "/0/reactions/-", note("note-reserved", "InventoryReserved"));
    let shop = with(&shop, "/0/reactions/-", note("note-paid", "PaymentTaken"));
    let packed_until = |event| {
        let courier = json!({"service": "courier", "reactions": [
            {"name": "pack", "on": "OrderChanged"},
            {"name": "unpack", "on": event, "undoes": ["pack"]}]});
        with(&shop, "/-", courier)
    };
    finds(
        "error: courier: pack may be done when charge of payment refuses with PaymentRefused, \
         which does not lead to unpack; let unpack react to PaymentRefused, or to an event that \
         follows from it",
        &packed_until("InventoryRefused"),
        &packed_until("OrderCancelled"),
    );
}

#[test]
fn what_needs_the_success_of_who_refuses_is_not_undone() {
    // The delivery needs both, for the order waits for both: neither refusal concerns it.
    let back = json!({"name": "fetch-back", "on": "CourierLost", "undoes": ["deliver"]});
    let shop = with(&delivered(), "/3/reactions/-", back);
    clean(&with(&shop, "/0/begins", json!(["OrderCreated", "CourierLost"])));
    // Where it goes out for one of them, the refusal of the other one concerns it.
    let shop = with(&shop, "/0/reactions/1/emits", json!("OrderNoted"));
    let shop = with(&shop, "/0/begins", json!(["OrderCreated", "CourierLost"]));
    let told = found(&shop);
    assert!(told.iter().any(|one| one.contains("deliver may be done when charge")), "{told:#?}");
    assert!(!told.iter().any(|one| one.contains("deliver may be done when reserve")), "{told:#?}");
}

#[test]
fn what_a_refusal_excludes_is_not_undone() {
    // A second way to pay, for who is refused the first one, and a delivery after either.
    let pay = |name, on, emits, refuses| json!({"name": name, "on": on, "emits": emits, "refuses": refuses, "calls": true});
    let shop = |undo_of_second: &str| {
        json!([
            {"service": "order", "begins": ["Created"]},
            {"service": "card", "reactions": [
                pay("charge", "Created", "CardPaid", "CardRefused"),
                {"name": "refund", "on": "LostAfterCard", "undoes": ["charge"]}]},
            {"service": "bank", "reactions": [
                pay("debit", "CardRefused", "BankPaid", "BankRefused"),
                {"name": "credit", "on": undo_of_second, "undoes": ["debit"]}],
             "ends": ["BankRefused"]},
            {"service": "courier", "reactions": [
                pay("deliver-1", "CardPaid", "Delivered", "LostAfterCard"),
                pay("deliver-2", "BankPaid", "Delivered", "LostAfterBank")],
             "ends": ["Delivered", "LostAfterBank"]},
        ])
    };
    finds(
        "error: bank: debit may be done when deliver-2 of courier refuses with LostAfterBank, \
         which does not lead to credit; let credit react to LostAfterBank, or to an event that \
         follows from it",
        &shop("LostAfterCard"),
        &shop("LostAfterBank"),
    );
}

#[test]
fn what_changes_something_has_an_undo() {
    let wrong = "error: payment: charge may be done when reserve of inventory refuses with \
                 InventoryRefused, and nothing undoes it; undo it by a reaction, or declare it \
                 read-only if it changes nothing";
    let shop = without(&parallel(), "/2/reactions/1/undoes");
    finds(wrong, &shop, &parallel());
    finds(wrong, &shop, &with(&shop, "/2/reactions/0/read_only", json!(true)));
    finds(wrong, &without(&shop, "/2/reactions/0/calls"), &parallel());
    // What it calls may change something, although it refuses nothing.
    let sure = without(&shop, "/2/reactions/0/refuses");
    let sure = without(&without(&sure, "/1/reactions/1"), "/0/reactions/2");
    assert_eq!(found(&sure), [wrong]);
    clean(&without(&sure, "/2/reactions/0/calls"));
    // What follows from a refusal needs none, although the other one may refuse, too.
    let tell = json!({"name": "tell", "on": "InventoryRefused", "calls": true});
    clean(&with(&parallel(), "/0/reactions/-", tell));
}

#[test]
fn what_changes_nothing_needs_no_undo_to_be_reached() {
    let shop = refunded_on("PaymentRefused");
    assert_eq!(found(&shop).len(), 1);
    clean(&with(&shop, "/2/reactions/0/read_only", json!(true)));
}

/// The sequential shop, whose order emits this event where none of these came in time.
fn timed(awaits: &[&str], emits: &str) -> Value {
    let timeout =
        json!({"after": "OrderCreated", "awaits": awaits, "within_ms": 1, "emits": emits});
    with(&sequential(), "/0/timeouts", json!([timeout]))
}

/// The same, cancelled by the time-out: payment takes back what it did too late.
fn cancelled(awaits: &[&str]) -> Value {
    let cancel = json!({"name": "cancel-late", "on": "OrderLate", "emits": "OrderCancelled"});
    let refund = json!({"name": "refund", "on": "OrderLate", "undoes": ["charge"]});
    let shop = with(&timed(awaits, "OrderLate"), "/0/reactions/-", cancel);
    with(&shop, "/2/reactions/-", refund)
}

/// A further reaction of inventory that releases.
fn released_on(shop: &Value, event: &str) -> Value {
    let late = json!({"name": "release-late", "on": event, "undoes": ["reserve"]});
    with(shop, "/1/reactions/-", late)
}

#[test]
fn a_timeout_that_turns_back_leads_to_the_undo() {
    let shop = cancelled(&["PaymentTaken", "InventoryRefused"]);
    finds(
        "error: inventory: reserve may be done when a time-out of order emits OrderLate, which \
         does not lead to release; let release react to OrderLate, or to an event that follows \
         from it",
        &shop,
        &released_on(&shop, "OrderLate"),
    );
    // The end of another refusal turns back, too.
    let shop = timed(&["PaymentTaken"], "OrderCancelled");
    assert_eq!(found(&shop).len(), 2, "{:#?}", found(&shop));
}

#[test]
fn what_is_done_too_late_has_an_undo() {
    let shop = released_on(&cancelled(&["PaymentTaken", "InventoryRefused"]), "OrderLate");
    finds(
        "error: payment: charge may be done when a time-out of order emits OrderLate, and \
         nothing undoes it; undo it by a reaction, or declare it read-only if it changes nothing",
        &without(&shop, "/2/reactions/1"),
        &shop,
    );
    // It may be refused when it comes: then that is the way back.
    let awaits = ["PaymentTaken", "PaymentRefused", "InventoryRefused"];
    let shop = timed(&awaits, "OrderCancelled");
    let shop = with(&shop, "/0/reactions/-", json!({"name": "note", "on": "PaymentRefused"}));
    let shop = with(&shop, "/0/reactions/0/refuses", json!("OrderOver"));
    let refund = json!({"name": "refund", "on": "OrderOver", "undoes": ["charge"]});
    clean(&with(&released_on(&shop, "OrderOver"), "/2/reactions/-", refund));
}

#[test]
fn a_timeout_is_a_way_back_where_nothing_awaited_may_come() {
    // That payment refuses is told to nobody but by the silence.
    let silent = |awaits: &[&str]| {
        let shop = with(&cancelled(awaits), "/1/reactions/1/on", json!("OrderLate"));
        let note = json!({"name": "note", "on": "PaymentRefused"});
        with(&shop, "/0/reactions/-", note)
    };
    finds(
        "error: inventory: reserve may be done when charge of payment refuses with \
         PaymentRefused, which does not lead to release; let release react to PaymentRefused, or \
         to an event that follows from it",
        &silent(&["PaymentTaken", "InventoryRefused", "PaymentRefused"]),
        &silent(&["PaymentTaken", "InventoryRefused"]),
    );
}

#[test]
fn a_timeout_that_reminds_or_goes_on_is_no_refusal() {
    let shop = timed(&["PaymentTaken", "InventoryRefused"], "OrderDelayed");
    let remind = json!({"name": "remind", "on": "OrderDelayed"});
    clean(&with(&shop, "/0/reactions/-", remind.clone()));
    let on =
        json!({"name": "confirm-all-the-same", "on": "OrderDelayed", "emits": "OrderConfirmed"});
    clean(&with(&shop, "/0/reactions/-", on));
    // Nor is one that is an end of its own, for nobody reacts to it.
    let ends = json!(["OrderConfirmed", "OrderCancelled", "OrderDelayed"]);
    clean(&with(&shop, "/0/ends", ends));
}

#[test]
fn a_cycle_is_a_warning() {
    let again = json!({"name": "again", "on": "PaymentRefused", "emits": "OrderChanged"});
    let charge = json!({"name": "charge-again", "on": "OrderChanged", "refuses": "PaymentRefused"});
    let shop = with(&sequential(), "/0/reactions/-", again);
    let shop = with(&shop, "/2/reactions/-", charge);
    finds(
        "warning: these events lead to each other in a cycle, which a reaction has to end: \
         OrderChanged, PaymentRefused",
        &shop,
        &without(&shop, "/2/reactions/1/refuses"),
    );
}

#[test]
fn a_timeout_counts_from_what_its_service_sees() {
    let twice = |after| {
        let second = json!({"after": after, "awaits": ["B"], "within_ms": 1, "emits": "Late"});
        with(&awaited(), "/0/timeouts/-", second)
    };
    let wrong = "error: a: the time-out that emits Late counts from C, which a neither reacts to \
                 nor emits; react to it";
    finds(wrong, &twice("C"), &twice("A"));
    clean(&twice("B"));
}

#[test]
fn a_timeout_awaits_what_its_service_reacts_to() {
    let awaits = |event: &str| with(&awaited(), "/0/timeouts/0/awaits", json!(["B", event]));
    let wrong = |awaited, which| {
        format!("error: a: the time-out that emits Late awaits {awaited}, {which}")
    };
    finds(
        &wrong("A", "to which a does not react; react to it"),
        &awaits("A"),
        &with(&awaits("A"), "/0/reactions/-", json!({"name": "note", "on": "A"})),
    );
    finds(
        &wrong("Bb", "which nobody emits; emit it, or correct its name"),
        &awaits("Bb"),
        &awaits("B"),
    );
}

#[test]
fn what_is_too_large_is_not_looked_at() {
    let sized = |size: usize| {
        let reactions: Vec<Value> =
            (2..size).map(|nth| json!({"name": format!("r{nth}"), "on": "A"})).collect();
        with(&small(), "/0/reactions", json!(reactions))
    };
    finds(
        "error: there are more than 1000 reactions, time-outs and beginnings; check fewer \
         services at once",
        &sized(1_001),
        &sized(1_000),
    );
}

/// Declarations out of few names, so that they have to do with each other.
fn declarations() -> impl Strategy<Value = Vec<Declaration>> {
    let event = || (0..6_u8).prop_map(|nth| format!("E{nth}"));
    let some = || proptest::option::of(event());
    let events = || proptest::collection::vec(event(), 0..3);
    let name = || (0..4_u8).prop_map(|nth| format!("r{nth}"));
    let undoes = proptest::collection::vec(name(), 0..2);
    let flags = (any::<bool>(), any::<bool>());
    let reaction = (name(), event(), some(), some(), undoes, flags).prop_map(
        |(name, on, emits, refuses, undoes, (calls, read_only))| {
            json!({"name": name, "on": on, "emits": emits, "refuses": refuses, "undoes": undoes,
                   "calls": calls, "read_only": read_only})
        },
    );
    let timeout = (event(), events(), event()).prop_map(|(after, awaits, emits)| {
        json!({"after": after, "awaits": awaits, "emits": emits, "within_ms": 1})
    });
    let reactions = proptest::collection::vec(reaction, 0..6);
    let timeouts = proptest::collection::vec(timeout, 0..2);
    let service = (0..4_u8, events(), reactions, timeouts, events()).prop_map(
        |(service, begins, reactions, timeouts, ends)| {
            json!({"service": format!("s{service}"), "begins": begins, "reactions": reactions,
                   "timeouts": timeouts, "ends": ends})
        },
    );
    proptest::collection::vec(service, 0..4).prop_map(|all| services(&json!(all)))
}

proptest! {
    #[test]
    fn any_declarations_are_checked_and_drawn(declarations in declarations()) {
        let findings = check(&declarations);
        let has_error = findings.iter().any(|finding| finding.severity() == Severity::Error);
        // Nothing is said twice.
        for (nth, finding) in findings.iter().enumerate() {
            prop_assert!(!findings[..nth].contains(finding), "{finding}");
        }
        let pictures = diagram(&declarations);
        // Whoever begins nothing has no picture, which is an error.
        prop_assert!(has_error || pictures.contains("sequenceDiagram"));
    }
}
