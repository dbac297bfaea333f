//! Instruction plugins.

use std::collections::BTreeMap;

use wasmtime::component::Resource;
use wharf_model::build::Outcome;
use wharf_model::grant::Grants;
use wharf_model::manifest::Manifest;
use wharf_model::statement::{Invocation, KeywordSpec};
use wharf_model::storage::HostFacts;
use wharf_model::{Digest, Hasher, Keyword};

use crate::aot::About;
use crate::bindings::{Context, types};
use crate::contract::VERSION;
use crate::imports::Instruction as Contract;
use crate::kind::{BuildContext, Instruction};
use crate::loaded::{Introduce, Loaded};
use crate::session::{Heard, with_context};
use crate::wasm::Bound;
use crate::{PluginError, authorize, convert};

/// A plugin with the keywords it has here.
pub(crate) struct InstructionPlugin {
    plugin: Loaded<Contract>,
    specs: Vec<KeywordSpec>,
    /// The keyword here to the plugin's own.
    own: BTreeMap<Keyword, Keyword>,
}

impl Introduce for Contract {
    const BOUND: Bound = Bound::Fuel;
    const ASKS_ABOUT_THE_HOST: bool = false;

    fn describe(plugin: &Loaded<Self>) -> Result<About, PluginError> {
        let (raw, _) = plugin.ask("describe", (), |instance, store, ()| {
            instance.wharf_plugin_instruction().call_describe(store)
        })?;
        let specs = convert::keywords(raw).map_err(|error| plugin.error(Some("describe"), error.into()))?;
        Ok(About::Instruction(specs))
    }

    fn validate_settings(plugin: &Loaded<Self>, _: &dyn Fn() -> HostFacts) -> Result<(), PluginError> {
        let settings = convert::settings(&plugin.subject.settings);
        plugin.agree("validate-settings", (settings,), |instance, store, (settings,)| {
            instance.wharf_plugin_instruction().call_validate_settings(store, settings)
        })
    }
}

impl InstructionPlugin {
    /// Renames the keywords as the config says.
    pub(crate) fn new(
        plugin: Loaded<Contract>,
        mut specs: Vec<KeywordSpec>,
        renamed: &BTreeMap<Keyword, Keyword>,
    ) -> Self {
        let mut own = BTreeMap::new();
        for spec in &mut specs {
            let here = renamed.get(&spec.keyword).unwrap_or(&spec.keyword).clone();
            own.insert(here.clone(), std::mem::replace(&mut spec.keyword, here));
        }
        Self { plugin, specs, own }
    }

    /// What is granted and requested.
    pub(crate) fn grants(&self) -> &Grants {
        &self.plugin.subject.grants
    }

    pub(crate) fn manifest(&self) -> Manifest {
        self.plugin.manifest()
    }

    /// Its keywords as it calls them itself.
    pub(crate) fn own_keywords(&self) -> Vec<Keyword> {
        self.own.values().cloned().collect()
    }

    /// Checks the settings, unless that was done before.
    pub(crate) fn validate(&self) -> Result<(), PluginError> {
        self.plugin.validate(&HostFacts::default)
    }
}

impl Instruction for InstructionPlugin {
    fn name(&self) -> &str {
        &self.plugin.subject.name
    }

    fn digest(&self) -> Digest {
        self.plugin.digest
    }

    fn describe(&self) -> &[KeywordSpec] {
        &self.specs
    }

    fn cache_key(&self, call: &Invocation) -> Option<Digest> {
        if !self.plugin.is_pure() {
            return None;
        }
        let subject = &self.plugin.subject;
        let mut hasher = Hasher::new();
        hasher.field(self.plugin.digest.hex());
        hasher.field(VERSION);
        hasher.field(serde_json::to_vec(&subject.settings).unwrap_or_default());
        hasher.field(serde_json::to_vec(&subject.grants).unwrap_or_default());
        hasher.field(serde_json::to_vec(&self.own.get(&call.keyword)).unwrap_or_default());
        hasher.field(serde_json::to_vec(call).unwrap_or_default());
        Some(hasher.finish())
    }

    fn plan(&self, call: &Invocation, context: &mut dyn BuildContext) -> Result<Outcome, PluginError> {
        const FUNCTION: &str = "plan-instruction";
        let keyword = self.own.get(&call.keyword).unwrap_or(&call.keyword);
        let input = (convert::invocation(call, keyword),);
        let (mut outcome, mut heard): (Outcome, Heard) = with_context(context, || {
            self.plugin.plan_aloud(FUNCTION, input, |instance, store, (call,)| {
                let context = Resource::<Context>::new_own(0);
                let answer =
                    instance.wharf_plugin_instruction().call_plan_instruction(store, call, context)?;
                Ok::<Result<_, types::Failure>, _>(answer)
            })
        })?;
        convert::add_devices(heard.devices, &mut outcome)
            .map_err(|nonsense| self.plugin.error(Some(FUNCTION), nonsense.into()))?;
        authorize::build(self.name(), &self.plugin.subject.grants, &outcome)
            .map_err(|denied| self.plugin.denied(FUNCTION, denied))?;
        match &mut outcome {
            Outcome::Plan(plan) => plan.diagnostics.append(&mut heard.diagnostics),
            Outcome::Stage(stage) => stage.diagnostics.append(&mut heard.diagnostics),
            Outcome::Expand(_) => self.plugin.tell(&heard.diagnostics),
        }
        Ok(outcome)
    }
}
