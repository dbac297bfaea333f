//! Whole trees, as the copy driver keeps them, with two mistakes: removing an object leaves its
//! journal, and what is remembered of it.

use wharf_sdk::state::View;
use wharf_sdk::storage::{
    Action, Area, Bind, DriverInfo, LayerFormat, Location, Mount, Move, Object, Plan, Rooted, mkdir,
};
use wharf_sdk::{Failure, Request, StateChange, StorageDriver};

struct Forgetful;

wharf_sdk::export_storage!(Forgetful, "a driver with two mistakes");

impl StorageDriver for Forgetful {
    fn describe() -> DriverInfo {
        DriverInfo { name: "forgetful".into(), layers: LayerFormat::Tree }
    }

    fn requests() -> Vec<Request> {
        ["ops:directory", "ops:remove-tree", "ops:mount-directory"].map(|right| Request::new(right, "it works")).into()
    }

    fn locate(object: &Object) -> Location {
        Location::directory(object.directory("fs"))
    }

    fn plan_create(_: &str, object: &Object, _: &dyn View) -> Result<Plan, Failure> {
        let mut plan = Plan::default().step("make its journal", mkdir(object.directory("journal"), 0o700));
        plan = match object.parents.first() {
            None => plan.step("make its tree", mkdir(object.directory("fs"), 0o755)),
            Some(parent) => {
                let source = Rooted::new(Area::Layer, format!("{parent}/fs"));
                let copy = Move { source, dest: object.directory("fs") };
                plan.step("copy the tree below", Action::CloneTree(copy))
            }
        };
        plan.state.push(StateChange::Put((format!("made/{}", object.id), vec![1])));
        Ok(plan)
    }

    fn plan_commit(_: &str, container: &Object, layer: &Object, _: &dyn View) -> Result<Plan, Failure> {
        let keep = Move { source: container.directory("fs"), dest: layer.directory("fs") };
        Ok(Plan::default().step("keep the tree", Action::Rename(keep)))
    }

    fn plan_attach(_: &str, object: &Object, read_only: bool, _: &dyn View) -> Result<Plan, Failure> {
        Ok(Plan::default().mount(Mount::Bind(Bind { source: object.directory("fs"), read_only })))
    }

    fn plan_remove(_: &str, object: &Object, _: &dyn View) -> Result<Plan, Failure> {
        Ok(Plan::default().step("remove its tree", Action::RemoveTree(object.directory("fs"))))
    }
}
