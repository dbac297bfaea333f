//! Layers as overlayfs stacks them.
//!
//! ```text
//! layer/<id>/fs            what the layer changes, deletions as overlayfs marks them
//! container/<id>/upper     what the container changes
//! container/<id>/work      overlayfs's own
//! volume/<id>/data
//! ```
//!
//! A container costs two empty directories. Its changes become a layer by a rename. Where there is
//! only one directory to show there is nothing to stack, and it is bound as it is.

use wharf_sdk::state::View;
use wharf_sdk::storage::{
    Action, Area, Bind, DriverInfo, HostFacts, LayerFormat, Location, Mount, Move, Object, Overlay,
    OverlayOptions, Plan, Rooted, mkdir,
};
use wharf_sdk::{Failure, FailureKind, Request, Settings, StorageDriver, host, refuse, setting};

struct OverlayDriver;

wharf_sdk::export_storage!(OverlayDriver, "layers as overlayfs stacks them");

/// File systems that cannot hold the upper directory of an overlay.
const NO_UPPER: [&str; 8] = ["overlay", "nfs", "nfs4", "cifs", "smb3", "vfat", "exfat", "9p"];

impl StorageDriver for OverlayDriver {
    fn describe() -> DriverInfo {
        DriverInfo { name: "overlay".into(), layers: LayerFormat::Overlay }
    }

    fn requests() -> Vec<Request> {
        vec![
            Request::new(
                "ops:directory",
                "makes and moves the directories of layers, containers and volumes",
            ),
            Request::new("ops:remove-tree", "removes them"),
            Request::new("ops:mount-overlay", "stacks layers"),
            Request::new("ops:mount-directory", "shows an object that is one directory only"),
        ]
    }

    fn validate_settings(settings: &Settings, facts: &HostFacts) -> Result<(), Failure> {
        setting::only(settings, &["options"])?;
        options(settings)?;
        let help = "write `storage = \"copy\"` below `[engine]`, which works everywhere and copies";
        let unsupported = |message: String| Err(refuse(message).kind(FailureKind::Unsupported).help(help));
        if !facts.filesystems.iter().any(|name| name == "overlay") {
            return unsupported("this kernel has no overlay file system".into());
        }
        if NO_UPPER.contains(&facts.root_fstype.as_str()) {
            return unsupported(format!("an overlay cannot write to a {} file system", facts.root_fstype));
        }
        Ok(())
    }

    fn locate(object: &Object) -> Location {
        Location::directory(changes(object))
    }

    fn plan_create(_: &str, object: &Object, _: &dyn View) -> Result<Plan, Failure> {
        no_limit(object)?;
        let plan = Plan::default().step(format!("make {}", object.id), mkdir(changes(object), 0o755));
        Ok(match object.area {
            Area::Container => {
                plan.step("make overlay's work directory", mkdir(object.directory("work"), 0o700))
            }
            Area::Layer | Area::Volume => plan,
        })
    }

    fn plan_commit(_: &str, container: &Object, layer: &Object, _: &dyn View) -> Result<Plan, Failure> {
        let changed = Move { source: changes(container), dest: changes(layer) };
        Ok(Plan::default()
            .step(format!("make {}", layer.id), mkdir(layer.everything(), 0o755))
            .step(format!("keep the changes as {}", layer.id), Action::Rename(changed)))
    }

    fn plan_attach(_: &str, object: &Object, read_only: bool, _: &dyn View) -> Result<Plan, Failure> {
        if object.area == Area::Layer && !read_only {
            return Err(refuse(format!("layer {} can only be read", object.id)).kind(FailureKind::Denied));
        }
        let options = options(&host::settings())?;
        Ok(Plan::default().mount(mount(object, read_only, options)))
    }

    fn plan_remove(_: &str, object: &Object, _: &dyn View) -> Result<Plan, Failure> {
        let everything = Action::RemoveTree(object.everything());
        Ok(Plan::default().step(format!("remove {}", object.id), everything))
    }
}

/// The directory that holds an object's own files.
fn changes(object: &Object) -> Rooted {
    object.directory(match object.area {
        Area::Layer => "fs",
        Area::Container => "upper",
        Area::Volume => "data",
    })
}

/// The `options` of the settings, as `mount` would take them: `index=off`, `volatile`.
fn options(settings: &Settings) -> Result<OverlayOptions, Failure> {
    let mut options = OverlayOptions::default();
    for text in setting::texts(settings, "options") {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let switch = match value {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        };
        match (name, switch) {
            ("index", Some(_)) => options.index = switch,
            ("metacopy", Some(_)) => options.metacopy = switch,
            ("redirect_dir", Some(_)) => options.redirect_dir = switch,
            ("nfs_export", Some(_)) => options.nfs_export = switch,
            ("xino", Some(_)) => options.xino = switch,
            ("userxattr", None) if value.is_empty() => options.user_xattr = true,
            ("volatile", None) if value.is_empty() => options.volatile = true,
            _ => {
                let help = "known options: index, metacopy, redirect_dir, nfs_export and xino with =on or =off, \
                            userxattr, volatile";
                return Err(refuse(format!("`{text}` is not an option of an overlay")).help(help));
            }
        }
    }
    Ok(options)
}

fn mount(object: &Object, read_only: bool, options: OverlayOptions) -> Mount {
    let own = changes(object);
    let parents = object.parents.iter().map(|id| Rooted::new(Area::Layer, format!("{id}/fs")));
    let mut lower: Vec<Rooted> = if object.area == Area::Volume { vec![] } else { parents.collect() };
    if lower.is_empty() {
        return Mount::Bind(Bind { source: own, read_only });
    }
    if read_only {
        lower.insert(0, own);
        return Mount::Overlay(Overlay { lower, upper: None, work: None, options });
    }
    Mount::Overlay(Overlay { lower, upper: Some(own), work: Some(object.directory("work")), options })
}

fn no_limit(object: &Object) -> Result<(), Failure> {
    match object.size_limit {
        None => Ok(()),
        Some(_) => Err(refuse("the overlay driver cannot limit sizes").kind(FailureKind::Unsupported)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::Value;
    use wharf_sdk::testing::Memory;

    fn object(area: Area, parents: &[&str]) -> Object {
        let parents = parents.iter().map(|id| (*id).into()).collect();
        Object { id: "c".into(), area, parents, size_limit: None }
    }

    fn layers(ids: &[&str]) -> Vec<Rooted> {
        ids.iter().map(|id| Rooted::new(Area::Layer, format!("{id}/fs"))).collect()
    }

    #[test]
    fn containers_are_stacked_on_their_image() {
        let container = object(Area::Container, &["b", "a"]);
        let own = Rooted::new(Area::Container, "c/upper");
        let work = Some(Rooted::new(Area::Container, "c/work"));
        let writable = Overlay {
            lower: layers(&["b", "a"]),
            upper: Some(own.clone()),
            work,
            options: OverlayOptions::default(),
        };
        assert_eq!(mount(&container, false, OverlayOptions::default()), Mount::Overlay(writable));
        let lower = [vec![own], layers(&["b", "a"])].concat();
        let read_only = Overlay { lower, upper: None, work: None, options: OverlayOptions::default() };
        assert_eq!(mount(&container, true, OverlayOptions::default()), Mount::Overlay(read_only));
    }

    #[test]
    fn a_single_directory_is_bound() {
        for (area, path) in [(Area::Container, "c/upper"), (Area::Layer, "c/fs"), (Area::Volume, "c/data")] {
            let bind = Bind { source: Rooted::new(area, path), read_only: true };
            assert_eq!(mount(&object(area, &[]), true, OverlayOptions::default()), Mount::Bind(bind));
        }
    }

    #[test]
    fn changes_become_a_layer_by_a_rename() {
        let plan = OverlayDriver::plan_commit(
            "",
            &object(Area::Container, &[]),
            &Object { id: "l".into(), ..object(Area::Layer, &[]) },
            &Memory::default(),
        )
        .unwrap();
        let changed =
            Move { source: Rooted::new(Area::Container, "c/upper"), dest: Rooted::new(Area::Layer, "l/fs") };
        assert_eq!(plan.steps[1].action, Action::Rename(changed));
        assert_eq!(plan.steps.len(), 2);
    }

    #[test]
    fn the_host_must_be_able_to() {
        let facts = |filesystem: &str, root: &str| HostFacts {
            kernel: "6.1".into(),
            rootless: false,
            filesystems: vec![filesystem.into()],
            root_fstype: root.into(),
        };
        for (filesystem, root, fine) in
            [("overlay", "ext4", true), ("btrfs", "ext4", false), ("overlay", "overlay", false)]
        {
            let answer = OverlayDriver::validate_settings(&vec![], &facts(filesystem, root));
            assert_eq!(answer.is_ok(), fine, "for {filesystem} on {root}");
        }
    }

    #[test]
    fn options_are_read_as_mount_writes_them() {
        let settings = |texts: &[&str]| {
            vec![("options".to_owned(), Value::Texts(texts.iter().map(|text| (*text).into()).collect()))]
        };
        let read = options(&settings(&["index=off", "metacopy=on", "volatile"])).unwrap();
        let expected = OverlayOptions {
            index: Some(false),
            metacopy: Some(true),
            volatile: true,
            ..OverlayOptions::default()
        };
        assert_eq!(read, expected);
        for wrong in
            ["index", "index=yes", "volatile=on", "lowerdir=/etc", "index=off,lowerdir=/etc", "context"]
        {
            assert!(options(&settings(&[wrong])).is_err(), "for {wrong}");
        }
    }

    #[test]
    fn layers_are_never_written() {
        let answer = OverlayDriver::plan_attach("", &object(Area::Layer, &["a"]), false, &Memory::default());
        assert_eq!(answer.unwrap_err().kind, FailureKind::Denied);
    }
}
