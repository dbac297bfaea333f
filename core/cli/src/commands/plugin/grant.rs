use std::io::Write;

use wharf_engine::Engine;
use wharf_engine::plugin::Regrant;

use super::{Target, refused, rights};
use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;

/// Show or change what a plugin may do
///
/// Without a right it prints how those stand that the plugin asks for. What is granted and not asked
/// for has no effect.
#[derive(Debug, clap::Args)]
pub(crate) struct Grant {
    /// Take the rights away
    #[arg(long)]
    revoke: bool,
    /// All that it asks for
    #[arg(long, conflicts_with = "rights")]
    all: bool,
    /// Print the lines and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
    /// Name of the plugin
    name: String,
    /// What it may do: `ops:exec`, `net:sandbox`, `read:context:debian/**`, ...
    #[arg(value_name = "RIGHT")]
    rights: Vec<String>,
}

impl Grant {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        if self.rights.is_empty() && !self.all {
            return self.show(engine);
        }
        let change = Regrant {
            rights: self.rights.clone(),
            all: self.all,
            revoke: self.revoke,
            dry_run: self.dry_run,
            whose: self.target.whose(),
        };
        let done = engine.grant(&self.name, &change).map_err(refused)?;
        if done.lines.is_empty() {
            output::say("nothing to change");
            return Ok(0);
        }
        let word = if self.dry_run { "would be written to" } else { "written to" };
        output::say(&format!("{word} {}:", done.file.display()));
        output::lines(done.lines)?;
        Ok(0)
    }

    fn show(&self, engine: &Engine) -> Result<u8, Report> {
        let states = engine.plugin_rights(&self.name).map_err(refused)?;
        let mut out = output::data();
        render::table(&mut out, &["RIGHT", "STANDING", "REASON"], &rights::rows(&states))?;
        out.flush()?;
        let missing = rights::missing(&states);
        if !missing.is_empty() {
            output::say(&format!(
                "to grant the rest: wharf plugin grant {} {}",
                self.name,
                missing.join(" ")
            ));
        }
        Ok(0)
    }
}
