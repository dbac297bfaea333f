//! Hooks.

use std::sync::Arc;

use wasmtime::component::Resource;
use wharf_model::Digest;
use wharf_model::build::{Action, Device, Op};
use wharf_model::grant::Grants;
use wharf_model::hook::{Adjustment, Event, Moment, Phase, Subject, Verdict};
use wharf_model::manifest::Manifest;
use wharf_model::storage::HostFacts;

use crate::aot::About;
use crate::bindings::Files;
use crate::imports::Hook as Contract;
use crate::kind::{Hook, ImageFiles};
use crate::loaded::{Introduce, Loaded};
use crate::registry::Slot;
use crate::session::{with_files, with_op_devices};
use crate::wasm::Bound;
use crate::{PluginError, authorize, convert};

/// A hook with what it subscribes to.
pub(crate) struct HookPlugin {
    plugin: Loaded<Contract>,
    subscriptions: Vec<(Moment, Phase)>,
}

/// A hook that is loaded when it is first asked.
pub(crate) struct LazyHook(pub(crate) Arc<Slot>);

impl Introduce for Contract {
    const BOUND: Bound = Bound::Time;
    const ASKS_ABOUT_THE_HOST: bool = false;

    fn describe(plugin: &Loaded<Self>) -> Result<About, PluginError> {
        let (raw, _) = plugin
            .ask("describe", (), |instance, store, ()| instance.wharf_plugin_hook().call_describe(store))?;
        Ok(About::Hook(raw.into_iter().take(100).map(convert::subscription).collect()))
    }

    fn validate_settings(plugin: &Loaded<Self>, _: &dyn Fn() -> HostFacts) -> Result<(), PluginError> {
        let settings = convert::settings(&plugin.subject.settings);
        plugin.agree("validate-settings", (settings,), |instance, store, (settings,)| {
            instance.wharf_plugin_hook().call_validate_settings(store, settings)
        })
    }
}

impl HookPlugin {
    /// The digest of its code.
    pub(crate) fn digest(&self) -> Digest {
        self.plugin.digest
    }

    pub(crate) fn new(plugin: Loaded<Contract>, subscriptions: Vec<(Moment, Phase)>) -> Self {
        Self { plugin, subscriptions }
    }

    /// What is granted and requested.
    pub(crate) fn grants(&self) -> &Grants {
        &self.plugin.subject.grants
    }

    pub(crate) fn manifest(&self) -> Manifest {
        self.plugin.manifest()
    }

    /// Checks the settings, unless that was done before.
    pub(crate) fn validate(&self) -> Result<(), PluginError> {
        self.plugin.validate(&HostFacts::default)
    }

    /// What it subscribes to.
    pub(crate) fn subscriptions(&self) -> &[(Moment, Phase)] {
        &self.subscriptions
    }

    /// Ready to be asked in this phase.
    fn ready(&self, function: &'static str, phase: Phase) -> Result<&Loaded<Contract>, PluginError> {
        let subject = &self.plugin.subject;
        authorize::phase(&subject.name, &subject.grants, phase)
            .map_err(|denied| self.plugin.denied(function, denied))?;
        self.plugin.validate(&HostFacts::default)?;
        Ok(&self.plugin)
    }
}

impl Hook for LazyHook {
    fn name(&self) -> &str {
        &self.0.config.name
    }

    fn digest(&self) -> Result<Digest, PluginError> {
        Ok(self.0.hook()?.plugin.digest)
    }

    fn required(&self) -> bool {
        self.0.config.required
    }

    fn subscriptions(&self) -> Result<Vec<(Moment, Phase)>, PluginError> {
        if self.0.config.phases.is_empty() {
            return Ok(self.0.hook()?.subscriptions.clone());
        }
        Ok(self.0.config.phases.clone())
    }

    fn adjust(
        &self,
        event: &Event,
        image: Option<&mut dyn ImageFiles>,
    ) -> Result<Vec<Adjustment>, PluginError> {
        let plugin = self.0.hook()?.ready("adjust", Phase::Adjust)?;
        let input = (convert::event(event), image.is_some());
        let (Adjusted(adjustments), reported) = with_op_devices(devices(event), || {
            with_files(image, || {
                plugin.plan("adjust", input, |instance, store, (event, image)| {
                    instance.wharf_plugin_hook().call_adjust(store, event, files(*image))
                })
            })
        })?;
        plugin.tell(&reported);
        authorize::adjustments(&plugin.subject.name, &plugin.subject.grants, &adjustments)
            .map_err(|denied| plugin.denied("adjust", denied))?;
        Ok(adjustments)
    }

    fn judge(&self, event: &Event, image: Option<&mut dyn ImageFiles>) -> Result<Verdict, PluginError> {
        let plugin = self.0.hook()?.ready("judge", Phase::Judge)?;
        let input = (convert::event(event), image.is_some());
        let (Judged(verdict), reported) = with_op_devices(devices(event), || {
            with_files(image, || {
                plugin.plan("judge", input, |instance, store, (event, image)| {
                    instance.wharf_plugin_hook().call_judge(store, event, files(*image))
                })
            })
        })?;
        plugin.tell(&reported);
        Ok(verdict)
    }

    fn observe(&self, event: &Event) -> Result<(), PluginError> {
        let plugin = self.0.hook()?.ready("observe", Phase::Observe)?;
        let input = (convert::event(event),);
        let ((), heard) = with_op_devices(devices(event), || {
            plugin.ask("observe", input, |instance, store, (event,)| {
                instance.wharf_plugin_hook().call_observe(store, event)
            })
        })?;
        plugin.tell(&heard.diagnostics);
        Ok(())
    }
}

/// What the program of the op sees that a hook is asked about.
fn devices(event: &Event) -> &[Device] {
    match &event.subject {
        Subject::BuildOp { op: Op { action: Action::Exec(exec), .. }, .. } => &exec.devices,
        _ => &[],
    }
}

/// What is asked of it is answered from the scoped thread-local.
fn files(there: bool) -> Option<Resource<Files>> {
    there.then(|| Resource::new_own(0))
}

struct Adjusted(Vec<Adjustment>);

impl TryFrom<Vec<crate::bindings::hooks::Adjustment>> for Adjusted {
    type Error = convert::Nonsense;

    fn try_from(raw: Vec<crate::bindings::hooks::Adjustment>) -> Result<Self, convert::Nonsense> {
        convert::adjustments(raw).map(Self)
    }
}

struct Judged(Verdict);

impl TryFrom<crate::bindings::hooks::Verdict> for Judged {
    type Error = convert::Nonsense;

    fn try_from(raw: crate::bindings::hooks::Verdict) -> Result<Self, convert::Nonsense> {
        Ok(Self(raw.into()))
    }
}
