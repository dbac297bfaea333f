use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use wharf_engine::Engine;
use wharf_engine::plugin::Asked;

use super::{Target, refused};
use crate::globals::Globals;
use crate::output::{self, printable};
use crate::report::Report;

/// Let a project's wharf.toml have what it asks for
///
/// A project's file may take rights away by itself. What it asks for beyond that counts after it was
/// approved, in that directory only, and until the file changes.
#[derive(Debug, clap::Args)]
pub(crate) struct Approve {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// List what is approved
    #[arg(long, conflicts_with_all = ["yes", "revoke"])]
    list: bool,
    /// Take an approval back
    #[arg(long, conflicts_with = "yes")]
    revoke: bool,
    #[command(flatten)]
    target: Target,
    /// Directory of the project
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
}

impl Approve {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        if self.list {
            return list(globals.engine()?);
        }
        if self.revoke {
            let file = globals.engine()?.disapprove(&self.directory).map_err(refused)?;
            output::say(&format!("taken back in {}", file.display()));
            return Ok(0);
        }
        let engine = globals.engine_in(&self.directory)?;
        let asked = engine.asked(&self.directory).map_err(refused)?;
        if asked.asks.is_empty() {
            output::say(&format!("{} asks for nothing that it does not have", asked.project.display()));
            return Ok(0);
        }
        show(&asked)?;
        if !self.yes && !agreed()? {
            return Err(Report::message(1, "not approved: nothing was changed"));
        }
        let file = engine.approve(&asked, self.target.whose()).map_err(refused)?;
        output::say(&format!("approved for {} in {}", asked.project.display(), file.display()));
        Ok(0)
    }
}

fn list(engine: &Engine) -> Result<u8, Report> {
    for approval in engine.approvals() {
        let state = state(&approval.project, &approval.digest.to_string());
        output::lines([format!("{}{state}", approval.project.display())])?;
        output::lines(approval.lines.iter().map(|line| format!("  {}", printable(line))))?;
    }
    Ok(0)
}

/// An approval of another file counts for nothing.
fn state(project: &Path, digest: &str) -> &'static str {
    match std::fs::read(project.join("wharf.toml")) {
        Ok(text) if wharf_engine::plugin::Digest::of(&text).to_string() == digest => "",
        Ok(_) => " (its wharf.toml has changed since)",
        Err(_) => " (it is gone)",
    }
}

fn show(asked: &Asked) -> io::Result<()> {
    output::say(&format!("{} asks for:", asked.project.display()));
    for ask in &asked.asks {
        output::lines([printable(&ask.line)])?;
        output::lines(
            ask.reasons.iter().map(|reason| format!("    # {}", printable(reason).replace('\n', " "))),
        )?;
    }
    Ok(())
}

/// Only a person at a terminal can be asked.
fn agreed() -> Result<bool, Report> {
    if !io::stdin().is_terminal() {
        return Err(Report::message(1, "nobody can be asked: the input is no terminal")
            .hint("look at the lines above, and run it again with `--yes`"));
    }
    io::stderr().write_all(b"Approve these lines? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
