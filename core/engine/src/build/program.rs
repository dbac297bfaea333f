//! What the programs of a build get besides their stage, and what they may.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Arc;

use wharf_model::build::{Action, Exec, NetAccess, Security};
use wharf_model::network::Namespace;

use super::agent::Agent;
use super::plan::BuildPlan;
use super::request::{At, BuildError};
use super::secret::SecretSource;
use crate::container::{Connection, Limits};
use crate::network::Joined;

/// What is given to every program of a build.
#[derive(Debug, Clone, Default)]
pub struct ProgramOptions {
    /// Secrets by their ids.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Ssh agents by their ids.
    pub agents: BTreeMap<String, Agent>,
    /// What a Dockerfile may ask for that reaches beyond the sandbox.
    pub allow: BTreeSet<Entitlement>,
    /// Further lines of `/etc/hosts`.
    pub hosts: Vec<ExtraHost>,
    /// What each may use.
    pub limits: Limits,
    /// The control group that theirs are made in; the engine's own without it.
    pub cgroup_parent: Option<String>,
    /// The name of the host that they run on; BuildKit's usual one without it.
    pub hostname: Option<String>,
    /// What sets the directories of their cache mounts apart from those of other builds.
    pub cache_namespace: Option<String>,
    /// What to do with a shell where a program failed; none is opened without it.
    pub debug_shell: Option<DebugShell>,
}

/// Something that a Dockerfile gets only when whoever builds it says so, in BuildKit's words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entitlement {
    /// `RUN --network=host`.
    NetworkHost,
    /// `RUN --security=insecure`.
    SecurityInsecure,
    /// `RUN --device`.
    Device(AllowedDevice),
}

/// Which devices a Dockerfile gets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AllowedDevice {
    /// All that it asks for.
    Any,
    /// One, or several that go by one name.
    Named {
        /// As RUN has it: `vendor.com/class=name`, `vendor.com/class`, `vendor.com/class=*`, or a class.
        name: String,
        /// What the Dockerfile calls it.
        alias: Option<String>,
    },
}

/// There is no such entitlement.
#[derive(Debug, thiserror::Error)]
#[error("unknown entitlement `{0}`: expected network.host, security.insecure, device or device=NAME")]
pub struct NotAnEntitlement(String);

impl FromStr for Entitlement {
    type Err = NotAnEntitlement;

    fn from_str(text: &str) -> Result<Self, NotAnEntitlement> {
        match text {
            "network.host" => Ok(Self::NetworkHost),
            "security.insecure" => Ok(Self::SecurityInsecure),
            "device" | "device=" => Ok(Self::Device(AllowedDevice::Any)),
            _ => {
                let named = text.strip_prefix("device=").and_then(AllowedDevice::named);
                named.map(Self::Device).ok_or_else(|| NotAnEntitlement(text.to_owned()))
            }
        }
    }
}

impl AllowedDevice {
    /// `NAME[,alias=ALIAS]`.
    fn named(text: &str) -> Option<Self> {
        let (name, alias) = match text.split_once(',') {
            None => (text, None),
            Some((name, alias)) => (name, Some(alias.strip_prefix("alias=")?.to_owned())),
        };
        (!name.is_empty()).then(|| Self::Named { name: name.to_owned(), alias })
    }
}

impl fmt::Display for Entitlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkHost => f.write_str("network.host"),
            Self::SecurityInsecure => f.write_str("security.insecure"),
            Self::Device(AllowedDevice::Any) => f.write_str("device"),
            Self::Device(AllowedDevice::Named { name, alias: None }) => write!(f, "device={name}"),
            Self::Device(AllowedDevice::Named { name, alias: Some(alias) }) => {
                write!(f, "device={name},alias={alias}")
            }
        }
    }
}

/// A name, and what `/etc/hosts` says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHost {
    /// The name.
    pub name: String,
    /// `None` is the host's own address on the program's network.
    pub address: Option<IpAddr>,
}

/// The text names no host.
#[derive(Debug, thiserror::Error)]
#[error("invalid --add-host `{0}`: expected NAME:ADDRESS or NAME:host-gateway")]
pub struct NotAHost(String);

impl FromStr for ExtraHost {
    type Err = NotAHost;

    /// A name with a blank or a line feed would be more than one line.
    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let wrong = || NotAHost(text.to_owned());
        let (name, address) = text.split_once(['=', ':']).ok_or_else(wrong)?;
        if name.is_empty() || name.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(wrong());
        }
        let address = match address {
            "host-gateway" => None,
            address => Some(address.trim_matches(['[', ']']).parse().map_err(|_| wrong())?),
        };
        Ok(Self { name: name.to_owned(), address })
    }
}

/// Where a person meets a shell: whoever called the engine has the terminal.
#[derive(Clone)]
pub struct DebugShell(Arc<dyn Fn(Connection) + Send + Sync>);

impl DebugShell {
    /// `attend` gets the shell's terminal, and returns when the person is done.
    pub fn new(attend: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self(Arc::new(attend))
    }

    pub(super) fn attend(&self, connection: Connection) {
        (self.0)(connection);
    }
}

impl fmt::Debug for DebugShell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DebugShell")
    }
}

impl ProgramOptions {
    /// Whether a program may be run as it is meant to be. There is no other way to run one.
    pub(super) fn permit(&self, exec: &Exec) -> Result<(), BuildError> {
        let host = (exec.net == NetAccess::Host).then_some(Entitlement::NetworkHost);
        let insecure = (exec.security == Security::Insecure).then_some(Entitlement::SecurityInsecure);
        match host.into_iter().chain(insecure).find(|needed| !self.allow.contains(needed)) {
            Some(needed) => Err(BuildError::NotEntitled(needed)),
            None => Ok(()),
        }
    }

    /// The same for all programs of a build, before the first one runs.
    pub(super) fn permit_all(&self, plan: &BuildPlan) -> Result<(), At> {
        for step in plan.stages.values().flat_map(|stage| &stage.steps) {
            for op in &step.plan.ops {
                if let Action::Exec(exec) = &op.action {
                    self.permit(exec).map_err(|error| At::from(error).on(&step.span))?;
                }
            }
        }
        Ok(())
    }

    /// The lines of `/etc/hosts` for a program on its network.
    pub(super) fn hosts_on(&self, joined: &Joined) -> Result<Vec<(String, IpAddr)>, BuildError> {
        let address = |host: &ExtraHost| match host.address.or_else(|| gateway(joined)) {
            Some(address) => Ok((host.name.clone(), address)),
            None => Err(BuildError::NoGateway { name: host.name.clone(), network: joined.network.clone() }),
        };
        self.hosts.iter().map(address).collect()
    }
}

/// The host, as a program on this network sees it.
fn gateway(joined: &Joined) -> Option<IpAddr> {
    match joined.namespace {
        Namespace::Host => Some(Ipv4Addr::LOCALHOST.into()),
        Namespace::Own => joined.interfaces.iter().find_map(|interface| interface.gateway),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entitlements_have_buildkits_names() {
        assert_eq!("network.host".parse::<Entitlement>().unwrap(), Entitlement::NetworkHost);
        assert_eq!("security.insecure".parse::<Entitlement>().unwrap(), Entitlement::SecurityInsecure);
        for text in ["device", "device=vendor.com/class=a", "device=vendor.com/class,alias=a"] {
            let read: Entitlement = text.parse().unwrap();
            assert!(matches!(read, Entitlement::Device(_)));
            assert_eq!(read.to_string(), text);
        }
        for text in ["network", "device=,alias=a", "device=a,b", "device=a,other=b", "devices"] {
            assert!(text.parse::<Entitlement>().is_err(), "for {text}");
        }
    }

    #[test]
    fn a_host_is_one_line() {
        for (text, name, address) in [
            ("a:1.2.3.4", "a", Some("1.2.3.4")),
            ("a=::1", "a", Some("::1")),
            ("a:[::1]", "a", Some("::1")),
            ("a:::1", "a", Some("::1")),
            ("a:host-gateway", "a", None),
        ] {
            let host: ExtraHost = text.parse().unwrap();
            assert_eq!((host.name.as_str(), host.address), (name, address.map(|ip| ip.parse().unwrap())));
        }
        for text in ["a", "a:", ":1.2.3.4", "a b:1.2.3.4", "a\n9.9.9.9 b:1.2.3.4", "a:1.2.3.4\n"] {
            assert!(text.parse::<ExtraHost>().is_err(), "for {text:?}");
        }
    }
}
