//! Whole trees: works on every file system, and copies.
//!
//! ```text
//! layer/<id>/fs        the layer with everything below it
//! container/<id>/fs    a copy of the image's topmost layer, with the container's changes
//! volume/<id>/data
//! ```
//!
//! Where the file system can share blocks between files, a copy costs little.

use wharf_sdk::state::View;
use wharf_sdk::storage::{
    Action, Area, Bind, DriverInfo, LayerFormat, Location, Mount, Move, Object, Plan, Rooted, mkdir,
};
use wharf_sdk::{Failure, FailureKind, Request, StorageDriver, refuse};

struct CopyDriver;

wharf_sdk::export_storage!(CopyDriver, "whole trees, on every file system");

impl StorageDriver for CopyDriver {
    fn describe() -> DriverInfo {
        DriverInfo { name: "copy".into(), layers: LayerFormat::Tree }
    }

    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:directory", "makes and copies the trees of layers, containers and volumes"),
            Request::new("ops:remove-tree", "removes them"),
            Request::new("ops:mount-directory", "shows them"),
        ]
    }

    fn locate(object: &Object) -> Location {
        Location::directory(tree(object))
    }

    fn plan_create(_: &str, object: &Object, _: &dyn View) -> Result<Plan, Failure> {
        if object.size_limit.is_some() {
            return Err(refuse("the copy driver cannot limit sizes").kind(FailureKind::Unsupported));
        }
        let parent = object.parents.first().filter(|_| object.area != Area::Volume);
        Ok(match parent {
            None => Plan::default().step(format!("make {}", object.id), mkdir(tree(object), 0o755)),
            Some(parent) => {
                let source = Rooted::new(Area::Layer, format!("{parent}/fs"));
                let copy = Action::CloneTree(Move { source, dest: tree(object) });
                Plan::default()
                    .step(format!("make {}", object.id), mkdir(object.everything(), 0o755))
                    .step(format!("copy {parent}"), copy)
            }
        })
    }

    fn plan_commit(_: &str, container: &Object, layer: &Object, _: &dyn View) -> Result<Plan, Failure> {
        let changed = Move { source: tree(container), dest: tree(layer) };
        Ok(Plan::default()
            .step(format!("make {}", layer.id), mkdir(layer.everything(), 0o755))
            .step(format!("keep the tree as {}", layer.id), Action::Rename(changed)))
    }

    fn plan_attach(_: &str, object: &Object, read_only: bool, _: &dyn View) -> Result<Plan, Failure> {
        if object.area == Area::Layer && !read_only {
            return Err(refuse(format!("layer {} can only be read", object.id)).kind(FailureKind::Denied));
        }
        Ok(Plan::default().mount(Mount::Bind(Bind { source: tree(object), read_only })))
    }

    fn plan_remove(_: &str, object: &Object, _: &dyn View) -> Result<Plan, Failure> {
        let everything = Action::RemoveTree(object.everything());
        Ok(Plan::default().step(format!("remove {}", object.id), everything))
    }
}

/// The directory that holds the whole object.
fn tree(object: &Object) -> Rooted {
    object.directory(if object.area == Area::Volume { "data" } else { "fs" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::testing::Memory;

    fn object(area: Area, parents: &[&str]) -> Object {
        let parents = parents.iter().map(|id| (*id).into()).collect();
        Object { id: "c".into(), area, parents, size_limit: None }
    }

    fn create(object: &Object) -> Vec<Action> {
        let plan = CopyDriver::plan_create("", object, &Memory::default()).unwrap();
        plan.steps.into_iter().map(|step| step.action).collect()
    }

    #[test]
    fn an_object_begins_as_a_copy_of_its_topmost_parent() {
        let source = Rooted::new(Area::Layer, "b/fs");
        let copy = Action::CloneTree(Move { source, dest: Rooted::new(Area::Container, "c/fs") });
        let made = mkdir(Rooted::new(Area::Container, "c"), 0o755);
        assert_eq!(create(&object(Area::Container, &["b", "a"])), [made, copy]);
        assert_eq!(create(&object(Area::Layer, &[])), [mkdir(Rooted::new(Area::Layer, "c/fs"), 0o755)]);
        assert_eq!(
            create(&object(Area::Volume, &["b"])),
            [mkdir(Rooted::new(Area::Volume, "c/data"), 0o755)]
        );
    }

    #[test]
    fn a_tree_is_bound_as_it_is() {
        let plan = CopyDriver::plan_attach("", &object(Area::Container, &["a"]), false, &Memory::default());
        let bind = Bind { source: Rooted::new(Area::Container, "c/fs"), read_only: false };
        assert_eq!(plan.unwrap().mounts, [Mount::Bind(bind)]);
    }
}
