//! Indexes that are being put together, until a registry has them.

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wharf_model::Reference;

use crate::RecordError;
use crate::db::{Database, Durability};

/// Records of them.
#[derive(Debug, Clone, Copy)]
pub struct ManifestLists<'a> {
    pub(super) database: &'a Database,
}

impl ManifestLists<'_> {
    /// The entries of one, in order; `None` when none is called so.
    ///
    /// # Errors
    /// When the database fails, or its record is damaged.
    pub fn get<Member: DeserializeOwned>(
        &self,
        name: &Reference,
    ) -> Result<Option<Vec<Member>>, RecordError> {
        let text: Option<String> = self.database.read(|database| {
            let mut query = database.prepare("SELECT members FROM manifest_lists WHERE reference = ?")?;
            Ok::<_, RecordError>(query.query_row([name.to_string()], |row| row.get(0)).optional()?)
        })?;
        let damaged = |source: serde_json::Error| damaged(name, source);
        text.map(|text| serde_json::from_str(&text).map_err(damaged)).transpose()
    }

    /// From now on it has these entries.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set(&self, name: &Reference, members: &[impl Serialize]) -> Result<(), RecordError> {
        let damaged = |source: serde_json::Error| damaged(name, source);
        let text = serde_json::to_string(members).map_err(damaged)?;
        self.database.write(Durability::Synced, |change| {
            let row = params![name.to_string(), text];
            change.execute("INSERT OR REPLACE INTO manifest_lists VALUES (?, ?)", row)?;
            Ok(())
        })
    }

    /// Forgets one; false when there was none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove(&self, name: &Reference) -> Result<bool, RecordError> {
        self.database.write(Durability::Synced, |change| {
            let query = "DELETE FROM manifest_lists WHERE reference = ?";
            Ok(change.execute(query, [name.to_string()])? > 0)
        })
    }
}

fn damaged(name: &Reference, source: serde_json::Error) -> RecordError {
    RecordError::Damaged { what: format!("the manifest list {}", name.familiar()), source: Box::new(source) }
}
