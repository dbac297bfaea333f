//! `import`, `save` and `load`: images that come from and go to files.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use wharf_model::image::ImageConfig;
use wharf_model::{Digest, Platform, Reference, ReferenceError};
use wharf_store::archive::{self, Import, LoadError, SaveError, Saved};
use wharf_store::fetch::{self, FetchError};
use wharf_store::{BlobError, RecordError, ResolveError, usual_first};

use super::layout;
use crate::Engine;
use crate::event::Entry;
use crate::home::Home;
use crate::snapshot::SnapshotError;

pub use wharf_store::archive::{Form, Loaded};

/// How a root file system becomes an image.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// A name for it.
    pub name: Option<String>,
    /// Why, for its history.
    pub message: Option<String>,
    /// ENV, CMD, ENTRYPOINT and the like.
    pub config: wharf_model::image::RunConfig,
    /// Seconds since 1970, instead of the newest file's time.
    pub epoch: Option<i64>,
    /// What it runs on, instead of this machine.
    pub platform: Option<Platform>,
}

/// Why images could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// A name is not one.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// No such image.
    #[error(transparent)]
    Image(#[from] ResolveError),
    /// The storage driver.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Reading.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Writing.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// A directory that should be a layout.
    #[error("cannot read the OCI layout in {}", .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A download.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What was downloaded can not be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// Finding a file that was put in place of an image's layers.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl ExchangeError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Load(error) => error.next_step(),
            _ => None,
        }
    }
}

impl Engine {
    /// Makes an image of a root file system in a tar, compressed or not.
    ///
    /// # Errors
    /// When the tar can not be read or unpacked; nothing is left then.
    pub fn import(&self, tar: impl Read, options: ImportOptions) -> Result<Digest, ExchangeError> {
        let names: Vec<Reference> =
            options.name.map(|name| Reference::to_give(&name)).transpose()?.into_iter().collect();
        let shown = names.first().map(Reference::familiar);
        let mut config = ImageConfig::empty(&options.platform.unwrap_or_else(Platform::host));
        config.config = options.config;
        let import = Import { config, names, message: options.message, epoch: options.epoch };
        self.sweep_unfinished();
        let snapshots = self.default_snapshots()?;
        let imported = archive::import(&self.store, tar, &mut Home::new(&snapshots), &import);
        let id = imported.inspect_err(|_| self.throw_away())?;
        self.note([Entry::image("import", &id, shown)]);
        Ok(id)
    }

    /// Makes an image of a root file system in a tar that a web server has.
    ///
    /// # Errors
    /// When it can not be downloaded, read or unpacked.
    pub fn import_from(&self, url: &str, options: ImportOptions) -> Result<Digest, ExchangeError> {
        let _guard = self.store.guard()?;
        let fetched = fetch::download(&self.store, url, None)?;
        self.import(self.store.blobs().open(&fetched.digest)?, options)
    }

    /// Reads a docker archive or an OCI layout in a tar: all its images, or those for these platforms.
    ///
    /// # Errors
    /// When it can not be read, a digest does not match, or it has nothing for one of the platforms.
    pub fn load(&self, input: impl Read, platforms: &[Platform]) -> Result<Vec<Loaded>, ExchangeError> {
        self.sweep_unfinished();
        let snapshots = self.default_snapshots()?;
        let loaded = archive::load(&self.store, input, platforms, &mut Home::new(&snapshots));
        let loaded = loaded.inspect_err(|_| self.throw_away())?;
        let shown = |image: &Loaded| image.names.first().map(Reference::familiar);
        self.note(loaded.iter().map(|image| Entry::image("load", &image.id, shown(image))));
        Ok(loaded)
    }

    /// Reads the OCI layout in a directory.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_directory(&self, path: &Path, platforms: &[Platform]) -> Result<Vec<Loaded>, ExchangeError> {
        let failed = |source| ExchangeError::Directory { path: path.to_owned(), source };
        let directory = layout::Directory::open(path).map_err(failed)?;
        let (read, write) = io::pipe().map_err(failed)?;
        std::thread::scope(|scope| {
            let packer = scope.spawn(|| directory.pack(write));
            let loaded = self.load(read, platforms);
            match packer.join() {
                // Whoever reads no further has a better reason.
                Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
                _ => loaded,
            }
        })
    }

    /// Layers and blobs that no image got to refer to. Those of a build that goes on look alike, so
    /// nothing is removed beside one; the first error is the one to report.
    pub(crate) fn throw_away(&self) {
        if let Ok(Some(_alone)) = self.store.try_lock("gc", false) {
            for layer in self.store.unused_layers().unwrap_or_default() {
                let _ = self.remove_layer(&layer);
            }
        }
        let _ = self.store.sweep();
    }

    /// Writes images, by name or id, to an archive. A name that leads to an index goes with all of its images that
    /// are here, or with those for these platforms; with one alone it goes as that image.
    ///
    /// # Errors
    /// When one of them is not there, or not for one of the platforms, or writing fails.
    pub fn save(
        &self,
        names: &[String],
        platforms: &[Platform],
        form: Form,
        out: impl Write,
    ) -> Result<(), ExchangeError> {
        let mut saved: Vec<Saved> = Vec::new();
        for name in names {
            let next = self.to_save(name, platforms)?;
            let same = |other: &&mut Saved| {
                (other.image, other.index, &other.only) == (next.image, next.index, &next.only)
            };
            match saved.iter_mut().find(same) {
                Some(other) => other.names.extend(next.names),
                None => saved.push(next),
            }
        }
        self.save_as(&saved, form, out)?;
        self.note(saved.iter().map(|saved| Entry::image("save", &saved.image, None)));
        Ok(())
    }

    /// What a name stands for in an archive.
    fn to_save(&self, name: &str, platforms: &[Platform]) -> Result<Saved, ExchangeError> {
        let mut images = match platforms {
            [] => vec![self.store.resolve(name)?],
            some => some.iter().map(|it| self.store.resolve_for(name, Some(it))).collect::<Result<_, _>>()?,
        };
        images = usual_first(images);
        images.dedup_by_key(|image| image.id);
        let image = images.first().ok_or_else(|| ResolveError::Unknown { name: name.to_owned() })?;
        let named = name.parse::<Reference>().ok().filter(|reference| image.names.contains(reference));
        let index = match named.as_ref().filter(|_| platforms.is_empty() || images.len() > 1) {
            Some(name) => self.store.index_of(name)?,
            None => None,
        };
        let only = if platforms.is_empty() { Vec::new() } else { images.iter().map(|it| it.id).collect() };
        Ok(Saved { image: image.id, names: named.into_iter().collect(), index, only, statement: None })
    }

    /// Writes images with the names that they are to have in the archive.
    pub(crate) fn save_as(&self, saved: &[Saved], form: Form, out: impl Write) -> Result<(), ExchangeError> {
        let snapshots = self.default_snapshots()?;
        Ok(archive::save(&self.store, saved, &mut Home::new(&snapshots), form, out)?)
    }
}
