//! Network drivers.

use wasmtime::component::Resource;
use wharf_model::Digest;
use wharf_model::grant::Grants;
use wharf_model::manifest::Manifest;
use wharf_model::network::{Attachment, Network as NetworkSpec, NetworkInfo, NetworkPlan};
use wharf_model::storage::HostFacts;

use crate::aot::About;
use crate::bindings::View;
use crate::imports::Network as Contract;
use crate::kind::{Network, StateView};
use crate::loaded::{Introduce, Loaded};
use crate::session::with_view;
use crate::wasm::Bound;
use crate::{PluginError, authorize, convert};

/// A network driver with what it says of itself.
pub(crate) struct NetworkPlugin {
    plugin: Loaded<Contract>,
    info: NetworkInfo,
}

impl Introduce for Contract {
    const BOUND: Bound = Bound::Fuel;
    const ASKS_ABOUT_THE_HOST: bool = true;

    fn describe(plugin: &Loaded<Self>) -> Result<About, PluginError> {
        let (raw, _) = plugin.ask("describe", (), |instance, store, ()| {
            instance.wharf_plugin_network_driver().call_describe(store)
        })?;
        let info = raw
            .try_into()
            .map_err(|error: convert::Nonsense| plugin.error(Some("describe"), error.into()))?;
        Ok(About::Network(info))
    }

    fn validate_settings(plugin: &Loaded<Self>, facts: &dyn Fn() -> HostFacts) -> Result<(), PluginError> {
        let input = (convert::settings(&plugin.subject.settings), convert::network_facts(&facts()));
        plugin.agree("validate-settings", input, |instance, store, (settings, facts)| {
            instance.wharf_plugin_network_driver().call_validate_settings(store, settings, facts)
        })
    }
}

impl NetworkPlugin {
    pub(crate) fn new(plugin: Loaded<Contract>, info: NetworkInfo) -> Self {
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
        (mut plan, mut reported): (NetworkPlan, Vec<wharf_model::Diagnostic>),
    ) -> Result<NetworkPlan, PluginError> {
        plan.diagnostics.append(&mut reported);
        authorize::network(self.name(), &self.plugin.subject.grants, &plan)
            .map_err(|denied| self.plugin.denied(function, denied))?;
        Ok(plan)
    }
}

fn view() -> Resource<View> {
    Resource::new_own(0)
}

impl Network for NetworkPlugin {
    fn name(&self) -> &str {
        &self.plugin.subject.name
    }

    fn digest(&self) -> Digest {
        self.plugin.digest
    }

    fn info(&self) -> &NetworkInfo {
        &self.info
    }

    fn plan_network(
        &self,
        token: &str,
        network: &NetworkSpec,
        facts: &HostFacts,
        state: &dyn StateView,
    ) -> Result<NetworkPlan, PluginError> {
        let input = (token, convert::network(network), convert::network_facts(facts));
        let plan = with_view(state, || {
            self.plugin.plan("plan-network", input, |instance, store, (token, network, facts)| {
                let driver = instance.wharf_plugin_network_driver();
                driver.call_plan_network(store, token, network, facts, view())
            })
        })?;
        self.allowed("plan-network", plan)
    }

    fn plan_attach(
        &self,
        token: &str,
        attachment: &Attachment,
        facts: &HostFacts,
        state: &dyn StateView,
    ) -> Result<NetworkPlan, PluginError> {
        let input = (token, convert::attachment(attachment), convert::network_facts(facts));
        let plan = with_view(state, || {
            self.plugin.plan("plan-attach", input, |instance, store, (token, attachment, facts)| {
                let driver = instance.wharf_plugin_network_driver();
                driver.call_plan_attach(store, token, attachment, facts, view())
            })
        })?;
        self.allowed("plan-attach", plan)
    }

    fn release(
        &self,
        token: &str,
        attachment: &Attachment,
        state: &dyn StateView,
    ) -> Result<(), PluginError> {
        let input = (token, convert::attachment(attachment));
        with_view(state, || {
            self.plugin.agree("release", input, |instance, store, (token, attachment)| {
                instance.wharf_plugin_network_driver().call_release(store, token, attachment, view())
            })
        })
    }
}
