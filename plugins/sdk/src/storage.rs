//! Storage drivers: where the directory trees of layers, containers and volumes live.

pub use crate::bindings::storage::exports::wharf::plugin::storage_driver::{
    DriverInfo, HostFacts, LayerFormat, Location, Object,
};
pub use crate::bindings::storage::wharf::plugin::storage_plan::{
    Action, Area, Bind, Filesystem, Format, Image, ImageMount, MakeDirectory, MakeFile, Mount, Move, Overlay,
    OverlayOptions, Plan, Rooted, Step,
};
use crate::manifest::{self, Manifest, Package, Request};
use crate::state::View;
use crate::{Failure, Settings};

/// Decides where trees are and how they are mounted; the engine does it.
pub trait StorageDriver {
    /// Its name and how its layers are kept.
    fn describe() -> DriverInfo;

    /// What it needs to be granted, and what for.
    fn requests() -> Vec<Request> {
        Vec::new()
    }

    /// Whether the driver works on this host with these settings; asked when they are first used.
    ///
    /// # Errors
    /// Says what is missing.
    fn validate_settings(settings: &Settings, _facts: &HostFacts) -> Result<(), Failure> {
        crate::setting::only(settings, &[])
    }

    /// Where an object is, whether or not it exists yet.
    fn locate(object: &Object) -> Location;

    /// Makes an object. `token` is the same when a request is repeated.
    ///
    /// # Errors
    /// When it cannot be made.
    fn plan_create(token: &str, object: &Object, state: &dyn View) -> Result<Plan, Failure>;

    /// Turns what a container changed into a layer.
    ///
    /// # Errors
    /// When it cannot be turned into one.
    fn plan_commit(
        token: &str,
        container: &Object,
        layer: &Object,
        state: &dyn View,
    ) -> Result<Plan, Failure>;

    /// How an object is mounted.
    ///
    /// # Errors
    /// When it cannot be mounted.
    fn plan_attach(token: &str, object: &Object, read_only: bool, state: &dyn View) -> Result<Plan, Failure>;

    /// What is to be done after the object's mounts are gone.
    ///
    /// # Errors
    /// When something is in the way.
    fn plan_detach(_token: &str, _object: &Object, _state: &dyn View) -> Result<Plan, Failure> {
        Ok(Plan::default())
    }

    /// Removes an object.
    ///
    /// # Errors
    /// When something is in the way.
    fn plan_remove(token: &str, object: &Object, state: &dyn View) -> Result<Plan, Failure>;
}

impl Default for Plan {
    /// Nothing is to be done.
    fn default() -> Self {
        Self { steps: vec![], mounts: vec![], state: vec![], diagnostics: vec![] }
    }
}

impl Plan {
    /// Adds a step.
    #[must_use]
    pub fn step(mut self, label: impl Into<String>, action: Action) -> Self {
        self.steps.push(Step { action, label: label.into() });
        self
    }

    /// Adds a mount; the root comes first.
    #[must_use]
    pub fn mount(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self
    }
}

impl Default for OverlayOptions {
    /// The kernel's own choice.
    fn default() -> Self {
        Self {
            index: None,
            metacopy: None,
            redirect_dir: None,
            nfs_export: None,
            xino: None,
            user_xattr: false,
            volatile: false,
        }
    }
}

impl Location {
    /// A directory of an area.
    pub fn directory(changes: Rooted) -> Self {
        Self { changes, image: None }
    }
}

impl Rooted {
    /// A path below an area.
    pub fn new(area: Area, path: impl Into<String>) -> Self {
        Self { area, path: path.into() }
    }
}

impl Object {
    /// A directory of this object: `<id>/<name>` in its area.
    pub fn directory(&self, name: &str) -> Rooted {
        Rooted::new(self.area, format!("{}/{name}", self.id))
    }

    /// Everything this object has: `<id>` in its area.
    pub fn everything(&self) -> Rooted {
        Rooted::new(self.area, self.id.clone())
    }
}

/// Makes a directory that belongs to root.
pub fn mkdir(path: Rooted, mode: u32) -> Action {
    Action::Mkdir(MakeDirectory { path, mode, uid: 0, gid: 0 })
}

/// Stands between a driver and the world it is exported to.
#[doc(hidden)]
pub struct Exported<D>(std::marker::PhantomData<D>);

fn introduce<D: StorageDriver + Package>() -> Manifest {
    manifest::of::<D>(D::requests(), || format!("storage driver {}", D::describe().name))
}

#[cfg(target_arch = "wasm32")]
mod component {
    use super::{
        DriverInfo, Exported, Failure, HostFacts, Location, Manifest, Object, Package, Plan, Settings,
        StorageDriver,
    };
    use crate::bindings::about::exports::wharf::plugin::about;
    use crate::bindings::storage::exports::wharf::plugin::storage_driver::Guest;
    use crate::bindings::storage::wharf::plugin::state::View;
    use crate::host::log_panics;

    impl<D: StorageDriver + Package + 'static> about::Guest for Exported<D> {
        fn introduce() -> Manifest {
            log_panics();
            super::introduce::<D>()
        }
    }

    impl<D: StorageDriver + 'static> Guest for Exported<D> {
        fn describe() -> DriverInfo {
            log_panics();
            D::describe()
        }

        fn validate_settings(settings: Settings, facts: HostFacts) -> Result<(), Failure> {
            log_panics();
            D::validate_settings(&settings, &facts)
        }

        fn locate(object: Object) -> Location {
            log_panics();
            D::locate(&object)
        }

        fn plan_create(token: String, object: Object, state: &View) -> Result<Plan, Failure> {
            log_panics();
            D::plan_create(&token, &object, state)
        }

        fn plan_commit(
            token: String,
            container: Object,
            layer: Object,
            state: &View,
        ) -> Result<Plan, Failure> {
            log_panics();
            D::plan_commit(&token, &container, &layer, state)
        }

        fn plan_attach(
            token: String,
            object: Object,
            read_only: bool,
            state: &View,
        ) -> Result<Plan, Failure> {
            log_panics();
            D::plan_attach(&token, &object, read_only, state)
        }

        fn plan_detach(token: String, object: Object, state: &View) -> Result<Plan, Failure> {
            log_panics();
            D::plan_detach(&token, &object, state)
        }

        fn plan_remove(token: String, object: Object, state: &View) -> Result<Plan, Failure> {
            log_panics();
            D::plan_remove(&token, &object, state)
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl<D: StorageDriver + Package + 'static> crate::native::Dispatch for Exported<D> {
    const WORLD: &'static str = "storage-plugin";

    fn dispatch(function: &str, input: &[u8]) -> crate::native::Answer {
        use crate::native::{HostView, decode, encode, one, unknown};
        match function {
            "introduce" => encode(&introduce::<D>()),
            "describe" => encode(&D::describe()),
            "validate-settings" => {
                let (settings, facts): (Settings, HostFacts) = decode(input)?;
                encode(&D::validate_settings(&settings, &facts))
            }
            "locate" => encode(&D::locate(&one(input)?)),
            "plan-create" => {
                let (token, object): (String, Object) = decode(input)?;
                encode(&D::plan_create(&token, &object, &HostView))
            }
            "plan-commit" => {
                let (token, container, layer): (String, Object, Object) = decode(input)?;
                encode(&D::plan_commit(&token, &container, &layer, &HostView))
            }
            "plan-attach" => {
                let (token, object, read_only): (String, Object, bool) = decode(input)?;
                encode(&D::plan_attach(&token, &object, read_only, &HostView))
            }
            "plan-detach" => {
                let (token, object): (String, Object) = decode(input)?;
                encode(&D::plan_detach(&token, &object, &HostView))
            }
            "plan-remove" => {
                let (token, object): (String, Object) = decode(input)?;
                encode(&D::plan_remove(&token, &object, &HostView))
            }
            other => unknown(other),
        }
    }
}

/// Makes a [`StorageDriver`] the plugin that this crate is.
#[macro_export]
macro_rules! export_storage {
    ($plugin:ty $(, $summary:literal)?) => {
        $crate::export_as!(storage, $plugin $(, $summary)?);
    };
}
