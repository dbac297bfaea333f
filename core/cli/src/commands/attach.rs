use wharf_engine::container::AttachOptions;

use crate::globals::Globals;
use crate::report::Report;
use crate::terminal;

/// Attach to the streams of a running container
#[derive(Debug, clap::Args)]
pub(crate) struct Attach {
    /// Do not attach standard input
    #[arg(long)]
    no_stdin: bool,
    /// Keys that leave the container running
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: String,
    /// Pass signals on to the program
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    sig_proxy: bool,
    /// Name or id
    container: String,
}

impl Attach {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let container = engine.container(&self.container).map_err(Report::failed)?;
        let stdin = container.open_stdin && !self.no_stdin;
        terminal::check(stdin, container.tty)?;
        let options = AttachOptions {
            stdin,
            detach_keys: terminal::detach_keys(&self.detach_keys)?,
            sig_proxy: self.sig_proxy,
            ..AttachOptions::default()
        };
        let connection = engine.attach(&container, options).map_err(Report::failed)?;
        terminal::forward(connection, stdin)
    }
}
