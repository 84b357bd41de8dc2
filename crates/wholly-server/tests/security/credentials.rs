//! Participants know the coordinator by what the configuration gives it for each.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

#[tokio::test]
async fn each_participant_is_shown_its_own_credentials() {
    let directory = tempdir().unwrap();
    let (orders, payments, stock) =
        (Little::start().await, Little::start().await, Little::start().await);
    let secret = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        format!("file:{}", file.display())
    };
    let (token, password) = (secret("token", "of-orders"), secret("password", "of-payments"));
    let key = secret("key", "of-stock-with-at-least-32-bytes!");
    let text = format!(
        "listen = '127.0.0.1:0'\n\
         [participants.orders]\nurl = '{}'\nauth = {{ bearer = '{token}' }}\n\
         [participants.payments]\nurl = '{}'\n\
         auth = {{ basic = {{ user = 'wholly', password = '{password}' }} }}\n\
         [participants.stock]\nurl = '{}'\n\
         signing = {{ key_id = '2026-07', secret = '{key}' }}\n",
        orders.url(),
        payments.url(),
        stock.url()
    );
    let server = Server::start_configured(directory.path(), &text).await;
    let order = r#"{"name": "x", "branches": [{"participant": "orders", "payload": 1},
        {"participant": "payments", "payload": 2}, {"participant": "stock", "payload": 3}]}"#;
    assert_eq!(server.submit(&[], order).await.json()["state"], "committed");
    let shown = |little: &Little, header: &str| {
        let heads = little.heads().into_iter();
        let shown =
            heads.map(|head| head.get(header).map(|value| value.to_str().unwrap().to_owned()));
        shown.collect::<Vec<_>>()
    };
    let bearer = Some("Bearer of-orders".to_owned());
    assert_eq!(shown(&orders, "authorization"), [bearer.clone(), bearer]);
    let basic = Some(format!("Basic {}", STANDARD.encode("wholly:of-payments")));
    assert_eq!(shown(&payments, "authorization"), [basic.clone(), basic]);
    assert_eq!(shown(&stock, "authorization"), [None, None]);
    for input in shown(&stock, "signature-input") {
        assert!(input.as_ref().unwrap().contains("keyid=\"2026-07\""), "{input:?}");
    }
    for little in [&orders, &payments] {
        assert_eq!(shown(little, "signature-input"), [None, None]);
    }
}
