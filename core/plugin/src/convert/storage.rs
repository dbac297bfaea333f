//! Storage drivers: objects out, plans in.

use wharf_model::storage::{
    Area, HostFacts, LayerFormat, Object, Rooted, StorageAction, StorageInfo, StorageMount, StoragePlan,
    StorageStep,
};

use super::{Checked, Nonsense, diagnostics, each, mode, name, option, shown, text, wrong};
use crate::bindings::storage_driver as call;
use crate::bindings::storage_plan as wit;

/// Options of overlayfs that change how a mount behaves but not what it shows.
const OVERLAY_OPTIONS: &[&str] =
    &["index", "metacopy", "nfs_export", "redirect_dir", "uuid", "userxattr", "volatile", "xino"];

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
            options: each("options", raw.options, overlay_option)?,
        },
        wit::Mount::Bind(raw) => {
            StorageMount::Bind { source: raw.source.try_into()?, read_only: raw.read_only }
        }
    })
}

/// `name` or `name=word`; never one that names a directory.
fn overlay_option(raw: String) -> Checked<String> {
    let (key, value) = raw.split_once('=').unwrap_or((&raw, ""));
    let plain = value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if OVERLAY_OPTIONS.contains(&key) && plain {
        return Ok(raw);
    }
    wrong(format!("`{}` is not an overlay option that can be set", shown(raw)))
}
