use wharf_engine::Engine;
use wharf_engine::container::AttachOptions;

use super::each;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;
use crate::terminal;

/// Start containers that were created or stopped
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// Attach to its output
    #[arg(short, long)]
    attach: bool,
    /// Attach to its input too
    #[arg(short, long)]
    interactive: bool,
    /// Keys that leave the container running
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: String,
    /// Names or ids
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Start {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        if self.attach || self.interactive {
            return match &self.containers[..] {
                [container] => self.attached(engine, container),
                _ => Err(Report::message(1, "you cannot start and attach multiple containers at once")),
            };
        }
        each(&self.containers, |name| {
            engine.start(name, None).map_err(Report::failed)?;
            Ok(output::lines([name])?)
        })
    }

    fn attached(&self, engine: &Engine, name: &str) -> Result<u8, Report> {
        let container = engine.container(name).map_err(Report::failed)?;
        let stdin = self.interactive && container.open_stdin;
        terminal::check(stdin, container.tty)?;
        let attach = AttachOptions {
            stdin,
            detach_keys: terminal::detach_keys(&self.detach_keys)?,
            ..AttachOptions::default()
        };
        let started = engine.start(name, Some(attach.clone())).map_err(|error| super::run::failed(&error))?;
        let connection = match started.connection {
            Some(connection) => connection,
            None => engine.attach(&container, attach).map_err(Report::failed)?,
        };
        terminal::forward(connection, stdin)
    }
}
