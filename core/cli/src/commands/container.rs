use super::inspect::Shown;
use super::prune::{self, PruneArgs};
use super::{
    attach, commit, create, each, exec, export, kill, logs, ps, restart, rm, run, start, stop, wait,
};
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Work with containers
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Container {
    Attach(attach::Attach),
    Commit(commit::Commit),
    Create(Box<create::Create>),
    Exec(exec::Exec),
    Export(export::Export),
    /// Print everything about containers
    Inspect(Shown),
    Kill(kill::Kill),
    Logs(logs::Logs),
    #[command(visible_aliases = ["list", "ps"])]
    Ls(ps::Ps),
    /// Remove all containers that do not run
    Prune(PruneArgs),
    Restart(restart::Restart),
    #[command(visible_alias = "remove")]
    Rm(rm::Rm),
    Run(Box<run::Run>),
    Start(start::Start),
    Stop(stop::Stop),
    Wait(wait::Wait),
}

impl Container {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        match self {
            Self::Attach(verb) => verb.run(globals),
            Self::Commit(verb) => verb.run(globals),
            Self::Create(verb) => verb.run(globals),
            Self::Exec(verb) => verb.run(globals),
            Self::Export(verb) => verb.run(globals),
            Self::Inspect(shown) => inspect(shown, globals),
            Self::Kill(verb) => verb.run(globals),
            Self::Logs(verb) => verb.run(globals),
            Self::Ls(verb) => verb.run(globals),
            Self::Prune(args) => prune(args, globals),
            Self::Restart(verb) => verb.run(globals),
            Self::Rm(verb) => verb.run(globals),
            Self::Run(verb) => verb.run(globals),
            Self::Start(verb) => verb.run(globals),
            Self::Stop(verb) => verb.run(globals),
            Self::Wait(verb) => verb.run(globals),
        }
    }
}

fn inspect(shown: &Shown, globals: &Globals) -> Result<u8, Report> {
    let engine = globals.engine()?;
    let mut found = Vec::new();
    let code = each(&shown.names, |name| {
        found.push(engine.inspect_container(name).map_err(Report::failed)?);
        Ok(())
    })?;
    shown.print(found)?;
    Ok(code)
}

fn prune(args: &PruneArgs, globals: &Globals) -> Result<u8, Report> {
    let keep = args.keep()?;
    if !args.confirmed("This will remove all stopped containers.\n")? {
        return Ok(0);
    }
    let pruned = globals.engine()?.prune_containers(&keep).map_err(prune::failed)?;
    output::text(&(prune::section("Deleted Containers", &pruned.removed) + &prune::total(pruned.bytes)))?;
    Ok(0)
}
