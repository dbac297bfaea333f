use super::refused;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Send a plugin to a registry, where `plugin add oci://...` takes it
///
/// It goes as a WebAssembly artifact: the component alone, never what was compiled of it, and without its
/// grants and settings. Logins, certificates and places are those of `wharf push`.
#[derive(Debug, clap::Args)]
pub(crate) struct Push {
    /// Name of the plugin
    name: String,
    /// HOST/REPOSITORY[:TAG]
    reference: String,
}

impl Push {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        globals.clean_up_when_interrupted();
        let engine = globals.engine()?;
        let (target, pushed) = engine.push_plugin(&self.name, &self.reference).map_err(refused)?;
        let tag = target.tag().unwrap_or_default();
        output::lines([format!("{tag}: digest: {} size: {}", pushed.digest, pushed.size)])?;
        output::say(&format!("to use it elsewhere: wharf plugin add oci://{target}"));
        Ok(0)
    }
}
