//! Every statement by its name, for the tests that no statement may escape.

use super::*;

macro_rules! named {
    ($($name:ident)*) => { [$((stringify!($name), $name)),*] };
}

/// Every statement of a database, with its name.
pub(crate) fn all(dialect: Dialect) -> Vec<(&'static str, &'static str)> {
    let own = [
        ("lock_correlation", dialect.lock_correlation()),
        ("trim_correlations", dialect.trim_correlations()),
        ("feed_locked", Some(dialect.feed_locked())),
        ("feed", Some(dialect.feed())),
        ("sequence", dialect.sequence()),
    ];
    let own = own.into_iter().filter_map(|(name, statement)| Some((name, statement?)));
    COMMON.into_iter().chain(own).collect()
}

/// The number of values that a statement has.
pub(crate) fn values_of(statement: &str) -> usize {
    mentioned(statement).max().unwrap_or(0)
}

const COMMON: [(&str, &str); 34] = named! {
    PUBLISH RECEIVE REACTION LOOK EFFECT SET_EFFECT PARK PARKED_ONE PARKED_DUE PARKED_NEXT
    PARKED_LIST PARKED_UPDATE UNPARK PARKED_WAKE CALLS_AGAIN RETRY_NOW SET_TIMEOUT
    CANCEL_TIMEOUT TIMEOUTS_DUE TIMEOUT_NEXT CURSOR ADVANCE SET_CURSOR PAGE AT NAME_FEED
    FEED_NAME TRIM_TO TRIM TRIMMED YOUNGEST TRIM_INBOX TRIM_EFFECTS SET_ASIDE
};

fn mentioned(statement: &str) -> impl Iterator<Item = usize> {
    let after = statement.split('$').skip(1);
    after.filter_map(|text| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SQLite counts them by their first appearance, and PostgreSQL by their numbers.
    #[test]
    fn values_are_first_mentioned_in_their_order() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            for (name, statement) in all(dialect) {
                let mut count = 0;
                for number in mentioned(statement) {
                    assert!(number <= count + 1, "{name} mentions ${number} after ${count}");
                    count = count.max(number);
                }
            }
        }
    }

    #[test]
    fn no_statement_is_left_out() {
        let source = include_str!("mod.rs");
        let declared =
            source.split("\npub(crate) const ").skip(1).filter_map(|rest| rest.split(':').next());
        assert!(declared.eq(COMMON.map(|(name, _)| name)));
        // Every function of the dialect but the one for its schema.
        let own = source.matches("(self) -> ").count() - 1;
        assert_eq!(all(Dialect::Postgres).len(), COMMON.len() + own);
    }
}
