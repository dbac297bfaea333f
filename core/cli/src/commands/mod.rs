//! One verb a file: what was typed, one engine call, words.
//!
//! The doc comments here are the help texts.

#![allow(rustdoc::broken_intra_doc_links, reason = "brackets in a help text are what may be left out")]

mod attach;
mod build;
mod builder;
mod commit;
mod container;
mod container_ended;
mod content_trust;
mod create;
mod dockerfile;
mod events;
mod exec;
mod export;
mod history;
mod image;
mod images;
mod import;
mod info;
mod inspect;
mod interrupted;
mod kill;
mod load;
mod login;
mod logs;
mod manifest;
mod network;
mod plugin;
mod prune;
mod ps;
mod pull;
mod push;
mod restart;
mod rm;
mod rmi;
mod run;
mod save;
mod search;
mod serve_registry;
mod start;
mod stop;
mod system;
mod tag;
mod untag;
mod version;
mod volume;
mod wait;

use crate::globals::Globals;
use crate::report::Report;

/// All verbs.
#[derive(clap::Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    Attach(attach::Attach),
    Build(Box<build::Build>),
    #[command(alias = "buildx")]
    Builder(Group<builder::Builder>),
    Commit(commit::Commit),
    Container(Group<container::Container>),
    #[command(hide = true)]
    ContainerEnded(container_ended::ContainerEnded),
    Create(Box<create::Create>),
    Dockerfile(Group<dockerfile::Dockerfile>),
    Events(events::Events),
    Exec(exec::Exec),
    Export(export::Export),
    History(history::History),
    Image(Group<image::Image>),
    Images(images::Images),
    Import(import::Import),
    Info(info::Info),
    Inspect(inspect::Inspect),
    #[command(hide = true)]
    Interrupted(interrupted::Interrupted),
    Kill(kill::Kill),
    Load(load::Load),
    Login(login::Login),
    Logout(login::Logout),
    Logs(logs::Logs),
    Manifest(Group<manifest::Manifest>),
    Network(Group<network::Network>),
    Plugin(Group<plugin::Plugin>),
    Ps(ps::Ps),
    Pull(pull::Pull),
    Push(push::Push),
    Restart(restart::Restart),
    Rm(rm::Rm),
    Rmi(rmi::Rmi),
    Run(Box<run::Run>),
    Save(save::Save),
    Search(search::Search),
    ServeRegistry(serve_registry::ServeRegistry),
    Start(start::Start),
    Stop(stop::Stop),
    System(Group<system::System>),
    Tag(tag::Tag),
    Untag(untag::Untag),
    Version(version::Version),
    Volume(Group<volume::Volume>),
    Wait(wait::Wait),
}

// Without a doc comment, as that would be the help text of each of them.
#[derive(clap::Args)]
pub(crate) struct Group<Verb: clap::Subcommand> {
    #[command(subcommand)]
    verb: Verb,
}

impl Command {
    /// Runs the verb; the answer is the exit code.
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        match self {
            Self::Attach(verb) => verb.run(globals),
            Self::Build(verb) => verb.run(globals),
            Self::Builder(group) => group.verb.run(globals),
            Self::Commit(verb) => verb.run(globals),
            Self::Container(group) => group.verb.run(globals),
            Self::ContainerEnded(verb) => verb.run(globals),
            Self::Create(verb) => verb.run(globals),
            Self::Dockerfile(group) => group.verb.run(globals),
            Self::Events(verb) => verb.run(globals),
            Self::Exec(verb) => verb.run(globals),
            Self::Export(verb) => verb.run(globals),
            Self::History(verb) => verb.run(globals),
            Self::Image(group) => group.verb.run(globals),
            Self::Images(verb) => verb.run(globals),
            Self::Import(verb) => verb.run(globals),
            Self::Info(verb) => verb.run(globals),
            Self::Inspect(verb) => verb.run(globals),
            Self::Interrupted(verb) => verb.run(globals),
            Self::Kill(verb) => verb.run(globals),
            Self::Load(verb) => verb.run(globals),
            Self::Login(verb) => verb.run(globals),
            Self::Logout(verb) => verb.run(globals),
            Self::Logs(verb) => verb.run(globals),
            Self::Manifest(group) => group.verb.run(globals),
            Self::Network(group) => group.verb.run(globals),
            Self::Plugin(group) => group.verb.run(globals),
            Self::Ps(verb) => verb.run(globals),
            Self::Pull(verb) => verb.run(globals),
            Self::Push(verb) => verb.run(globals),
            Self::Restart(verb) => verb.run(globals),
            Self::Rm(verb) => verb.run(globals),
            Self::Rmi(verb) => verb.run(globals),
            Self::Run(verb) => verb.run(globals),
            Self::Save(verb) => verb.run(globals),
            Self::Search(verb) => verb.run(globals),
            Self::ServeRegistry(verb) => verb.run(globals),
            Self::Start(verb) => verb.run(globals),
            Self::Stop(verb) => verb.run(globals),
            Self::System(group) => group.verb.run(globals),
            Self::Tag(verb) => verb.run(globals),
            Self::Untag(verb) => verb.run(globals),
            Self::Version(verb) => verb.run(globals),
            Self::Volume(group) => group.verb.run(globals),
            Self::Wait(verb) => verb.run(globals),
        }
    }
}

/// Does the same to each of several things: all are tried, and one failure fails the command.
fn each(names: &[String], mut verb: impl FnMut(&str) -> Result<(), Report>) -> Result<u8, Report> {
    let mut code = 0;
    for name in names {
        if let Err(report) = verb(name) {
            report.say();
            code = 1;
        }
    }
    Ok(code)
}
