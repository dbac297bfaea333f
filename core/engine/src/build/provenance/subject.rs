//! The files of a result, each by its digest.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use wharf_model::{Digest, Hasher};

use crate::build::resolve::open_entry;
use crate::build::source::{Entry, Kind, Origin, Source, SourceError, Visitor, Walk};

const BUFFER: usize = 1 << 20;

/// The regular files of a tree, in the order of their paths.
pub(in crate::build) fn files(root: BorrowedFd<'_>) -> Result<Vec<(String, Digest)>, SourceError> {
    let source = Source { root, ignore: None, origin: Origin::Rootfs, digests: None };
    let mut files = Files { found: Vec::new(), buffer: vec![0; BUFFER] };
    Walk { source: &source, top: Path::new(""), include: None, exclude: None }.run(&mut files)?;
    Ok(files.found)
}

struct Files {
    found: Vec<(String, Digest)>,
    buffer: Vec<u8>,
}

impl Files {
    fn digest(&mut self, mut file: File) -> io::Result<Digest> {
        let mut hasher = Hasher::new();
        loop {
            match io::Read::read(&mut file, &mut self.buffer)? {
                0 => return Ok(hasher.finish()),
                read => hasher.update(&self.buffer[..read]),
            }
        }
    }
}

impl Visitor for Files {
    type Failure = SourceError;

    fn enter(&mut self, _: &Entry<'_>) -> Result<(), SourceError> {
        Ok(())
    }

    fn leave(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    fn leaf(&mut self, entry: &Entry<'_>) -> Result<(), SourceError> {
        if entry.kind != Kind::File {
            return Ok(());
        }
        let failed = |error| SourceError::read(entry.path, error);
        let file = open_entry(entry.dir.as_fd(), entry.name).map_err(failed)?;
        let digest = self.digest(file.into()).map_err(failed)?;
        self.found.push((entry.path.to_string_lossy().into_owned(), digest));
        Ok(())
    }
}
