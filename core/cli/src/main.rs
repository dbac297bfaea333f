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

use clap::Parser;

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
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return report::usage(&error),
    };
    match cli.command.run(&cli.globals) {
        Ok(code) => ExitCode::from(code),
        Err(report) => report.print(),
    }
}
