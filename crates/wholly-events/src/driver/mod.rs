//! The drivers, a file each.

#[cfg(feature = "rusqlite")]
pub(crate) mod rusqlite;
