//! Storage drivers: objects out, plans in.

use wharf_model::storage::{
    Area, Filesystem, HostFacts, Image, LayerFormat, Location, Object, OverlayOptions, Rooted, StorageAction,
    StorageInfo, StorageMount, StoragePlan, StorageStep,
};

use super::{Checked, Nonsense, diagnostics, each, mode, name, option, shown, text, wrong};
use crate::bindings::storage_driver as call;
use crate::bindings::storage_plan as wit;

/// Bytes of a file at most: what ext4 can hold with blocks of 4 KiB.
const FILE: u64 = 16 << 40;

fn area(raw: wit::Area) -> Area {
    match raw {
        wit::Area::Layer => Area::Layer,
        wit::Area::Container => Area::Container,
        wit::Area::Volume => Area::Volume,
    }
}

impl TryFrom<wit::Rooted> for Rooted {
    type Error = Nonsense;

    fn try_from(raw: wit::Rooted) -> Checked<Self> {
        Self::new(area(raw.area), text("path", raw.path)?).map_err(|error| Nonsense::Wrong(error.to_string()))
    }
}

/// An object, as the driver sees it.
pub(crate) fn object(object: &Object) -> call::Object {
    call::Object {
        id: object.id.clone(),
        area: match object.area {
            Area::Layer => wit::Area::Layer,
            Area::Container => wit::Area::Container,
            Area::Volume => wit::Area::Volume,
        },
        parents: object.parents.clone(),
        size_limit: object.size_limit,
    }
}

/// The part of the facts that storage drivers get.
pub(crate) fn storage_facts(facts: &HostFacts) -> call::HostFacts {
    call::HostFacts {
        kernel: facts.kernel.clone(),
        rootless: facts.rootless,
        filesystems: facts.filesystems.clone(),
        root_fstype: facts.root_fstype.clone(),
    }
}

impl TryFrom<call::DriverInfo> for StorageInfo {
    type Error = Nonsense;

    fn try_from(raw: call::DriverInfo) -> Checked<Self> {
        let layers = match raw.layers {
            call::LayerFormat::Overlay => LayerFormat::Overlay,
            call::LayerFormat::Tree => LayerFormat::Tree,
        };
        Ok(Self { name: name("driver", raw.name)?, layers })
    }
}

impl TryFrom<call::Location> for Location {
    type Error = Nonsense;

    fn try_from(raw: call::Location) -> Checked<Self> {
        let image = |raw: call::Image| {
            Ok(Image { source: raw.source.try_into()?, filesystem: filesystem(raw.filesystem) })
        };
        Ok(Self { changes: raw.changes.try_into()?, image: option(raw.image, image)? })
    }
}

fn filesystem(raw: wit::Filesystem) -> Filesystem {
    match raw {
        wit::Filesystem::Ext4 => Filesystem::Ext4,
        wit::Filesystem::Xfs => Filesystem::Xfs,
        wit::Filesystem::Btrfs => Filesystem::Btrfs,
    }
}

impl TryFrom<wit::Plan> for StoragePlan {
    type Error = Nonsense;

    fn try_from(raw: wit::Plan) -> Checked<Self> {
        Ok(Self {
            steps: each("steps", raw.steps, step)?,
            mounts: each("mounts", raw.mounts, mount)?,
            state: each("state changes", raw.state, TryInto::try_into)?,
            diagnostics: diagnostics(raw.diagnostics),
        })
    }
}

fn step(raw: wit::Step) -> Checked<StorageStep> {
    let action = match raw.action {
        wit::Action::Mkdir(raw) => StorageAction::Mkdir {
            path: raw.path.try_into()?,
            mode: mode(raw.mode)?,
            uid: raw.uid,
            gid: raw.gid,
        },
        wit::Action::RemoveTree(path) => StorageAction::RemoveTree(path.try_into()?),
        wit::Action::Rename(raw) => {
            StorageAction::Rename { source: raw.source.try_into()?, dest: raw.dest.try_into()? }
        }
        wit::Action::CloneTree(raw) => {
            StorageAction::CloneTree { source: raw.source.try_into()?, dest: raw.dest.try_into()? }
        }
        wit::Action::MakeFile(raw) => {
            if raw.size == 0 || raw.size > FILE {
                return wrong(format!("a file can not have {} bytes: expected 1 to {FILE}", raw.size));
            }
            StorageAction::MakeFile { path: raw.path.try_into()?, size: raw.size }
        }
        wit::Action::Format(raw) => {
            StorageAction::Format { path: raw.path.try_into()?, filesystem: filesystem(raw.filesystem) }
        }
        wit::Action::CloneFile(raw) => {
            StorageAction::CloneFile { source: raw.source.try_into()?, dest: raw.dest.try_into()? }
        }
        wit::Action::Extension(raw) => StorageAction::Extension(raw.try_into()?),
    };
    Ok(StorageStep { action, label: shown(raw.label) })
}

fn mount(raw: wit::Mount) -> Checked<StorageMount> {
    Ok(match raw {
        wit::Mount::Overlay(raw) => StorageMount::Overlay {
            lower: each("lower directories", raw.lower, TryInto::try_into)?,
            upper: option(raw.upper, TryInto::try_into)?,
            work: option(raw.work, TryInto::try_into)?,
            options: overlay_options(raw.options),
        },
        wit::Mount::Bind(raw) => {
            StorageMount::Bind { source: raw.source.try_into()?, read_only: raw.read_only }
        }
        wit::Mount::Image(raw) => StorageMount::Image {
            source: raw.source.try_into()?,
            filesystem: filesystem(raw.filesystem),
            path: inside(raw.path)?,
            read_only: raw.read_only,
        },
    })
}

/// A directory of a file system: its root, or a path as below an area.
fn inside(raw: String) -> Checked<String> {
    if raw.is_empty() {
        return Ok(raw);
    }
    let rooted: Rooted = wit::Rooted { area: wit::Area::Layer, path: raw }.try_into()?;
    Ok(rooted.path().to_owned())
}

fn overlay_options(raw: wit::OverlayOptions) -> OverlayOptions {
    OverlayOptions {
        index: raw.index,
        metacopy: raw.metacopy,
        redirect_dir: raw.redirect_dir,
        nfs_export: raw.nfs_export,
        xino: raw.xino,
        user_xattr: raw.user_xattr,
        volatile: raw.volatile,
    }
}
