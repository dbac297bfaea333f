//! `wharf`: what was typed becomes one call of the engine, and its answer words.
//!
//! Standard output is data, standard error is talk. Nothing that another front end would want
//! lives here.

mod commands;
mod embedded;
mod globals;
mod output;
mod progress;
mod project;
mod render;
mod report;
mod template;
mod terminal;
mod units;

use std::process::ExitCode;

use clap::error::ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand, MissingSubcommand};
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::commands::Command;
use crate::globals::Globals;

/// A container engine: builds images from Dockerfiles and runs them as containers, without a daemon
#[derive(Parser)]
#[command(name = "wharf", version, disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        // A variable such as WHARF_ROOT is as good as an option, but no verb.
        Err(error) if error.kind() == MissingSubcommand => return report::help(&mut asked_for()),
        Err(error) => return report::usage(&with_known_verbs(error)),
    };
    match cli.command.run(&cli.globals) {
        Ok(code) => ExitCode::from(code),
        Err(report) => report.print(),
    }
}

/// The verb as far as it was typed, with what can follow.
fn asked_for() -> clap::Command {
    let mut found = Cli::command();
    found.build();
    for word in std::env::args().skip(1) {
        if let Some(next) = found.find_subcommand(&word) {
            found = next.clone();
        }
    }
    found
}

/// What was perhaps meant is a verb for people.
fn with_known_verbs(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::Strings(similar)) = error.remove(ContextKind::SuggestedSubcommand) {
        let whole = Cli::command();
        let hidden = |name: &String| whole.find_subcommand(name).is_some_and(clap::Command::is_hide_set);
        let known: Vec<String> = similar.into_iter().filter(|name| !hidden(name)).collect();
        if !known.is_empty() {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(known));
        }
    }
    error
}

/// A verb's options are put together when that verb is typed; who asks for help wants to see all verbs.
fn parse() -> Result<Cli, clap::Error> {
    let asks =
        |error: &clap::Error| !error.use_stderr() || error.kind() == DisplayHelpOnMissingArgumentOrSubcommand;
    match Cli::try_parse() {
        Err(error) if asks(&error) => {
            let mut whole = Cli::command();
            whole.build();
            Cli::from_arg_matches(&whole.try_get_matches_from(std::env::args_os())?)
        }
        parsed => parsed,
    }
}
