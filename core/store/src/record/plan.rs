//! Plans of Dockerfile statements, for builds to come.
//!
//! Only the builder knows what a plan is and when it is right. The newest [`KEPT`] are kept.

use rusqlite::{OptionalExtension, params};
use wharf_model::Digest;

use crate::RecordError;
use crate::db::{Database, Durability};

/// How many there are at most; a plan has about a kilobyte.
const KEPT: i64 = 20_000;

/// The kept plans.
#[derive(Debug, Clone, Copy)]
pub struct Plans<'a> {
    pub(super) database: &'a Database,
}

impl Plans<'_> {
    /// The plan of a key.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get(&self, key: &Digest) -> Result<Option<Vec<u8>>, RecordError> {
        self.database.read(|database| {
            let mut query = database.prepare_cached("SELECT value FROM plans WHERE key = ?")?;
            Ok(query.query_row([key.to_string()], |row| row.get(0)).optional()?)
        })
    }

    /// Keeps plans, all in one change.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put(&self, plans: &[(Digest, Vec<u8>)]) -> Result<(), RecordError> {
        if plans.is_empty() {
            return Ok(());
        }
        self.database.write(Durability::Relaxed, |change| {
            for (key, value) in plans {
                change
                    .execute("INSERT OR REPLACE INTO plans VALUES (?, ?)", params![key.to_string(), value])?;
            }
            change.execute("DELETE FROM plans WHERE rowid <= (SELECT max(rowid) FROM plans) - ?", [KEPT])?;
            Ok(())
        })
    }

    /// Forgets all of them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn clear(&self) -> Result<(), RecordError> {
        self.database.write(Durability::Relaxed, |change| {
            change.execute("DELETE FROM plans", [])?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    #[test]
    fn the_newest_are_kept() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path()).unwrap();
        let key = |number: i64| Digest::of(number.to_string());
        let plans: Vec<_> = (0..KEPT).map(|number| (key(number), b"old".to_vec())).collect();
        store.plans().put(&plans).unwrap();
        store.plans().put(&[(key(1), b"new".to_vec())]).unwrap();
        assert_eq!(store.plans().get(&key(0)).unwrap(), None);
        assert_eq!(store.plans().get(&key(1)).unwrap().unwrap(), b"new");
        assert_eq!(store.plans().get(&key(2)).unwrap().unwrap(), b"old");
        store.plans().clear().unwrap();
        assert_eq!(store.plans().get(&key(1)).unwrap(), None);
    }
}
