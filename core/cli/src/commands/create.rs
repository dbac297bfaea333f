use std::net::IpAddr;
use std::path::{Path, PathBuf};

use wharf_engine::Engine;
use wharf_engine::container::{Container, CreateError, CreateOptions, Limits};
use wharf_engine::device::DeviceRequest;
use wharf_engine::network::PortSpec;
use wharf_engine::volume::{MountRequest, VolumeError};
use wharf_model::Platform;

use super::content_trust::ContentTrust;
use super::pull;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;
use crate::units;

/// Create a container without starting it
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    options: ContainerArgs,
}

impl Create {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let container = self.options.create(engine, true)?;
        output::lines([container.id])?;
        Ok(0)
    }
}

/// What `create` and `run` have in common.
#[derive(Debug, clap::Args)]
pub(crate) struct ContainerArgs {
    /// Keep standard input open
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub(super) tty: bool,
    /// Remove the container when it ends
    #[arg(long)]
    pub(super) rm: bool,
    /// Name it; may hold a colon
    #[arg(long)]
    name: Option<String>,
    /// Mount a host path or a volume: [SOURCE:]TARGET[:OPTIONS]
    #[arg(short, long = "volume", value_name = "VOLUME")]
    volumes: Vec<String>,
    /// Mount something: type=bind|volume|tmpfs,source=...,target=...[,readonly]
    #[arg(long = "mount", value_name = "MOUNT")]
    mounts: Vec<String>,
    /// Mount memory: TARGET[:OPTIONS]
    #[arg(long, value_name = "TARGET")]
    tmpfs: Vec<String>,
    /// Publish a port: [ADDRESS:][HOST-PORT:]PORT[/PROTOCOL]
    #[arg(short, long, value_name = "PORT")]
    publish: Vec<String>,
    /// Publish all exposed ports
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Expose a port without publishing it
    #[arg(long, value_name = "PORT")]
    expose: Vec<String>,
    /// Set a variable: NAME=VALUE, or NAME for the caller's value
    #[arg(short, long, value_name = "VARIABLE")]
    env: Vec<String>,
    /// Set the variables of a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Set a label
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Directory to start in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User to run as: NAME|UID[:GROUP|GID]
    #[arg(short, long)]
    user: Option<String>,
    /// Replace the image's entrypoint
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Host name
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Network to join
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Option<String>,
    /// Add a line to /etc/hosts: NAME:ADDRESS
    #[arg(long, value_name = "HOST")]
    add_host: Vec<String>,
    /// Name server
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,
    /// Add a device of the host, or one of a CDI file: SOURCE[:TARGET][:rwm] or VENDOR/CLASS=NAME
    #[arg(long, value_name = "DEVICE")]
    device: Vec<DeviceRequest>,
    /// Add a capability
    #[arg(long, value_name = "NAME")]
    cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "NAME")]
    cap_drop: Vec<String>,
    /// Run without confinement
    #[arg(long)]
    privileged: bool,
    /// seccomp=unconfined switches the system call filter off
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Make the root file system read-only
    #[arg(long)]
    read_only: bool,
    /// Limit memory, such as 512m
    #[arg(short, long, value_name = "BYTES", value_parser = units::bytes)]
    memory: Option<i64>,
    /// Limit memory and swap together; -1 is no limit
    #[arg(long, value_name = "BYTES", value_parser = units::bytes, allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    /// Limit processors, such as 1.5
    #[arg(long, value_name = "NUMBER", value_parser = units::cpus)]
    cpus: Option<i64>,
    /// Relative share of processor time
    #[arg(long, value_name = "WEIGHT")]
    cpu_shares: Option<u64>,
    /// Processors to run on, such as 0-2
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Limit processes and threads; -1 is no limit
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES", value_parser = units::bytes)]
    shm_size: Option<i64>,
    /// Size of the root file system, where the storage driver can: size=BYTES
    #[arg(long, value_name = "OPTION", value_parser = units::storage_size)]
    storage_opt: Option<u64>,
    /// Resource limit of each process: NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT", value_parser = units::ulimit)]
    ulimit: Vec<(String, u64, u64)>,
    /// Signal that stops it
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Seconds until it is killed
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    stop_timeout: Option<i64>,
    /// Write the id to a file
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,
    /// When to pull the image: missing, always, never
    #[arg(long, value_name = "WHEN", default_value = "missing", value_parser = ["missing", "always", "never"])]
    #[arg(env = "WHARF_PULL", hide_env_values = true)]
    pull: String,
    /// Which of the image's platforms, such as linux/arm64
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Say nothing of a pull
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    trust: ContentTrust,
    /// Image
    image: String,
    /// Command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl ContainerArgs {
    /// Creates the container and says what hooks have to say.
    pub(super) fn create(&self, engine: &Engine, detached: bool) -> Result<Container, Report> {
        self.trust.check(125)?;
        self.check_cidfile()?;
        let policy = pull::policy(&self.pull).unwrap_or_default();
        pull::bring(engine, &self.image, self.platform.as_ref(), policy, self.quiet)?;
        let created = engine.create(self.options(detached)?).map_err(report)?;
        for warning in &created.warnings {
            output::say(&format!("warning: {}", warning.message));
        }
        self.write_cidfile(&created.container.id)?;
        Ok(created.container)
    }

    fn options(&self, detached: bool) -> Result<CreateOptions, Report> {
        Ok(CreateOptions {
            image: self.image.clone(),
            name: self.name.clone(),
            args: self.args.clone(),
            entrypoint: self.entrypoint.clone(),
            env: self.environment()?,
            labels: self.labels(),
            user: self.user.clone(),
            working_dir: self.workdir.clone(),
            hostname: self.hostname.clone(),
            network: self.network.clone(),
            publish: self.ports()?,
            publish_all: self.publish_all,
            expose: self.exposed()?,
            mounts: self.mount_requests()?,
            binds: self.volumes.clone(),
            tty: self.tty,
            interactive: self.interactive,
            detached,
            auto_remove: self.rm,
            devices: self.device.clone(),
            read_only: self.read_only,
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            privileged: self.privileged,
            seccomp_unconfined: self.seccomp_unconfined()?,
            limits: self.limits(),
            platform: self.platform.clone(),
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.stop_timeout,
            extra_hosts: self.extra_hosts()?,
            dns: self.dns.clone(),
        })
    }

    fn limits(&self) -> Limits {
        Limits {
            memory: self.memory,
            memory_swap: self.memory_swap,
            nano_cpus: self.cpus,
            cpu_shares: self.cpu_shares,
            cpuset_cpus: self.cpuset_cpus.clone(),
            pids: self.pids_limit,
            shm_size: self.shm_size,
            storage_size: self.storage_opt,
            ulimits: self.ulimit.clone(),
        }
    }

    /// Files first, so that `-e` wins.
    fn environment(&self) -> Result<Vec<String>, Report> {
        let mut pairs = Vec::new();
        for path in &self.env_file {
            pairs.extend(super::exec::environment(&read_env_file(path)?));
        }
        pairs.extend(super::exec::environment(&self.env));
        Ok(pairs)
    }

    fn labels(&self) -> Vec<(String, String)> {
        let split = |label: &String| {
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            (name.to_owned(), value.to_owned())
        };
        self.label.iter().map(split).collect()
    }

    fn ports(&self) -> Result<Vec<PortSpec>, Report> {
        let mut ports = Vec::new();
        for text in &self.publish {
            ports.extend(PortSpec::parse(text).map_err(Report::engine)?);
        }
        Ok(ports)
    }

    fn exposed(&self) -> Result<Vec<String>, Report> {
        let mut ports = Vec::new();
        for text in &self.expose {
            let parsed = PortSpec::parse(text).map_err(Report::engine)?;
            ports.extend(parsed.iter().map(|port| format!("{}/{}", port.container_port, port.protocol)));
        }
        Ok(ports)
    }

    fn mount_requests(&self) -> Result<Vec<MountRequest>, Report> {
        let volumes = self.volumes.iter().map(|text| MountRequest::parse_volume(&from_here(text)));
        let mounts = self.mounts.iter().map(|text| MountRequest::parse_mount(text));
        let tmpfs = self.tmpfs.iter().map(|text| MountRequest::parse_tmpfs(text));
        volumes.chain(mounts).chain(tmpfs).collect::<Result<_, _>>().map_err(Report::engine)
    }

    fn seccomp_unconfined(&self) -> Result<bool, Report> {
        match self.security_opt.iter().find(|option| *option != "seccomp=unconfined") {
            None => Ok(!self.security_opt.is_empty()),
            Some(option) => Err(Report::message(
                125,
                format!("invalid --security-opt `{option}`: expected seccomp=unconfined"),
            )),
        }
    }

    fn extra_hosts(&self) -> Result<Vec<(String, IpAddr)>, Report> {
        let parse = |text: &String| {
            let (name, address) = text.split_once([':', '=']).unwrap_or((text, ""));
            let plain = !name.is_empty() && !name.contains(char::is_whitespace);
            match address.trim_matches(['[', ']']).parse() {
                Ok(address) if plain => Ok((name.to_owned(), address)),
                _ => Err(Report::message(125, format!("invalid --add-host `{text}`: expected NAME:ADDRESS"))),
            }
        };
        self.add_host.iter().map(parse).collect()
    }

    fn check_cidfile(&self) -> Result<(), Report> {
        match &self.cidfile {
            Some(path) if path.exists() => Err(Report::message(
                125,
                format!(
                    "container ID file found, make sure the other container isn't running or delete {}",
                    path.display()
                ),
            )),
            _ => Ok(()),
        }
    }

    fn write_cidfile(&self, id: &str) -> Result<(), Report> {
        let Some(path) = &self.cidfile else { return Ok(()) };
        std::fs::write(path, id)
            .map_err(|error| Report::message(125, format!("cannot write {}: {error}", path.display())))
    }
}

/// `.` and `./x` are paths of the caller's directory; the engine knows absolute ones.
fn from_here(volume: &str) -> String {
    let (source, rest) = volume.split_once(':').unwrap_or((volume, ""));
    let relative = source == "." || source == ".." || source.starts_with("./") || source.starts_with("../");
    match std::path::absolute(source) {
        Ok(path) if relative && !rest.is_empty() => format!("{}:{rest}", path.display()),
        _ => volume.to_owned(),
    }
}

/// No quotes, no expansion; `#` begins a comment at the start of a line only.
fn read_env_file(path: &Path) -> Result<Vec<String>, Report> {
    let failed = |cause: String| Report::message(125, format!("cannot read {}: {cause}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_start);
    let lines: Vec<String> =
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect();
    match lines
        .iter()
        .find(|line| line.split('=').next().is_some_and(|key| key.contains(char::is_whitespace)))
    {
        Some(line) => Err(failed(format!("variable `{line}` contains whitespaces"))),
        None => Ok(lines),
    }
}

/// What to do next when there is no such image.
fn report(error: CreateError) -> Report {
    match &error {
        CreateError::NoImage { full, .. } => {
            let hint = format!(
                "build it with `wharf build -t {full} DIR`, or bring it with `wharf pull`, `wharf load` or `wharf import`"
            );
            Report::engine(error).hint(hint)
        }
        CreateError::NameTaken { name, .. } => {
            let hint = format!("remove it with `wharf rm {name}`, or choose another --name");
            Report::engine(error).hint(hint)
        }
        CreateError::Snapshot(cause) => match cause.next_step() {
            Some(hint) => Report::engine(error).hint(hint),
            None => Report::engine(error),
        },
        CreateError::Device(cause) => {
            let hint = cause.next_step();
            hint.into_iter().fold(Report::engine(error), Report::hint)
        }
        CreateError::Hook(refused) | CreateError::Volume(VolumeError::Hook(refused)) => {
            let hint = refused.next_step();
            hint.into_iter().fold(Report::engine(error), Report::hint)
        }
        _ => Report::engine(error),
    }
}
