//! What a plugin costs: compiled once, loaded once a process, called often.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use wharf_model::storage::Object;
use wharf_plugin::trace::Recorded;
use wharf_plugin::{Cost, Plugins, World};

use super::case::Case;
use super::conformance;
use super::inject::{attachment, facts, specimen};
use super::instruction;
use super::project::ProjectError;
use super::workshop::{Candidate, Stand, Workshop, WorkshopError};
use crate::build::record::Call;
use crate::snapshot;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bench {
    /// The plugin.
    pub plugin: String,
    /// Its contract.
    pub kind: &'static str,
    /// Its code.
    pub digest: String,
    /// Bytes of its file.
    pub size: u64,
    /// The call that was measured.
    pub call: String,
    /// Compiling it, once for this machine; `None` for a native library.
    pub compile_us: Option<u128>,
    /// Knowing what it says of itself, in a process that has not used it.
    pub load_us: u128,
    /// The first call of a process, its code mapped from the disk.
    pub first_us: u128,
    /// How many calls came after that.
    pub calls: usize,
    /// The middle one.
    pub median_us: u128,
    /// The slowest but for one in a hundred.
    pub p99_us: u128,
    /// Of the middle one, until its instance was ready.
    pub instantiate_us: u128,
    /// Instructions of one call, roughly.
    pub fuel: u64,
    /// How many it may take.
    pub fuel_limit: u64,
    /// Bytes of memory at most.
    pub memory: u64,
    /// How many it may have.
    pub memory_limit: u64,
}

/// A question that can be asked again and again.
enum Question {
    Statements(Vec<Call>),
    Odd(Box<wharf_model::statement::Invocation>),
    Create(Object),
    Join,
    Judge,
}

impl Workshop {
    /// Measures a plugin: the statements of a case, else a call of the core's own making.
    ///
    /// # Errors
    /// When it can not be loaded, or the case can not be read.
    pub fn bench(
        &self,
        candidate: &Candidate,
        case: Option<&Path>,
        calls: usize,
    ) -> Result<Bench, ProjectError> {
        let fresh = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|source| ProjectError::File { path: std::env::temp_dir(), source })?;
        let apart = self.with_cache(fresh.path());
        let stand = apart.alone(candidate, &candidate.config.settings)?;
        stand.plugins.introduce(candidate.name()).map_err(WorkshopError::from)?;
        let compile = stand.heard.compiled();
        drop(stand);
        let (question, shown) = apart.question(candidate, case)?;
        let mut measured = apart.measure(candidate, &question, calls.max(1))?;
        measured.call = shown;
        measured.compile_us = compile.map(|took| took.as_micros());
        Ok(measured)
    }

    fn question(
        &self,
        candidate: &Candidate,
        case: Option<&Path>,
    ) -> Result<(Question, String), ProjectError> {
        if let (World::Instruction, Some(directory)) = (candidate.world(), case) {
            let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let case = Case::new(name, directory.to_owned());
            let calls = instruction::record(self, candidate, &case)?;
            let shown: Vec<&str> = calls.iter().map(|call| call.statement.as_str()).collect();
            let shown = shown.join("; ");
            return Ok((Question::Statements(calls), shown));
        }
        match candidate.world() {
            World::Instruction => {
                let stand = self.alone(candidate, &candidate.config.settings)?;
                let specs = stand.plugins.keywords().map_err(WorkshopError::from)?;
                let statement = specs.first().and_then(|(spec, _)| conformance::plain_statement(spec));
                let none = || ProjectError::NoCase { directory: "tests".into(), filter: None };
                let (shown, call) = statement.ok_or_else(none)?;
                Ok((Question::Odd(Box::new(call)), shown))
            }
            World::Storage => {
                let container = snapshot::container(&"c".repeat(64), vec!["b".repeat(64), "a".repeat(64)]);
                Ok((Question::Create(container), "plan-create of a container on two layers".to_owned()))
            }
            World::Network => Ok((Question::Join, "plan-attach of a container".to_owned())),
            World::Hook => Ok((Question::Judge, "the first phase it subscribes to".to_owned())),
        }
    }

    fn measure(
        &self,
        candidate: &Candidate,
        question: &Question,
        calls: usize,
    ) -> Result<Bench, ProjectError> {
        let begun = Instant::now();
        let stand = self.alone(candidate, &candidate.config.settings)?;
        stand.plugins.introduce(candidate.name()).map_err(WorkshopError::from)?;
        let load = begun.elapsed();
        let first = self.ask(&stand, candidate, question)?;
        stand.heard.costs();
        let mut took = Vec::with_capacity(calls);
        for _ in 0..calls {
            took.push(self.ask(&stand, candidate, question)?);
        }
        took.sort();
        let costs = stand.heard.costs();
        let limits = candidate.config.limits;
        Ok(Bench {
            plugin: candidate.name().to_owned(),
            kind: candidate.world().as_str(),
            digest: candidate.digest().to_string(),
            size: self.size(candidate)?,
            call: String::new(),
            compile_us: None,
            load_us: load.as_micros(),
            first_us: first.as_micros(),
            calls,
            median_us: at(&took, 50).as_micros(),
            p99_us: at(&took, 99).as_micros(),
            instantiate_us: instantiated(&costs).as_micros(),
            fuel: costs.iter().map(|cost| cost.fuel).max().unwrap_or_default(),
            fuel_limit: limits.fuel,
            memory: costs.iter().map(|cost| cost.memory).max().unwrap_or_default(),
            memory_limit: limits.memory,
        })
    }

    /// One call; a refusal is an answer like any other, and takes as long.
    fn ask(
        &self,
        stand: &Stand,
        candidate: &Candidate,
        question: &Question,
    ) -> Result<Duration, WorkshopError> {
        match question {
            Question::Statements(calls) => {
                let mut took = Duration::ZERO;
                for call in calls {
                    let mut context = Recorded::new(&call.reads);
                    took += statement(&stand.plugins, &call.invocation, &mut context)?;
                }
                Ok(took / u32::try_from(calls.len().max(1)).unwrap_or(1))
            }
            Question::Odd(call) => statement(&stand.plugins, call, &mut Recorded::new(&[])),
            Question::Create(object) => {
                let Some(driver) = stand.plugins.storage(candidate.name(), &|| self.facts()) else {
                    return Ok(Duration::ZERO);
                };
                let (driver, state) = (driver?, conformance::Empty::default());
                Ok(timed(|| drop(driver.plan_create("token", object, &state))))
            }
            Question::Join => {
                let Some(driver) = stand.plugins.network(candidate.name(), &|| self.facts()) else {
                    return Ok(Duration::ZERO);
                };
                let (driver, state) = (driver?, conformance::Empty::default());
                let join = attachment(driver.as_ref(), &specimen(driver.as_ref()), 2);
                Ok(timed(|| drop(driver.plan_attach("token", &join, &facts(), &state))))
            }
            Question::Judge => Ok(conformance::first_event(stand).map_or(Duration::ZERO, timed)),
        }
    }
}

fn statement(
    plugins: &Plugins,
    call: &wharf_model::statement::Invocation,
    context: &mut Recorded<'_>,
) -> Result<Duration, WorkshopError> {
    let Some(plugin) = plugins.instruction(&call.keyword) else { return Ok(Duration::ZERO) };
    let plugin = plugin?;
    Ok(timed(|| drop(plugin.plan(call, context))))
}

fn timed(call: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    call();
    begun.elapsed()
}

/// Of sorted times.
fn at(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() * percent / 100).min(last)).copied().unwrap_or_default()
}

fn instantiated(costs: &[Cost]) -> Duration {
    let mut times: Vec<Duration> = costs.iter().map(|cost| cost.instantiated).collect();
    times.sort();
    at(&times, 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_slow_end() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!((at(&times, 50).as_micros(), at(&times, 99).as_micros()), (101, 199));
        assert_eq!(at(&times[..1], 99).as_micros(), 1);
        assert_eq!(at(&[], 99), Duration::ZERO);
    }
}
