//! A layer's tar -> a layer's directory.
//!
//! Entries are put below the directory in the order of the tar. Deletions apply to the layers
//! below only, wherever in the tar they stand:
//!
//! * overlay: they are made at the end. A name that the layer itself brings stays; if it is a
//!   directory it becomes opaque. Otherwise a 0:0 device is made.
//! * tree: they are carried out at once, sparing what the layer itself brought. The paths it
//!   brought are remembered for that.

use std::collections::HashSet;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use wharf_model::storage::LayerFormat;
use wharf_model::{Digest, Hasher};

use super::compression::{Compression, decompress};
use super::entry::{Entry, Kind, TarError, normalised, shown};
use super::place::{joined, kind_of, names, open_below, open_plain, remove, split};
use super::put::Putter;
use super::tape::Tape;
use super::whiteout::{Meaning, make_gone, make_opaque, meaning};
use super::{Disk, Limits};

const BUFFER: usize = 256 * 1024;

/// What a layer turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Bytes in its files.
    pub size: u64,
    /// Bytes of the uncompressed tar.
    pub tar_size: u64,
    /// How many entries it has.
    pub entries: u64,
    /// The newest time of a change in it, in seconds since 1970; 0 when it is empty.
    pub newest: i64,
    /// How it was compressed.
    pub compression: Compression,
}

/// Why an archive can not be turned into files.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It can not be read.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// An entry can not be made.
    #[error("cannot make `{path}` from the archive")]
    Entry {
        /// Which.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// An entry must not be made.
    #[error("entry `{path}` of the archive is refused: {reason}")]
    Refused {
        /// Which.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// A hard link to something else than a file of the same archive.
    #[error("`{path}` is a hard link to `{target}`, which is not in the same archive")]
    LinkTarget {
        /// The link.
        path: String,
        /// What it should be linked to.
        target: String,
    },
}

/// Turns a layer's tar, compressed or not, into files below `into`.
///
/// # Errors
/// When the tar is damaged, leaves its root, exceeds `limits`, or the disk refuses. Then the
/// directory holds some of the files; its owner removes it.
pub fn apply(
    tar: impl Read,
    into: BorrowedFd<'_>,
    format: LayerFormat,
    limits: &Limits,
) -> Result<Applied, ApplyError> {
    apply_known(tar, into, format, limits, None)
}

/// As [`apply`], for a plain tar whose digest is known already.
pub(crate) fn apply_known(
    tar: impl Read,
    into: BorrowedFd<'_>,
    format: LayerFormat,
    limits: &Limits,
    known: Option<Digest>,
) -> Result<Applied, ApplyError> {
    let mut applier = Applier {
        putter: Putter::new(into, limits),
        format,
        own: HashSet::new(),
        gone: Vec::new(),
        opaque: Vec::new(),
    };
    let disk = Disk::of(into).map_err(TarError::Read)?;
    let read = each(tar, (limits, Some(disk)), known, |entry, path, data| applier.add(entry, path, data))?;
    let size = applier.finish()?;
    Ok(Applied { size, ..read })
}

/// Calls `act` for every entry of an archive, and reads it to its very end.
pub(crate) fn each(
    tar: impl Read,
    (limits, disk): (&Limits, Option<Disk<'_>>),
    known: Option<Digest>,
    mut act: impl FnMut(&Entry, &[u8], &mut dyn Read) -> Result<(), ApplyError>,
) -> Result<Applied, ApplyError> {
    let (compression, plain) = decompress(tar).map_err(TarError::Read)?;
    let hasher = if known.is_some() { None } else { Some(Hasher::new()) };
    let counted = Counted { inner: plain, hasher, count: 0, limits, disk };
    let mut tape = Tape::new(BufReader::with_capacity(BUFFER, counted), limits);
    let (mut entries, mut newest) = (0, None);
    while let Some(entry) = tape.next()? {
        let path = normalised(&entry.path, limits);
        let path = path.map_err(|reason| ApplyError::Refused { path: shown(&entry.path), reason })?;
        entries += 1;
        newest = newest.max(Some(entry.mtime.0));
        act(&entry, &path, &mut tape)?;
    }
    let mut rest = tape.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(TarError::Read)?;
    let counted = rest.into_inner();
    let hashed = counted.hasher.map(Hasher::finish);
    let diff_id = known.or(hashed).unwrap_or_else(|| Digest::of(b""));
    let newest = newest.unwrap_or(0);
    Ok(Applied { diff_id, size: 0, tar_size: counted.count, entries, newest, compression })
}

/// Counts and hashes what passes through.
struct Counted<'a, R> {
    inner: R,
    hasher: Option<Hasher>,
    count: u64,
    limits: &'a Limits,
    disk: Option<Disk<'a>>,
}

impl<R> Counted<'_, R> {
    fn check(&mut self) -> io::Result<()> {
        let Limits { bytes, room, .. } = *self.limits;
        let is_full = match &mut self.disk {
            Some(disk) => disk.is_full(self.count)?,
            None => false,
        };
        let (limit, kind, why) = match is_full || room < bytes {
            true => (room.min(self.count), io::ErrorKind::StorageFull, ", and there is no space for more"),
            false => (bytes, io::ErrorKind::FileTooLarge, ""),
        };
        if !is_full && self.count <= limit {
            return Ok(());
        }
        Err(io::Error::new(kind, format!("the archive has more than {limit} bytes when uncompressed{why}")))
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        self.check()?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        Ok(count)
    }
}

struct Applier<'a> {
    putter: Putter<'a>,
    format: LayerFormat,
    /// Paths that the layer brought; tree only.
    own: HashSet<Vec<u8>>,
    /// Paths that the layers below shall lose; overlay only.
    gone: Vec<Vec<u8>>,
    /// Directories that the layers below shall lose the content of; overlay only.
    opaque: Vec<Vec<u8>>,
}

impl Applier<'_> {
    fn add(&mut self, entry: &Entry, path: &[u8], mut data: &mut dyn Read) -> Result<(), ApplyError> {
        let (parent, name) = split(path);
        // A raw whiteout of overlayfs in a tar means the same as the tar's own.
        if entry.kind == Kind::Char(0, 0) {
            return self.lose(path);
        }
        match on_the_way(parent) {
            Meaning::File => {}
            Meaning::Bookkeeping => return Ok(()),
            Meaning::Gone(_) | Meaning::Opaque | Meaning::Malformed => {
                let reason = "it is in a directory with the name of a whiteout";
                return Err(ApplyError::Refused { path: shown(path), reason });
            }
        }
        match meaning(name) {
            Meaning::File => self.putter.put(entry, path, &mut data)?,
            Meaning::Gone(name) => return self.lose(&joined(parent, name)),
            Meaning::Opaque => return self.lose_all(parent),
            Meaning::Bookkeeping => return Ok(()),
            Meaning::Malformed => {
                return Err(ApplyError::Refused { path: shown(path), reason: "it is a whiteout of nothing" });
            }
        }
        if self.format == LayerFormat::Tree {
            self.own.insert(path.to_vec());
        }
        Ok(())
    }

    /// The layers below lose `path`.
    fn lose(&mut self, path: &[u8]) -> Result<(), ApplyError> {
        match self.format {
            LayerFormat::Overlay => {
                self.gone.push(path.to_vec());
                Ok(())
            }
            LayerFormat::Tree => self.erase(path).map_err(|errno| entry_error(path, errno)),
        }
    }

    /// The layers below lose everything in the directory `path`.
    fn lose_all(&mut self, path: &[u8]) -> Result<(), ApplyError> {
        match self.format {
            LayerFormat::Overlay => {
                self.opaque.push(path.to_vec());
                Ok(())
            }
            LayerFormat::Tree => self.erase_children(path).map_err(|errno| entry_error(path, errno)),
        }
    }

    /// Removes `path` as far as the layer did not bring it itself.
    fn erase(&mut self, path: &[u8]) -> Result<(), Errno> {
        if self.own.contains(path) {
            return self.erase_children(path);
        }
        self.putter.place.forget();
        let (parent, name) = split(path);
        match open_plain(self.putter.place.root, parent, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(dir) => remove(dir.as_fd(), name).map(|_| ()),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn erase_children(&mut self, path: &[u8]) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let dir = match open_plain(self.putter.place.root, path, flags) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            result => result?,
        };
        for name in names(dir.as_fd())? {
            self.erase(&joined(path, &name))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<u64, ApplyError> {
        for path in std::mem::take(&mut self.gone) {
            self.mark_gone(&path).map_err(|errno| entry_error(&path, errno))?;
        }
        for path in std::mem::take(&mut self.opaque) {
            self.mark_opaque(&path).map_err(|errno| entry_error(&path, errno))?;
        }
        self.putter.finish()
    }

    fn mark_gone(&mut self, path: &[u8]) -> Result<(), Errno> {
        let (parent, name) = split(path);
        let dir = self.marked(parent)?;
        match kind_of(dir.as_fd(), name)? {
            Some(FileType::Directory) => make_opaque(dir.as_fd(), name),
            Some(_) => Ok(()),
            None => make_gone(dir.as_fd(), name),
        }
    }

    fn mark_opaque(&mut self, path: &[u8]) -> Result<(), Errno> {
        // The root has nothing below it that could shine through but the layers below, which
        // overlayfs does not hide for a root: each of their names would have to be known.
        let dir = self.marked(path)?;
        make_opaque(dir.as_fd(), b"")
    }

    /// A directory to mark something in; a link on the way would put the mark elsewhere.
    fn marked(&mut self, path: &[u8]) -> Result<std::os::fd::OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match open_plain(self.putter.place.root, path, flags) {
            Err(Errno::NOENT) => {
                self.putter.place.directory(path)?;
                open_below(self.putter.place.root, path, flags)
            }
            result => result,
        }
    }
}

/// What the directories of a path mean; the first that is more than a directory counts.
fn on_the_way(parent: &[u8]) -> Meaning<'_> {
    let parts = parent.split(|byte| *byte == b'/').map(meaning);
    parts.into_iter().find(|meaning| *meaning != Meaning::File).unwrap_or(Meaning::File)
}

fn entry_error(path: &[u8], errno: Errno) -> ApplyError {
    ApplyError::Entry { path: shown(path), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::attributes;
    use crate::layer::sample::{Tar, apply_to, is_root, open};
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
    use std::path::Path;
    use tar::EntryType;

    const FORMATS: [LayerFormat; 2] = [LayerFormat::Overlay, LayerFormat::Tree];

    #[test]
    fn privileged_nothing_leaves_the_directory() {
        if !is_root() {
            return;
        }
        let cases = [
            ("parent", Tar::default().file("../canary", b"x")),
            ("deep parent", Tar::default().file("a/../../canary", b"x")),
            ("absolute", Tar::default().file("/canary", b"x")),
            ("link out", Tar::default().symlink("a", "..").file("a/canary", b"x")),
            ("absolute link", Tar::default().symlink("a", "/").file("a/canary", b"x")),
            ("link chain", Tar::default().symlink("a", "b").symlink("b", "../..").file("a/canary", b"x")),
            (
                "directory, then a link out",
                Tar::default().dir("a/").file("a/x", b"").symlink("a", "..").file("a/canary", b"x"),
            ),
            (
                "file, then a link out",
                Tar::default().file("a", b"").symlink("a", "../..").file("a/canary", b"x"),
            ),
            (
                "directory, then a link and attributes",
                Tar::default().dir("a/").symlink("a", "../canary").hard("b", "a").file("b", b"x"),
            ),
            ("write through", Tar::default().symlink("a", "../canary").file("a", b"x")),
            ("hard link up", Tar::default().hard("a", "../canary").file("a", b"x")),
            ("hard link absolute", Tar::default().hard("a", "/etc/passwd")),
            ("hard link by link", Tar::default().symlink("d", "..").hard("a", "d/canary").file("a", b"x")),
            ("chmod through", Tar::default().symlink("a", "../canary").dir("a/")),
            ("whiteout up", Tar::default().file("../.wh.canary", b"")),
            ("whiteout by link", Tar::default().symlink("a", "..").file("a/.wh.canary", b"")),
            ("opaque by link", Tar::default().symlink("a", "..").file("a/.wh..wh..opq", b"")),
            ("whiteout of dots", Tar::default().file(".wh...", b"")),
            (
                "device by link",
                Tar::default().symlink("a", "..").entry(EntryType::Fifo, "a/f", "", b"", |_| {}),
            ),
        ];
        for (name, tar) in cases {
            for format in FORMATS {
                let dir = tempfile::tempdir().unwrap();
                let root = dir.path().join("root");
                fs::create_dir(&root).unwrap();
                fs::write(dir.path().join("canary"), "whole").unwrap();
                let _ = apply_to(&root, &tar.clone().end(), format);
                let outside: Vec<_> =
                    fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
                assert_eq!(outside.len(), 2, "{name}: {outside:?}");
                let canary = dir.path().join("canary");
                assert_eq!(fs::read_to_string(&canary).unwrap(), "whole", "{name}");
                assert_eq!(fs::metadata(&canary).unwrap().nlink(), 1, "{name}");
                assert_ne!(fs::metadata(&canary).unwrap().mode() & 0o7777, 0o755, "{name}");
            }
        }
    }

    #[test]
    fn privileged_refusals_say_what_and_why() {
        if !is_root() {
            return;
        }
        for (tar, words) in [
            (Tar::default().file("../a", b""), "`../a` of the archive is refused"),
            (Tar::default().hard("a", "none"), "hard link to `none`, which is not in the same archive"),
            (Tar::default().hard("a", "a"), "hard link to itself"),
            (Tar::default().dir("d/").hard("a", "d"), "hard link to a directory"),
            (Tar::default().file("./", b"x"), "the root is not a directory"),
            (Tar::default().file(".wh.", b""), "whiteout of nothing"),
            (Tar::default().file("a/b", b"").file("a/b/c", b""), "cannot make `a/b/c`"),
            (Tar::default().pax(&[("uid", b"4294967295")]).file("a", b""), "its owner or group"),
            (Tar::default().pax(&[("uid", b"99999999999")]).file("a", b""), "its owner or group"),
            (Tar::default().pax(&[("path", b"a\0b")]).file("a", b""), "NUL"),
            (Tar::default().pax(&[("path", "n".repeat(300).as_bytes())]).file("a", b""), "too long"),
            (Tar::default().pax(&[("path", "n/".repeat(1500).as_bytes())]).dir("a"), "too many directories"),
            (
                Tar::default().pax(&[("SCHILY.xattr.security.capability", b"junk")]).file("a", b""),
                "security.capability",
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let error = apply_to(dir.path(), &tar.end(), LayerFormat::Overlay).unwrap_err();
            let text = format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string));
            assert!(text.contains(words), "{text}");
        }
        let limits = Limits { bytes: 4096, ..Limits::default() };
        let bomb = zstd::encode_all(Tar::default().file("a", &[0; 100_000]).end().as_slice(), 1).unwrap();
        let dir = tempfile::tempdir().unwrap();
        assert!(apply(bomb.as_slice(), open(dir.path()).as_fd(), LayerFormat::Overlay, &limits).is_err());
    }

    #[test]
    fn privileged_files_are_as_the_archive_says() {
        if !is_root() {
            return;
        }
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let long = format!("dir/{}", "x".repeat(200));
        let tar = Tar::default()
            .entry(EntryType::Directory, "./", "", b"", |header| header.set_mode(0o711))
            .entry(EntryType::Regular, "suid", "", b"#!", |header| header.set_mode(0o4755))
            .entry(EntryType::Char, "null", "", b"", |header| {
                header.set_device_major(1).unwrap();
                header.set_device_minor(3).unwrap();
            })
            .entry(EntryType::Fifo, "fifo", "", b"", |_| {})
            .entry(EntryType::Link, "again", "suid", b"", |header| header.set_mode(0o4755))
            .pax(&[
                ("uid", b"3000000000"),
                ("mtime", b"12.25"),
                ("SCHILY.xattr.security.capability", &capability),
                ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
                ("SCHILY.xattr.user.a", b"b"),
            ])
            .file("cap", b"x")
            .pax(&[("path", long.as_bytes())])
            .file("short", b"long")
            .pax(&[("path", b"not-\xff-utf8")])
            .file("short", b"")
            .symlink("link", "/anywhere/../else");
        let dir = tempfile::tempdir().unwrap();
        let applied = apply_to(dir.path(), &tar.end(), LayerFormat::Overlay).unwrap();
        assert_eq!((applied.size, applied.entries, applied.newest), (7, 9, 1_000_000_000));
        let meta = |name: &str| fs::symlink_metadata(dir.path().join(name)).unwrap();
        assert_eq!(meta("").mode() & 0o7777, 0o711);
        assert_eq!((meta("suid").mode() & 0o7777, meta("suid").nlink()), (0o4755, 2));
        assert!(meta("null").file_type().is_char_device() && meta("fifo").file_type().is_fifo());
        assert_eq!(meta("null").rdev(), rustix::fs::makedev(1, 3));
        assert_eq!(
            (meta("cap").uid(), meta("cap").mtime(), meta("cap").mtime_nsec()),
            (3_000_000_000, 12, 250_000_000)
        );
        let xattrs = attributes::get(open(dir.path()).as_fd(), b"cap").unwrap();
        let keys: Vec<&[u8]> = xattrs.iter().map(|(key, _)| key.as_slice()).collect();
        assert!(keys.contains(&b"security.capability".as_slice()), "{keys:?}");
        assert!(!keys.iter().any(|key| key.starts_with(b"trusted.overlay")), "{keys:?}");
        assert_eq!(fs::read(dir.path().join(&long)).unwrap(), b"long");
        assert!(dir.path().join(std::ffi::OsStr::from_bytes(b"not-\xff-utf8")).exists());
        assert_eq!(meta("dir").mode() & 0o7777, 0o755, "an implied directory");
        assert_eq!(fs::read_link(dir.path().join("link")).unwrap(), Path::new("/anywhere/../else"));
    }

    #[test]
    fn privileged_later_entries_replace_earlier_ones() {
        if !is_root() {
            return;
        }
        let tar = Tar::default()
            .dir("a/")
            .file("a/inside", b"")
            .file("a", b"now a file")
            .file("b", b"")
            .dir("b/")
            .file("b/inside", b"x")
            .symlink("c", "b")
            .dir("c/")
            .file("d", b"1")
            .hard("e", "d")
            .file("d", b"2")
            .file("twice", b"first")
            .file("twice", b"2nd")
            .dir("f/")
            .file("f/old", b"")
            .symlink("f", "b")
            .file("f/through", b"y");
        for format in FORMATS {
            let dir = tempfile::tempdir().unwrap();
            apply_to(dir.path(), &tar.clone().end(), format).unwrap();
            let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
            assert_eq!((text("a").as_str(), text("b/inside").as_str()), ("now a file", "x"));
            assert!(fs::symlink_metadata(dir.path().join("c")).unwrap().is_dir());
            assert_eq!((text("d").as_str(), text("e").as_str()), ("2", "1"));
            assert_eq!((text("twice").as_str(), text("b/through").as_str()), ("2nd", "y"));
            assert!(fs::symlink_metadata(dir.path().join("f")).unwrap().is_symlink());
            assert!(!dir.path().join("b/old").exists());
            assert_eq!(fs::metadata(dir.path().join("b")).unwrap().mtime(), 1_000_000_000);
        }
    }

    #[test]
    fn privileged_links_inside_are_followed_inside() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/lib")).unwrap();
        symlink("/usr/lib", dir.path().join("lib")).unwrap();
        apply_to(dir.path(), &Tar::default().file("lib/x.so", b"").end(), LayerFormat::Tree).unwrap();
        assert!(dir.path().join("usr/lib/x.so").exists());
    }

    #[test]
    fn privileged_deletions_become_marks_of_overlayfs() {
        if !is_root() {
            return;
        }
        let tar = Tar::default()
            .file("own/.wh..wh..opq", b"")
            .dir("own/")
            .file("own/new", b"")
            .file(".wh.gone", b"")
            .file("kept", b"mine")
            .file(".wh.kept", b"")
            .file(".wh.dir", b"")
            .dir("dir/")
            .file(".wh..wh.plnk", b"")
            .file(".wh..wh.orph/1", b"")
            .entry(EntryType::Char, "raw", "", b"", |header| {
                header.set_device_major(0).unwrap();
                header.set_device_minor(0).unwrap();
            });
        let dir = tempfile::tempdir().unwrap();
        apply_to(dir.path(), &tar.end(), LayerFormat::Overlay).unwrap();
        let meta = |name: &str| fs::symlink_metadata(dir.path().join(name)).unwrap();
        for gone in ["gone", "raw"] {
            assert!(meta(gone).file_type().is_char_device() && meta(gone).rdev() == 0, "{gone}");
        }
        assert_eq!(fs::read_to_string(dir.path().join("kept")).unwrap(), "mine");
        for opaque in ["own", "dir"] {
            let xattrs = attributes::get(open(dir.path()).as_fd(), opaque.as_bytes()).unwrap();
            assert!(crate::layer::whiteout::is_opaque(&xattrs), "{opaque}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5);
    }

    #[test]
    fn privileged_deletions_in_a_tree_spare_the_layers_own_files() {
        if !is_root() {
            return;
        }
        let lower = |root: &Path| {
            for path in ["opaque/old/deep", "opaque/both", "gone/x", "replaced/old", "file"] {
                fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
                fs::write(root.join(path), "lower").unwrap();
            }
        };
        let own = Tar::default()
            .dir("opaque/")
            .file("opaque/both", b"upper")
            .dir("replaced/")
            .file("replaced/new", b"");
        let deletions = |tar: Tar| {
            tar.file("opaque/.wh..wh..opq", b"")
                .file(".wh.gone", b"")
                .file(".wh.replaced", b"")
                .file(".wh.none", b"")
        };
        let before = deletions(Tar::default()).dir("opaque/").file("opaque/both", b"upper");
        let before = before.dir("replaced/").file("replaced/new", b"");
        for tar in [deletions(own), before] {
            let dir = tempfile::tempdir().unwrap();
            lower(dir.path());
            apply_to(dir.path(), &tar.end(), LayerFormat::Tree).unwrap();
            let has = |name: &str| dir.path().join(name).exists();
            assert!(!has("opaque/old") && !has("gone") && !has("replaced/old"));
            assert!(has("replaced/new") && has("file"));
            assert_eq!(fs::read_to_string(dir.path().join("opaque/both")).unwrap(), "upper");
        }
    }

    #[test]
    fn privileged_sparse_files_stay_sparse() {
        if !is_root() {
            return;
        }
        let records: [(&str, &[u8]); 2] =
            [("GNU.sparse.map", b"1048576,4"), ("GNU.sparse.realsize", b"1073741824")];
        let dir = tempfile::tempdir().unwrap();
        let tar = Tar::default().pax(&records).file("big", b"data").end();
        assert_eq!(apply_to(dir.path(), &tar, LayerFormat::Overlay).unwrap().size, 1 << 30);
        let meta = fs::metadata(dir.path().join("big")).unwrap();
        assert!(meta.len() == 1 << 30 && meta.blocks() < 1000);
    }

    /// A tar that knows nothing of holes has them as zeros.
    #[test]
    fn privileged_zeros_become_holes() {
        if !is_root() {
            return;
        }
        let mut bytes = vec![0; 8 << 20];
        bytes[3_000_000] = 1;
        let last = [bytes.as_slice(), b"end"].concat();
        let tar = Tar::default().file("middle", &bytes).file("last", &last).file("all", &vec![0; 5_000_001]);
        let tar = tar.file("few", &[0; 5000]).file("none", b"").end();
        let dir = tempfile::tempdir().unwrap();
        let size = apply_to(dir.path(), &tar, LayerFormat::Overlay).unwrap().size;
        assert_eq!(size, (8 << 20) * 2 + 3 + 5_000_001 + 5000);
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        assert!(read("middle") == bytes && read("last") == last && read("all") == vec![0; 5_000_001]);
        assert!(read("few") == [0; 5000] && read("none").is_empty());
        for name in ["middle", "last", "all"] {
            let blocks = fs::metadata(dir.path().join(name)).unwrap().blocks();
            assert!(blocks * 512 < 1 << 20, "{name}: {blocks}");
        }
    }

    #[test]
    fn privileged_the_umask_does_not_matter() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o2770)).unwrap();
        let tar = Tar::default().entry(EntryType::Regular, "a/b/c", "", b"", |header| header.set_mode(0o777));
        apply_to(dir.path(), &tar.end(), LayerFormat::Overlay).unwrap();
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode("a"), mode("a/b"), mode("a/b/c")), (0o755, 0o755, 0o777));
    }

    #[test]
    fn the_diff_id_is_that_of_the_whole_tar() {
        let mut bytes = Tar::default().end();
        bytes.extend([0; 9000]);
        let dir = tempfile::tempdir().unwrap();
        let plain = apply_to(dir.path(), &bytes, LayerFormat::Overlay).unwrap();
        assert_eq!((plain.diff_id, plain.tar_size), (Digest::of(&bytes), bytes.len() as u64));
        let packed = zstd::encode_all(bytes.as_slice(), 1).unwrap();
        let packed = apply_to(dir.path(), &packed, LayerFormat::Overlay).unwrap();
        assert_eq!((packed.diff_id, packed.compression), (plain.diff_id, Compression::Zstd));
    }
}
