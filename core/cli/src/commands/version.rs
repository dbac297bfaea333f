use serde_json::json;

use crate::globals::Globals;
use crate::output;
use crate::report::Report;
use crate::template;

/// Print versions
#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// Go template, or `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
}

impl Version {
    pub(crate) fn run(&self, _: &Globals) -> Result<u8, Report> {
        let version = env!("CARGO_PKG_VERSION");
        let value = json!({
            "Client": { "Version": version, "Os": std::env::consts::OS, "Arch": std::env::consts::ARCH },
            "Server": { "Version": version, "Os": std::env::consts::OS, "Arch": std::env::consts::ARCH },
        });
        match &self.format {
            Some(format) => output::lines([template::one(format, &value)?])?,
            None => output::lines([
                format!("wharf version {version}"),
                format!("plugin contract: {}", wharf_engine::CONTRACT),
                format!("os/arch: {}/{}", std::env::consts::OS, std::env::consts::ARCH),
            ])?,
        }
        Ok(0)
    }
}
