use serde_json::{Value, json};

use super::diagram;
use crate::shops::{delivered, parallel, sequential, services};

/// The pictures, each with its title.
fn pictures(declarations: &Value) -> Vec<(String, String)> {
    let document = diagram(&services(declarations));
    let parts = document.split("\n## ").skip(1).map(|part| {
        let (title, picture) = part.split_once("\n\n```mermaid\n").unwrap();
        (title.to_owned(), picture.trim_end_matches("```\n").to_owned())
    });
    parts.collect()
}

/// The lines of the picture with this title.
#[track_caller]
fn story(declarations: &Value, title: &str) -> String {
    let pictures = pictures(declarations);
    let Some((_, picture)) = pictures.iter().find(|(other, _)| other == title) else {
        panic!("{title}: {pictures:#?}");
    };
    let lines = picture.lines().map(str::trim);
    lines.skip(1).filter(|line| !line.starts_with("participant")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_document_has_the_success_and_each_refusal() {
    insta::assert_snapshot!(diagram(&services(&sequential())), @r"
    # A choreography of order, inventory, payment

    ## OrderCreated: every reaction succeeds

    ```mermaid
    sequenceDiagram
        participant order
        participant inventory
        participant payment
        order->>inventory: OrderCreated
        Note over inventory: reserve
        inventory->>payment: InventoryReserved
        Note over payment: charge
        payment->>order: PaymentTaken
        Note over order: confirm
        Note over order: OrderConfirmed: the end
    ```

    ## OrderCreated: reserve of inventory refuses

    ```mermaid
    sequenceDiagram
        participant order
        participant inventory
        order->>inventory: OrderCreated
        Note over inventory: reserve refuses
        inventory->>order: InventoryRefused
        Note over order: cancel-unreserved
        Note over order: OrderCancelled: the end
    ```

    ## OrderCreated: charge of payment refuses

    ```mermaid
    sequenceDiagram
        participant order
        participant inventory
        participant payment
        order->>inventory: OrderCreated
        Note over inventory: reserve
        inventory->>payment: InventoryReserved
        Note over payment: charge refuses
        payment->>inventory: PaymentRefused
        Note over inventory: release undoes reserve
        inventory->>order: InventoryReleased
        Note over order: cancel-unpaid
        Note over order: OrderCancelled: the end
    ```
    ");
}

#[test]
fn what_is_concurrent_is_undone_and_who_waits_for_both_speaks_once() {
    insta::assert_snapshot!(story(&parallel(), "OrderCreated: every reaction succeeds"), @r"
    order->>inventory: OrderCreated
    Note over inventory: reserve
    order->>payment: OrderCreated
    Note over payment: charge
    inventory->>order: InventoryReserved
    Note over order: note-reserved
    payment->>order: PaymentTaken
    Note over order: note-paid
    Note over order: OrderConfirmed: the end
    ");
    insta::assert_snapshot!(story(&parallel(), "OrderCreated: reserve of inventory refuses"), @r"
    order->>inventory: OrderCreated
    Note over inventory: reserve refuses
    order->>payment: OrderCreated
    Note over payment: charge
    inventory->>payment: InventoryRefused
    Note over payment: refund undoes charge
    payment->>order: PaymentTaken
    Note over order: note-paid
    payment->>order: PaymentRefunded
    Note over order: note-refunded
    Note over order: OrderCancelled: the end
    ");
}

#[test]
fn an_event_with_which_it_is_over_goes_on_to_who_reacts_to_it() {
    insta::assert_snapshot!(story(&delivered(), "OrderCreated: deliver of delivery refuses"), @r"
    order->>inventory: OrderCreated
    Note over inventory: reserve
    order->>payment: OrderCreated
    Note over payment: charge
    inventory->>order: InventoryReserved
    Note over order: note-reserved
    payment->>order: PaymentTaken
    Note over order: note-paid
    order->>delivery: OrderConfirmed
    Note over delivery: deliver refuses
    delivery->>order: DeliveryRefused
    Note over order: cancel-undelivered
    Note over order: OrderWithdrawn: the end
    order->>inventory: OrderWithdrawn
    Note over inventory: take-back undoes reserve
    order->>payment: OrderWithdrawn
    Note over payment: pay-back undoes charge
    ");
}

#[test]
fn a_refusal_after_a_refusal_is_drawn_with_both() {
    let shop = json!([
        {"service": "order", "begins": ["Created"]},
        {"service": "card", "reactions": [
            {"name": "charge", "on": "Created", "emits": "CardPaid", "refuses": "CardRefused"}]},
        {"service": "bank", "reactions": [
            {"name": "debit", "on": "CardRefused", "emits": "BankPaid", "refuses": "BankRefused"}]},
    ]);
    insta::assert_snapshot!(story(&shop, "Created: debit of bank refuses"), @r"
    order->>card: Created
    Note over card: charge refuses
    card->>bank: CardRefused
    Note over bank: debit refuses
    Note over bank: BankRefused: nobody reacts
    ");
}

#[test]
fn a_timeout_runs_out_where_what_it_awaits_does_not_come() {
    let shop = json!([
        {"service": "order", "begins": ["Created"],
         "reactions": [{"name": "confirm", "on": "Paid", "emits": "Confirmed"}],
         "timeouts": [
            {"after": "Created", "awaits": ["Paid"], "within_ms": 90_000, "emits": "Late"}],
         "ends": ["Confirmed", "Late"]},
        {"service": "payment", "reactions": [
            {"name": "charge", "on": "Created", "emits": "Paid", "refuses": "Refused"}]},
    ]);
    insta::assert_snapshot!(story(&shop, "Created: charge of payment refuses"), @r"
    order->>payment: Created
    Note over payment: charge refuses
    Note over payment: Refused: nobody reacts
    Note over order: time-out, 90s after Created
    Note over order: Late: the end
    ");
    assert!(!story(&shop, "Created: every reaction succeeds").contains("time-out"));
}

#[test]
fn of_several_reactions_that_emit_an_event_the_last_one_does() {
    let mut shop = parallel();
    shop[0]["reactions"][2] =
        json!({"name": "note-refused", "on": "InventoryRefused", "emits": "OrderCancelled"});
    insta::assert_snapshot!(story(&shop, "OrderCreated: reserve of inventory refuses"), @r"
    order->>inventory: OrderCreated
    Note over inventory: reserve refuses
    order->>payment: OrderCreated
    Note over payment: charge
    inventory->>order: InventoryRefused
    Note over order: note-refused
    inventory->>payment: InventoryRefused
    Note over payment: refund undoes charge
    payment->>order: PaymentTaken
    Note over order: note-paid
    payment->>order: PaymentRefunded
    Note over order: note-refunded
    Note over order: OrderCancelled: the end
    ");
    // Who refuses does not.
    let two = json!([{"service": "a", "begins": ["A"]}, {"service": "b", "reactions": [
        {"name": "one", "on": "A", "emits": "B"},
        {"name": "two", "on": "A", "emits": "B", "refuses": "C"}]}]);
    insta::assert_snapshot!(story(&two, "A: two of b refuses"), @r"
    a->>b: A
    Note over b: one
    Note over b: two refuses
    Note over b: B: nobody reacts
    Note over b: C: nobody reacts
    ");
    // Who waits for the event itself does not.
    let circle = json!([{"service": "a", "begins": ["A"], "reactions": [
        {"name": "one", "on": "A", "emits": "B"}, {"name": "two", "on": "B", "emits": "B"}]}]);
    insta::assert_snapshot!(story(&circle, "A: every reaction succeeds"), @r"
    a->>a: A
    Note over a: one
    a->>a: B
    Note over a: two
    Note over a: B once more: what follows is drawn above
    ");
}

#[test]
fn a_cycle_is_drawn_once() {
    let circle = json!([
        {"service": "a", "begins": ["A"], "reactions": [{"name": "back", "on": "B", "emits": "A"}]},
        {"service": "b", "reactions": [{"name": "forth", "on": "A", "emits": "B"}]},
    ]);
    insta::assert_snapshot!(story(&circle, "A: every reaction succeeds"), @r"
    a->>b: A
    Note over b: forth
    b->>a: B
    Note over a: back
    Note over a: A once more: what follows is drawn above
    ");
}

#[test]
fn an_undo_of_what_was_not_done_says_so() {
    let shop = json!([
        {"service": "a", "begins": ["A"], "reactions": [
            {"name": "do", "on": "B"}, {"name": "undo", "on": "A", "undoes": ["do"]}]},
    ]);
    assert!(story(&shop, "A: every reaction succeeds").ends_with("undo: nothing to undo"));
}

#[test]
fn services_are_named_so_that_the_picture_can_be_read() {
    let odd = json!([
        {"service": "end", "begins": ["A"]},
        {"service": "eu/shop-1", "reactions": [{"name": "react", "on": "A"}]},
        {"service": "End", "reactions": [{"name": "react", "on": "A"}]},
        {"service": "plain_1", "reactions": [{"name": "react", "on": "A"}]},
        {"service": "plain_1", "reactions": [{"name": "react", "on": "A"}]},
    ]);
    insta::assert_snapshot!(pictures(&odd)[0].1, @r"
    sequenceDiagram
        participant _1 as end
        participant _2 as eu/shop-1
        participant _3 as End
        participant plain_1
        participant _5 as plain_1
        _1->>_2: A
        Note over _2: react
        _1->>_3: A
        Note over _3: react
        _1->>plain_1: A
        Note over plain_1: react
        _1->>_5: A
        Note over _5: react
    ");
}

#[test]
fn what_is_too_large_is_not_drawn() {
    let begins = |size: u32| (0..size).map(|nth| format!("E{nth}")).collect::<Vec<_>>();
    let of = |size| diagram(&services(&json!([{"service": "a", "begins": begins(size)}])));
    insta::assert_snapshot!(of(1_001), @r"
    # A choreography of a

    It is not drawn: there are more than 1000 reactions, time-outs and beginnings.
    ");
    assert!(of(1_000).contains("## E999: every reaction succeeds"));
    // Of what is not too large, there may be too much to see.
    let refusing = json!([{"service": "a", "begins": begins(900),
                           "reactions": [{"name": "r", "on": "E0", "refuses": "E1"},
                                         {"name": "again", "on": "E1", "emits": "E0"}]}]);
    assert_eq!(pictures(&refusing).len(), 902);
    let mut many = refusing;
    for nth in 0..97 {
        let reaction = json!({"name": format!("r{nth}"), "on": "E0", "refuses": "E1"});
        many[0]["reactions"].as_array_mut().unwrap().push(reaction);
    }
    assert_eq!(pictures(&many).len(), 1_000);
    let document = diagram(&services(&many));
    assert!(document.ends_with("\nNo more than 1000 pictures are drawn.\n"));
}
