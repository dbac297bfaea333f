//! Files and directories of the host that a result is written to.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use serde_json::Value;
use wharf_store::layer::{self, Added, Limits};

use super::{Destination, OutputError};
use crate::build::provenance;
use crate::{WholeFile, home};

const BUFFER: usize = 1 << 20;

/// The files of a tree and those that are added to them, as a tar.
pub(super) fn tar(
    root: &OwnedFd,
    epoch: i64,
    added: &[Added<'_>],
    to: &Destination,
) -> Result<(), OutputError> {
    write_to(to, |out| Ok(layer::pack(root.as_fd(), epoch, added, out).map(drop)?))
}

/// The same in a directory.
pub(super) fn local(root: &OwnedFd, epoch: i64, added: &[Added<'_>], to: &Path) -> Result<(), OutputError> {
    fill(to, |out| Ok(layer::pack(root.as_fd(), epoch, added, out).map(drop)?))
}

/// What is said about each of the files of a tree.
pub(super) fn statement(root: &OwnedFd, predicate: &Value) -> Result<Vec<u8>, OutputError> {
    let files = provenance::files(root.as_fd())?;
    if files.iter().any(|(path, _)| path == provenance::FILE) {
        return Err(OutputError::Taken(provenance::FILE));
    }
    Ok(provenance::statement(&provenance::of_files(&files), predicate))
}

/// A mounted tree is known by a path only.
pub(super) fn readable(tree: &OwnedFd) -> Result<OwnedFd, OutputError> {
    home::readable(tree).map_err(|errno| OutputError::Tree(errno.into()))
}

/// Gives `write` something to write to.
pub(super) fn write_to(
    to: &Destination,
    write: impl FnOnce(&mut dyn Write) -> Result<(), OutputError>,
) -> Result<(), OutputError> {
    match to {
        Destination::Stream(file) => {
            let to = "standard output";
            let failed = |source| OutputError::Write { to: to.to_owned(), source };
            buffered(file, write, failed).map_err(|error| error.at(to))
        }
        Destination::File(path) => whole(path, write).map_err(|error| error.at(&path.display().to_string())),
    }
}

fn buffered(
    file: &File,
    write: impl FnOnce(&mut dyn Write) -> Result<(), OutputError>,
    failed: impl Fn(io::Error) -> OutputError,
) -> Result<(), OutputError> {
    let mut out = BufWriter::with_capacity(BUFFER, file);
    write(&mut out)?;
    out.flush().map_err(failed)
}

/// The file appears when it is whole; what is no regular file, such as a pipe, is written to.
fn whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), OutputError>,
) -> Result<(), OutputError> {
    let failed = |source| OutputError::Write { to: path.display().to_string(), source };
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let file = File::options().write(true).open(path).map_err(failed)?;
        return buffered(&file, write, failed);
    }
    let file = WholeFile::create(path).map_err(failed)?;
    buffered(&file.file, write, failed)?;
    file.appear().map_err(failed)
}

/// Unpacks the tar that `write` writes into a directory, which is made when it is missing.
pub(super) fn fill(
    to: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), OutputError>,
) -> Result<(), OutputError> {
    let failed = |source| OutputError::Write { to: to.display().to_string(), source };
    fs::create_dir_all(to).map_err(failed)?;
    let root = home::open(&fs::canonicalize(to).map_err(failed)?).map_err(|errno| failed(errno.into()))?;
    let limits = Limits::with_room(root.as_fd()).map_err(failed)?;
    let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (read, pipe) = io::pipe().map_err(failed)?;
    std::thread::scope(|scope| {
        let unpacker = scope
            .spawn(move || layer::unpack(read, root.as_fd(), Path::new("."), Some(owner), &limits).map(drop));
        let packed = pack(pipe, write);
        let unpacked = unpacker.join().map_err(|_| failed(io::Error::other("the unpacker gave up")))?;
        match (packed, unpacked) {
            (Err(error), _) if !is_broken_pipe(&error) => Err(error),
            (_, Err(source)) => Err(OutputError::Unpack { to: to.display().to_string(), source }),
            (packed, Ok(())) => packed,
        }
    })
    .map_err(|error| error.at(&to.display().to_string()))
}

fn pack(
    pipe: io::PipeWriter,
    write: impl FnOnce(&mut dyn Write) -> Result<(), OutputError>,
) -> Result<(), OutputError> {
    let mut out = BufWriter::with_capacity(BUFFER, pipe);
    write(&mut out)?;
    out.flush().map_err(|source| OutputError::Write { to: "a pipe".to_owned(), source })
}

/// Whoever unpacks gave up first, and knows why.
fn is_broken_pipe(error: &OutputError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::BrokenPipe) {
            return true;
        }
        cause = error.source();
    }
    false
}
