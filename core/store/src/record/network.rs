//! Networks, each with one name.

use rusqlite::OptionalExtension;

use crate::RecordError;
use crate::db::{Database, Durability};

/// Records of networks.
#[derive(Debug, Clone, Copy)]
pub struct Networks<'a> {
    pub(super) database: &'a Database,
}

impl Networks<'_> {
    /// Keeps a record; false when the name or the id is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub fn insert(&self, id: &str, name: &str, json: &str) -> Result<bool, RecordError> {
        self.database.write(Durability::Synced, |change| {
            let query = "INSERT OR IGNORE INTO networks (id, name, json) VALUES (?, ?, ?)";
            Ok(change.execute(query, [id, name, json])? > 0)
        })
    }

    /// The record of the network with this name or id.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get(&self, name: &str) -> Result<Option<String>, RecordError> {
        self.database.read(|database| {
            let query = "SELECT json FROM networks WHERE name = ?1 OR id = ?1 ORDER BY name != ?1 LIMIT 1";
            Ok(database.query_row(query, [name], |row| row.get(0)).optional()?)
        })
    }

    /// All records, sorted by name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn list(&self) -> Result<Vec<String>, RecordError> {
        self.database.read(|database| {
            let mut query = database.prepare("SELECT json FROM networks ORDER BY name")?;
            let rows = query.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Replaces the text of a record; false when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn update(&self, id: &str, json: &str) -> Result<bool, RecordError> {
        self.database.write(Durability::Synced, |change| {
            Ok(change.execute("UPDATE networks SET json = ? WHERE id = ?", [json, id])? > 0)
        })
    }

    /// Forgets a network and its leases; false when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove(&self, id: &str) -> Result<bool, RecordError> {
        self.database.write(Durability::Synced, |change| {
            change.execute("DELETE FROM leases WHERE network = ?", [id])?;
            Ok(change.execute("DELETE FROM networks WHERE id = ?", [id])? > 0)
        })
    }
}
