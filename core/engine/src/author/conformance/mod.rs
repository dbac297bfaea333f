//! What every plugin of a kind has to pass, whatever it is for.
//!
//! | kind | |
//! |---|---|
//! | all | it says the same of itself each time; a setting that it does not know is refused |
//! | instruction | odd statements give a plan or a reason, never a crash; the same statement gives the same plan |
//! | storage, network | odd objects and networks give a plan or a reason; the whole of [`super::inject`] |
//! | hook | plain and odd events give an answer or a reason; the same event gives the same answer |
//!
//! "A reason" is a failure with words of the plugin's own, a right that is missing, or an answer that
//! the core refuses because what was odd is still in it (a NUL byte in a name). Stopping, and running
//! out of fuel or memory, are none.

mod driver;
mod hook;
mod instruction;

pub(super) use driver::Empty;
pub(super) use hook::first_event;
pub(super) use instruction::plain_statement;

use std::time::Duration;

use wharf_model::{Settings, Value};
use wharf_plugin::{Fault, PluginError, World};

use super::inject::{self, Run};
use super::outcome::{Ended, Tested};
use super::workshop::{Candidate, Stand, Workshop, WorkshopError};

/// A text that is longer than anybody writes.
const LONG: usize = 64 << 10;

/// Checks a plugin.
///
/// # Errors
/// When it can not be loaded. That it does not conform is in the answer.
pub fn conformance(workshop: &Workshop, candidate: &Candidate) -> Result<Tested, WorkshopError> {
    let mut tested = Tested {
        plugin: candidate.name().to_owned(),
        kind: candidate.world().as_str(),
        digest: candidate.digest().to_string(),
        checks: Vec::new(),
        notes: Vec::new(),
    };
    let stand = workshop.alone(candidate, &candidate.config.settings)?;
    let mut run = Run::new(&mut tested.checks);
    run.step("it says the same of itself each time", || describes(&stand, candidate));
    if run.is_broken() {
        return Ok(tested);
    }
    run.check("a setting that it does not know is refused", || unknown_setting(workshop, candidate));
    match candidate.world() {
        World::Instruction => instruction::check(&stand, &mut run)?,
        World::Storage => {
            if let Some(driver) = stand.plugins.storage(candidate.name(), &|| workshop.facts()) {
                driver::odd_objects(driver?.as_ref(), &mut run);
            }
            inject::driver(workshop, candidate, &mut run)?;
        }
        World::Network => {
            if let Some(driver) = stand.plugins.network(candidate.name(), &|| workshop.facts()) {
                driver::odd_networks(driver?.as_ref(), &mut run);
            }
            inject::driver(workshop, candidate, &mut run)?;
        }
        World::Hook => hook::check(&stand, &mut run),
    }
    Ok(tested)
}

fn describes(stand: &Stand, candidate: &Candidate) -> Ended {
    match stand.plugins.describes_the_same(candidate.name()) {
        Ok(true) => Ended::Passed,
        Ok(false) => Ended::failed("asked again, `describe` answers something else"),
        Err(error) => Ended::failed(error.to_string()),
    }
}

fn unknown_setting(workshop: &Workshop, candidate: &Candidate) -> Ended {
    let mut settings: Settings = candidate.config.settings.clone();
    settings.push(("wharf-conformance".to_owned(), Value::Text("x".repeat(LONG))));
    let validated = workshop
        .alone(candidate, &settings)
        .map(|stand| stand.plugins.validate(candidate.name(), &|| workshop.facts()));
    match validated {
        Ok(Ok(())) => Ended::failed("`validate-settings` accepts a setting called `wharf-conformance`"),
        Ok(Err(error)) => Ended::of(unsound(&error).into_iter().collect()),
        Err(error) => Ended::failed(error.to_string()),
    }
}

/// What is wrong with a failed call, unless the plugin gave a reason.
fn unsound(error: &PluginError) -> Option<String> {
    match error.fault() {
        Fault::Failed(failure) if failure.diagnostics.is_empty() => {
            Some("it refuses without a word".to_owned())
        }
        Fault::Failed(_) | Fault::Denied(_) | Fault::Answer { .. } => None,
        _ => Some(error.to_string()),
    }
}

/// Asks each twice; tells what crashed, and what was answered in two ways.
fn twice<I, R: PartialEq>(
    inputs: &[(String, I)],
    ask: impl Fn(&I) -> Result<R, PluginError>,
) -> (Ended, Ended) {
    let (mut crashed, mut unsteady) = (Vec::new(), Vec::new());
    for (name, input) in inputs {
        let (first, second) = (ask(input), ask(input));
        if let Err(error) = &first {
            crashed.extend(unsound(error).map(|why| format!("{name}: {why}")));
        }
        let same = match (&first, &second) {
            (Ok(first), Ok(second)) => first == second,
            (Err(first), Err(second)) => first.to_string() == second.to_string(),
            _ => false,
        };
        if !same {
            unsteady.push(format!("{name}: asked again, it answers something else"));
        }
    }
    (Ended::of(crashed), Ended::of(unsteady))
}

/// Two checks of the same inputs.
fn check_twice<I, R: PartialEq>(
    run: &mut Run<'_>,
    of: &str,
    inputs: &[(String, I)],
    ask: impl Fn(&I) -> Result<R, PluginError>,
) {
    let begun = std::time::Instant::now();
    let (crashed, unsteady) = twice(inputs, ask);
    let took = begun.elapsed();
    run.done(format!("{of}: {} odd ones give an answer or a reason", inputs.len()), crashed, took);
    run.done(format!("{of}: asked again, each gives the same"), unsteady, Duration::ZERO);
}
