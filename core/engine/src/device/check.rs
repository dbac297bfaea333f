//! What has to hold in a CDI file: names, versions, and that no device does nothing.
//!
//! The rules are those of the CDI specification and of its own library, so that a file means the same here as
//! everywhere.

use super::spec::{ContainerEdits, Spec};

/// The versions of the CDI specification, as far as this one knows them.
const VERSIONS: [&str; 10] =
    ["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"];

/// When a hook is run.
const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Why a CDI file can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotASpec {
    #[error("{0}")]
    Syntax(String),
    #[error("invalid cdiVersion `{found}`: known are {first} to {last}", first = VERSIONS[0], last = VERSIONS[9])]
    Version { found: String },
    #[error("its cdiVersion is {found}, but {what} came with {least}")]
    TooOld { found: String, what: &'static str, least: &'static str },
    #[error("invalid kind `{0}`: expected VENDOR/CLASS")]
    Kind(String),
    #[error("it has no devices")]
    NoDevices,
    #[error("invalid device name `{0}`")]
    Name(String),
    #[error("it has two devices `{0}`")]
    Twice(String),
    #[error("the device `{0}` changes nothing")]
    Empty(String),
    #[error("invalid {what} `{found}`")]
    Value { what: &'static str, found: String },
}

/// Whether `text` is the whole name of a CDI device: `vendor/class=name`.
pub(super) fn is_qualified(text: &str) -> bool {
    let split = text.split_once('=').and_then(|(kind, name)| Some((kind.split_once('/')?, name)));
    split.is_some_and(|((vendor, class), name)| is_kind(vendor) && is_kind(class) && is_name(name))
}

/// A vendor or a class.
fn is_kind(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
        && text.bytes().all(plain)
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
        && text.bytes().all(plain)
}

/// Checks all of a file.
pub(super) fn check(spec: &Spec) -> Result<(), NotASpec> {
    version(spec)?;
    let kind = spec.kind.split_once('/').filter(|(vendor, class)| is_kind(vendor) && is_kind(class));
    kind.ok_or_else(|| NotASpec::Kind(spec.kind.clone()))?;
    edits(&spec.container_edits)?;
    if spec.devices.is_empty() {
        return Err(NotASpec::NoDevices);
    }
    for (index, device) in spec.devices.iter().enumerate() {
        if !is_name(&device.name) {
            return Err(NotASpec::Name(device.name.clone()));
        }
        if spec.devices.iter().take(index).any(|other| other.name == device.name) {
            return Err(NotASpec::Twice(device.name.clone()));
        }
        if device.container_edits == ContainerEdits::default() {
            return Err(NotASpec::Empty(device.name.clone()));
        }
        edits(&device.container_edits)?;
    }
    Ok(())
}

/// A file must not use what came later than the version that it says.
fn version(spec: &Spec) -> Result<(), NotASpec> {
    let found = spec.cdi_version.trim_start_matches('v');
    let index = |version: &str| VERSIONS.iter().position(|known| *known == version);
    let Some(said) = index(found) else { return Err(NotASpec::Version { found: spec.cdi_version.clone() }) };
    match needs(spec).into_iter().find(|(least, _, used)| *used && index(least) > Some(said)) {
        Some((least, what, _)) => Err(NotASpec::TooOld { found: found.to_owned(), what, least }),
        None => Ok(()),
    }
}

/// What came with which version, and whether the file uses it; the newest first.
fn needs(spec: &Spec) -> [(&'static str, &'static str, bool); 10] {
    let own = spec.devices.iter().map(|device| &device.container_edits);
    let all: Vec<&ContainerEdits> = own.chain([&spec.container_edits]).collect();
    let any = |uses: &dyn Fn(&ContainerEdits) -> bool| all.iter().any(|edits| uses(edits));
    let rdt = |edits: &ContainerEdits| {
        edits.intel_rdt.as_ref().is_some_and(|rdt| rdt.schemata.is_some() || rdt.enable_monitoring)
    };
    let annotated =
        !spec.annotations.is_empty() || spec.devices.iter().any(|device| !device.annotations.is_empty());
    let digit = |name: &str| name.starts_with(|first: char| first.is_ascii_digit());
    [
        ("1.1.0", "a network device", any(&|edits| !edits.net_devices.is_empty())),
        ("1.1.0", "`schemata` or `enableMonitoring`", any(&rdt)),
        ("0.7.0", "`intelRdt`", any(&|edits| edits.intel_rdt.is_some())),
        ("0.7.0", "`additionalGids`", any(&|edits| !edits.additional_gids.is_empty())),
        ("0.6.0", "an annotation", annotated),
        (
            "0.6.0",
            "a dot in a class",
            spec.kind.split_once('/').is_some_and(|(_, class)| class.contains('.')),
        ),
        ("0.5.0", "a name that begins with a digit", spec.devices.iter().any(|device| digit(&device.name))),
        (
            "0.5.0",
            "`hostPath` of a node",
            any(&|edits| edits.device_nodes.iter().any(|node| !node.host_path.is_empty())),
        ),
        (
            "0.4.0",
            "`type` of a mount",
            any(&|edits| edits.mounts.iter().any(|mount| !mount.r#type.is_empty())),
        ),
        ("0.3.0", "every device", true),
    ]
}

fn edits(edits: &ContainerEdits) -> Result<(), NotASpec> {
    let hooks = edits.hooks.iter();
    let variables = edits.env.iter().chain(hooks.clone().flat_map(|hook| &hook.env));
    let variables = variables.filter(|pair| pair.find('=').is_none_or(|at| at == 0));
    let types = edits.device_nodes.iter().map(|node| &node.r#type);
    let access = |text: &&String| *text != "none" && !text.chars().all(|letter| "rwm".contains(letter));
    let accesses = edits.device_nodes.iter().map(|node| &node.permissions);
    let sources = edits.mounts.iter().map(|mount| &mount.host_path).filter(|path| path.is_empty());
    let mut wrong = std::iter::empty()
        .chain(variables.map(|pair| ("variable", pair)))
        .chain(
            types
                .filter(|kind| !["", "b", "c", "u", "p"].contains(&kind.as_str()))
                .map(|kind| ("device type", kind)),
        )
        .chain(accesses.filter(access).map(|text| ("permissions", text)))
        .chain(
            hooks
                .clone()
                .map(|hook| &hook.hook_name)
                .filter(|name| !HOOKS.contains(&name.as_str()))
                .map(|name| ("hook", name)),
        )
        .chain(paths(edits).filter(|path| !path.starts_with('/')).map(|path| ("path", path)))
        .chain(sources.map(|path| ("source of a mount", path)));
    match wrong.next() {
        Some((what, found)) => Err(NotASpec::Value { what, found: found.clone() }),
        None => Ok(()),
    }
}

/// Every path that has to be there.
fn paths(edits: &ContainerEdits) -> impl Iterator<Item = &String> {
    let nodes = edits.device_nodes.iter().map(|node| &node.path);
    let on_host = edits.device_nodes.iter().map(|node| &node.host_path).filter(|path| !path.is_empty());
    let mounts = edits.mounts.iter().map(|mount| &mount.container_path);
    nodes.chain(on_host).chain(mounts).chain(edits.hooks.iter().map(|hook| &hook.path))
}
