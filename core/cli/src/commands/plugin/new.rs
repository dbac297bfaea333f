use std::path::PathBuf;

use crate::output;
use crate::project::{Kind, Language, Name, Project};
use crate::report::Report;

/// Write the project of a new plugin: source, tests, and a script that builds it
#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// Small letters, digits and hyphens; an instruction's keyword is the same in capitals
    name: Name,
    /// What it is
    #[arg(long, value_enum, default_value_t = Kind::Instruction)]
    kind: Kind,
    /// What it is written in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// Directory to make; by default it is called as the plugin
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

impl New {
    pub(crate) fn run(&self) -> Result<u8, Report> {
        let dir = self.dir.clone().unwrap_or_else(|| PathBuf::from(self.name.as_str()));
        let project = Project::new(&self.name, self.kind, self.lang).map_err(Report::failed)?;
        project.write(&dir).map_err(Report::failed)?;
        output::lines([dir.display().to_string()])?;
        output::say("next:");
        for step in [format!("cd {}", dir.display()), "wharf plugin build".into(), "wharf plugin test".into()]
        {
            output::say(&format!("    {step}"));
        }
        Ok(0)
    }
}
