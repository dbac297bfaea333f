use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};
use wharf_engine::network::{NetworkOptions, NetworkSummary};

use super::each;
use super::inspect::Shown;
use super::prune::{self, PruneArgs};
use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;

/// Work with networks
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Network {
    /// Make a network
    Create(Create),
    /// Print everything about networks
    Inspect(Shown),
    /// List networks
    #[command(visible_alias = "list")]
    Ls {
        /// Print ids only
        #[arg(short, long)]
        quiet: bool,
        /// Do not shorten ids
        #[arg(long)]
        no_trunc: bool,
    },
    /// Remove networks that no container is on
    Prune(PruneArgs),
    /// Remove networks
    #[command(visible_alias = "remove")]
    Rm {
        /// One that is not there is no error
        #[arg(short, long)]
        force: bool,
        /// Names or ids
        #[arg(required = true)]
        names: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Driver
    #[arg(short, long, default_value = "bridge")]
    driver: String,
    /// Its addresses, such as 10.1.0.0/24; chosen without it
    #[arg(long, value_name = "SUBNET")]
    subnet: Option<String>,
    /// The host's address on it
    #[arg(long, value_name = "ADDRESS")]
    gateway: Option<std::net::IpAddr>,
    /// No way out
    #[arg(long)]
    internal: bool,
    /// Name
    name: String,
}

impl Network {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        match self {
            Self::Create(create) => {
                let options = create.options()?;
                let network = engine.create_network(&options).map_err(Report::failed)?;
                output::lines([network.id])?;
                Ok(0)
            }
            Self::Inspect(shown) => {
                let mut found = Vec::new();
                let code = each(&shown.names, |name| {
                    found.push(fields(&engine.network(name).map_err(Report::failed)?));
                    Ok(())
                })?;
                shown.print(found)?;
                Ok(code)
            }
            Self::Ls { quiet, no_trunc } => {
                list(&engine.networks().map_err(Report::failed)?, *quiet, *no_trunc)?;
                Ok(0)
            }
            Self::Prune(args) => {
                args.unfiltered()?;
                if args
                    .confirmed("This will remove all custom networks not used by at least one container.\n")?
                {
                    let removed = engine.prune_networks().map_err(Report::failed)?;
                    output::text(&prune::section("Deleted Networks", &removed))?;
                }
                Ok(0)
            }
            Self::Rm { force, names } => each(names, |name| match engine.remove_network(name) {
                Ok(()) => Ok(output::lines([name])?),
                Err(wharf_engine::network::NetworkError::Unknown(_)) if *force => Ok(()),
                Err(error) => Err(Report::failed(error)),
            }),
        }
    }
}

impl Create {
    fn options(&self) -> Result<NetworkOptions, Report> {
        let subnet = self.subnet.as_deref().map(str::parse).transpose();
        let subnet = subnet.map_err(|error| Report::message(1, format!("invalid subnet: {error}")))?;
        Ok(NetworkOptions {
            name: self.name.clone(),
            driver: self.driver.clone(),
            subnet,
            gateway: self.gateway,
            internal: self.internal,
        })
    }
}

fn list(networks: &[NetworkSummary], quiet: bool, no_trunc: bool) -> Result<(), Report> {
    let short = |id: &str| if no_trunc { id.to_owned() } else { id.chars().take(12).collect() };
    if quiet {
        return Ok(output::lines(networks.iter().map(|network| short(&network.network.id)))?);
    }
    let row = |item: &NetworkSummary| {
        let network = &item.network;
        vec![short(&network.id), network.name.clone(), network.driver.clone(), "local".to_owned()]
    };
    let mut out = output::data();
    let rows: Vec<Vec<String>> = networks.iter().map(row).collect();
    render::table(&mut out, &["NETWORK ID", "NAME", "DRIVER", "SCOPE"], &rows)?;
    Ok(out.flush()?)
}

/// Docker's keys.
fn fields(item: &NetworkSummary) -> Value {
    let network = &item.network;
    let subnets = network.subnets.iter().map(|subnet| {
        let gateway = subnet.gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
        json!({ "Subnet": subnet.cidr.to_string(), "Gateway": gateway })
    });
    let config: Vec<Value> = subnets.collect();
    let containers: BTreeMap<&str, Value> = item
        .containers
        .iter()
        .map(|(id, name, cidr)| {
            let address = cidr.map(|cidr| cidr.to_string()).unwrap_or_default();
            (id.as_str(), json!({ "Name": name, "IPv4Address": address }))
        })
        .collect();
    json!({
        "Name": network.name,
        "Id": network.id,
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": false,
        "IPAM": { "Driver": "default", "Options": {}, "Config": config },
        "Internal": network.internal,
        "Attachable": false,
        "Ingress": false,
        "Containers": containers,
        "Options": network.options.iter().cloned().collect::<BTreeMap<String, String>>(),
        "Labels": {},
    })
}
