//! Every layer and every container is a disk of its own: an ext4 file system in a sparse file.
//!
//! ```text
//! layer/<id>/disk          the layer with everything below it, in the directory `fs`
//! container/<id>/disk      a copy of the topmost layer's, with the container's changes
//! volume/<id>/disk
//! ```
//!
//! That is how a vendor's driver looks whose volumes are block devices. A container can not write
//! more than its disk holds. A copy shares blocks where the file system below can; a container with
//! a size of its own gets a fresh disk that the files are copied to.

use wharf_sdk::state::View;
use wharf_sdk::storage::{
    Action, Area, DriverInfo, Filesystem, Format, HostFacts, Image, ImageMount, LayerFormat, Location,
    MakeFile, Mount, Move, Object, Plan, Rooted, mkdir,
};
use wharf_sdk::{Failure, FailureKind, Request, Settings, StorageDriver, host, refuse, setting};

const FILESYSTEM: Filesystem = Filesystem::Ext4;
/// Where the tree is on the disk: beside it there is `lost+found`.
const TREE: &str = "fs";
const MIB: u64 = 1 << 20;
const SMALLEST: u64 = 16 * MIB;
/// What a layer may hold when the settings do not say.
const USUAL: i64 = 10 * 1024;

struct Disk;

wharf_sdk::export_storage!(Disk);

impl StorageDriver for Disk {
    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:directory", "makes a directory for each disk, and moves disks"),
            Request::new("ops:file", "makes, formats and copies the disks"),
            Request::new("ops:mount-image", "mounts them"),
            Request::new("ops:remove-tree", "removes what is not needed any more"),
        ]
    }

    fn describe() -> DriverInfo {
        DriverInfo { name: "disk".into(), layers: LayerFormat::Tree }
    }

    fn validate_settings(settings: &Settings, facts: &HostFacts) -> Result<(), Failure> {
        setting::only(settings, &["size-mib"])?;
        if !facts.filesystems.iter().any(|name| name == "ext4") {
            return Err(refuse("this kernel has no ext4").kind(FailureKind::Unsupported));
        }
        if facts.rootless {
            return Err(refuse("loop devices need uid 0").kind(FailureKind::Unsupported));
        }
        usual_size(settings).map(drop)
    }

    fn locate(object: &Object) -> Location {
        let image = Image { source: disk(object), filesystem: FILESYSTEM };
        Location { changes: Rooted::new(object.area, TREE), image: Some(image) }
    }

    fn plan_create(_: &str, object: &Object, _: &dyn View) -> Result<Plan, Failure> {
        create(object, usual_size(&host::settings())?)
    }

    fn plan_commit(_: &str, container: &Object, layer: &Object, _: &dyn View) -> Result<Plan, Failure> {
        let moved = Move { source: disk(container), dest: disk(layer) };
        Ok(Plan::default()
            .step(format!("make {}", layer.id), mkdir(layer.everything(), 0o700))
            .step(format!("keep the disk as {}", layer.id), Action::Rename(moved)))
    }

    fn plan_attach(_: &str, object: &Object, read_only: bool, _: &dyn View) -> Result<Plan, Failure> {
        if object.area == Area::Layer && !read_only {
            return Err(refuse(format!("layer {} can only be read", object.id)).kind(FailureKind::Denied));
        }
        let mount = ImageMount { source: disk(object), filesystem: FILESYSTEM, path: TREE.into(), read_only };
        Ok(Plan::default().mount(Mount::Image(mount)))
    }

    fn plan_remove(_: &str, object: &Object, _: &dyn View) -> Result<Plan, Failure> {
        Ok(Plan::default().step(format!("remove {}", object.id), Action::RemoveTree(object.everything())))
    }
}

fn create(object: &Object, usual: u64) -> Result<Plan, Failure> {
    if let Some(size) = object.size_limit.filter(|size| *size < SMALLEST) {
        return Err(refuse(format!("a disk of {size} bytes is too small"))
            .help(format!("write a size of at least {}m", SMALLEST / MIB)));
    }
    let plan = Plan::default().step(format!("make {}", object.id), mkdir(object.everything(), 0o700));
    let parent = object.parents.first().filter(|_| object.area != Area::Volume);
    let parent = parent.map(|id| Rooted::new(Area::Layer, format!("{id}/disk")));
    Ok(match (parent, object.size_limit) {
        (None, size) => fresh(plan, object, size.unwrap_or(usual)),
        (Some(source), None) => {
            plan.step("copy the disk below", Action::CloneFile(Move { source, dest: disk(object) }))
        }
        (Some(source), Some(size)) => fresh(plan, object, size)
            .step("copy the files below", Action::CloneTree(Move { source, dest: disk(object) })),
    })
}

fn fresh(plan: Plan, object: &Object, size: u64) -> Plan {
    let path = disk(object);
    plan.step(
        format!("a disk of {} MiB", size / MIB),
        Action::MakeFile(MakeFile { path: path.clone(), size }),
    )
    .step("format it", Action::Format(Format { path, filesystem: FILESYSTEM }))
}

fn disk(object: &Object) -> Rooted {
    object.directory("disk")
}

fn usual_size(settings: &Settings) -> Result<u64, Failure> {
    let mib = setting::integer(settings, "size-mib").unwrap_or(USUAL);
    let size = u64::try_from(mib).ok().and_then(|mib| mib.checked_mul(MIB));
    size.filter(|size| *size >= SMALLEST).ok_or_else(|| {
        refuse(format!("size-mib = {mib} is no size of a disk")).help("write at least `size-mib = 16`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::Value;

    fn object(area: Area, parents: &[&str], size_limit: Option<u64>) -> Object {
        let parents = parents.iter().map(|id| (*id).into()).collect();
        Object { id: "c".into(), area, parents, size_limit }
    }

    fn actions(object: &Object) -> Vec<Action> {
        create(object, 64 * MIB).unwrap().steps.into_iter().map(|step| step.action).collect()
    }

    #[test]
    fn the_first_layer_is_a_fresh_disk_and_others_are_copies() {
        let at = |area| Rooted::new(area, "c/disk");
        let first = actions(&object(Area::Layer, &[], None));
        assert_eq!(first[1], Action::MakeFile(MakeFile { path: at(Area::Layer), size: 64 * MIB }));
        assert_eq!(first[2], Action::Format(Format { path: at(Area::Layer), filesystem: FILESYSTEM }));
        let copy = Move { source: Rooted::new(Area::Layer, "b/disk"), dest: at(Area::Container) };
        let container = actions(&object(Area::Container, &["b", "a"], None));
        assert_eq!(container[1..], [Action::CloneFile(copy.clone())]);
        let sized = actions(&object(Area::Container, &["b", "a"], Some(32 * MIB)));
        assert_eq!(sized[1], Action::MakeFile(MakeFile { path: at(Area::Container), size: 32 * MIB }));
        assert_eq!((sized.len(), &sized[3]), (4, &Action::CloneTree(copy)));
    }

    #[test]
    fn sizes_have_a_floor() {
        let refused = create(&object(Area::Container, &["b"], Some(MIB)), USUAL.cast_unsigned()).unwrap_err();
        assert_eq!(refused.message(), "a disk of 1048576 bytes is too small");
        for (mib, size) in [(64, Some(64 * MIB)), (1, None), (-1, None), (i64::MAX, None)] {
            let settings = vec![("size-mib".into(), Value::Integer(mib))];
            assert_eq!(usual_size(&settings).ok(), size, "{mib}");
        }
    }

    #[test]
    fn a_disk_is_mounted_below_its_directory() {
        let plan = Disk::plan_attach(
            "",
            &object(Area::Container, &["a"], None),
            false,
            &wharf_sdk::testing::Memory::default(),
        );
        let source = Rooted::new(Area::Container, "c/disk");
        let mount = ImageMount { source, filesystem: FILESYSTEM, path: "fs".into(), read_only: false };
        assert_eq!(plan.unwrap().mounts, [Mount::Image(mount)]);
    }
}
