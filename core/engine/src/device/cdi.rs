//! All CDI files: which of them counts, and what a device of theirs wants.
//!
//! A directory has files that end in `.json` or `.yaml`. The same device in two directories is that of the later one;
//! twice in one directory it is nobody's, as nobody can say which is meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{self as oci, LinuxDeviceType};

use super::check::{self, NotASpec};
use super::edit::Node;
use super::host::{self, Numbers};
use super::spec::{ContainerEdits, DeviceNode, Spec};
use super::{DeviceError, Edits};

/// The annotations of BuildKit: what a Dockerfile may call a device besides its name, and whether it may have it
/// without asking.
const CLASS: &str = "org.mobyproject.buildkit.device.class";
const ALLOWED: &str = "org.mobyproject.buildkit.device.autoallow";

/// No vendor needs more; a file that is longer is not read.
const LONGEST: u64 = 16 << 20;

/// What is wrong with a CDI file, or with a directory of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path.display(), self.what)
    }
}

impl std::error::Error for Problem {}

/// A file that can be used.
#[derive(Debug)]
struct File {
    path: PathBuf,
    /// The number of its directory.
    priority: usize,
    spec: Spec,
}

/// Which of the files, and which device of it.
#[derive(Debug, Clone, Copy)]
struct Place {
    file: usize,
    device: usize,
}

/// All devices that the files of some directories describe.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    files: Vec<File>,
    by_name: BTreeMap<String, Place>,
    directories: Vec<PathBuf>,
    problems: Vec<Problem>,
}

impl Devices {
    /// Reads all files. A directory need not be there.
    pub(super) fn read(directories: &[PathBuf]) -> Self {
        let mut all = Self { directories: directories.to_vec(), ..Self::default() };
        for (priority, directory) in directories.iter().enumerate() {
            match files(directory) {
                Ok(paths) => paths.into_iter().for_each(|path| all.add(path, priority)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    all.problems.push(Problem { path: directory.clone(), what: error.to_string() });
                }
            }
        }
        all.name();
        all
    }

    fn add(&mut self, path: PathBuf, priority: usize) {
        match read(&path) {
            Ok(spec) => self.files.push(File { path, priority, spec }),
            Err(what) => self.problems.push(Problem { path, what }),
        }
    }

    /// Gives each name to the device that has it.
    fn name(&mut self) {
        let mut twice: BTreeSet<(String, usize)> = BTreeSet::new();
        for (number, file) in self.files.iter().enumerate() {
            for (device, described) in file.spec.devices.iter().enumerate() {
                let name = format!("{}={}", file.spec.kind, described.name);
                let place = Place { file: number, device };
                let other = self.by_name.insert(name.clone(), place).map(|other| &self.files[other.file]);
                if let Some(other) = other.filter(|other| other.priority == file.priority) {
                    let what = format!("{} describes {name}, too: neither is used", other.path.display());
                    self.problems.push(Problem { path: file.path.clone(), what });
                    twice.insert((name, file.priority));
                }
            }
        }
        let files = &self.files;
        self.by_name.retain(|name, place| !twice.contains(&(name.clone(), files[place.file].priority)));
    }

    /// The whole names of all devices, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// What is wrong with some of the files.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What these devices want, each file's own wishes once and before its devices'.
    pub(super) fn edits(&self, names: &[&str]) -> Result<Edits, DeviceError> {
        let mut edits = Edits::default();
        let (mut files, mut devices) = (BTreeSet::new(), BTreeSet::new());
        for name in names {
            let unresolvable = || self.unknown(name, format!("unresolvable CDI devices {name}"));
            let place = *self.by_name.get(*name).ok_or_else(unresolvable)?;
            let file = &self.files[place.file];
            if !devices.insert(*name) {
                continue;
            }
            if files.insert(place.file) {
                edits.append(wanted(name, &file.path, &file.spec.container_edits)?);
            }
            edits.append(wanted(name, &file.path, &file.spec.devices[place.device].container_edits)?);
        }
        Ok(edits)
    }

    /// What a Dockerfile's name for devices stands for: one by its whole name, the first of a kind, all of a kind, or
    /// all that an annotation says are of that class.
    pub(crate) fn select(&self, asked: &str) -> Vec<&str> {
        let (kind, name) = asked.split_once('=').unwrap_or((asked, ""));
        let of_kind = self.names().filter(|whole| whole.split('=').next() == Some(kind));
        let found: Vec<&str> = match name {
            _ if !kind.contains('/') => Vec::new(),
            "" => of_kind.take(1).collect(),
            "*" => of_kind.collect(),
            _ => of_kind.filter(|whole| *whole == asked).collect(),
        };
        if !found.is_empty() {
            return found;
        }
        self.names().filter(|whole| self.annotation(whole, CLASS) == Some(asked)).collect()
    }

    /// Whether a device says of itself that every Dockerfile may have it.
    pub(crate) fn allows_itself(&self, name: &str) -> bool {
        let says = self.annotation(name, ALLOWED);
        says.is_some_and(|text| ["1", "t", "T", "true", "TRUE", "True"].contains(&text))
    }

    /// The device's own, else that of its file.
    fn annotation(&self, name: &str, key: &str) -> Option<&str> {
        let place = self.by_name.get(name)?;
        let spec = &self.files[place.file].spec;
        let own = spec.devices[place.device].annotations.get(key);
        own.or_else(|| spec.annotations.get(key)).map(|value| value.0.as_str())
    }

    /// A device that a Dockerfile can not do without is not there.
    pub(crate) fn not_registered(&self, name: &str) -> DeviceError {
        self.unknown(name, format!("required device {name:?} is not registered"))
    }

    /// A problem that speaks of the device is more likely to be the reason than any other.
    fn unknown(&self, name: &str, what: String) -> DeviceError {
        let about = self.problems.iter().find(|problem| problem.what.contains(name));
        DeviceError::Unknown {
            what,
            known: self.names().map(str::to_owned).collect(),
            directories: self.directories.clone(),
            problem: about.or(self.problems.first()).cloned(),
        }
    }
}

/// The CDI files of a directory, sorted.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let is_spec =
        |path: &PathBuf| path.extension().is_some_and(|ending| ending == "json" || ending == "yaml");
    let entries = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    paths.retain(is_spec);
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Spec, String> {
    let mut text = String::new();
    let opened = fs::metadata(path).and_then(|data| {
        if data.is_file() { fs::File::open(path) } else { Err(io::Error::other("it is not a regular file")) }
    });
    let length = opened.and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    if length.map_err(|error| error.to_string())? as u64 > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let is_json = path.extension().is_some_and(|ending| ending == "json");
    parse(&text, is_json).map_err(|error| error.to_string())
}

fn parse(text: &str, is_json: bool) -> Result<Spec, NotASpec> {
    let spec: Spec = if is_json {
        serde_json::from_str(text).map_err(|error| NotASpec::Syntax(error.to_string()))?
    } else {
        yaml_serde::from_str(text).map_err(|error| NotASpec::Syntax(error.to_string()))?
    };
    check::check(&spec)?;
    Ok(spec)
}

/// What one part of a file wants for a device.
fn wanted(device: &str, file: &Path, edits: &ContainerEdits) -> Result<Edits, DeviceError> {
    if let Some(what) = unsupported(edits) {
        return Err(DeviceError::Unsupported { device: device.to_owned(), what, file: file.to_owned() });
    }
    let nodes = edits.device_nodes.iter().map(|described| node(device, described));
    Ok(Edits {
        env: edits.env.clone(),
        nodes: nodes.collect::<Result<_, _>>()?,
        mounts: edits.mounts.iter().map(mount).collect(),
        gids: edits.additional_gids.clone(),
    })
}

fn unsupported(edits: &ContainerEdits) -> Option<String> {
    let hook = edits.hooks.first().map(|hook| format!("the hook {} ({})", hook.hook_name, hook.path));
    let interface = edits.net_devices.first();
    let interface = interface
        .map(|device| format!("the network interface {} as {}", device.host_interface_name, device.name));
    hook.or(interface).or_else(|| edits.intel_rdt.is_some().then(|| "Intel RDT".to_owned()))
}

/// What a file says of a node counts; for the rest the host is asked.
fn node(device: &str, described: &DeviceNode) -> Result<Node, DeviceError> {
    let kind = match described.r#type.as_str() {
        "b" => Some(LinuxDeviceType::B),
        "c" => Some(LinuxDeviceType::C),
        "u" => Some(LinuxDeviceType::U),
        "p" => Some(LinuxDeviceType::P),
        _ => None,
    };
    let on_host = if described.host_path.is_empty() { &described.path } else { &described.host_path };
    let failed = |source| DeviceError::CdiHost { path: on_host.into(), device: device.to_owned(), source };
    let whole = kind.filter(|kind| described.major != 0 || *kind == LinuxDeviceType::P);
    let found = host::look(Path::new(on_host));
    let numbers = match (whole, found) {
        (Some(kind), found) => {
            let mode = found.map_or(0o666, |found| found.mode);
            Numbers { kind, major: described.major, minor: described.minor, mode }
        }
        (None, Err(error)) => return Err(failed(error)),
        (None, Ok(found)) if kind.is_some_and(|kind| kind != found.kind) => {
            return Err(failed(io::Error::other("the host's is of another type")));
        }
        (None, Ok(found)) if described.major != 0 => {
            Numbers { major: described.major, minor: described.minor, ..found }
        }
        (None, Ok(found)) => found,
    };
    let access = match described.permissions.as_str() {
        "" => "rwm",
        "none" => "",
        access => access,
    };
    let mode = described.file_mode.map_or(numbers.mode, |mode| mode.0 & 0o7777);
    let node = Node {
        path: described.path.clone().into(),
        numbers: Numbers { mode, ..numbers },
        access: access.to_owned(),
        uid: described.uid,
        gid: described.gid,
    };
    if node.is_below_dev() { Ok(node) } else { Err(DeviceError::Outside(node.path)) }
}

fn mount(described: &super::spec::Mount) -> oci::Mount {
    let mut mount = oci::Mount::default();
    mount
        .set_destination(described.container_path.clone().into())
        .set_source(Some(described.host_path.clone().into()))
        .set_typ((!described.r#type.is_empty()).then(|| described.r#type.clone()))
        .set_options(Some(described.options.clone()));
    mount
}

#[cfg(test)]
mod tests;
