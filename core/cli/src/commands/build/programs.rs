//! What RUN's programs get, and what they may.

use std::collections::BTreeMap;

use wharf_engine::build::agent;
use wharf_engine::build::secret::SecretSource;
use wharf_engine::build::{DebugShell, Entitlement, ExtraHost, ProgramOptions};
use wharf_engine::container::Limits;

use super::shell;
use crate::report::Report;
use crate::units;

/// The options of `build` about RUN.
#[derive(Debug, clap::Args)]
pub(super) struct ProgramArgs {
    /// Secret for RUN --mount=type=secret: id=NAME[,src=FILE|,env=VARIABLE][,type=file|env]
    #[arg(long, value_name = "SECRET")]
    secret: Vec<String>,
    /// Agent for RUN --mount=type=ssh: default or ID, perhaps with =SOCKET, or with =KEY[,KEY] for one that
    /// knows these private keys
    #[arg(long, value_name = "AGENT")]
    ssh: Vec<String>,
    /// Let RUN leave the sandbox: network.host, security.insecure, device or device=NAME[,alias=ALIAS]
    #[arg(long, value_name = "ENTITLEMENT")]
    allow: Vec<Entitlement>,
    /// Network that RUN sees: default, none, host or a network's name
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Add a line to RUN's /etc/hosts: NAME:ADDRESS or NAME:host-gateway
    #[arg(long, value_name = "HOST")]
    add_host: Vec<ExtraHost>,
    /// Size of RUN's /dev/shm
    #[arg(long, value_name = "BYTES", value_parser = units::bytes)]
    shm_size: Option<i64>,
    /// Resource limit of RUN's processes: NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT", value_parser = units::ulimit)]
    ulimit: Vec<(String, u64, u64)>,
    /// Limit RUN's memory, such as 512m
    #[arg(short, long, value_name = "BYTES", value_parser = units::bytes)]
    memory: Option<i64>,
    /// Limit RUN's memory and swap together; -1 is no limit
    #[arg(long, value_name = "BYTES", value_parser = units::bytes, allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    /// Relative share of processor time
    #[arg(short, long, value_name = "WEIGHT")]
    cpu_shares: Option<u64>,
    /// Microseconds of a processor in each period
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_quota: Option<i64>,
    /// Length of such a period, 100000 without this
    #[arg(long, value_name = "MICROSECONDS", value_parser = clap::value_parser!(i64).range(1000..=1_000_000))]
    cpu_period: Option<i64>,
    /// Processors that RUN may use, such as 0-2
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Control group that RUN's own are made in
    #[arg(long, value_name = "GROUP")]
    cgroup_parent: Option<String>,
    /// When a RUN fails, open a shell where it did; needs a terminal
    #[arg(long)]
    debug_shell: bool,
}

impl ProgramArgs {
    pub(super) fn options(&self) -> Result<ProgramOptions, Report> {
        if self.debug_shell {
            shell::check()?;
        }
        Ok(ProgramOptions {
            secrets: self.secrets()?,
            agents: self.agents()?,
            allow: self.allow.iter().cloned().chain(self.allowed_by_network()).collect(),
            hosts: self.add_host.clone(),
            limits: self.limits(),
            cgroup_parent: self.cgroup_parent()?,
            debug_shell: self.debug_shell.then(|| DebugShell::new(shell::attend)),
            ..ProgramOptions::default()
        })
    }

    pub(super) fn network(&self) -> Option<String> {
        self.network.clone()
    }

    /// Who builds on the host's network lets all of the Dockerfile use it.
    fn allowed_by_network(&self) -> Option<Entitlement> {
        (self.network.as_deref() == Some("host")).then_some(Entitlement::NetworkHost)
    }

    fn secrets(&self) -> Result<BTreeMap<String, SecretSource>, Report> {
        let is_set = |name: &str| std::env::var_os(name).is_some();
        let parse = |text: &String| SecretSource::parse(text, is_set).map_err(Report::failed);
        self.secret.iter().map(parse).collect()
    }

    fn agents(&self) -> Result<BTreeMap<String, agent::Agent>, Report> {
        let session = || std::env::var_os("SSH_AUTH_SOCK").map(Into::into);
        let find = |text: &String| {
            agent::find(text, session()).map_err(|error| {
                let hint = error.next_step();
                hint.into_iter().fold(Report::failed(error), Report::hint)
            })
        };
        self.ssh.iter().map(find).collect()
    }

    /// Docker's classic builder has no number of processors, but the two that it is made of.
    fn limits(&self) -> Limits {
        let period = self.cpu_period.unwrap_or(100_000);
        let quota = self.cpu_quota.filter(|quota| *quota > 0);
        Limits {
            memory: self.memory.filter(|bytes| *bytes > 0),
            memory_swap: self.memory_swap.filter(|bytes| *bytes != 0),
            nano_cpus: quota.map(|quota| quota.saturating_mul(1_000_000_000) / period),
            cpu_shares: self.cpu_shares.filter(|shares| *shares > 0),
            cpuset_cpus: self.cpuset_cpus.clone().filter(|list| !list.is_empty()),
            shm_size: self.shm_size.filter(|bytes| *bytes > 0),
            ulimits: self.ulimit.clone(),
            ..Limits::default()
        }
    }

    fn cgroup_parent(&self) -> Result<Option<String>, Report> {
        let Some(parent) = &self.cgroup_parent else { return Ok(None) };
        let name = parent.trim_matches('/');
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if name.is_empty() || !name.split('/').all(plain) {
            return Err(Report::message(
                1,
                format!("invalid --cgroup-parent `{parent}`: expected a path without `..`"),
            ));
        }
        Ok(Some(name.to_owned()))
    }
}
