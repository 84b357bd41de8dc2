//! The statements: every database understands each, and compares and keeps what it is given.

use super::client::made;
use super::{TestClient, TestDatabase};
use crate::session::SqlValue;
use crate::sql;

pub(super) async fn every_statement_is_understood(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    for (name, statement) in sql::all(client.dialect()) {
        let values = vec![SqlValue::Null; sql::values_of(statement)];
        let explained = client.try_query(made(format!("EXPLAIN {statement}")), &values).await;
        assert!(!explained.unwrap_or_else(|error| panic!("{name}: {error}")).is_empty());
    }
}

pub(super) async fn correlations_are_compared_by_their_bytes(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    let all =
        "a|A|a | a|a\u{a0}|a\u{200b}|a\u{3000}|á|a\u{301}|å|Å|\u{212b}|ß|ss|SS|ﬁ|fi|ı|i|I|İ|ａ";
    let all: Vec<_> = all.split('|').collect();
    for &correlation in &all {
        let values = [correlation, "reserve", "done", correlation].map(SqlValue::Text);
        let values: Vec<_> = values.into_iter().chain([1.into()]).collect();
        assert_eq!(client.execute(sql::SET_EFFECT, &values).await, 1);
    }
    for correlation in all {
        let mut found =
            client.query(sql::EFFECT, &[correlation, "reserve"].map(SqlValue::Text)).await;
        assert_eq!(found.len(), 1, "{correlation:?}");
        assert_eq!(found[0].text(1).unwrap(), correlation);
    }
}

/// A driver that keeps statements may have taken the type of a `NULL` for the type of the value.
pub(super) async fn a_number_and_a_text_may_be_null_at_any_time(database: &impl TestDatabase) {
    let mut client = TestClient::of(database).await;
    let all =
        [(None, None), (Some(i64::MAX), Some("it failed")), (None, None), (Some(0), Some(""))];
    for (id, (next_try, error)) in ["1", "2", "3", "4"].into_iter().zip(all) {
        let texts = ["reserve", "orders", id, "ORD001", "{}", "failed"].map(SqlValue::Text);
        let next_try = next_try.map_or(SqlValue::Null, SqlValue::Int);
        let rest = [SqlValue::Int(0), next_try, error.into(), SqlValue::Int(1)];
        let values: Vec<_> = texts.into_iter().chain(rest).collect();
        assert_eq!(client.execute(sql::PARK, &values).await, 1);
    }
    let parked = client.query(sql::PARKED_LIST, &[0.into(), 10.into()]).await;
    let read = parked
        .into_iter()
        .map(|mut row| (row.optional_number(8).unwrap(), row.optional_text(9).unwrap()));
    let expected =
        all.map(|(number, text)| (number.map(i64::cast_unsigned), text.map(str::to_owned)));
    assert!(read.eq(expected));
}
