//! The build cache: what an operation led to the last time. An entry keeps its layer.

use rusqlite::{OptionalExtension, params};
use wharf_model::Digest;

use crate::RecordError;
use crate::db::{Database, Durability, boot, optional_digest};
use crate::layer::{Layer, unused};

/// Seconds in which a use is not written down again.
const FRESH: i64 = 60;

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

/// A layer that entries lead to. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheItem {
    /// Its chain id.
    pub layer: Digest,
    /// When an entry that leads to it was used last, to the minute.
    pub used: i64,
    /// When the first of them was made.
    pub made: i64,
    /// What used it last.
    pub label: String,
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
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
            let query = "INSERT INTO cache (key, layer, value, made, used) VALUES (?1, ?2, ?3, ?4, ?4) \
                         ON CONFLICT (key) DO UPDATE SET layer = ?2, value = ?3, made = ?4, used = ?4";
            change.execute(query, params![key.to_string(), layer, entry.value, now()])?;
            Ok(())
        })
    }

    /// Remembers that an entry was used now, and by what. Within a minute it is not written down again.
    ///
    /// # Errors
    /// When the database fails.
    pub fn used(&self, key: &Digest, label: &str) -> Result<(), RecordError> {
        let key = key.to_string();
        let row = params![key, label, now(), now() - FRESH];
        let stale = self.database.read(|database| {
            let query = "SELECT 1 FROM cache WHERE key = ?1 AND (label <> ?2 OR used < ?4 OR used > ?3)";
            Ok::<bool, RecordError>(database.prepare_cached(query)?.exists(row)?)
        })?;
        if !stale {
            return Ok(());
        }
        self.database.write(Durability::Relaxed, |change| {
            change.execute(
                "UPDATE cache SET label = ?2, used = ?3 WHERE key = ?1",
                params![key, label, now()],
            )?;
            Ok(())
        })
    }

    /// The layers that entries lead to, each once, with when they were used last.
    ///
    /// # Errors
    /// When the database fails.
    pub fn items(&self) -> Result<Vec<CacheItem>, RecordError> {
        self.database.read(|database| {
            // With one aggregate only, the label is that of the row that `max` found.
            let query = "SELECT layer, max(used), \
                         (SELECT min(made) FROM cache AS same WHERE same.layer = cache.layer), label \
                         FROM cache WHERE layer IS NOT NULL GROUP BY layer ORDER BY layer";
            let mut query = database.prepare(query)?;
            let rows = query.query_map([], |row| {
                let (layer, used) = (crate::db::digest(row, 0)?, row.get(1)?);
                Ok(CacheItem { layer, used, made: row.get(2)?, label: row.get(3)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Forgets the entries that lead to a layer. Returns the layers that nobody needs any more,
    /// topmost first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget(&self, layer: &Digest) -> Result<Vec<Layer>, RecordError> {
        self.database.write(Durability::Synced, |change| {
            change.execute("DELETE FROM cache WHERE layer = ?", [layer.to_string()])?;
            unused(change)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    #[test]
    fn a_use_is_remembered_with_what_used_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let layer = Layer {
            diff_id: Digest::of("a"),
            chain_id: Digest::of("a"),
            parent: None,
            size: 1,
            tar_size: 1024,
            blob: None,
            media_type: None,
            driver: "overlay".into(),
        };
        store.record_layer(&layer).unwrap();
        for name in ["one", "other"] {
            let entry = CacheEntry { chain_id: Some(layer.chain_id), value: Vec::new() };
            store.cache().put(&Digest::of(name), &entry).unwrap();
        }
        store.cache().used(&Digest::of("one"), "RUN a").unwrap();
        let old = |change: &rusqlite::Transaction<'_>| -> Result<(), RecordError> {
            change.execute("UPDATE cache SET used = 100, made = 100", [])?;
            Ok(())
        };
        store.database.write(Durability::Synced, old).unwrap();
        assert_eq!(store.cache().items().unwrap()[0].used, 100);
        store.cache().used(&Digest::of("other"), "RUN b").unwrap();
        let items = store.cache().items().unwrap();
        assert_eq!((items.len(), items[0].made, items[0].label.as_str()), (1, 100, "RUN b"));
        assert!(items[0].used > 100);
        assert_eq!(store.cache().forget(&layer.chain_id).unwrap(), [layer]);
        assert_eq!(store.cache().count().unwrap(), 0);
    }
}
