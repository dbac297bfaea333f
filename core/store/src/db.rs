//! The database: one SQLite file, opened by every command for as long as it runs.
//!
//! The schema's version is `user_version`; each migration is run once, in order, in a
//! transaction. Writers begin with `BEGIN IMMEDIATE` and wait for each other; readers never
//! wait. The write-ahead log stays when the last process closes the file, because folding it
//! back costs two syncs that nobody should wait for.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior};
use wharf_model::Digest;

const MIGRATIONS: &[&str] = &[
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
    include_str!("schema/7.sql"),
];
/// The version that this wharf writes.
const VERSION: u32 = MIGRATIONS.len() as u32;

/// Why a record can not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The database refused.
    #[error("the store's database cannot be used")]
    Database(#[from] rusqlite::Error),
    /// The file is from a wharf that is newer than this one.
    #[error("the database has version {found}, this wharf knows {known}: use the newer wharf")]
    Newer {
        /// The file's.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// What is kept can not be understood.
    #[error("the record of {what} is damaged")]
    Damaged {
        /// Which.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file of the store can not be used.
    #[error("cannot use {}", .path.display())]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Whether a change must be on the disk before it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It must.
    Synced,
    /// A power cut may take it back, whole.
    Relaxed,
}

/// The opened database.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Mutex<Connection>,
}

impl Database {
    pub(crate) fn open(path: &Path) -> Result<Self, RecordError> {
        if !path.exists() {
            let made = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
            made.map_err(|source| RecordError::File { path: path.to_owned(), source })?;
        }
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // Without it, a prepared statement is planned anew for each value it is asked with.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 200;",
        )?;
        migrate(&mut connection)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T, E: From<RecordError>>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        look(&self.connection())
    }

    /// Runs `change` in a transaction that is rolled back when it fails.
    pub(crate) fn write<T, E: From<RecordError>>(
        &self,
        durability: Durability,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.connection();
        let level = match durability {
            Durability::Synced => 2,
            Durability::Relaxed => 1,
        };
        connection.pragma_update(None, "synchronous", level).map_err(RecordError::from)?;
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(RecordError::from)?;
        let value = change(&transaction)?;
        transaction.commit().map_err(RecordError::from)?;
        Ok(value)
    }
}

fn version(connection: &Connection) -> Result<u32, RecordError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn migrate(connection: &mut Connection) -> Result<(), RecordError> {
    let found = version(connection)?;
    if found == VERSION {
        return Ok(());
    }
    if found == 0 {
        connection.pragma_update(None, "journal_mode", "WAL")?;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > VERSION {
        return Err(RecordError::Newer { found, known: VERSION });
    }
    for migration in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// A digest in column `index`.
pub(crate) fn digest(row: &Row<'_>, index: usize) -> rusqlite::Result<Digest> {
    parsed(index, &row.get::<_, String>(index)?)
}

/// A digest or NULL in column `index`.
pub(crate) fn optional_digest(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Digest>> {
    row.get::<_, Option<String>>(index)?.map(|text| parsed(index, &text)).transpose()
}

fn parsed(index: usize, text: &str) -> rusqlite::Result<Digest> {
    text.parse().map_err(|error: wharf_model::DigestError| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// Which boot this is. What was not synced counts for this one only.
pub(crate) fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.trim().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_database_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wharf.db");
        let database = Database::open(&path).unwrap();
        database.connection().pragma_update(None, "user_version", 99).unwrap();
        drop(database);
        assert!(matches!(Database::open(&path), Err(RecordError::Newer { found: 99, .. })));
    }

    #[test]
    fn a_failed_change_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(&dir.path().join("wharf.db")).unwrap();
        let failed: Result<(), RecordError> = database.write(Durability::Synced, |change| {
            change.execute("INSERT INTO networks VALUES ('1', 'a', '{}')", [])?;
            change.execute("INSERT INTO networks VALUES ('2', 'a', '{}')", [])?;
            Ok(())
        });
        assert!(failed.is_err());
        let count = |db: &Connection| -> Result<i64, RecordError> {
            Ok(db.query_row("SELECT count(*) FROM networks", [], |row| row.get(0))?)
        };
        assert_eq!(database.read(count).unwrap(), 0);
    }
}
