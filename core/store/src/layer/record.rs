//! Records of layers.
//!
//! A record is written as "counts during this boot", because nothing says yet that the layer's
//! files are on the disk. Committing an image syncs the file system and makes the records of
//! its layers permanent.

use rusqlite::{Connection, OptionalExtension, Row, params};
use wharf_model::Digest;

use super::{Layer, chain_id};
use crate::db::{Durability, boot, digest, optional_digest};
use crate::{RecordError, Store};

const COLUMNS: &str = "chain_id, diff_id, parent, size, tar_size, blob, media_type, driver";

/// What somebody needs: `needed(id)`.
const NEEDED: &str = "WITH RECURSIVE needed(id) AS ( \
        SELECT top FROM images WHERE top IS NOT NULL \
        UNION SELECT layer FROM containers WHERE layer IS NOT NULL \
        UNION SELECT layer FROM cache WHERE layer IS NOT NULL \
        UNION SELECT layer FROM arrived WHERE at > unixepoch() - 86400 \
        UNION SELECT parent FROM layers JOIN needed ON chain_id = id WHERE parent IS NOT NULL)";

/// Why a layer can not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordLayerError {
    /// Its name is not that of its content.
    #[error("layer {diff_id} is recorded as {found}, but its chain id is {expected}")]
    ChainId {
        /// Its content.
        diff_id: Digest,
        /// What it was called.
        found: Digest,
        /// What it is called.
        expected: Digest,
    },
    /// The layer below is not there.
    #[error("the layer below, {0}, has no record")]
    Parent(Digest),
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Store {
    /// Notes that a layer is complete and in its place. Noting the same again is fine.
    ///
    /// # Errors
    /// When its chain id is wrong or the layer below has no record.
    pub fn record_layer(&self, layer: &Layer) -> Result<(), RecordLayerError> {
        let expected = chain_id(layer.parent.as_ref(), &layer.diff_id);
        if layer.chain_id != expected {
            let found = layer.chain_id;
            return Err(RecordLayerError::ChainId { diff_id: layer.diff_id, found, expected });
        }
        self.database.write(Durability::Relaxed, |change| {
            if let Some(parent) = layer.parent
                && find(change, &parent)?.is_none()
            {
                return Err(RecordLayerError::Parent(parent));
            }
            insert(change, layer)?;
            Ok(())
        })
    }

    /// The layer of that chain id, if it is complete.
    ///
    /// # Errors
    /// When the database fails.
    pub fn layer(&self, chain_id: &Digest) -> Result<Option<Layer>, RecordError> {
        self.database.read(|database| find(database, chain_id))
    }

    /// All complete layers, sorted by chain id.
    ///
    /// # Errors
    /// When the database fails.
    pub fn layers(&self) -> Result<Vec<Layer>, RecordError> {
        self.database.read(|database| {
            let query =
                format!("SELECT {COLUMNS} FROM layers WHERE boot IS NULL OR boot = ? ORDER BY chain_id");
            let mut query = database.prepare(&query)?;
            let rows = query.query_map([boot()], layer)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Forgets a layer, before its directory is removed; false when it had no record.
    ///
    /// # Errors
    /// When somebody still needs it.
    pub fn forget_layer(&self, chain_id: &Digest) -> Result<bool, RecordError> {
        self.database.write(Durability::Synced, |change| {
            Ok(change.execute("DELETE FROM layers WHERE chain_id = ?", [chain_id.to_string()])? > 0)
        })
    }

    /// Layers that nobody needs, topmost first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unused_layers(&self) -> Result<Vec<Layer>, RecordError> {
        self.database.read(unused)
    }
}

fn layer(row: &Row<'_>) -> rusqlite::Result<Layer> {
    Ok(Layer {
        chain_id: digest(row, 0)?,
        diff_id: digest(row, 1)?,
        parent: optional_digest(row, 2)?,
        size: row.get::<_, i64>(3)?.unsigned_abs(),
        tar_size: row.get::<_, i64>(4)?.unsigned_abs(),
        blob: optional_digest(row, 5)?,
        media_type: row.get(6)?,
        driver: row.get(7)?,
    })
}

fn find(database: &Connection, chain_id: &Digest) -> Result<Option<Layer>, RecordError> {
    let query = format!("SELECT {COLUMNS} FROM layers WHERE chain_id = ? AND (boot IS NULL OR boot = ?)");
    let mut query = database.prepare_cached(&query)?;
    Ok(query.query_row([chain_id.to_string().as_str(), boot()], layer).optional()?)
}

/// An old record keeps its blob when the new one brings none, and stays permanent if it is:
/// nobody makes the directory of a complete layer again.
fn insert(database: &Connection, layer: &Layer) -> Result<(), RecordError> {
    let query = "INSERT INTO layers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (chain_id) DO UPDATE SET \
                 size = excluded.size, tar_size = excluded.tar_size, driver = excluded.driver, \
                 media_type = iif(excluded.blob IS NULL, media_type, excluded.media_type), \
                 blob = ifnull(excluded.blob, blob), boot = iif(boot IS NULL, NULL, excluded.boot)";
    let values = params![
        layer.chain_id.to_string(),
        layer.diff_id.to_string(),
        layer.parent.map(|parent| parent.to_string()),
        layer.size as i64,
        layer.tar_size as i64,
        layer.blob.map(|blob| blob.to_string()),
        layer.media_type,
        layer.driver,
        boot(),
    ];
    database.prepare_cached(query)?.execute(values)?;
    Ok(())
}

/// The layer `?1` and those below it: `chain`.
const CHAIN: &str = "WITH RECURSIVE chain AS ( \
        SELECT layers.*, 0 AS height FROM layers WHERE chain_id = ?1 \
        UNION ALL SELECT below.*, height + 1 FROM layers AS below \
        JOIN chain ON below.chain_id = chain.parent)";

/// The layer `top` and those below it, lowest first.
pub(crate) fn chain(database: &Connection, top: &Digest) -> Result<Vec<Layer>, RecordError> {
    let query = format!("{CHAIN} SELECT {COLUMNS} FROM chain ORDER BY height DESC");
    let mut query = database.prepare_cached(&query)?;
    let rows = query.query_map([top.to_string()], layer)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether `top` or a layer below it may not have reached the disk yet.
pub(crate) fn is_unsynced(database: &Connection, top: &Digest) -> Result<bool, RecordError> {
    let query = format!("{CHAIN} SELECT count(*) > 0 FROM chain WHERE boot IS NOT NULL");
    Ok(database.prepare_cached(&query)?.query_row([top.to_string()], |row| row.get(0))?)
}

/// Layers that nobody needs, topmost first, so that they can be forgotten in this order.
pub(crate) fn unused(database: &Connection) -> Result<Vec<Layer>, RecordError> {
    let query = format!("{NEEDED} SELECT {COLUMNS} FROM layers WHERE chain_id NOT IN needed");
    let mut query = database.prepare(&query)?;
    let rows = query.query_map([], layer)?;
    let layers: Vec<Layer> = rows.collect::<Result<_, _>>()?;
    Ok(topmost_first(layers))
}

fn topmost_first(layers: Vec<Layer>) -> Vec<Layer> {
    let parents: std::collections::HashMap<Digest, Option<Digest>> =
        layers.iter().map(|layer| (layer.chain_id, layer.parent)).collect();
    let height = |layer: &Layer| {
        let below = |id: &Digest| parents.get(id).copied().flatten();
        std::iter::successors(Some(layer.chain_id), below).count()
    };
    let mut layers = layers;
    layers.sort_by_cached_key(|layer| (std::cmp::Reverse(height(layer)), layer.chain_id));
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CacheEntry;

    fn layer(parent: Option<Digest>, content: &str) -> Layer {
        let diff_id = Digest::of(content);
        Layer {
            diff_id,
            chain_id: chain_id(parent.as_ref(), &diff_id),
            parent,
            size: 1,
            tar_size: 1024,
            blob: None,
            media_type: None,
            driver: "overlay".into(),
        }
    }

    #[test]
    fn a_layer_needs_the_one_below() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let low = layer(None, "low");
        let high = layer(Some(low.chain_id), "high");
        assert!(matches!(store.record_layer(&high), Err(RecordLayerError::Parent(_))));
        let wrong = Layer { chain_id: Digest::of("x"), ..low.clone() };
        assert!(matches!(store.record_layer(&wrong), Err(RecordLayerError::ChainId { .. })));
        store.record_layer(&low).unwrap();
        store.record_layer(&high).unwrap();
        store.record_layer(&high).unwrap();
        assert_eq!(store.layer(&high.chain_id).unwrap(), Some(high.clone()));
        assert!(store.forget_layer(&low.chain_id).is_err());
        assert_eq!(store.unused_layers().unwrap(), [high.clone(), low.clone()]);

        let key = Digest::of("key");
        store.cache().put(&key, &CacheEntry { chain_id: Some(low.chain_id), value: b"v".into() }).unwrap();
        assert_eq!(store.unused_layers().unwrap(), std::slice::from_ref(&high));
        assert!(store.forget_layer(&high.chain_id).unwrap());
        assert_eq!(store.cache().get(&key).unwrap().unwrap().chain_id, Some(low.chain_id));
        assert_eq!(store.cache().clear().unwrap(), [low]);
        assert_eq!(store.cache().get(&key).unwrap(), None);
    }

    #[test]
    fn an_unsynced_record_dies_with_the_boot() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let low = layer(None, "low");
        store.record_layer(&low).unwrap();
        let key = Digest::of("key");
        store.cache().put(&key, &CacheEntry { chain_id: Some(low.chain_id), value: Vec::new() }).unwrap();
        let reboot = |change: &rusqlite::Transaction<'_>| -> Result<(), RecordError> {
            change.execute("UPDATE layers SET boot = 'another'", [])?;
            Ok(())
        };
        store.database.write(Durability::Synced, reboot).unwrap();
        assert_eq!(store.layer(&low.chain_id).unwrap(), None);
        assert_eq!(store.cache().get(&key).unwrap(), None);
        store.record_layer(&low).unwrap();
        assert!(store.cache().get(&key).unwrap().is_some());
    }
}
