use super::refused;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Write down in wharf.lock what every configured plugin is now
///
/// From then on a plugin that is something else is not used: `plugin update` shows and takes the
/// change.
#[derive(Debug, clap::Args)]
pub(crate) struct Lock {}

impl Lock {
    #[expect(clippy::unused_self, reason = "a verb as the others")]
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let locked = engine.lock_plugins().map_err(refused)?;
        if locked.is_empty() {
            output::say("no config file defines plugins: those of the program need no lock");
        }
        output::lines(locked.iter().map(|(path, names)| format!("{}: {}", path.display(), names.join(" "))))?;
        Ok(0)
    }
}
