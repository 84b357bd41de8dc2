//! The orders for which a service is prepared, so that a reader can be told of them.

use rusqlite::Connection;

pub(super) fn create(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS held (order_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    )
}

pub(super) fn begin(db: &Connection, order_id: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO held VALUES (?1)")?.execute([order_id])?;
    Ok(())
}

pub(super) fn end(db: &Connection, order_id: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM held WHERE order_id = ?1")?.execute([order_id])?;
    Ok(())
}

pub(super) fn is_held(db: &Connection, order_id: &str) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM held WHERE order_id = ?1")?.exists([order_id])
}
