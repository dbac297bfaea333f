//! Containers: a name belongs to one of them, and the layers below one stay while it does.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use wharf_model::Digest;

use crate::RecordError;
use crate::db::{Database, Durability};

/// Records of containers.
#[derive(Debug, Clone, Copy)]
pub struct Containers<'a> {
    pub(super) database: &'a Database,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// 64 hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What the engine keeps about it.
    pub json: String,
}

/// A name that another container has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name `{name}` is in use by container {id}")]
pub struct NameTaken {
    /// The name.
    pub name: String,
    /// Who has it.
    pub id: String,
}

/// Why no container was found.
#[derive(Debug, thiserror::Error)]
pub enum Lookup {
    /// None fits.
    #[error("no such container")]
    Unknown,
    /// Several ids begin like that.
    #[error("more than one container id begins like that")]
    Ambiguous,
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Containers<'_> {
    /// Takes the name and keeps the record, unless another container has the name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn insert(
        &self,
        id: &str,
        name: &str,
        json: &str,
        durable: bool,
    ) -> Result<Result<(), NameTaken>, RecordError> {
        let durability = if durable { Durability::Synced } else { Durability::Relaxed };
        self.database.write(durability, |change| {
            if let Some(taken) = holder(change, name)? {
                return Ok(Err(taken));
            }
            change.execute("INSERT INTO containers (id, name, json) VALUES (?, ?, ?)", [id, name, json])?;
            Ok(Ok(()))
        })
    }

    /// Keeps the layer `top` and those below it while the container has a record.
    ///
    /// # Errors
    /// When the layer is gone, or the database fails.
    pub fn hold(&self, id: &str, top: &Digest) -> Result<(), RecordError> {
        self.database.write(Durability::Relaxed, |change| {
            change.execute("UPDATE containers SET layer = ? WHERE id = ?", [&top.to_string(), id])?;
            Ok(())
        })
    }

    /// The container with this id or name (a leading `/` is fine), or the only one whose id
    /// begins like that; in this order.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn get(&self, name: &str) -> Result<Record, Lookup> {
        self.database.read(|database| {
            let found = exact(database, "id", name)?;
            let found = match found {
                None => exact(database, "name", name.strip_prefix('/').unwrap_or(name))?,
                found => found,
            };
            found.map_or_else(|| by_prefix(database, name), Ok)
        })
    }

    /// All of them, sorted by id.
    ///
    /// # Errors
    /// When the database fails.
    pub fn list(&self) -> Result<Vec<Record>, RecordError> {
        self.database.read(|database| {
            let mut query = database.prepare("SELECT id, name, json FROM containers ORDER BY id")?;
            let rows = query.query_map([], record)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Replaces the text of a record; false when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn update(&self, id: &str, json: &str) -> Result<bool, RecordError> {
        self.database.write(Durability::Relaxed, |change| {
            Ok(change.execute("UPDATE containers SET json = ? WHERE id = ?", [json, id])? > 0)
        })
    }

    /// Gives a container another name, unless another container has it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn rename(&self, id: &str, name: &str) -> Result<Result<(), NameTaken>, RecordError> {
        self.database.write(Durability::Synced, |change| match holder(change, name)? {
            Some(taken) if taken.id != id => Ok(Err(taken)),
            _ => {
                change.execute("UPDATE containers SET name = ? WHERE id = ?", [name, id])?;
                Ok(Ok(()))
            }
        })
    }

    /// Forgets a container with its leases and its use of volumes; false when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove(&self, id: &str) -> Result<bool, RecordError> {
        self.database.write(Durability::Relaxed, |change| {
            change.execute("DELETE FROM leases WHERE container = ?", [id])?;
            change.execute("DELETE FROM volume_users WHERE container = ?", [id])?;
            Ok(change.execute("DELETE FROM containers WHERE id = ?", [id])? > 0)
        })
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record { id: row.get(0)?, name: row.get(1)?, json: row.get(2)? })
}

fn holder(change: &Transaction<'_>, name: &str) -> Result<Option<NameTaken>, RecordError> {
    let query = "SELECT name, id FROM containers WHERE name = ?";
    let taken = |row: &Row<'_>| Ok(NameTaken { name: row.get(0)?, id: row.get(1)? });
    Ok(change.query_row(query, [name], taken).optional()?)
}

fn exact(database: &Connection, column: &str, value: &str) -> Result<Option<Record>, RecordError> {
    let query = format!("SELECT id, name, json FROM containers WHERE {column} = ?");
    Ok(database.query_row(&query, [value], record).optional()?)
}

/// `g` follows the last hex digit, so the ids that begin with `prefix` lie between the two.
fn by_prefix(database: &Connection, prefix: &str) -> Result<Record, Lookup> {
    let hex = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hex {
        return Err(Lookup::Unknown);
    }
    let query = "SELECT id, name, json FROM containers WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2";
    let mut query = database.prepare(query).map_err(RecordError::from)?;
    let rows = query.query_map(params![prefix], record).map_err(RecordError::from)?;
    let mut found: Vec<Record> = rows.collect::<Result<_, _>>().map_err(RecordError::from)?;
    match (found.pop(), found.pop()) {
        (Some(record), None) => Ok(record),
        (None, _) => Err(Lookup::Unknown),
        _ => Err(Lookup::Ambiguous),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn found_by_id_then_name_then_prefix() {
        let (_dir, store) = store();
        let containers = store.containers();
        for (id, name) in [("aa11", "web"), ("aa22", "aa11x"), ("bb33", "aa"), ("cc44", "v:1")] {
            containers.insert(id, name, "{}", true).unwrap().unwrap();
        }
        for (asked, id) in [
            ("aa11", "aa11"),
            ("web", "aa11"),
            ("/web", "aa11"),
            ("aa", "bb33"),
            ("b", "bb33"),
            ("v:1", "cc44"),
        ] {
            assert_eq!(containers.get(asked).unwrap().id, id, "for {asked}");
        }
        assert!(matches!(containers.get("a"), Err(Lookup::Ambiguous)));
        for unknown in ["", "x", "%", "aa1_", "cc445"] {
            assert!(matches!(containers.get(unknown), Err(Lookup::Unknown)), "for {unknown}");
        }
    }

    #[test]
    fn a_name_belongs_to_one() {
        let (_dir, store) = store();
        let containers = store.containers();
        containers.insert("1", "a", "{}", false).unwrap().unwrap();
        let taken = containers.insert("2", "a", "{}", true).unwrap().unwrap_err();
        assert_eq!((taken.name.as_str(), taken.id.as_str()), ("a", "1"));
        containers.insert("2", "b", "{}", true).unwrap().unwrap();
        assert!(containers.rename("2", "a").unwrap().is_err());
        assert!(containers.rename("1", "c").unwrap().is_ok());
        assert!(containers.rename("2", "a").unwrap().is_ok());
        assert!(containers.remove("1").unwrap());
        assert!(!containers.remove("1").unwrap());
        assert!(containers.update("2", "{\"x\":1}").unwrap());
        assert_eq!(containers.list().unwrap()[0].json, "{\"x\":1}");
    }

    #[test]
    fn a_layer_that_is_gone_can_not_be_held() {
        let (_dir, store) = store();
        store.containers().insert("1", "a", "{}", true).unwrap().unwrap();
        assert!(store.containers().hold("1", &Digest::of("gone")).is_err());
    }
}
