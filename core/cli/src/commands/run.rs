use wharf_engine::Engine;
use wharf_engine::container::{AttachOptions, Container, Ended, StartError};

use super::create::ContainerArgs;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;
use crate::terminal;

/// Create a container and run it
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Run it in the background and print its id
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave the container running
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: String,
    /// Pass signals on to the program
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    sig_proxy: bool,
    #[command(flatten)]
    options: ContainerArgs,
}

impl Run {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let keys = terminal::detach_keys(&self.detach_keys)?;
        if !self.detach {
            terminal::check(self.options.interactive, self.options.tty)?;
        }
        let engine = globals.engine()?;
        let container = self.options.create(engine, self.detach)?;
        if self.detach {
            start(engine, &container, None)?;
            output::lines([container.id])?;
            return Ok(0);
        }
        let attach = AttachOptions {
            stdin: self.options.interactive,
            detach_keys: keys,
            sig_proxy: self.sig_proxy,
            reap: true,
            ..AttachOptions::default()
        };
        self.foreground(engine, &container, attach)
    }

    /// The container's network and, with `--rm`, the container itself are gone when this returns.
    fn foreground(
        &self,
        engine: &Engine,
        container: &Container,
        attach: AttachOptions,
    ) -> Result<u8, Report> {
        let Some(connection) = start(engine, container, Some(attach))? else {
            return Err(Report::message(
                125,
                format!("container {} ended before it could be attached to", container.name),
            ));
        };
        let mut cleaned = Ok(());
        let local = terminal::local(self.options.interactive);
        let ended = connection.forward_reaping(local, |_| cleaned = engine.ended(&container.id));
        let ended = ended.map_err(Report::engine)?;
        cleaned.map_err(Report::engine)?;
        match ended {
            Ended::Exited(exit) => Ok(exit.code),
            Ended::Detached => Ok(0),
            Ended::OutputGone => Err(Report::said(1)), // docker's code
        }
    }
}

/// A container whose program could not be executed stays created, as with docker, unless it has
/// `--rm`. One that the engine could not start at all leaves nothing, not even its name.
fn start(
    engine: &Engine,
    container: &Container,
    attach: Option<AttachOptions>,
) -> Result<Option<wharf_engine::container::Connection>, Report> {
    match engine.start(&container.id, attach) {
        Ok(started) => Ok(started.connection),
        Err(error) => {
            if container.auto_remove || error.exit_code() == 125 {
                let _ = engine.remove(&container.id, true, true);
            }
            Err(failed(&error))
        }
    }
}

/// 127 not found, 126 not executable, 125 anything else.
pub(super) fn failed(error: &StartError) -> Report {
    let report = Report::with_code(error.exit_code(), error);
    error.next_step().into_iter().fold(report, Report::hint)
}
