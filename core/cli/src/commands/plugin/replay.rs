use std::path::PathBuf;

use wharf_engine::author::{Replayed, bundle};

use super::test::unusable;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Ask plugins again what `wharf build --record FILE` asked them, and compare their plans
///
/// The answers they get are those of the record: neither the build's files nor a network is needed.
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// The record
    bundle: PathBuf,
    /// Ask this component instead of the configured plugins
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Only statements of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Only the statement of this number, as `replay` lists them
    #[arg(long, value_name = "NUMBER")]
    statement: Option<usize>,
    /// The component may be a shared library, which runs with all your rights
    #[arg(long)]
    native: bool,
}

impl Replay {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let calls = bundle::read(&self.bundle).map_err(Report::failed)?;
        let workshop = globals.workshop();
        let wanted = calls.iter().enumerate().filter(|(index, call)| {
            self.statement.is_none_or(|number| number == index + 1)
                && self.plugin.as_ref().is_none_or(|plugin| *plugin == call.plugin)
        });
        let (mut same, mut different) = (0, 0);
        for (index, call) in wanted {
            let replayed = workshop.replay(call, self.component.as_deref(), self.native).map_err(unusable)?;
            if replayed.is_same() {
                same += 1
            } else {
                different += 1
            }
            output::lines(lines(index + 1, &replayed).iter().map(|line| output::printable(line)))?;
        }
        if same + different == 0 {
            return Err(Report::message(1, "no statement of the record is one of those")
                .hint(format!("the record has {} statements", calls.len())));
        }
        output::lines([format!("{same} the same, {different} different")])?;
        Ok(u8::from(different > 0))
    }
}

fn lines(number: usize, replayed: &Replayed) -> Vec<String> {
    let word = if replayed.is_same() { "same" } else { "DIFFERENT" };
    let mut lines = vec![format!("{number:>4}  {word}  {}: {}", replayed.place, replayed.statement)];
    if replayed.then != replayed.now {
        lines.push(format!(
            "      plugin {}: {} then, {} now",
            replayed.plugin,
            replayed.then.short(),
            replayed.now.short()
        ));
    }
    lines.extend(replayed.unknown.iter().map(|asked| format!("      asks now and did not then: {asked}")));
    lines.extend(replayed.difference.iter().map(|line| format!("      {line}")));
    lines
}
