//! Plans that earlier builds made, and that are still right.
//!
//! ```text
//! store's plans   Instruction::cache_key(statement)  ->  JSON {trace, outcome}
//! ```
//!
//! A component has nothing to go by but its statement, its settings, its grants and the answers to what
//! it asks. So its plan is right as long as everything that it asked is answered the same, and it need
//! not be started, nor even compiled, to be asked again. A native library may look at anything; its plan
//! is made anew each time. A record that can not be read is as good as none.

use serde::{Deserialize, Serialize};
use wharf_model::Digest;
use wharf_model::build::Outcome;
use wharf_model::statement::Invocation;
use wharf_plugin::trace::{Answer, Question};
use wharf_plugin::{BuildContext, Instruction, PluginError, Trace, Traced};
use wharf_store::Store;

/// The plans of a store.
#[derive(Debug)]
pub(super) struct KeptPlans<'a> {
    store: &'a Store,
    fresh: Vec<(Digest, Vec<u8>)>,
}

/// A plan, and where it is from.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) outcome: Outcome,
    pub(super) trace: Trace,
    /// For `--explain`.
    pub(super) how: String,
}

#[derive(Serialize, Deserialize)]
struct Record {
    trace: Trace,
    outcome: Outcome,
}

impl<'a> KeptPlans<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store, fresh: Vec::new() }
    }

    /// The kept plan of a statement, if it is right; else a new one.
    pub(super) fn plan(
        &mut self,
        plugin: &dyn Instruction,
        call: &Invocation,
        view: &mut dyn BuildContext,
    ) -> Result<Planned, PluginError> {
        let Some(key) = plugin.cache_key(call) else {
            return Planned::anew(plugin, call, view, "made anew: a native plugin may look at anything");
        };
        let why = match self.find(&key) {
            None => "made for the first time".to_owned(),
            Some(Record { trace, outcome }) => match trace.replay(view) {
                Ok(()) => {
                    return Ok(Planned { outcome, trace, how: "kept: the plugin was not started".into() });
                }
                Err(changed) => format!("made anew: {changed}"),
            },
        };
        let planned = Planned::anew(plugin, call, view, &why)?;
        self.keep(key, &planned);
        Ok(planned)
    }

    fn find(&self, key: &Digest) -> Option<Record> {
        let value = self.store.plans().get(key).ok().flatten()?;
        serde_json::from_slice(&value).ok()
    }

    fn keep(&mut self, key: Digest, planned: &Planned) {
        let record = Record { trace: planned.trace.clone(), outcome: planned.outcome.clone() };
        if let Ok(value) = serde_json::to_vec(&record) {
            self.fresh.push((key, value));
        }
    }

    /// Keeps what was made. A plan that is not kept costs time and nothing else.
    pub(super) fn write(self) {
        let _costs_time_only = self.store.plans().put(&self.fresh);
    }
}

impl Planned {
    /// A new one; `record` is told what was read and what came of it.
    pub(super) fn recorded(
        plugin: &dyn Instruction,
        call: &Invocation,
        view: &mut dyn BuildContext,
        record: impl FnOnce(Vec<(Question, Answer)>, Result<&Outcome, &PluginError>),
    ) -> Result<Self, PluginError> {
        let mut traced = Traced::keeping(view);
        let outcome = plugin.plan(call, &mut traced);
        let (trace, reads) = traced.finish_with_answers();
        record(reads, outcome.as_ref());
        Ok(Self { outcome: outcome?, trace, how: "made anew".to_owned() })
    }

    fn anew(
        plugin: &dyn Instruction,
        call: &Invocation,
        view: &mut dyn BuildContext,
        why: &str,
    ) -> Result<Self, PluginError> {
        let mut traced = Traced::new(view);
        let outcome = plugin.plan(call, &mut traced)?;
        Ok(Self { outcome, trace: traced.finish(), how: why.to_owned() })
    }
}
