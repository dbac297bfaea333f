//! An OCI image layout in a directory, given as the archive that it would be.
//!
//! What it lists are the digests; whoever loads the archive checks them. Only regular files of its own
//! are read: a link in it leads nowhere.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};

const BLOBS: &str = "blobs/sha256";
const LISTS: [&str; 2] = ["manifest.json", "index.json"];

/// The directory.
pub(super) struct Directory {
    root: OwnedFd,
}

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let root: OwnedFd = File::open(path)?.into();
        open_below(&root, Path::new("index.json"), OFlags::empty())?;
        Ok(Self { root })
    }

    /// Writes it as a tar.
    pub(super) fn pack(&self, out: impl Write) -> io::Result<()> {
        let mut builder = tar::Builder::new(out);
        for list in LISTS {
            match open_below(&self.root, Path::new(list), OFlags::empty()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                found => append(&mut builder, Path::new(list), found?.into())?,
            }
        }
        let blobs = open_below(&self.root, Path::new(BLOBS), OFlags::DIRECTORY)?;
        for entry in Dir::read_from(&blobs)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name.starts_with(b".") {
                continue;
            }
            let path = Path::new(BLOBS).join(OsStr::from_bytes(name));
            append(&mut builder, &path, open_below(&self.root, &path, OFlags::empty())?.into())?;
        }
        builder.finish()
    }
}

/// Opens what is at a path below a directory; a link on the way is an error.
pub(crate) fn open_below(root: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let opened = rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), resolve);
    opened.map_err(|errno| {
        let error = io::Error::from(errno);
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    })
}

fn append(builder: &mut tar::Builder<impl Write>, path: &Path, file: File) -> io::Result<()> {
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::other(format!("{} is no regular file", path.display())));
    }
    let mut header = tar::Header::new_ustar();
    header.set_size(stat.st_size.cast_unsigned());
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    builder.append_data(&mut header, path, file)
}
