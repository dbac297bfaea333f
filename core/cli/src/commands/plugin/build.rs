use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wharf_model::Digest;

use crate::output;
use crate::report::Report;

/// What every project has.
const SCRIPT: &str = "build.sh";

/// Build a plugin's project by its own build.sh, and print the component's path, size and digest
#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// The project's directory
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The component to write, instead of the project's own choice
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Run the commands that install what is missing on this machine
    #[arg(long)]
    install_tools: bool,
}

impl Build {
    pub(crate) fn run(&self) -> Result<u8, Report> {
        if !self.dir.join(SCRIPT).is_file() {
            let message = format!("{} has no {SCRIPT}", self.dir.display());
            return Err(
                Report::message(1, message).hint("`wharf plugin new NAME` writes a project that has one")
            );
        }
        self.prepare()?;
        let component = self.build()?;
        describe(&component)
    }

    /// Sees to it that nothing is missing.
    fn prepare(&self) -> Result<(), Report> {
        let missing = self.missing()?;
        if missing.is_empty() {
            return Ok(());
        }
        if !self.install_tools {
            let message = format!("this machine lacks what {SCRIPT} needs");
            let commands = missing.join("\n    ");
            return Err(Report::message(1, message).hint(format!(
                "install it, or let `wharf plugin build --install-tools` do so:\n    {commands}"
            )));
        }
        for command in &missing {
            output::say(&format!("$ {command}"));
            let mut shell = Command::new("sh");
            shell.args(["-c", command]).current_dir(&self.dir);
            let status = to_stderr(&mut shell)?.status()?;
            if !status.success() {
                return Err(Report::message(1, format!("`{command}` failed: {status}")));
            }
        }
        match self.missing()?.first() {
            None => Ok(()),
            Some(still) => Err(Report::message(1, format!("`{still}` did not bring what {SCRIPT} needs"))),
        }
    }

    /// The commands that install what is missing.
    fn missing(&self) -> Result<Vec<String>, Report> {
        let output = self.script().arg("--missing").stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(Report::message(1, format!("`{SCRIPT} --missing` failed: {}", output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Runs the script; the last line that it prints is the component.
    fn build(&self) -> Result<PathBuf, Report> {
        let mut script = self.script();
        if let Some(output) = &self.output {
            script.arg(std::path::absolute(output)?);
        }
        let output = script.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(Report::message(1, format!("{SCRIPT} failed: {}", output.status)));
        }
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let component = printed.lines().last().unwrap_or_default();
        let path = self.dir.join(component);
        if component.is_empty() || !path.is_file() {
            return Err(Report::message(
                1,
                format!("{SCRIPT} does not end with the name of the file it made"),
            ));
        }
        Ok(path.strip_prefix(".").map(Path::to_owned).unwrap_or(path))
    }

    fn script(&self) -> Command {
        let mut command = Command::new("sh");
        command.arg(SCRIPT).current_dir(&self.dir).stdin(Stdio::null());
        command
    }
}

/// What such a command says is talk.
fn to_stderr(command: &mut Command) -> io::Result<&mut Command> {
    let stderr = io::stderr().as_fd().try_clone_to_owned()?;
    Ok(command.stdin(Stdio::null()).stdout(stderr))
}

fn describe(component: &Path) -> Result<u8, Report> {
    let bytes = std::fs::read(component)?;
    let kilobytes = bytes.len().div_ceil(1000);
    output::lines([format!("{}  {kilobytes} kB  {}", component.display(), Digest::of(&bytes))])?;
    output::say("next: wharf plugin test");
    Ok(0)
}
