use std::io::Write;
use std::net::IpAddr;

use serde_json::{Value, json};
use wharf_engine::container::{Container, ContainerSummary, Mount, Status};
use wharf_engine::network::{Joined, Port};

use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;
use crate::template;

const HEAD: [&str; 7] = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"];

/// What `--format` may name, and the heads of those columns.
const FIELDS: [(&str, &str); 12] = [
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("Networks", "NETWORKS"),
];

/// List running containers
#[derive(Debug, clap::Args)]
pub(crate) struct Ps {
    /// Also those that do not run
    #[arg(short, long)]
    all: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// The newest one, whatever it does
    #[arg(short, long)]
    latest: bool,
    /// The newest so many, whatever they do
    #[arg(short = 'n', long, value_name = "NUMBER")]
    last: Option<usize>,
    /// Go template, or `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
}

impl Ps {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let last = if self.latest { Some(1) } else { self.last };
        let mut list = engine.containers(self.all || last.is_some()).map_err(Report::failed)?;
        list.truncate(last.unwrap_or(usize::MAX));
        if self.quiet {
            output::lines(list.iter().map(|item| self.id(&item.container)))?;
        } else if let Some(format) = &self.format {
            let values: Vec<Value> = list.iter().map(|item| self.fields(item)).collect();
            output::text(&template::list(format, &FIELDS, &values)?)?;
        } else {
            let rows: Vec<Vec<String>> = list.iter().map(|item| self.row(item)).collect();
            let mut out = output::data();
            render::table(&mut out, &HEAD, &rows)?;
            out.flush()?;
        }
        Ok(0)
    }

    fn row(&self, item: &ContainerSummary) -> Vec<String> {
        vec![
            self.id(&item.container),
            item.image.clone(),
            self.command(&item.container),
            render::ago(item.container.created),
            status(&item.status),
            ports(item),
            item.container.name.clone(),
        ]
    }

    fn id(&self, container: &Container) -> String {
        if self.no_trunc { container.id.clone() } else { container.short_id().to_owned() }
    }

    fn command(&self, container: &Container) -> String {
        let line = output::printable(&container.argv.join(" ").replace('\n', " "));
        if self.no_trunc || line.chars().count() <= 20 {
            return format!("\"{line}\"");
        }
        format!("\"{}…\"", line.chars().take(19).collect::<String>())
    }

    fn fields(&self, item: &ContainerSummary) -> Value {
        let labels: Vec<String> =
            item.container.config.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let source =
            |mount: &Mount| if mount.name.is_empty() { mount.source.clone() } else { mount.name.clone() };
        let mounts: Vec<String> = item.container.mounts.iter().map(source).collect();
        json!({
            "ID": self.id(&item.container),
            "Image": item.image,
            "Command": self.command(&item.container),
            "CreatedAt": item.container.created.to_string(),
            "RunningFor": render::ago(item.container.created),
            "State": state(&item.status),
            "Status": status(&item.status),
            "Ports": ports(item),
            "Names": item.container.name,
            "Labels": labels.join(","),
            "Mounts": mounts.join(","),
            "Networks": item.container.network,
        })
    }
}

/// Everything that a template can name of a container, with nothing shortened.
pub(super) fn whole(item: &ContainerSummary) -> Value {
    let all = Ps { all: true, quiet: false, no_trunc: true, latest: false, last: None, format: None };
    all.fields(item)
}

fn state(status: &Status) -> &'static str {
    match status {
        Status::Created => "created",
        Status::Running { .. } => "running",
        Status::Exited(_) => "exited",
    }
}

/// In words, as the STATUS column has it.
pub(super) fn status(status: &Status) -> String {
    match status {
        Status::Created => "Created".to_owned(),
        Status::Running { started_at, .. } => format!("Up {}", render::duration(render::since(*started_at))),
        Status::Exited(exit) => format!("Exited ({}) {}", exit.code, render::ago(exit.finished_at)),
    }
}

/// Published ports, then exposed ones.
fn ports(item: &ContainerSummary) -> String {
    if !item.is_running() {
        return String::new();
    }
    let published = item.container.joined.iter().flat_map(|joined: &Joined| &joined.ports);
    let mut texts = ranges(published.clone());
    let open: Vec<String> =
        published.map(|port| format!("{}/{}", port.container_port, port.protocol)).collect();
    texts.extend(item.container.config.exposed_ports.keys().filter(|port| !open.contains(port)).cloned());
    texts.join(", ")
}

/// Neighbours that count up on both sides are shown as one range.
fn ranges<'a>(ports: impl Iterator<Item = &'a Port>) -> Vec<String> {
    let mut ports: Vec<&Port> = ports.collect();
    ports.sort_by_key(|port| (port.protocol, port.host_address, port.container_port, port.host_port));
    let follows = |before: &&Port, after: &&Port| {
        (before.protocol, before.host_address) == (after.protocol, after.host_address)
            && before.container_port.checked_add(1) == Some(after.container_port)
            && before.host_port.checked_add(1) == Some(after.host_port)
    };
    ports.chunk_by(follows).filter_map(|run| Some(range(run.first()?, run.last()?))).collect()
}

fn range(first: &Port, last: &Port) -> String {
    let numbers = |from: u16, to: u16| if from == to { from.to_string() } else { format!("{from}-{to}") };
    let address = match first.host_address {
        IpAddr::V6(address) => format!("[{address}]"),
        IpAddr::V4(address) => address.to_string(),
    };
    let host = numbers(first.host_port, last.host_port);
    format!("{address}:{host}->{}/{}", numbers(first.container_port, last.container_port), first.protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_engine::network::Protocol;

    #[test]
    fn neighbouring_ports_are_one_range() {
        let port = |host_port, container_port, protocol| Port {
            host_address: IpAddr::from([0, 0, 0, 0]),
            host_port,
            container_port,
            protocol,
        };
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        for (ports, text) in [
            (vec![port(8000, 80, tcp)], "0.0.0.0:8000->80/tcp"),
            (vec![port(62, 2, tcp), port(61, 1, tcp), port(63, 3, tcp)], "0.0.0.0:61-63->1-3/tcp"),
            (vec![port(1, 1, tcp), port(2, 2, udp)], "0.0.0.0:1->1/tcp, 0.0.0.0:2->2/udp"),
            (vec![port(1, 1, tcp), port(3, 2, tcp)], "0.0.0.0:1->1/tcp, 0.0.0.0:3->2/tcp"),
        ] {
            assert_eq!(ranges(ports.iter()).join(", "), text);
        }
    }
}
