use std::io::{self, Write};

use jiff::Timestamp;
use wharf_engine::container::{LogEntry, LogsOptions, Stream};

use crate::globals::Globals;
use crate::report::Report;
use crate::units;

/// Print what a container wrote
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Go on until it ends
    #[arg(short, long)]
    follow: bool,
    /// Print when each line was written
    #[arg(short, long)]
    timestamps: bool,
    /// Print the last lines only
    #[arg(short = 'n', long, visible_alias = "lines", value_name = "NUMBER", default_value = "all")]
    tail: String,
    /// Not before: a time, or a duration such as 10m
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    since: Option<Timestamp>,
    /// Not after: a time, or a duration such as 10m
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    until: Option<Timestamp>,
    /// Name or id
    container: String,
}

impl Logs {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let options = LogsOptions {
            follow: self.follow,
            tail: self.tail.parse().ok(),
            since: self.since,
            until: self.until,
        };
        for entry in engine.logs(&self.container, &options).map_err(Report::failed)? {
            self.print(&entry.map_err(Report::failed)?)?;
        }
        Ok(0)
    }

    /// Bytes as they were written, each to the stream it was written to.
    fn print(&self, entry: &LogEntry) -> io::Result<()> {
        let mut line = if self.timestamps { format!("{} ", entry.time).into_bytes() } else { Vec::new() };
        line.extend_from_slice(&entry.line);
        match entry.stream {
            Stream::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&line)?;
                out.flush()
            }
            Stream::Stderr => io::stderr().lock().write_all(&line),
        }
    }
}
