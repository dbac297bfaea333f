//! Tars and trees for tests.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use tar::{EntryType, Header};
use wharf_model::storage::LayerFormat;

use super::{Applied, ApplyError, Limits, Times, apply, diff};

/// A tar that is written entry by entry, however wrong.
#[derive(Default, Clone)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn file(self, path: &str, data: &[u8]) -> Self {
        self.entry(EntryType::Regular, path, "", data, |_| {})
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, "", b"", |header| header.set_mode(0o755))
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, b"", |_| {})
    }

    pub(crate) fn hard(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, target, b"", |_| {})
    }

    pub(crate) fn entry(
        mut self,
        kind: EntryType,
        path: &str,
        target: &str,
        data: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// PAX records for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let digits = (1..9).find(|digits| (rest + digits).to_string().len() == *digits).unwrap();
            bytes.extend(format!("{} {key}=", rest + digits).bytes());
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        self.entry(EntryType::XHeader, "PaxHeader", "", &bytes, |_| {})
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }

    pub(crate) fn open(self) -> Vec<u8> {
        self.0
    }
}

pub(crate) fn open(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

pub(crate) fn apply_to(path: &Path, tar: &[u8], format: LayerFormat) -> Result<Applied, ApplyError> {
    apply(tar, open(path).as_fd(), format, &Limits::default())
}

/// The tar of a directory, with its diff id.
pub(crate) fn tar_of(path: &Path, parent: Option<&Path>, format: LayerFormat) -> (Vec<u8>, super::Diffed) {
    let mut out = Vec::new();
    let parent = parent.map(open);
    let parent = parent.as_ref().map(AsFd::as_fd);
    let diffed = diff(open(path).as_fd(), parent, format, &Times::KEEP, &mut out).unwrap();
    (out, diffed)
}

/// Prints why a test does nothing; true when it should not.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    root
}
