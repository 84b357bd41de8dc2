//! The lesson's table, with a figure behind every word.

use std::fmt;

use super::document::Document;

pub(super) struct Table<'a>(pub(super) &'a Document);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.0.regimes {
            writeln!(f, "{:?}\n fair {:#?}\n bad {:#?}", one.regime, one.fair, one.bad)?;
        }
        Ok(())
    }
}
