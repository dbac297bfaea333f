//! What planners were asked and what they read, call by call.
//!
//! A record is made of a plan while it is made; nothing is asked twice for it. It holds the
//! contents of the context's files that were read, and no secret: a build's secrets are mounted
//! into RUN and answer no planner's question.

use serde::{Deserialize, Serialize};
use wharf_model::build::Outcome;
use wharf_model::grant::Grants;
use wharf_model::statement::Invocation;
use wharf_model::{Digest, Failure, Keyword, Settings};
use wharf_plugin::trace::{Answer, Question};
use wharf_plugin::{PluginConfig, PluginError};

/// One call of a planner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Call {
    /// The statement as it is written.
    pub statement: String,
    /// The plugin's name in the config.
    pub plugin: String,
    /// Its component.
    pub digest: Digest,
    /// Its settings.
    pub settings: Settings,
    /// What it may do.
    pub grants: Grants,
    /// Instructions it may take.
    pub fuel: u64,
    /// Bytes it may have.
    pub memory: u64,
    /// Its keywords where they are called something else here: its own, and the one here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<(Keyword, Keyword)>,
    /// What it was asked.
    pub invocation: Invocation,
    /// What it asked, in order, and what it heard.
    pub reads: Vec<(Question, Answer)>,
    /// What it planned.
    pub answer: Result<Outcome, Refusal>,
}

/// A call that gave no plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// As it is shown.
    pub message: String,
    /// The plugin's own words, when it refused by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl From<&PluginError> for Refusal {
    fn from(error: &PluginError) -> Self {
        Self { message: error.to_string(), failure: error.failure().cloned() }
    }
}

/// The calls of one build.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    /// In order.
    pub calls: Vec<Call>,
}

impl Recorder {
    pub(super) fn add(
        &mut self,
        statement: &str,
        (plugin, digest): (&PluginConfig, Digest),
        invocation: &Invocation,
        reads: Vec<(Question, Answer)>,
        answer: Result<&Outcome, &PluginError>,
    ) {
        let keywords = plugin.keywords.iter().map(|(own, here)| (own.clone(), here.clone()));
        self.calls.push(Call {
            statement: statement.to_owned(),
            plugin: plugin.name.clone(),
            digest,
            settings: plugin.settings.clone(),
            grants: plugin.grants.clone(),
            fuel: plugin.limits.fuel,
            memory: plugin.limits.memory,
            keywords: keywords.collect(),
            invocation: invocation.clone(),
            reads,
            answer: answer.cloned().map_err(Refusal::from),
        });
    }
}
