//! Storage drivers.

use wasmtime::component::Resource;
use wharf_model::Digest;
use wharf_model::grant::Grants;
use wharf_model::manifest::Manifest;
use wharf_model::storage::{HostFacts, Location, Object, StorageInfo, StoragePlan};

use crate::aot::About;
use crate::bindings::View;
use crate::imports::Storage as Contract;
use crate::kind::{StateView, Storage};
use crate::loaded::{Introduce, Loaded};
use crate::session::with_view;
use crate::wasm::Bound;
use crate::{PluginError, authorize, convert};

/// A storage driver with what it says of itself.
pub(crate) struct StoragePlugin {
    plugin: Loaded<Contract>,
    info: StorageInfo,
}

impl Introduce for Contract {
    const BOUND: Bound = Bound::Fuel;
    const ASKS_ABOUT_THE_HOST: bool = true;

    fn describe(plugin: &Loaded<Self>) -> Result<About, PluginError> {
        let (raw, _) = plugin.ask("describe", (), |instance, store, ()| {
            instance.wharf_plugin_storage_driver().call_describe(store)
        })?;
        let info = raw
            .try_into()
            .map_err(|error: convert::Nonsense| plugin.error(Some("describe"), error.into()))?;
        Ok(About::Storage(info))
    }

    fn validate_settings(plugin: &Loaded<Self>, facts: &dyn Fn() -> HostFacts) -> Result<(), PluginError> {
        let input = (convert::settings(&plugin.subject.settings), convert::storage_facts(&facts()));
        plugin.agree("validate-settings", input, |instance, store, (settings, facts)| {
            instance.wharf_plugin_storage_driver().call_validate_settings(store, settings, facts)
        })
    }
}

impl StoragePlugin {
    pub(crate) fn new(plugin: Loaded<Contract>, info: StorageInfo) -> Self {
        Self { plugin, info }
    }

    /// What is granted and requested.
    pub(crate) fn grants(&self) -> &Grants {
        &self.plugin.subject.grants
    }

    pub(crate) fn manifest(&self) -> Manifest {
        self.plugin.manifest()
    }

    /// Checks the settings, unless that was done before.
    pub(crate) fn validate(&self, facts: &dyn Fn() -> HostFacts) -> Result<(), PluginError> {
        self.plugin.validate(facts)
    }

    /// Adds what was reported and checks the grants.
    fn allowed(
        &self,
        function: &'static str,
        (mut plan, mut reported): (StoragePlan, Vec<wharf_model::Diagnostic>),
    ) -> Result<StoragePlan, PluginError> {
        plan.diagnostics.append(&mut reported);
        authorize::storage(self.name(), &self.plugin.subject.grants, &plan)
            .map_err(|denied| self.plugin.denied(function, denied))?;
        Ok(plan)
    }
}

fn view() -> Resource<View> {
    Resource::new_own(0)
}

impl Storage for StoragePlugin {
    fn name(&self) -> &str {
        &self.plugin.subject.name
    }

    fn digest(&self) -> Digest {
        self.plugin.digest
    }

    fn info(&self) -> &StorageInfo {
        &self.info
    }

    fn locate(&self, object: &Object) -> Result<Location, PluginError> {
        let input = (convert::object(object),);
        let (location, heard) = self.plugin.ask("locate", input, |instance, store, (object,)| {
            instance.wharf_plugin_storage_driver().call_locate(store, object)
        })?;
        self.plugin.tell(&heard.diagnostics);
        let location = location.try_into();
        location.map_err(|error: convert::Nonsense| self.plugin.error(Some("locate"), error.into()))
    }

    fn plan_create(
        &self,
        token: &str,
        object: &Object,
        state: &dyn StateView,
    ) -> Result<StoragePlan, PluginError> {
        let input = (token, convert::object(object));
        let plan = with_view(state, || {
            self.plugin.plan("plan-create", input, |instance, store, (token, object)| {
                instance.wharf_plugin_storage_driver().call_plan_create(store, token, object, view())
            })
        })?;
        self.allowed("plan-create", plan)
    }

    fn plan_commit(
        &self,
        token: &str,
        container: &Object,
        layer: &Object,
        state: &dyn StateView,
    ) -> Result<StoragePlan, PluginError> {
        let input = (token, convert::object(container), convert::object(layer));
        let plan = with_view(state, || {
            self.plugin.plan("plan-commit", input, |instance, store, (token, container, layer)| {
                let driver = instance.wharf_plugin_storage_driver();
                driver.call_plan_commit(store, token, container, layer, view())
            })
        })?;
        self.allowed("plan-commit", plan)
    }

    fn plan_attach(
        &self,
        token: &str,
        object: &Object,
        read_only: bool,
        state: &dyn StateView,
    ) -> Result<StoragePlan, PluginError> {
        let input = (token, convert::object(object), read_only);
        let plan = with_view(state, || {
            self.plugin.plan("plan-attach", input, |instance, store, (token, object, read_only)| {
                let driver = instance.wharf_plugin_storage_driver();
                driver.call_plan_attach(store, token, object, *read_only, view())
            })
        })?;
        self.allowed("plan-attach", plan)
    }

    fn plan_detach(
        &self,
        token: &str,
        object: &Object,
        state: &dyn StateView,
    ) -> Result<StoragePlan, PluginError> {
        let input = (token, convert::object(object));
        let plan = with_view(state, || {
            self.plugin.plan("plan-detach", input, |instance, store, (token, object)| {
                instance.wharf_plugin_storage_driver().call_plan_detach(store, token, object, view())
            })
        })?;
        self.allowed("plan-detach", plan)
    }

    fn plan_remove(
        &self,
        token: &str,
        object: &Object,
        state: &dyn StateView,
    ) -> Result<StoragePlan, PluginError> {
        let input = (token, convert::object(object));
        let plan = with_view(state, || {
            self.plugin.plan("plan-remove", input, |instance, store, (token, object)| {
                instance.wharf_plugin_storage_driver().call_plan_remove(store, token, object, view())
            })
        })?;
        self.allowed("plan-remove", plan)
    }
}
