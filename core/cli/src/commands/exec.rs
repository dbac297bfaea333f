use wharf_engine::container::{AttachOptions, ExecOptions, Execution};

use crate::globals::Globals;
use crate::report::Report;
use crate::terminal;

/// Run a command in a running container
#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    /// Do not wait for it
    #[arg(short, long)]
    detach: bool,
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    /// Set a variable: NAME=VALUE, or NAME for the caller's value
    #[arg(short, long, value_name = "VARIABLE")]
    env: Vec<String>,
    /// User to run as: NAME|UID[:GROUP|GID]
    #[arg(short, long)]
    user: Option<String>,
    /// Directory to start in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Give it all capabilities
    #[arg(long)]
    privileged: bool,
    /// Keys that leave it running
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: String,
    /// Name or id
    container: String,
    /// Command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Exec {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        if !self.detach {
            terminal::check(self.interactive, self.tty)?;
        }
        let options = ExecOptions {
            argv: self.command.clone(),
            env: environment(&self.env),
            user: self.user.clone(),
            working_dir: self.workdir.clone(),
            tty: self.tty,
            interactive: self.interactive,
            detached: self.detach,
            privileged: self.privileged,
            attach: AttachOptions {
                detach_keys: terminal::detach_keys(&self.detach_keys)?,
                ..AttachOptions::default()
            },
        };
        let engine = globals.engine()?;
        let execution = engine.exec(&self.container, &options);
        match execution.map_err(|error| {
            let report = Report::with_code(error.exit_code(), &error);
            error.next_step().into_iter().fold(report, Report::hint)
        })? {
            Execution::Attached(connection) => terminal::forward(connection, self.interactive),
            Execution::Detached { .. } => Ok(0),
        }
    }
}

/// `NAME` alone takes the caller's value, and is dropped when the caller has none.
pub(super) fn environment(given: &[String]) -> Vec<String> {
    let pair = |text: &String| {
        if text.contains('=') {
            Some(text.clone())
        } else {
            std::env::var(text).ok().map(|value| format!("{text}={value}"))
        }
    };
    given.iter().filter_map(pair).collect()
}
