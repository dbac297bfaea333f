//! A storage driver for tests, and a disk: `layers/<chain id>` below a directory.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use wharf_model::Digest;
use wharf_model::storage::LayerFormat;

use crate::layer::sample::{open, tar_of};
use crate::{HomeError, LayerHome};

pub(crate) struct Home {
    dir: PathBuf,
    format: LayerFormat,
    pub(crate) placed: usize,
}

impl Home {
    pub(crate) fn new(dir: &Path, format: LayerFormat) -> Self {
        fs::create_dir_all(dir.join("storage/layers")).unwrap();
        Self { dir: dir.join("storage"), format, placed: 0 }
    }

    pub(crate) fn path(&self, chain_id: &Digest) -> PathBuf {
        self.dir.join("layers").join(chain_id.hex())
    }

    pub(crate) fn is_clean(&self, layers: usize) -> bool {
        !self.dir.join("new").exists() && fs::read_dir(self.dir.join("layers")).unwrap().count() == layers
    }

    /// A layer as a build makes it: no blob.
    pub(crate) fn build(&self, store: &crate::Store, fill: impl FnOnce(&Path)) -> crate::Layer {
        let new = self.dir.join("built");
        fs::create_dir(&new).unwrap();
        fill(&new);
        let times = crate::layer::Times { epoch: 1_000_000_000, since: None };
        crate::layer::diff(open(&new).as_fd(), None, self.format, &times, &mut std::io::sink()).unwrap();
        let (_, diffed) = tar_of(&new, None, self.format);
        let layer = crate::Layer {
            diff_id: diffed.diff_id,
            chain_id: diffed.diff_id,
            parent: None,
            size: diffed.size,
            tar_size: diffed.tar_size,
            blob: None,
            media_type: None,
            driver: "sample".into(),
        };
        fs::rename(&new, self.path(&layer.chain_id)).unwrap();
        store.record_layer(&layer).unwrap();
        layer
    }
}

impl LayerHome for Home {
    fn driver(&self) -> &str {
        "sample"
    }

    fn format(&self) -> LayerFormat {
        self.format
    }

    fn place(&mut self, parents: &[Digest]) -> Result<OwnedFd, HomeError> {
        self.placed += 1;
        let new = self.dir.join("new");
        match (self.format, parents.first()) {
            (LayerFormat::Tree, Some(parent)) => {
                let copied =
                    std::process::Command::new("cp").arg("-a").arg(self.path(parent)).arg(&new).status()?;
                assert!(copied.success());
            }
            _ => fs::create_dir(&new)?,
        }
        Ok(open(&new))
    }

    fn keep(&mut self, chain_id: &Digest) -> Result<(), HomeError> {
        let _ = fs::remove_dir_all(self.path(chain_id));
        Ok(fs::rename(self.dir.join("new"), self.path(chain_id))?)
    }

    fn discard(&mut self) {
        fs::remove_dir_all(self.dir.join("new")).unwrap();
    }

    fn open(
        &mut self,
        chain_id: &Digest,
        parents: &[Digest],
    ) -> Result<(OwnedFd, Option<OwnedFd>), HomeError> {
        let parent = parents.first().filter(|_| self.format == LayerFormat::Tree);
        Ok((open(&self.path(chain_id)), parent.map(|parent| open(&self.path(parent)))))
    }
}

/// A file system of our own that is gone when this is dropped.
pub(crate) struct Mounted(tempfile::TempDir);

impl Mounted {
    pub(crate) fn new(arguments: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount").args(arguments).arg(dir.path()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
