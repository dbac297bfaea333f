use std::io::Write;

use serde_json::{Value, json};
use wharf_engine::Engine;
use wharf_engine::disk::{CacheUsage, ContainerUsage, DiskUsage, ImageUsage, Keep, Scope, VolumeUsage};
use wharf_model::Reference;

use super::prune::{self, PruneArgs};
use super::{events, info};
use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;
use crate::template;

/// Work with everything
#[derive(Debug, clap::Subcommand)]
pub(crate) enum System {
    /// Show what takes room on the disk
    Df(Df),
    Events(events::Events),
    Info(info::Info),
    /// Remove what nobody uses
    Prune(PruneAll),
}

impl System {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        match self {
            Self::Df(verb) => verb.run(globals),
            Self::Events(verb) => verb.run(globals),
            Self::Info(verb) => verb.run(globals),
            Self::Prune(verb) => verb.run(globals),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Df {
    /// Each thing on a line of its own; with a format, all of them in Images, Containers, Volumes and BuildCache
    #[arg(short, long)]
    verbose: bool,
    /// Go template, `table` with one, or `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
}

/// What `--format` may name, and the heads of those columns.
const FIELDS: [(&str, &str); 5] = [
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

impl Df {
    fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let usage = globals.engine()?.disk_usage().map_err(Report::failed)?;
        let format = self.format.as_deref().filter(|format| !matches!(*format, "" | "table"));
        if let Some(format) = format.filter(|_| self.verbose) {
            output::lines([template::one(format, &everything(&usage))?])?;
            return Ok(0);
        }
        if let Some(format) = format {
            let named = |row: Vec<String>| FIELDS.iter().map(|field| field.0).zip(row).collect::<Value>();
            let values: Vec<Value> = summary(&usage).into_iter().map(named).collect();
            output::text(&template::list(format, &FIELDS, &values)?)?;
            return Ok(0);
        }
        let mut out = output::data();
        if self.verbose {
            details(&mut out, &usage)?;
        } else {
            render::table(&mut out, &FIELDS.map(|field| field.1), &summary(&usage))?;
        }
        out.flush()?;
        Ok(0)
    }
}

/// What takes room, what of it is in use, and what a prune could free.
fn summary(usage: &DiskUsage) -> Vec<Vec<String>> {
    let images = usage.images.iter().filter(|image| image.containers > 0).count();
    let running = usage.containers.iter().filter(|item| item.summary.is_running());
    let (running, held) = running.fold((0, 0), |(count, bytes), item| (count + 1, bytes + item.size));
    let linked = usage.volumes.iter().filter(|volume| volume.links > 0);
    let (linked, mounted) = linked.fold((0, 0), |(count, bytes), volume| (count + 1, bytes + volume.size));
    let cached = usage.cache.iter().filter(|layer| !layer.in_use).map(|layer| layer.size).sum();
    let cache_in_use = usage.cache.iter().filter(|layer| layer.in_use).count();
    let containers = usage.containers.iter().map(|item| item.size).sum();
    let volumes = usage.volumes.iter().map(|volume| volume.size).sum();
    vec![
        row("Images", usage.images.len(), images, usage.layers, usage.layers - usage.layers_in_use),
        row("Containers", usage.containers.len(), running, containers, containers - held),
        row("Local Volumes", usage.volumes.len(), linked, volumes, volumes - mounted),
        row("Build Cache", usage.cache.len(), cache_in_use, cached, cached),
    ]
}

fn row(kind: &str, total: usize, active: usize, bytes: u64, free: u64) -> Vec<String> {
    let share = free.saturating_mul(100).checked_div(bytes).map(|share| format!(" ({share}%)"));
    let free = render::size(free) + share.filter(|_| kind != "Build Cache").as_deref().unwrap_or_default();
    vec![kind.to_owned(), total.to_string(), active.to_string(), render::size(bytes), free]
}

fn details(out: &mut dyn Write, usage: &DiskUsage) -> std::io::Result<()> {
    writeln!(out, "Images space usage:\n")?;
    let head =
        ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"];
    render::table(out, &head, &images(usage))?;
    writeln!(out, "\nContainers space usage:\n")?;
    let head = ["CONTAINER ID", "IMAGE", "LOCAL VOLUMES", "SIZE", "STATUS", "NAMES"];
    render::table(out, &head, &containers(usage))?;
    writeln!(out, "\nLocal Volumes space usage:\n")?;
    let volumes = usage
        .volumes
        .iter()
        .map(|volume| vec![volume.volume.name.clone(), volume.links.to_string(), render::size(volume.size)]);
    render::table(out, &["VOLUME NAME", "LINKS", "SIZE"], &volumes.collect::<Vec<_>>())?;
    let cached = usage.cache.iter().filter(|layer| !layer.in_use).map(|layer| layer.size).sum();
    writeln!(out, "\nBuild cache usage: {}\n", render::size(cached))?;
    let cache = usage
        .cache
        .iter()
        .map(|layer| vec![layer.id.short(), render::size(layer.size), layer.in_use.to_string()]);
    render::table(out, &["CACHE ID", "SIZE", "SHARED"], &cache.collect::<Vec<_>>())
}

/// What a template can ask for: docker's names, and texts as its tables have them.
fn everything(usage: &DiskUsage) -> Value {
    let image = |image: &ImageUsage| {
        // One row for an image, as docker has it here.
        let (name, tag) = called(image).swap_remove(0);
        let added = jiff::Timestamp::from_second(image.added).ok();
        json!({
            "Repository": name,
            "Tag": tag,
            "ID": image.id.to_string(),
            "CreatedSince": added.map_or_else(|| "N/A".to_owned(), render::ago),
            "CreatedAt": added.map(|time| time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()),
            "Size": render::size(image.size),
            "SharedSize": render::size(image.shared),
            "UniqueSize": render::size(image.size - image.shared),
            "VirtualSize": render::size(image.size),
            "Containers": image.containers.to_string(),
        })
    };
    let volume = |item: &VolumeUsage| {
        json!({
            "Name": item.volume.name,
            "Driver": "local",
            "Scope": "local",
            "Mountpoint": item.volume.path,
            "Labels": item.volume.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(","),
            "Links": item.links.to_string(),
            "Size": render::size(item.size),
        })
    };
    let cache = |layer: &CacheUsage| {
        json!({
            "ID": layer.id.hex(),
            "CacheType": "regular",
            "Size": render::size(layer.size),
            "InUse": layer.in_use.to_string(),
            "Shared": layer.in_use.to_string(),
        })
    };
    json!({
        "Images": usage.images.iter().map(image).collect::<Vec<_>>(),
        "Containers": usage.containers.iter().map(container).collect::<Vec<_>>(),
        "Volumes": usage.volumes.iter().map(volume).collect::<Vec<_>>(),
        "BuildCache": usage.cache.iter().map(cache).collect::<Vec<_>>(),
    })
}

fn container(item: &ContainerUsage) -> Value {
    let mut fields = super::ps::whole(&item.summary);
    fields["LocalVolumes"] = local_volumes(item).to_string().into();
    fields["Size"] = render::size(item.size).into();
    fields
}

fn local_volumes(item: &ContainerUsage) -> usize {
    item.summary.container.mounts.iter().filter(|mount| !mount.name.is_empty()).count()
}

/// Name and tag, at least one.
fn called(image: &ImageUsage) -> Vec<(String, String)> {
    let none = || "<none>".to_owned();
    let named = |name: &Reference| (name.familiar_name(), name.tag().map_or_else(none, str::to_owned));
    let names: Vec<_> = image.names.iter().map(named).collect();
    if names.is_empty() { vec![(none(), none())] } else { names }
}

fn images(usage: &DiskUsage) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for image in &usage.images {
        let added = jiff::Timestamp::from_second(image.added);
        let created = added.map_or_else(|_| "N/A".to_owned(), render::ago);
        rows.extend(called(image).into_iter().map(|(name, tag)| {
            let sizes = [image.size, image.shared, image.size - image.shared].map(render::size);
            let head = [name, tag, image.id.short(), created.clone()];
            head.into_iter().chain(sizes).chain([image.containers.to_string()]).collect()
        }));
    }
    rows
}

fn containers(usage: &DiskUsage) -> Vec<Vec<String>> {
    let row = |item: &ContainerUsage| {
        let container = &item.summary.container;
        vec![
            container.short_id().to_owned(),
            item.summary.image.clone(),
            local_volumes(item).to_string(),
            render::size(item.size),
            super::ps::status(&item.summary.status),
            container.name.clone(),
        ]
    };
    usage.containers.iter().map(row).collect()
}

#[derive(Debug, clap::Args)]
pub(crate) struct PruneAll {
    /// All images that no container was made from, and all of the build cache
    #[arg(short, long)]
    all: bool,
    /// Volumes without a name of their own, too
    #[arg(long)]
    volumes: bool,
    #[command(flatten)]
    common: PruneArgs,
}

impl PruneAll {
    fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let keep = self.common.keep()?;
        if !self.common.confirmed(&self.warning())? {
            return Ok(0);
        }
        let text = self.prune(globals.engine()?, &keep).map_err(prune::failed)?;
        output::text(&text)?;
        Ok(0)
    }

    fn warning(&self) -> String {
        let images = if self.all {
            "all images without at least one container associated to them"
        } else {
            "all dangling images"
        };
        let mut lines = vec!["all stopped containers", "all networks not used by at least one container"];
        if self.volumes {
            lines.push("all anonymous volumes not used by at least one container");
        }
        lines.extend([images, if self.all { "all build cache" } else { "unused build cache" }]);
        lines.iter().fold("This will remove:\n".to_owned(), |text, line| text + "  - " + line + "\n") + "\n"
    }

    /// Containers first: what they use is free afterwards.
    fn prune(&self, engine: &Engine, keep: &Keep) -> Result<String, wharf_engine::disk::PruneError> {
        let scope = if self.all { Scope::Unused } else { Scope::Dangling };
        let containers = engine.prune_containers(keep)?;
        let mut bytes = containers.bytes;
        let mut text = prune::section("Deleted Containers", &containers.removed);
        text += &prune::section("Deleted Networks", &engine.prune_networks()?);
        if self.volumes {
            let volumes = engine.prune_volumes(Scope::Dangling, keep)?;
            bytes += volumes.bytes;
            text += &prune::section("Deleted Volumes", &volumes.removed);
        }
        let images = engine.prune_images(scope, keep)?;
        let lines: Vec<String> = images.removed.iter().map(prune::words).collect();
        text += &prune::section("Deleted Images", &lines);
        let cache = engine.prune_build_cache(scope)?;
        let ids: Vec<String> = cache.removed.iter().map(|layer| layer.hex()).collect();
        text += &prune::section("Deleted build cache objects", &ids);
        bytes += images.bytes + cache.bytes;
        Ok(text + &prune::total(bytes))
    }
}
