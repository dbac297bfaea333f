//! Keys and values that storage and network drivers remember between calls.

use rusqlite::{OptionalExtension, params};
use wharf_model::StateChange;

use crate::RecordError;
use crate::db::{Database, Durability};

/// What one driver remembers.
#[derive(Debug, Clone, Copy)]
pub struct DriverState<'a> {
    pub(super) database: &'a Database,
    pub(super) plugin: &'a str,
}

impl DriverState<'_> {
    /// The value of a key.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, RecordError> {
        self.database.read(|database| {
            let query = "SELECT value FROM driver_state WHERE plugin = ? AND key = ?";
            Ok(database.query_row(query, [self.plugin, key], |row| row.get(0)).optional()?)
        })
    }

    /// The first `limit` keys that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// When the database fails.
    pub fn keys(&self, prefix: &str, limit: u32) -> Result<Vec<String>, RecordError> {
        self.database.read(|database| {
            let query = "SELECT key FROM driver_state \
                         WHERE plugin = ?1 AND substr(key, 1, length(?2)) = ?2 ORDER BY key LIMIT ?3";
            let mut query = database.prepare(query)?;
            let rows = query.query_map(params![self.plugin, prefix, limit], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Makes all changes or none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn apply(&self, changes: &[StateChange]) -> Result<(), RecordError> {
        self.database.write(Durability::Synced, |database| {
            for change in changes {
                match change {
                    StateChange::Put(key, value) => database.execute(
                        "INSERT OR REPLACE INTO driver_state VALUES (?, ?, ?)",
                        params![self.plugin, key, value],
                    )?,
                    StateChange::Delete(key) => database.execute(
                        "DELETE FROM driver_state WHERE plugin = ? AND key = ?",
                        [self.plugin, key],
                    )?,
                };
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    #[test]
    fn drivers_do_not_see_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let put = |key: &str| StateChange::Put(key.into(), b"v".into());
        store.driver_state("a").apply(&[put("x_1"), put("x_2"), put("xx1"), put("y")]).unwrap();
        store.driver_state("b").apply(&[put("x_3")]).unwrap();
        store.driver_state("a").apply(&[StateChange::Delete("y".into())]).unwrap();
        assert_eq!(store.driver_state("a").keys("x_", 9).unwrap(), ["x_1", "x_2"]);
        assert_eq!(store.driver_state("a").keys("", 2).unwrap(), ["x_1", "x_2"]);
        assert_eq!(store.driver_state("a").get("y").unwrap(), None);
        assert_eq!(store.driver_state("b").get("x_3").unwrap().as_deref(), Some(b"v".as_slice()));
    }
}
