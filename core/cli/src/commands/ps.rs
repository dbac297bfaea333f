use std::io::Write;

use serde_json::{Value, json};
use wharf_engine::container::{Container, ContainerSummary, Status};
use wharf_engine::network::Joined;

use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;

const HEAD: [&str; 7] = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"];

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
            let lines: Result<Vec<String>, Report> =
                list.iter().map(|item| render::template(format, &self.fields(item))).collect();
            output::lines(lines?)?;
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
            "Networks": item.container.network,
        })
    }
}

fn state(status: &Status) -> &'static str {
    match status {
        Status::Created => "created",
        Status::Running { .. } => "running",
        Status::Exited(_) => "exited",
    }
}

fn status(status: &Status) -> String {
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
    let mut texts: Vec<String> = published
        .clone()
        .map(|port| {
            let address = match port.host_address {
                std::net::IpAddr::V6(address) => format!("[{address}]"),
                std::net::IpAddr::V4(address) => address.to_string(),
            };
            format!("{address}:{}->{}/{}", port.host_port, port.container_port, port.protocol)
        })
        .collect();
    let open: Vec<String> = published.map(|port| format!("{}/{}", port.container_port, port.protocol)).collect();
    texts.extend(item.container.config.exposed_ports.keys().filter(|port| !open.contains(port)).cloned());
    texts.join(", ")
}
