//! The build cache: what an operation led to the last time. An entry keeps its layer.

use rusqlite::{OptionalExtension, params};
use wharf_model::Digest;

use crate::RecordError;
use crate::db::{Database, Durability, boot, optional_digest};
use crate::layer::{Layer, unused};

/// The build cache.
#[derive(Debug, Clone, Copy)]
pub struct Cache<'a> {
    pub(super) database: &'a Database,
}

/// What an operation led to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheEntry {
    /// The topmost layer of its file system.
    pub chain_id: Option<Digest>,
    /// What else the builder wants to know.
    pub value: Vec<u8>,
}

impl Cache<'_> {
    /// What is known about an operation. An entry whose layer did not survive counts as none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get(&self, key: &Digest) -> Result<Option<CacheEntry>, RecordError> {
        self.database.read(|database| {
            let query = "SELECT cache.layer, value FROM cache LEFT JOIN layers ON chain_id = cache.layer \
                         WHERE key = ? AND (cache.layer IS NULL OR boot IS NULL OR boot = ?)";
            let mut query = database.prepare_cached(query)?;
            let entry = query.query_row([key.to_string().as_str(), boot()], |row| {
                Ok(CacheEntry { chain_id: optional_digest(row, 0)?, value: row.get(1)? })
            });
            Ok(entry.optional()?)
        })
    }

    /// Remembers what an operation led to.
    ///
    /// # Errors
    /// When the layer has no record, or the database fails.
    pub fn put(&self, key: &Digest, entry: &CacheEntry) -> Result<(), RecordError> {
        self.database.write(Durability::Relaxed, |change| {
            let layer = entry.chain_id.map(|id| id.to_string());
            let query = "INSERT OR REPLACE INTO cache VALUES (?, ?, ?)";
            change.execute(query, params![key.to_string(), layer, entry.value])?;
            Ok(())
        })
    }

    /// Forgets everything, also what was downloaded. Returns the layers that nobody needs any
    /// more, topmost first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn clear(&self) -> Result<Vec<Layer>, RecordError> {
        self.database.write(Durability::Synced, |change| {
            change.execute("DELETE FROM cache", [])?;
            change.execute("DELETE FROM downloads", [])?;
            unused(change)
        })
    }

    /// The layers that entries lead to, each once.
    ///
    /// # Errors
    /// When the database fails.
    pub fn layers(&self) -> Result<Vec<Digest>, RecordError> {
        self.database.read(|database| {
            let mut query = database
                .prepare("SELECT DISTINCT layer FROM cache WHERE layer IS NOT NULL ORDER BY layer")?;
            let rows = query.query_map([], |row| crate::db::digest(row, 0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Forgets the entries whose layer is not to be kept. Returns the layers that nobody needs any
    /// more, topmost first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn retain_layers(&self, keep: &dyn Fn(&Digest) -> bool) -> Result<Vec<Layer>, RecordError> {
        let gone: Vec<Digest> = self.layers()?.into_iter().filter(|layer| !keep(layer)).collect();
        self.database.write(Durability::Synced, |change| {
            for layer in &gone {
                change.execute("DELETE FROM cache WHERE layer = ?", [layer.to_string()])?;
            }
            unused(change)
        })
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// When the database fails.
    pub fn count(&self) -> Result<u64, RecordError> {
        self.database.read(|database| {
            Ok(database
                .query_row("SELECT count(*) FROM cache", [], |row| row.get::<_, i64>(0))?
                .unsigned_abs())
        })
    }
}
