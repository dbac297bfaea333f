//! Whether it was for want of room.

use std::error::Error;
use std::io::ErrorKind;

use crate::layer::TarError;

/// Whether an error comes from a full file system or a used-up quota.
pub fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let of_file = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let of_database =
            error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
        let of_archive = error.downcast_ref::<TarError>();
        if matches!(of_file, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
            || matches!(of_archive, Some(TarError::Inodes(_)))
            || of_database == Some(rusqlite::ErrorCode::DiskFull)
        {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordError;

    #[test]
    fn a_full_disk_is_found_below_what_it_caused() {
        let of = |kind: ErrorKind| RecordError::File { path: "x".into(), source: kind.into() };
        assert!(is_full(&of(ErrorKind::StorageFull)) && is_full(&of(ErrorKind::QuotaExceeded)));
        assert!(!is_full(&of(ErrorKind::PermissionDenied)));
        let database = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        assert!(is_full(&RecordError::from(database(rusqlite::ffi::SQLITE_FULL))));
        assert!(!is_full(&RecordError::from(database(rusqlite::ffi::SQLITE_BUSY))));
        assert!(is_full(&TarError::Inodes(7)) && !is_full(&TarError::Entries(7)));
    }
}
