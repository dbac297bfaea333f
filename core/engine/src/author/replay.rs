//! Calls of a record, made again with the answers of the record: offline, without the files.

use std::path::Path;

use wharf_model::Digest;
use wharf_model::build::Outcome;
use wharf_plugin::trace::Recorded;
use wharf_plugin::{PluginConfig, PluginError, Plugins};

use super::golden::{self, unified};
use super::workshop::{Candidate, Workshop, WorkshopError};
use crate::build::record::{Call, Refusal};

/// One call, made again.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// Where its statement stands.
    pub place: String,
    /// The statement.
    pub statement: String,
    /// The plugin's name in the record.
    pub plugin: String,
    /// The component that planned it then.
    pub then: Digest,
    /// The component that planned it now.
    pub now: Digest,
    /// How the plans differ; empty when they do not.
    pub difference: Vec<String>,
    /// What the plugin asked now and had not asked then.
    pub unknown: Vec<String>,
}

impl Replayed {
    /// The same plan for the same reasons.
    pub fn is_same(&self) -> bool {
        self.difference.is_empty() && self.unknown.is_empty()
    }
}

impl Workshop {
    /// Makes a call again: by `component`, else by the plugin of that name, with the settings and
    /// grants of the record.
    ///
    /// # Errors
    /// When the plugin can not be loaded. That it fails is an answer.
    pub fn replay(
        &self,
        call: &Call,
        component: Option<&Path>,
        native: bool,
    ) -> Result<Replayed, WorkshopError> {
        let candidate = match component {
            Some(path) => self.file(path, native)?,
            None => self.named(&call.plugin, native)?,
        };
        let config = PluginConfig {
            grants: call.grants.clone(),
            keywords: call.keywords.iter().cloned().collect(),
            ..candidate.config.clone()
        };
        let mut config = PluginConfig { settings: call.settings.clone(), ..config };
        config.limits.fuel = call.fuel;
        config.limits.memory = call.memory;
        let candidate = Candidate { config, digest: candidate.digest };
        let stand = self.alone(&candidate, &call.settings)?;
        let (now, unknown) = again(&stand.plugins, call)?;
        Ok(Replayed {
            place: format!("{}:{}", call.invocation.span.file, call.invocation.span.line),
            statement: call.statement.clone(),
            plugin: call.plugin.clone(),
            then: call.digest,
            now: candidate.digest,
            difference: difference(&call.answer, &now),
            unknown,
        })
    }
}

type Answer = Result<Outcome, Refusal>;

/// Asks once more, with the answers of the record.
fn again(plugins: &Plugins, call: &Call) -> Result<(Answer, Vec<String>), PluginError> {
    let Some(plugin) = plugins.instruction(&call.invocation.keyword) else {
        let message = format!("no keyword `{}`", call.invocation.keyword);
        return Ok((Err(Refusal { message, failure: None }), Vec::new()));
    };
    let mut recorded = Recorded::new(&call.reads);
    let answer = plugin?.plan(&call.invocation, &mut recorded);
    let unknown = recorded.unknown().iter().map(ToString::to_string).collect();
    Ok((answer.map_err(|error| Refusal::from(&error)), unknown))
}

fn difference(then: &Answer, now: &Answer) -> Vec<String> {
    if then == now {
        return Vec::new();
    }
    unified(("recorded", &text(then)), ("now", &text(now)))
}

fn text(answer: &Answer) -> String {
    match answer {
        Ok(Outcome::Plan(plan)) => golden::text(plan),
        Ok(other) => golden::text(other),
        Err(refusal) => format!("{}\n", refusal.message),
    }
}

/// What is wrong with a plugin that plans something else when it is asked the same again.
pub(super) fn differs_from_itself(plugins: &Plugins, call: &Call) -> Vec<String> {
    let (now, unknown) = match again(plugins, call) {
        Ok(answer) => answer,
        Err(error) => return vec![error.to_string()],
    };
    let place = call.invocation.span.line;
    let mut why: Vec<String> = unknown
        .iter()
        .map(|asked| format!("line {place}: asked again, it asks for something else: {asked}"))
        .collect();
    let difference = difference(&call.answer, &now);
    if !difference.is_empty() {
        why.push(format!("line {place}: asked again, it plans something else:"));
        why.extend(difference);
    }
    why
}
