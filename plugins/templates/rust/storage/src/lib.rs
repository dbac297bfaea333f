//! Keeps every layer, container and volume as a whole tree of its own, at `<id>/fs`.

use wharf_sdk::state::View;
use wharf_sdk::storage::{
    Action, Area, Bind, DriverInfo, LayerFormat, Location, Mount, Move, Object, Plan, Rooted, mkdir,
};
use wharf_sdk::{Failure, Request, StorageDriver};

struct __Type__;

wharf_sdk::export_storage!(__Type__);

impl StorageDriver for __Type__ {
    fn describe() -> DriverInfo {
        DriverInfo { name: "__name__".into(), layers: LayerFormat::Tree }
    }

    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:directory", "makes, copies and moves the trees"),
            Request::new("ops:remove-tree", "removes them"),
            Request::new("ops:mount-directory", "shows them"),
        ]
    }

    fn locate(object: &Object) -> Location {
        Location::directory(object.directory("fs"))
    }

    fn plan_create(_: &str, object: &Object, _: &dyn View) -> Result<Plan, Failure> {
        let label = format!("make {}", object.id);
        let Some(parent) = object.parents.first().filter(|_| object.area != Area::Volume) else {
            return Ok(Plan::default().step(label, mkdir(object.directory("fs"), 0o755)));
        };
        let source = Rooted::new(Area::Layer, format!("{parent}/fs"));
        Ok(Plan::default()
            .step(label, mkdir(object.everything(), 0o755))
            .step(format!("copy {parent}"), Action::CloneTree(Move { source, dest: object.directory("fs") })))
    }

    fn plan_commit(_: &str, container: &Object, layer: &Object, _: &dyn View) -> Result<Plan, Failure> {
        let changed = Move { source: container.directory("fs"), dest: layer.directory("fs") };
        Ok(Plan::default()
            .step(format!("make {}", layer.id), mkdir(layer.everything(), 0o755))
            .step(format!("keep {}", container.id), Action::Rename(changed)))
    }

    fn plan_attach(_: &str, object: &Object, read_only: bool, _: &dyn View) -> Result<Plan, Failure> {
        Ok(Plan::default().mount(Mount::Bind(Bind { source: object.directory("fs"), read_only })))
    }

    fn plan_remove(_: &str, object: &Object, _: &dyn View) -> Result<Plan, Failure> {
        let remove = Action::RemoveTree(object.everything());
        Ok(Plan::default().step(format!("remove {}", object.id), remove))
    }
}
