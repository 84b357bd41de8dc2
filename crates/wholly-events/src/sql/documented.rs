//! The document of the contract has the statements and the tables as they are.

use super::{ADVANCE, Dialect, PUBLISH, RECEIVE};

fn contract() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events-contract.md");
    std::fs::read_to_string(path).unwrap()
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_statements_are_as_they_are_documented() {
    let contract = in_one_line(&contract());
    let postgres = Dialect::Postgres;
    let of_postgres = [postgres.lock_correlation(), postgres.sequence()].map(Option::unwrap);
    let both = [PUBLISH, RECEIVE, ADVANCE, postgres.feed_locked()];
    for statement in both.into_iter().chain(of_postgres) {
        assert!(contract.contains(&in_one_line(statement)), "it is not documented: {statement}");
    }
}

#[test]
fn every_column_is_documented() {
    let contract = contract();
    for schema in [Dialect::Sqlite, Dialect::Postgres].map(Dialect::schema) {
        let mut row = "";
        for line in schema.lines() {
            if let Some(table) = line.strip_prefix("CREATE TABLE IF NOT EXISTS ") {
                let start = format!("| `{}`", table.trim_end_matches(" ("));
                let found = contract.lines().find(|line| line.starts_with(&start));
                row = found.unwrap_or_else(|| {
                    contract.lines().find(|line| line.contains(&start[2..])).unwrap()
                });
            } else if let Some(column) = line.strip_prefix("    ").and_then(|l| l.split(' ').next())
                && column.starts_with(|c: char| c.is_ascii_lowercase())
            {
                assert!(row.contains(&format!("`{column}`")), "{column} is not in {row}");
            }
        }
    }
}
