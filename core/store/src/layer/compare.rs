//! Two layers' tars -> the first file that is not the same in both.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use wharf_model::{Digest, Hasher};

use super::Limits;
use super::apply::{ApplyError, each};
use super::entry::{Entry, Kind, shown};

/// A file that is not the same in two layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its path in the layer, fit for a terminal.
    pub path: String,
    /// What about it.
    pub kind: DifferenceKind,
}

/// What about a file differs; the first of these that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// It is in the first layer alone.
    Gone,
    /// It is in the second layer alone.
    New,
    /// One is a directory and the other a file, or the like.
    Kind,
    /// The content, or where a link leads.
    Content,
    /// Mode, owner or group.
    Metadata,
    /// The time of the last change.
    Time,
    /// Extended attributes.
    Attributes,
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Gone => "is only there the first time",
            Self::New => "is only there the second time",
            Self::Kind => "is another kind of file",
            Self::Content => "has another content",
            Self::Metadata => "has another mode or owner",
            Self::Time => "has another time",
            Self::Attributes => "has other extended attributes",
        })
    }
}

/// A file as far as it is compared.
#[derive(PartialEq, Eq)]
struct Seen {
    kind: Kind,
    content: (Digest, Vec<u8>),
    metadata: (u32, u64, u64),
    time: (i64, u32),
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Seen {
    fn differs_from(&self, other: &Self) -> Option<DifferenceKind> {
        let checks = [
            (self.kind == other.kind, DifferenceKind::Kind),
            (self.content == other.content, DifferenceKind::Content),
            (self.metadata == other.metadata, DifferenceKind::Metadata),
            (self.time == other.time, DifferenceKind::Time),
            (self.attributes == other.attributes, DifferenceKind::Attributes),
        ];
        checks.into_iter().find(|(same, _)| !same).map(|(_, kind)| kind)
    }
}

type Files = BTreeMap<Vec<u8>, Seen>;

/// The first path, in the order of bytes, at which two layers differ; `None` when they hold the same.
///
/// # Errors
/// When one of them can not be read.
pub fn compare(first: impl Read, second: impl Read) -> Result<Option<Difference>, ApplyError> {
    let (first, second) = (files(first)?, files(second)?);
    let differs = |path: &Vec<u8>| match (first.get(path), second.get(path)) {
        (Some(_), None) => Some(DifferenceKind::Gone),
        (None, Some(_)) => Some(DifferenceKind::New),
        (Some(one), Some(other)) => one.differs_from(other),
        (None, None) => None,
    };
    let paths = first.keys().chain(second.keys()).collect::<std::collections::BTreeSet<_>>();
    let found = paths.into_iter().find_map(|path| differs(path).map(|kind| (path, kind)));
    Ok(found.map(|(path, kind)| Difference { path: shown(path), kind }))
}

fn files(tar: impl Read) -> Result<Files, ApplyError> {
    let mut files = Files::new();
    // Nobody asks for the digest of the whole.
    each(tar, (&Limits::default(), None), Some(Digest::of(b"")), |entry, path, data| {
        let failed = |source| ApplyError::Entry { path: shown(path), source };
        files.insert(path.to_vec(), seen(entry, data).map_err(failed)?);
        Ok(())
    })?;
    Ok(files)
}

fn seen(entry: &Entry, data: &mut dyn Read) -> io::Result<Seen> {
    let mut hasher = Hasher::new();
    io::copy(data, &mut hasher)?;
    let mut attributes: Vec<(Vec<u8>, Vec<u8>)> = entry.xattrs.clone();
    attributes.sort();
    Ok(Seen {
        kind: entry.kind,
        content: (hasher.finish(), entry.target.clone()),
        metadata: (entry.mode, entry.uid, entry.gid),
        time: entry.mtime,
        attributes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::sample::Tar;
    use tar::EntryType;

    fn base() -> Tar {
        Tar::default().dir("d/").file("d/a", b"one").symlink("d/s", "a")
    }

    fn found(other: Tar) -> Option<(String, DifferenceKind)> {
        let difference = compare(&*base().file("z", b"").end(), &*other.end()).unwrap();
        difference.map(|difference| (difference.path, difference.kind))
    }

    #[test]
    fn the_first_difference_is_named_with_its_kind() {
        let at = |path: &str, kind| Some((path.to_owned(), kind));
        assert_eq!(found(base().file("z", b"")), None);
        assert_eq!(found(base()), at("z", DifferenceKind::Gone));
        assert_eq!(found(base().file("b", b"").file("z", b"x")), at("b", DifferenceKind::New));
        assert_eq!(found(base().file("z", b"x")), at("z", DifferenceKind::Content));
        assert_eq!(found(base().dir("z/")), at("z", DifferenceKind::Kind));
        let mode = base().entry(EntryType::Regular, "z", "", b"", |header| header.set_mode(0o4711));
        assert_eq!(found(mode), at("z", DifferenceKind::Metadata));
        let time = base().entry(EntryType::Regular, "z", "", b"", |header| header.set_mtime(77_777));
        assert_eq!(found(time), at("z", DifferenceKind::Time));
    }
}
