//! The commands that look at what services declare, as processes.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use common::{run, wholly};
use tempfile::tempdir;

const ORDER: &str = r#"{
    "service": "order",
    "begins": ["OrderCreated"],
    "reactions": [
        {"name": "confirm", "on": "PaymentTaken", "emits": "OrderConfirmed"},
        {"name": "cancel", "on": "InventoryReleased", "emits": "OrderCancelled"}],
    "timeouts": [
        {"after": "OrderCreated", "awaits": ["PaymentTaken", "InventoryReleased"],
         "within_ms": 90000, "emits": "OrderDelayed"}],
    "ends": ["OrderConfirmed", "OrderCancelled", "OrderDelayed"],
    "within_ms": 3600000,
    "since": "a later version"}"#;

const INVENTORY: &str = r#"{
    "service": "inventory",
    "reactions": [
        {"name": "reserve", "on": "OrderCreated", "emits": "InventoryReserved"},
        {"name": "release", "on": "PaymentRefused", "emits": "InventoryReleased",
         "undoes": ["reserve"]}]}"#;

const PAYMENT: &str = r#"{
    "service": "payment",
    "reactions": [
        {"name": "charge", "on": "InventoryReserved", "emits": "PaymentTaken",
         "refuses": "PaymentRefused", "calls": true}]}"#;

const SAGA: &str = r#"
name = "ship"
version = 1
[[steps]]
name = "ship"
participant = "delivery"
compensation = false
"#;

/// Runs a command on files with these names and texts.
fn of(command: &str, files: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let directory = tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let mut arguments = vec![command.to_owned()];
    for (name, text) in files {
        std::fs::write(at(name), text).unwrap();
        arguments.push(at(name));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, out, error) = run(&arguments);
    (code, out.replace(&at(""), ""), error.replace(&at(""), ""))
}

#[test]
fn check_says_what_it_understood_of_each_service() {
    let look_up = r#""reactions": [
        {"name": "look-up", "on": "InventoryReserved", "read_only": true},"#;
    let order = ORDER.replace("\"reactions\": [", look_up);
    let files = [("order.json", &*order), ("inventory", INVENTORY), ("payment.json", PAYMENT)];
    let (code, out, error) = of("check", &files);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    insta::assert_snapshot!(out, @r"
    order.json: the service order
      begins with OrderCreated
      1. look-up: on InventoryReserved, changes nothing, emits nothing
      2. confirm: on PaymentTaken, emits OrderConfirmed
      3. cancel: on InventoryReleased, emits OrderCancelled
      emits OrderDelayed 1m 30s after OrderCreated without PaymentTaken or InventoryReleased
      ends with OrderConfirmed, OrderCancelled or OrderDelayed
      is over within 1h
    inventory: the service inventory
      1. reserve: on OrderCreated, emits InventoryReserved
      2. release: on PaymentRefused, undoes reserve, emits InventoryReleased
    payment.json: the service payment
      1. charge: on InventoryReserved, calls something, emits PaymentTaken, or refuses with PaymentRefused
    ");
}

#[test]
fn check_says_all_that_is_wrong_with_the_choreography() {
    let inventory = INVENTORY.replace("\"PaymentRefused\"", "\"PaymentRefusd\"");
    let files = [("a.json", ORDER), ("b.json", &inventory), ("c.json", PAYMENT)];
    let (code, _, error) = of("check", &files);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(error, @r"
    error: inventory: nothing triggers release, which undoes reserve: nobody emits PaymentRefusd; emit it, or correct its name
    error: payment: charge refuses with PaymentRefused, and nobody reacts to it; take back by it what was done, or declare it an end of payment
    error: inventory: reserve may be done when charge of payment refuses with PaymentRefused, which does not lead to release; let release react to PaymentRefused, or to an event that follows from it
    ");
    // One service is not the whole of it.
    assert_eq!(of("check", &files[..1]).0, Some(1));
}

#[test]
fn a_warning_is_no_error() {
    let order = ORDER.replace(
        "\"reactions\": [",
        "\"reactions\": [{\"name\": \"more\", \"on\": \"More\", \"emits\": \"More\"},",
    );
    let order = order.replace("[\"OrderCreated\"]", "[\"OrderCreated\", \"More\"]");
    let (code, _, error) = of("check", &[("a", &order), ("b", INVENTORY), ("c", PAYMENT)]);
    assert_eq!(code, Some(0));
    assert_eq!(
        error,
        "warning: these events lead to each other in a cycle, which a reaction has to end: More\n"
    );
}

#[test]
fn what_is_no_declaration_is_said_with_its_place() {
    let broken = INVENTORY.replace("\"undoes\": [", "\"undoes\": ");
    let nameless = INVENTORY.replace("\"reserve\", \"on\"", "\"\", \"on\"");
    for (text, place) in [(&broken, "6:29"), (&nameless, "4:19")] {
        let (code, out, error) = of("check", &[("order.json", ORDER), ("b.json", text)]);
        assert_eq!(code, Some(1));
        assert!(error.starts_with(&format!("b.json:{place}: ")), "{error}");
        // The others are not said to lack what it may have.
        assert!(error.lines().count() == 1 && out.starts_with("order.json: "), "{error}");
        let (code, out, _) = of("diagram", &[("order.json", ORDER), ("b.json", text)]);
        assert_eq!((code, out.as_str()), (Some(1), ""));
    }
}

#[test]
fn sagas_and_services_are_looked_at_together() {
    let files =
        [("a.json", ORDER), ("ship.toml", SAGA), ("b.json", INVENTORY), ("c.json", PAYMENT)];
    let (code, out, error) = of("check", &files);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(out.contains("\nship.toml: ship, version 1\n"), "{out}");
    let (code, out, error) = of("diagram", &files);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(out.starts_with("# ship, version 1\n"), "{out}");
    assert!(out.contains("\n\n# A choreography of order, inventory, payment\n"), "{out}");
}

#[test]
fn diagram_draws_the_success_and_each_refusal() {
    let files = [("a.json", ORDER), ("b.json", INVENTORY), ("c.json", PAYMENT)];
    let (code, out, error) = of("diagram", &files);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    insta::assert_snapshot!(out, @r"
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
        Note over order: cancel
        Note over order: OrderCancelled: the end
    ```
    ");
}

/// A server that has the three declarations, and what is none.
async fn services() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new()
        .route("/order/choreography", get(async || ORDER))
        .route("/inventory/choreography", get(async || INVENTORY))
        .route("/payment/choreography", get(async || PAYMENT))
        .route("/long", get(async || format!("{PAYMENT}{}", " ".repeat(1 << 20))))
        .route("/binary", get(async || [0xff_u8, 0xfe].as_slice()))
        .route("/moved", get(async || (StatusCode::FOUND, [("location", "/order/choreography")])))
        .route("/broken", get(async || "{\"service\": }"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test]
async fn a_running_service_is_asked() {
    let url = services().await;
    let at = |service| format!("{url}/{service}/choreography");
    let (order, inventory, payment) = (at("order"), at("inventory"), at("payment"));
    let told = wholly("", &["check", &order, &inventory, &payment], "").await.exits(0);
    assert!(told.contains(&format!("{payment}: the service payment\n")), "{told}");
    let told = wholly("", &["diagram", &order, &inventory, &payment], "").await.exits(0);
    assert!(told.starts_with("# A choreography of order, inventory, payment\n"), "{told}");
}

#[tokio::test]
async fn a_service_that_does_not_say_is_named() {
    let url = services().await;
    for (path, code, says) in [
        ("/nothing", 2, "cannot be read: the server answered 404 Not Found"),
        ("/moved", 2, "cannot be read: the server answered 302 Found"),
        ("/long", 2, "cannot be read: the answer is longer than 1048576 bytes"),
        ("/binary", 2, "cannot be read: the answer is not UTF-8 text"),
        ("/broken", 1, "1:13: expected value"),
    ] {
        let at = format!("{url}{path}");
        let told = wholly("", &["check", &at], "").await;
        let separator = if code == 1 { ":" } else { ": " };
        assert_eq!(told.stderr, format!("{at}{separator}{says}\n"));
        told.exits(code);
    }
    for (nowhere, says) in [
        ("http://127.0.0.1:1/choreography", "the server cannot be reached: "),
        ("http://", "the address is invalid: "),
    ] {
        let told = wholly("", &["diagram", nowhere], "").await;
        assert!(told.stderr.starts_with(&format!("{nowhere}: cannot be read: {says}")), "{told:?}");
        assert_eq!(told.exits(2), "");
    }
}
