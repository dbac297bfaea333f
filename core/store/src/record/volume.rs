//! Volumes, and which containers use them. A volume that is used can not be forgotten.

use rusqlite::{OptionalExtension, Row, params};

use crate::RecordError;
use crate::db::{Database, Durability};

/// Records of volumes.
#[derive(Debug, Clone, Copy)]
pub struct Volumes<'a> {
    pub(super) database: &'a Database,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRecord {
    /// Its name.
    pub name: String,
    /// Which driver has its files.
    pub driver: String,
    /// It was made for one container.
    pub anonymous: bool,
    /// In the order given.
    pub labels: Vec<(String, String)>,
    /// When it was made, RFC 3339.
    pub created: String,
}

const COLUMNS: &str = "SELECT name, driver, anonymous, labels, created FROM volumes";

impl Volumes<'_> {
    /// Keeps a record; false when there is one of that name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn create(
        &self,
        name: &str,
        driver: &str,
        anonymous: bool,
        labels: &[(String, String)],
    ) -> Result<bool, RecordError> {
        let damaged = |error: serde_json::Error| damaged(name, error);
        let labels = serde_json::to_string(labels).map_err(damaged)?;
        let created = jiff::Timestamp::now().to_string();
        self.database.write(Durability::Synced, |change| {
            let query = "INSERT OR IGNORE INTO volumes VALUES (?, ?, ?, ?, ?)";
            Ok(change.execute(query, params![name, driver, anonymous, labels, created])? > 0)
        })
    }

    /// The record of that name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get(&self, name: &str) -> Result<Option<VolumeRecord>, RecordError> {
        self.database.read(|database| {
            let query = format!("{COLUMNS} WHERE name = ?");
            database.query_row(&query, [name], raw).optional()?.map(record).transpose()
        })
    }

    /// All records, sorted by name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn list(&self) -> Result<Vec<VolumeRecord>, RecordError> {
        self.database.read(|database| {
            let mut query = database.prepare(&format!("{COLUMNS} ORDER BY name"))?;
            let rows = query.query_map([], raw)?;
            rows.map(|row| record(row?)).collect()
        })
    }

    /// Forgets a volume that nobody uses.
    ///
    /// # Errors
    /// When a container uses it, or the database fails.
    pub fn remove(&self, name: &str) -> Result<(), RecordError> {
        self.database.write(Durability::Synced, |change| {
            change.execute("DELETE FROM volumes WHERE name = ?", [name])?;
            Ok(())
        })
    }

    /// Ids of the containers that use a volume, sorted.
    ///
    /// # Errors
    /// When the database fails.
    pub fn users(&self, name: &str) -> Result<Vec<String>, RecordError> {
        self.database.read(|database| {
            let query = "SELECT container FROM volume_users WHERE volume = ? ORDER BY container";
            let mut query = database.prepare(query)?;
            let rows = query.query_map([name], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Notes that a container uses a volume.
    ///
    /// # Errors
    /// When there is no such volume, or the database fails.
    pub fn add_user(&self, name: &str, container: &str) -> Result<(), RecordError> {
        self.database.write(Durability::Synced, |change| {
            let query = "INSERT INTO volume_users VALUES (?, ?) ON CONFLICT DO NOTHING";
            change.execute(query, [name, container])?;
            Ok(())
        })
    }

    /// Notes that a container uses no volume any more.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove_user(&self, container: &str) -> Result<(), RecordError> {
        self.database.write(Durability::Relaxed, |change| {
            change.execute("DELETE FROM volume_users WHERE container = ?", [container])?;
            Ok(())
        })
    }
}

type Raw = (String, String, bool, String, String);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn record((name, driver, anonymous, labels, created): Raw) -> Result<VolumeRecord, RecordError> {
    let labels = serde_json::from_str(&labels).map_err(|error| damaged(&name, error))?;
    Ok(VolumeRecord { name, driver, anonymous, labels, created })
}

fn damaged(name: &str, error: serde_json::Error) -> RecordError {
    RecordError::Damaged { what: format!("volume `{name}`"), source: error.into() }
}

#[cfg(test)]
mod tests {
    use crate::Store;

    #[test]
    fn a_used_volume_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let volumes = store.volumes();
        let labels = [("b".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        assert!(volumes.create("v", "local", false, &labels).unwrap());
        assert!(!volumes.create("v", "local", true, &[]).unwrap());
        let record = volumes.get("v").unwrap().unwrap();
        assert_eq!((record.anonymous, record.labels.as_slice()), (false, labels.as_slice()));
        volumes.add_user("v", "c").unwrap();
        volumes.add_user("v", "c").unwrap();
        assert!(volumes.add_user("none", "c").is_err());
        assert!(volumes.remove("v").is_err());
        assert_eq!(volumes.users("v").unwrap(), ["c"]);
        store.containers().remove("c").unwrap();
        volumes.remove("v").unwrap();
        assert!(volumes.list().unwrap().is_empty());
    }
}
