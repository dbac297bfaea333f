//! `info`: what this engine has and where.

use std::path::PathBuf;

use wharf_store::RecordError;

use crate::Engine;
use crate::device::DeviceList;

/// What this engine has and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// All containers.
    pub containers: usize,
    /// Those that run.
    pub running: usize,
    /// All images.
    pub images: usize,
    /// The storage driver.
    pub storage: String,
    /// The network of containers that name none.
    pub network: String,
    /// Names of configured plugins.
    pub plugins: Vec<String>,
    /// Devices of CDI files.
    pub devices: DeviceList,
    /// 1 or 2: where the controllers are.
    pub cgroup_version: u8,
    /// `uname -r`.
    pub kernel: String,
    /// How many.
    pub processors: usize,
    /// The store's directory.
    pub root: PathBuf,
}

impl Engine {
    /// What this engine has and where.
    ///
    /// # Errors
    /// When the records can not be read.
    pub fn info(&self) -> Result<Info, RecordError> {
        let containers = self.containers(true)?;
        let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        Ok(Info {
            running: containers.iter().filter(|item| item.is_running()).count(),
            containers: containers.len(),
            images: self.store.images()?.len(),
            storage: self.config().storage.clone(),
            network: self.config().network.clone(),
            plugins: self.config().plugins.iter().map(|plugin| plugin.name.clone()).collect(),
            devices: self.devices(),
            cgroup_version: if unified { 2 } else { 1 },
            kernel: self.facts().kernel,
            processors: std::thread::available_parallelism().map_or(1, Into::into),
            root: self.root().to_owned(),
        })
    }
}
