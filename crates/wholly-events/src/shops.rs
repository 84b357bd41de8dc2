//! Choreographies that tests look at.

use serde_json::{Value, json};

use crate::Declaration;

/// Services from what they print.
pub(crate) fn services(declarations: &Value) -> Vec<Declaration> {
    serde_json::from_value(declarations.clone()).unwrap()
}

/// A shop in which one service works after the other.
pub(crate) fn sequential() -> Value {
    json!([
        {
            "service": "order",
            "begins": ["OrderCreated"],
            "reactions": [
                {"name": "confirm", "on": "PaymentTaken", "emits": "OrderConfirmed"},
                {"name": "cancel-unreserved", "on": "InventoryRefused", "emits": "OrderCancelled"},
                {"name": "cancel-unpaid", "on": "InventoryReleased", "emits": "OrderCancelled"},
            ],
            "ends": ["OrderConfirmed", "OrderCancelled"],
        },
        {
            "service": "inventory",
            "reactions": [
                {"name": "reserve", "on": "OrderCreated", "emits": "InventoryReserved",
                 "refuses": "InventoryRefused"},
                {"name": "release", "on": "PaymentRefused", "emits": "InventoryReleased",
                 "undoes": ["reserve"]},
            ],
        },
        {
            "service": "payment",
            "reactions": [
                {"name": "charge", "on": "InventoryReserved", "emits": "PaymentTaken",
                 "refuses": "PaymentRefused"},
            ],
        },
    ])
}

/// A shop in which inventory and payment work at once, and the order waits for both.
pub(crate) fn parallel() -> Value {
    json!([
        {
            "service": "order",
            "begins": ["OrderCreated"],
            "reactions": [
                {"name": "note-reserved", "on": "InventoryReserved", "emits": "OrderConfirmed"},
                {"name": "note-paid", "on": "PaymentTaken", "emits": "OrderConfirmed"},
                {"name": "note-released", "on": "InventoryReleased", "emits": "OrderCancelled"},
                {"name": "note-refunded", "on": "PaymentRefunded", "emits": "OrderCancelled"},
            ],
            "ends": ["OrderConfirmed", "OrderCancelled"],
        },
        {
            "service": "inventory",
            "reactions": [
                {"name": "reserve", "on": "OrderCreated", "emits": "InventoryReserved",
                 "refuses": "InventoryRefused"},
                {"name": "release", "on": "PaymentRefused", "emits": "InventoryReleased",
                 "undoes": ["reserve"]},
            ],
        },
        {
            "service": "payment",
            "reactions": [
                {"name": "charge", "on": "OrderCreated", "emits": "PaymentTaken",
                 "refuses": "PaymentRefused", "calls": true},
                {"name": "refund", "on": "InventoryRefused", "emits": "PaymentRefunded",
                 "undoes": ["charge"]},
            ],
        },
    ])
}

/// The parallel shop with a delivery of what is confirmed, which may be refused.
pub(crate) fn delivered() -> Value {
    let mut shop = parallel();
    shop[0]["reactions"].as_array_mut().unwrap().extend([
        json!({"name": "complete", "on": "Delivered", "emits": "OrderCompleted"}),
        json!({"name": "cancel-undelivered", "on": "DeliveryRefused", "emits": "OrderWithdrawn"}),
    ]);
    shop[0]["ends"] = json!(["OrderCancelled", "OrderCompleted", "OrderWithdrawn"]);
    for (service, name, undone) in [(1, "take-back", "reserve"), (2, "pay-back", "charge")] {
        let reactions = shop[service]["reactions"].as_array_mut().unwrap();
        reactions.push(json!({"name": name, "on": "OrderWithdrawn", "undoes": [undone]}));
    }
    shop.as_array_mut().unwrap().push(json!({
        "service": "delivery",
        "reactions": [{"name": "deliver", "on": "OrderConfirmed", "emits": "Delivered",
                       "refuses": "DeliveryRefused"}],
    }));
    shop
}
