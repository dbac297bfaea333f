//! `create`: a record, a root file system and volumes; nothing runs yet.

use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use wharf_model::hook::ProvidedFile;
use wharf_model::storage::Object;
use wharf_model::{Diagnostic, Digest, Platform, Reference, Severity};
use wharf_store::{Image, NameTaken, ResolveError};

use super::{Container, Limits, NameError, lookup::LookupError, merge, name};
use crate::Engine;
use crate::device::{DeviceError, DeviceRequest};
use crate::event::Entry;
use crate::hook::{self, AskedContainer, HookError};
use crate::image::foreign;
use crate::network::PortSpec;
use crate::snapshot::{self, SnapshotError};
use crate::volume::{MountRequest, VolumeError};

/// Docker's floor.
const LEAST_MEMORY: i64 = 6 << 20;

/// What a person asked for.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// A name, an id or the beginning of one.
    pub image: String,
    /// `None` makes one up.
    pub name: Option<String>,
    /// Instead of the image's command.
    pub args: Vec<String>,
    /// Instead of the image's entrypoint.
    pub entrypoint: Option<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Further labels.
    pub labels: Vec<(String, String)>,
    /// `user[:group]`.
    pub user: Option<String>,
    /// Made if it is missing.
    pub working_dir: Option<String>,
    /// `None` is the short id.
    pub hostname: Option<String>,
    /// `None` is the config's.
    pub network: Option<String>,
    /// Ports to publish.
    pub publish: Vec<PortSpec>,
    /// Publish all exposed ports.
    pub publish_all: bool,
    /// Further exposed ports, as `80/tcp`.
    pub expose: Vec<String>,
    /// Mounts.
    pub mounts: Vec<MountRequest>,
    /// The texts of `-v`, for `inspect`.
    pub binds: Vec<String>,
    /// A terminal.
    pub tty: bool,
    /// Standard input stays open.
    pub interactive: bool,
    /// Nobody will attach at once: an open standard input stays open for ever.
    pub detached: bool,
    /// Remove the container when it ends.
    pub auto_remove: bool,
    /// The root file system can not be written.
    pub read_only: bool,
    /// Capabilities to add.
    pub cap_add: Vec<String>,
    /// Capabilities to drop.
    pub cap_drop: Vec<String>,
    /// Without confinement.
    pub privileged: bool,
    /// Without the default system call filter.
    pub seccomp_unconfined: bool,
    /// Devices that it has besides those of every container.
    pub devices: Vec<DeviceRequest>,
    /// What it may use.
    pub limits: Limits,
    /// Which of the images of that name.
    pub platform: Option<Platform>,
    /// Instead of the image's.
    pub stop_signal: Option<String>,
    /// Seconds; -1 waits for ever.
    pub stop_timeout: Option<i64>,
    /// Further lines of `/etc/hosts`.
    pub extra_hosts: Vec<(String, IpAddr)>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
}

/// A container that exists, and what there is to say about it.
#[derive(Debug)]
pub struct Created {
    /// Its record.
    pub container: Container,
    /// Warnings of hooks.
    pub warnings: Vec<Diagnostic>,
}

/// Why a container could not be created. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// No such image here, and no registry to ask.
    #[error("Unable to find image '{full}' locally")]
    NoImage {
        /// As the user named it.
        name: String,
        /// With registry and tag.
        full: String,
    },
    /// The image's name is not one, or several ids begin so.
    #[error(transparent)]
    Image(ResolveError),
    /// The container's name is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Another container has the name.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        id: String,
    },
    /// Neither the image nor the user says what to run.
    #[error("no command specified: the image has no ENTRYPOINT or CMD")]
    NoCommand,
    /// `--cap-add` or `--cap-drop`.
    #[error("invalid capability `{0}`")]
    Capability(String),
    /// No such network.
    #[error("network `{0}` not found")]
    Network(String),
    /// The network can not publish ports.
    #[error("network `{0}` can not publish ports")]
    NoPorts(String),
    /// With less no program can be started.
    #[error("the memory limit of {0} bytes is too small: the minimum is 6 MiB")]
    Memory(i64),
    /// A stop signal that is none.
    #[error("invalid stop signal `{0}`")]
    Signal(String),
    /// A volume or a mount.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A hook refused.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The root file system.
    #[error("cannot make the root file system of the container")]
    Snapshot(#[from] SnapshotError),
    /// The record.
    #[error("cannot keep the record of the container")]
    Record(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No randomness, or no directory.
    #[error("cannot prepare {path}", path = .path.display())]
    Prepare {
        /// What.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl Engine {
    /// Makes a container that can be started.
    ///
    /// # Errors
    /// When an option is wrong, the image is not there, the name is taken, a hook refuses, or
    /// something can not be made; nothing is left behind then.
    pub fn create(&self, options: CreateOptions) -> Result<Created, CreateError> {
        let image = self.find_image(&options.image, options.platform.as_ref())?;
        let mut container = self.draft(&options, &image)?;
        self.check_network(&container)?;
        self.device_edits(&container.devices)?; // they are made when it starts
        let volumes = self.plan_mounts(&mut container, &options.mounts)?;
        let (said, files) = self.ask_about(&mut container)?;
        let foreign = options.platform.is_none().then(|| of_other_machine(&image)).flatten();
        let warnings = foreign.into_iter().chain(said).collect();
        self.reserve_name(&mut container, options.name.is_none())?;
        let made = self.make_root(&container, volumes, &files);
        match &made {
            Ok(()) => self.created(&mut container),
            Err(_) => self.discard(&container),
        }
        made.map(|()| Created { container, warnings })
    }

    /// Hooks change and judge it; the files that they provide come back.
    fn ask_about(
        &self,
        container: &mut Container,
    ) -> Result<(Vec<Diagnostic>, Vec<ProvidedFile>), HookError> {
        let details = |container: &Container| self.container_details(container);
        let mut asked = AskedContainer { container, files: Vec::new(), details: &details };
        let warnings = self.ask_hooks(&mut asked)?;
        Ok((warnings, asked.files))
    }

    fn created(&self, container: &mut Container) {
        self.note([Entry::of(container, "create")]);
        let details = |container: &Container| self.container_details(container);
        self.tell_hooks(&AskedContainer { container, files: Vec::new(), details: &details });
    }

    fn find_image(&self, name: &str, platform: Option<&Platform>) -> Result<Image, CreateError> {
        self.store.resolve_for(name, platform).map_err(|error| match error {
            ResolveError::Unknown { .. } => {
                let full = name.parse().map_or_else(|_| name.to_owned(), |full: Reference| full.familiar());
                CreateError::NoImage { name: name.to_owned(), full }
            }
            other => CreateError::Image(other),
        })
    }

    fn draft(&self, options: &CreateOptions, image: &Image) -> Result<Container, CreateError> {
        let config = merge::run_config(&image.config.config, options);
        if let Some(signal) = &config.stop_signal {
            super::stop::signal_number(signal).ok_or_else(|| CreateError::Signal(signal.clone()))?;
        }
        if let Some(memory) = options.limits.memory.filter(|bytes| (1..LEAST_MEMORY).contains(bytes)) {
            return Err(CreateError::Memory(memory));
        }
        let prepare = |source| CreateError::Prepare { path: "/dev/urandom".into(), source };
        let id = name::fresh_id().map_err(prepare)?;
        let name = match &options.name {
            Some(name) => name::check(name)?.to_owned(),
            None => name::make_up().map_err(prepare)?,
        };
        let layers = image.layers.iter().rev().map(|layer| layer.chain_id.hex()).collect();
        let storage =
            image.layers.last().map_or_else(|| self.config().storage.clone(), |top| top.driver.clone());
        Ok(Container {
            hostname: options.hostname.clone().unwrap_or_else(|| id[..12].to_owned()),
            argv: merge::argv(&config)?,
            capabilities: merge::capabilities(options)?,
            ports: ports(options, &config),
            network: options.network.clone().unwrap_or_else(|| self.config().network.clone()),
            created: Timestamp::now(),
            image: options.image.clone(),
            image_id: image.id,
            tty: options.tty,
            open_stdin: options.interactive,
            stdin_once: options.interactive && !options.detached,
            auto_remove: options.auto_remove,
            mounts: Vec::new(),
            binds: options.binds.clone(),
            extra_hosts: options.extra_hosts.clone(),
            dns: options.dns.clone(),
            privileged: options.privileged,
            seccomp_unconfined: options.seccomp_unconfined || options.privileged,
            devices: options.devices.clone(),
            read_only: options.read_only,
            limits: options.limits.clone(),
            stop_timeout: options.stop_timeout,
            annotations: Vec::new(),
            provided: Vec::new(),
            joined: None,
            has_run: false,
            failed_start: None,
            id,
            name,
            layers,
            storage,
            config,
        })
    }

    /// A taken name that was made up is no reason to fail.
    fn reserve_name(&self, container: &mut Container, made_up: bool) -> Result<(), CreateError> {
        for attempt in 0..8 {
            match self.insert(container) {
                Err(CreateError::NameTaken { .. }) if made_up && attempt < 6 => {
                    let random = |source| CreateError::Prepare { path: "/dev/urandom".into(), source };
                    container.name = name::make_up().map_err(random)?;
                }
                Err(CreateError::NameTaken { .. }) if made_up => {
                    container.name = container.short_id().to_owned();
                }
                decided => return decided,
            }
        }
        self.insert(container)
    }

    /// A record of a container that `--rm` removes need not survive a power cut.
    fn insert(&self, container: &Container) -> Result<(), CreateError> {
        let record = |error: Box<dyn std::error::Error + Send + Sync>| CreateError::Record(error);
        let json = serde_json::to_string(container).map_err(|error| record(error.into()))?;
        let containers = self.store.containers();
        let inserted = containers.insert(&container.id, &container.name, &json, !container.auto_remove);
        match inserted.map_err(|error| record(error.into()))? {
            Ok(()) => {}
            Err(NameTaken { name, id }) => return Err(CreateError::NameTaken { name, id }),
        }
        let Some(top) = container.layers.first() else { return Ok(()) };
        let top = Digest::from_hex(top).map_err(|error| record(error.into()))?;
        containers.hold(&container.id, &top).map_err(|error| record(error.into()))
    }

    fn make_root(
        &self,
        container: &Container,
        volumes: crate::volume::Pending,
        files: &[ProvidedFile],
    ) -> Result<(), CreateError> {
        let data = self.data_dir(&container.id);
        std::fs::create_dir_all(&data)
            .and_then(|()| hook::write_provided(&data, files))
            .map_err(|source| CreateError::Prepare { path: data, source })?;
        let snapshots = self.snapshots(&container.storage)?;
        let object = snapshot::container(&container.id, container.layers.clone());
        snapshots.create(&Object { size_limit: container.limits.storage_size, ..object })?;
        self.make_volumes(container, volumes)?;
        Ok(())
    }

    /// Takes back what `create` made; best effort, as the first error is the one to report.
    fn discard(&self, container: &Container) {
        let _ = self.forget(container, true);
    }

    /// A record by its name, for callers that made it themselves.
    pub(super) fn reload(&self, id: &str) -> Result<Container, LookupError> {
        self.container(id)
    }
}

fn of_other_machine(image: &Image) -> Option<Diagnostic> {
    let own = image.config.platform();
    (!own.is_like(&Platform::host())).then(|| Diagnostic::new(Severity::Warning, "platform", foreign(&own)))
}

fn ports(options: &CreateOptions, config: &wharf_model::image::RunConfig) -> Vec<PortSpec> {
    let mut ports = options.publish.clone();
    if options.publish_all {
        let exposed = config.exposed_ports.keys().filter_map(|port| PortSpec::parse(port).ok()).flatten();
        let fresh = |port: &PortSpec| {
            !options
                .publish
                .iter()
                .any(|given| (given.container_port, given.protocol) == (port.container_port, port.protocol))
        };
        ports.extend(exposed.filter(fresh));
    }
    ports
}
