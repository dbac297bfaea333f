use std::path::{Path, PathBuf};
use std::time::Instant;

use wharf_engine::author::{Candidate, Checked, Ended, Project, ProjectError, Selection, Tested, Workshop};
use wharf_engine::author::{WorkshopError, conformance};

use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Run a plugin's tests, or what every plugin of its kind has to pass
///
/// An instruction's and a hook's cases are the directories of `tests/` in the project. A driver's
/// plans are carried out in a directory or network namespaces of their own, with a failure after
/// every step; that takes root.
#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// The plugin's project
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
    /// What comes out is what is expected from now on
    #[arg(long)]
    bless: bool,
    /// Only cases whose name holds this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Test this component instead of the one built last in the project
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Check what every plugin of its kind has to pass: of a component, or of a plugin of the
    /// configuration by its name
    #[arg(long, value_name = "FILE|NAME", conflicts_with_all = ["bless", "filter", "component"])]
    conformance: Option<String>,
    /// The component may be a shared library, which runs with all your rights
    #[arg(long)]
    native: bool,
    /// How to show it: text, json
    #[arg(long, value_name = "HOW", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

impl Test {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let begun = Instant::now();
        let workshop = globals.workshop();
        let tested = match &self.conformance {
            Some(name) => {
                let candidate = workshop.named(name, self.native).map_err(unusable)?;
                conformance(&workshop, &candidate).map_err(unusable)?
            }
            None => self.project(&workshop).map_err(untested)?,
        };
        if self.format == "json" {
            let text = serde_json::to_string_pretty(&tested).unwrap_or_default();
            output::text(&format!("{text}\n"))?;
        } else {
            output::lines(lines(&tested, begun))?;
        }
        Ok(u8::from(!tested.passed()))
    }

    fn project(&self, workshop: &Workshop) -> Result<Tested, ProjectError> {
        let project = Project::new(&self.directory);
        let component = match &self.component {
            Some(path) => path.clone(),
            None => project.component()?,
        };
        let candidate: Candidate = workshop.file(Path::new(&component), self.native)?;
        project.test(workshop, &candidate, &Selection { filter: self.filter.clone(), bless: self.bless })
    }
}

pub(super) fn untested(error: ProjectError) -> Report {
    let hint = error.next_step();
    hinted(Report::failed(error), hint)
}

pub(super) fn unusable(error: WorkshopError) -> Report {
    let hint = error.next_step();
    hinted(Report::failed(error), hint)
}

fn hinted(report: Report, hint: Option<String>) -> Report {
    match hint {
        Some(hint) => report.hint(hint),
        None => report,
    }
}

fn lines(tested: &Tested, begun: Instant) -> Vec<String> {
    let count = tested.checks.len();
    let mut lines = vec![format!(
        "{} plugin {}, {count} {}",
        tested.kind,
        tested.plugin,
        plural(count, "check", "checks")
    )];
    lines.extend(tested.checks.iter().flat_map(check));
    lines.extend(tested.notes.iter().map(|note| format!("note: {note}")));
    lines.push(summary(tested, begun));
    lines.iter().map(|line| output::printable(line)).collect()
}

fn check(check: &Checked) -> Vec<String> {
    let (word, more) = match &check.result {
        Ended::Passed => ("ok", Vec::new()),
        Ended::Blessed => ("blessed", Vec::new()),
        Ended::Skipped { why } => ("skipped", vec![why.clone()]),
        Ended::Failed { why } => ("FAILED", why.clone()),
    };
    let head = format!("{word:>8}  {}  ({:.1} ms)", check.name, check.took.as_secs_f64() * 1e3);
    std::iter::once(head).chain(more.into_iter().map(|line| format!("          {line}"))).collect()
}

fn summary(tested: &Tested, begun: Instant) -> String {
    let counts = [
        (tested.count(|result| *result == Ended::Passed), "passed"),
        (tested.count(|result| *result == Ended::Blessed), "blessed"),
        (tested.count(|result| matches!(result, Ended::Failed { .. })), "failed"),
        (tested.count(|result| matches!(result, Ended::Skipped { .. })), "skipped"),
    ];
    let shown = counts.iter().filter(|(count, word)| *count > 0 || matches!(*word, "passed" | "failed"));
    let counts: Vec<String> = shown.map(|(count, word)| format!("{count} {word}")).collect();
    let result = if tested.passed() { "ok" } else { "FAILED" };
    format!("result: {result}. {}; {:.2} s", counts.join(", "), begun.elapsed().as_secs_f64())
}

fn plural<'a>(count: usize, one: &'a str, several: &'a str) -> &'a str {
    if count == 1 { one } else { several }
}
