//! The schema: one file's TOML as typed, still partial definitions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;
use wharf_model::grant::{Grants, NetGrant, Right};
use wharf_model::hook::{Moment, Phase};
use wharf_model::network::Cidr;
use wharf_model::registry::Route;
use wharf_model::{Digest, Keyword, Value};

use super::document::{self, File, Node, Table, one_of};
use super::route;
use super::{Approval, ConfigError, Level, NetworkConfig, Place, PluginSource, Source, Trust, World};

/// A value, and where a project says it: the words of others need no grant.
#[derive(Debug, Clone)]
pub(super) struct Said<T> {
    pub(super) value: T,
    pub(super) asked: Option<Box<Asked>>,
}

/// What a project would have to be granted.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) place: Place,
    pub(super) key: String,
    /// The value as it stands in the file.
    pub(super) toml: String,
}

type Maybe<T> = Option<Said<T>>;

/// What one file says.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) storage: Maybe<String>,
    pub(super) network: Maybe<String>,
    pub(super) build_cache: Maybe<u64>,
    pub(super) signatures: Maybe<PathBuf>,
    pub(super) cdi: Maybe<Vec<PathBuf>>,
    pub(super) parallelism: Maybe<usize>,
    pub(super) plugins: Vec<Partial>,
    pub(super) networks: Vec<Said<NetworkConfig>>,
    pub(super) registries: Vec<Said<Route>>,
    pub(super) approvals: Vec<Said<Approval>>,
}

/// What one file says about one plugin.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) name: String,
    pub(super) place: Place,
    /// All of it, where a project says it.
    pub(super) asked: Option<Box<Asked>>,
    pub(super) world: Maybe<World>,
    pub(super) source: Maybe<PluginSource>,
    pub(super) digest: Maybe<Digest>,
    pub(super) keywords: Maybe<BTreeMap<Keyword, Keyword>>,
    pub(super) ops: Maybe<BTreeSet<Right>>,
    pub(super) net: Maybe<BTreeSet<NetGrant>>,
    pub(super) read: Maybe<BTreeSet<String>>,
    pub(super) remote: Maybe<BTreeSet<String>>,
    pub(super) extensions: Maybe<BTreeSet<String>>,
    pub(super) memory: Maybe<u64>,
    pub(super) fuel: Maybe<u64>,
    pub(super) time: Maybe<Duration>,
    pub(super) settings: Vec<(String, Said<Value>)>,
    pub(super) required: Maybe<bool>,
    pub(super) enabled: Maybe<bool>,
    pub(super) phases: Maybe<Vec<(Moment, Phase)>>,
    pub(super) trust: Maybe<Trust>,
}

const WORLDS: &[(&str, World)] = &[
    ("instruction", World::Instruction),
    ("storage", World::Storage),
    ("network", World::Network),
    ("hook", World::Hook),
];

const RIGHTS: &[(&str, Right)] = &[
    ("stage", Right::Stage),
    ("expand", Right::Expand),
    ("exec", Right::Exec),
    ("exec-insecure", Right::ExecInsecure),
    ("exec-device", Right::ExecDevice),
    ("copy", Right::Copy),
    ("write", Right::Write),
    ("remove", Right::Remove),
    ("image", Right::Image),
    ("http", Right::Http),
    ("git", Right::Git),
    ("config", Right::Config),
    ("mount-cache", Right::MountCache),
    ("mount-secret", Right::MountSecret),
    ("mount-bind", Right::MountBind),
    ("directory", Right::Directory),
    ("file", Right::File),
    ("remove-tree", Right::RemoveTree),
    ("mount-overlay", Right::MountOverlay),
    ("mount-directory", Right::MountDirectory),
    ("mount-image", Right::MountImage),
    ("link", Right::Link),
    ("address", Right::Address),
    ("sysctl", Right::Sysctl),
    ("firewall", Right::Firewall),
    ("publish", Right::Publish),
    ("host-network", Right::HostNetwork),
    ("adjust", Right::Adjust),
    ("judge", Right::Judge),
    ("observe", Right::Observe),
];

const NETS: &[(&str, NetGrant)] = &[("sandbox", NetGrant::Sandbox), ("host", NetGrant::Host)];

const MOMENTS: &[(&str, Moment)] = &[
    ("build-op", Moment::BuildOp),
    ("image-commit", Moment::ImageCommit),
    ("container", Moment::Container),
    ("exec", Moment::Exec),
    ("network", Moment::Network),
    ("volume", Moment::Volume),
    ("image-pull", Moment::ImagePull),
    ("image-push", Moment::ImagePush),
];

const PHASES: &[(&str, Phase)] =
    &[("adjust", Phase::Adjust), ("judge", Phase::Judge), ("observe", Phase::Observe)];

/// Reads one file.
pub(super) fn read(source: &Source) -> Result<Layer, ConfigError> {
    let lines = document::lines(&source.text);
    let file = File::new(source, &lines);
    let parsed = file.parse()?;
    let root = file.table("".into(), 0, parsed.get_ref());
    root.only(&["engine", "plugin", "network", "registry", "project"])?;
    let mut layer = Layer::default();
    if let Some(node) = root.get("engine") {
        let engine = node.table()?;
        engine.only(&["storage", "network", "build-cache", "max-parallelism", "signatures", "cdi"])?;
        layer.storage = said(&engine, "storage", |node| node.text().map(str::to_owned))?;
        layer.network = said(&engine, "network", |node| node.text().map(str::to_owned))?;
        layer.build_cache = said(&engine, "build-cache", disk_size)?;
        layer.signatures = said(&engine, "signatures", directory)?;
        layer.cdi = said(&engine, "cdi", directories)?;
        let count =
            |node: &Node<'_>| node.positive().map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        layer.parallelism = said(&engine, "max-parallelism", count)?;
    }
    for (name, node) in tables(&root, "plugin")? {
        layer.plugins.push(plugin(name, &node)?);
    }
    for (name, node) in tables(&root, "network")? {
        layer.networks.push(network(name, &node)?);
    }
    if let Some(node) = root.get("registry") {
        for (prefix, node) in node.table()?.entries() {
            layer.registries.push(here(node, route::route(prefix, node)?)?);
        }
    }
    if let Some(node) = root.get("project") {
        for (directory, node) in node.table()?.entries() {
            layer.approvals.push(here(node, approval(directory, node)?)?);
        }
    }
    Ok(layer)
}

fn directories(node: &Node<'_>) -> Result<Vec<PathBuf>, ConfigError> {
    let paths: Vec<PathBuf> = node.texts()?.into_iter().map(PathBuf::from).collect();
    match paths.iter().find(|path| !path.is_absolute()) {
        Some(path) => Err(node.wrong(format!("`{}` is not an absolute path", path.display()), None)),
        None => Ok(paths),
    }
}

fn directory(node: &Node<'_>) -> Result<PathBuf, ConfigError> {
    let path = PathBuf::from(node.text()?);
    if path.is_absolute() { Ok(path) } else { Err(node.wrong("not an absolute path", None)) }
}

/// `"20GB"`, and `"20GiB"` for binary ones.
fn disk_size(node: &Node<'_>) -> Result<u64, ConfigError> {
    let text = node.text()?.trim();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor: Option<u64> = match &text[digits.len()..] {
        "B" => Some(1),
        "kB" | "KB" => Some(1000),
        "MB" => Some(1000 * 1000),
        "GB" => Some(1000 * 1000 * 1000),
        "TB" => Some(1000 * 1000 * 1000 * 1000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        "TiB" => Some(1 << 40),
        _ => None,
    };
    let number = digits.trim().parse::<u64>().ok();
    let bytes = number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    bytes.ok_or_else(|| node.wrong(format!("`{text}` is not a size"), Some("write `20GB`".into())))
}

/// What one value of one key of a `grants` table grants.
pub(super) fn grant(key: &str, value: &str) -> Result<Grants, ConfigError> {
    let mut keys = toml::Table::new();
    keys.insert(key.to_owned(), toml::Value::Array(vec![toml::Value::String(value.to_owned())]));
    let text = format!("plugin.x.grants = {}", toml::Value::Table(keys));
    let layer = read(&Source { path: "grant".into(), text, level: Level::User })?;
    let partial = layer.plugins.into_iter().next();
    Ok(partial.map(|partial| partial.grants()).unwrap_or_default())
}

impl Partial {
    /// The grants that it names.
    fn grants(self) -> Grants {
        Grants {
            ops: self.ops.map(|said| said.value).unwrap_or_default(),
            net: self.net.map(|said| said.value).unwrap_or_default(),
            read: self.read.map(|said| said.value).unwrap_or_default(),
            remote: self.remote.map(|said| said.value).unwrap_or_default(),
            extensions: self.extensions.map(|said| said.value).unwrap_or_default(),
        }
    }
}

fn approval(directory: &str, node: &Node<'_>) -> Result<Approval, ConfigError> {
    let table = node.table()?;
    table.only(&["digest", "approved"])?;
    let missing = |what: &str| {
        table.wrong(format!("`{what}` is missing"), Some("`wharf plugin approve` writes it".into()))
    };
    if !Path::new(directory).is_absolute() {
        return Err(node.wrong("not an absolute path", None));
    }
    let digest = table.get("digest").ok_or_else(|| missing("digest"))?.parse()?;
    let lines = table.get("approved").ok_or_else(|| missing("approved"))?.texts()?;
    let lines = lines.into_iter().map(str::to_owned).collect();
    Ok(Approval { project: directory.into(), digest, lines, place: node.place() })
}

/// The named tables below `[plugin]` or `[network]`.
fn tables<'a>(root: &Table<'a>, section: &str) -> Result<Vec<(&'a str, Node<'a>)>, ConfigError> {
    let Some(node) = root.get(section) else { return Ok(Vec::new()) };
    let table = node.table()?;
    for (name, node) in table.entries() {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            let help = "use lower-case letters, digits, `-`, `_` and `.`, at most 64".to_owned();
            return Err(node.wrong("not a name", Some(help)));
        }
    }
    Ok(table.entries().to_vec())
}

fn said<'a, T>(
    table: &Table<'a>,
    name: &str,
    read: impl FnOnce(&Node<'a>) -> Result<T, ConfigError>,
) -> Result<Maybe<T>, ConfigError> {
    table.get(name).map(|node| here(node, read(node)?)).transpose()
}

#[allow(clippy::unnecessary_wraps, reason = "so that `said` reads as one chain")]
fn here<T>(node: &Node<'_>, value: T) -> Result<Said<T>, ConfigError> {
    Ok(Said { value, asked: asked(node) })
}

fn plugin(name: &str, node: &Node<'_>) -> Result<Partial, ConfigError> {
    let table = node.table()?;
    table.only(&[
        "world", "source", "digest", "keywords", "grants", "limits", "settings", "required", "enabled",
        "phases", "trust",
    ])?;
    let grants = section(&table, "grants", &["ops", "net", "read", "remote", "extensions"])?;
    let limits = section(&table, "limits", &["memory", "fuel", "time_ms"])?;
    Ok(Partial {
        name: name.into(),
        place: node.place(),
        asked: asked(node),
        world: said(&table, "world", |node| node.word(WORLDS))?,
        source: said(&table, "source", source)?,
        digest: said(&table, "digest", Node::parse)?,
        keywords: said(&table, "keywords", keywords)?,
        ops: within(grants.as_ref(), "ops", |node| words(node, RIGHTS))?,
        net: within(grants.as_ref(), "net", |node| words(node, NETS))?,
        read: within(grants.as_ref(), "read", reads)?,
        remote: within(grants.as_ref(), "remote", addresses)?,
        extensions: within(grants.as_ref(), "extensions", |node| {
            Ok(node.texts()?.into_iter().map(str::to_owned).collect())
        })?,
        memory: within(limits.as_ref(), "memory", memory)?,
        fuel: within(limits.as_ref(), "fuel", Node::positive)?,
        time: within(limits.as_ref(), "time_ms", |node| node.positive().map(Duration::from_millis))?,
        settings: settings(&table)?,
        required: said(&table, "required", Node::boolean)?,
        enabled: said(&table, "enabled", Node::boolean)?,
        phases: said(&table, "phases", phases)?,
        trust: said(&table, "trust", |node| {
            node.word(&[("sandboxed", Trust::Sandboxed), ("native-full", Trust::NativeFull)])
        })?,
    })
}

fn section<'a>(table: &Table<'a>, name: &str, known: &[&str]) -> Result<Option<Table<'a>>, ConfigError> {
    let Some(node) = table.get(name) else { return Ok(None) };
    let section = node.table()?;
    section.only(known)?;
    Ok(Some(section))
}

fn within<'a, T>(
    section: Option<&Table<'a>>,
    name: &str,
    read: impl FnOnce(&Node<'a>) -> Result<T, ConfigError>,
) -> Result<Maybe<T>, ConfigError> {
    section.map_or(Ok(None), |table| said(table, name, read))
}

fn source(node: &Node<'_>) -> Result<PluginSource, ConfigError> {
    let text = node.text()?;
    let help = || {
        Some("write `file:/absolute/path.wasm`, `oci://host/repository:tag` or `embedded:<name>`".to_owned())
    };
    if let Some(path) = text.strip_prefix("file:") {
        let path = Path::new(path);
        if path.starts_with("./") || path.starts_with("../") {
            return Ok(PluginSource::File(node.beside(path)));
        }
        if !path.is_absolute() {
            return Err(node.wrong(format!("`{}` is not an absolute path", path.display()), help()));
        }
        return Ok(PluginSource::File(path.into()));
    }
    if let Some(path) = text.strip_prefix("bundle:").map(Path::new).filter(|path| path.is_absolute()) {
        return Ok(PluginSource::Bundle(path.into()));
    }
    if let Some(name) = PluginSource::in_registry(text) {
        return name.map(PluginSource::Registry).map_err(|what| node.wrong(what, None));
    }
    match text.strip_prefix("embedded:") {
        Some(name) if !name.is_empty() => Ok(PluginSource::Embedded(name.into())),
        Some(_) | None => Err(node.wrong(format!("`{text}` is not a source that can be loaded"), help())),
    }
}

fn keywords(node: &Node<'_>) -> Result<BTreeMap<Keyword, Keyword>, ConfigError> {
    let mut map = BTreeMap::new();
    for (name, value) in node.table()?.entries() {
        let keyword: Keyword = name.parse().map_err(|error| value.wrong(format!("{error}"), None))?;
        map.insert(keyword, value.parse()?);
    }
    Ok(map)
}

fn words<T: Copy + Ord>(node: &Node<'_>, known: &[(&str, T)]) -> Result<BTreeSet<T>, ConfigError> {
    node.texts()?.into_iter().map(|text| one_of(node, text, known)).collect()
}

fn reads(node: &Node<'_>) -> Result<BTreeSet<String>, ConfigError> {
    let mut reads = BTreeSet::new();
    for text in node.texts()? {
        if let Some(pattern) = text.strip_prefix("context:") {
            glob::Pattern::new(pattern)
                .map_err(|error| node.wrong(format!("`{pattern}` is not a pattern: {error}"), None))?;
        } else if !["context", "image", "signatures"].contains(&text) {
            let help = "known here: context, context:<pattern>, image, signatures".to_owned();
            return Err(node.wrong(format!("`{text}` is not known"), Some(help)));
        }
        reads.insert(text.to_owned());
    }
    Ok(reads)
}

/// Addresses, as they are compared.
fn addresses(node: &Node<'_>) -> Result<BTreeSet<String>, ConfigError> {
    let address = |text: &str| {
        let help = || Some("write `https://host/path/`".to_owned());
        crate::remote::granted(text).map(String::from).map_err(|what| node.wrong(what, help()))
    };
    node.texts()?.into_iter().map(address).collect()
}

/// `"64MiB"`, or a number of bytes.
fn memory(node: &Node<'_>) -> Result<u64, ConfigError> {
    if node.value().is_integer() {
        return node.positive();
    }
    let text = node.text()?;
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: Option<u64> = match text.get(digits.len()..).unwrap_or_default() {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let number: Option<u64> = digits.trim_end().parse().ok();
    number
        .zip(unit)
        .and_then(|(number, unit)| number.checked_mul(unit))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| node.wrong(format!("`{text}` is not a size"), Some("write `64MiB`".into())))
}

fn phases(node: &Node<'_>) -> Result<Vec<(Moment, Phase)>, ConfigError> {
    let mut phases = Vec::new();
    for text in node.texts()? {
        let Some((moment, phase)) = text.split_once(':') else {
            let help = "write `<moment>:<phase>`, for example `build-op:judge`".to_owned();
            return Err(node.wrong(format!("`{text}` has no phase"), Some(help)));
        };
        phases.push((one_of(node, moment, MOMENTS)?, one_of(node, phase, PHASES)?));
    }
    Ok(phases)
}

fn settings(table: &Table<'_>) -> Result<Vec<(String, Said<Value>)>, ConfigError> {
    let Some(node) = table.get("settings") else { return Ok(Vec::new()) };
    let mut settings = Vec::new();
    flatten(String::new(), &node.table()?, &mut settings)?;
    Ok(settings)
}

/// A table in a table gives keys with dots, and a list of tables gives them numbers: `rule.0.prefix`.
fn flatten(
    above: String,
    table: &Table<'_>,
    settings: &mut Vec<(String, Said<Value>)>,
) -> Result<(), ConfigError> {
    for (name, node) in table.entries() {
        let name = format!("{above}{name}");
        if node.value().is_table() {
            flatten(format!("{name}."), &node.table()?, settings)?;
        } else if let Some(tables) = node.tables() {
            for (number, table) in tables?.iter().enumerate() {
                flatten(format!("{name}.{number}."), table, settings)?;
            }
        } else {
            settings.push((name, here(node, setting(node)?)?));
        }
    }
    Ok(())
}

fn setting(node: &Node<'_>) -> Result<Value, ConfigError> {
    match node.value() {
        DeValue::String(text) => Ok(Value::Text(text.to_string())),
        DeValue::Integer(_) => node.integer().map(Value::Integer),
        DeValue::Boolean(value) => Ok(Value::Boolean(*value)),
        DeValue::Array(_) => Ok(Value::Texts(node.texts()?.into_iter().map(str::to_owned).collect())),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
            let help = "a setting is a string, a whole number, true or false, or a list of strings";
            Err(node.wrong(format!("a setting can not be a {}", node.value().type_str()), Some(help.into())))
        }
    }
}

fn network(name: &str, node: &Node<'_>) -> Result<Said<NetworkConfig>, ConfigError> {
    let table = node.table()?;
    table.only(&["driver", "subnet", "gateway", "internal", "options"])?;
    let driver = table.get("driver").ok_or_else(|| {
        table.wrong("`driver` is missing", Some("name a network plugin: `driver = \"bridge\"`".into()))
    })?;
    let subnet = table.get("subnet").map(Node::parse::<Cidr>).transpose()?;
    let gateway = table.get("gateway").map(Node::parse::<IpAddr>).transpose()?;
    let internal = table.get("internal").map(Node::boolean).transpose()?.unwrap_or(false);
    let mut options = Vec::new();
    if let Some(node) = table.get("options") {
        for (name, node) in node.table()?.entries() {
            options.push(((*name).to_owned(), node.text()?.to_owned()));
        }
    }
    let place = node.place();
    let driver = driver.text()?.to_owned();
    here(node, NetworkConfig { name: name.into(), driver, subnet, gateway, internal, options, place })
}

fn asked(node: &Node<'_>) -> Option<Box<Asked>> {
    let asks = node.level() == Level::Project;
    asks.then(|| Box::new(Asked { place: node.place(), key: node.key(), toml: write(node.value()) }))
}

/// A value as TOML, on one line.
fn write(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()).to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(value) => value.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| write(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                format!("{} = {}", document::quote(key), write(value.get_ref()))
            };
            let entries: Vec<String> = table.iter().map(entry).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}
