use wharf_engine::plugin::{AddPlugin, Added, Keyword};

use super::{Target, origin, refused, rights};
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Add a plugin: check it, keep a copy of it, define it in wharf.toml and pin it in wharf.lock
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// Call it this instead of what the file or the repository is called
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Let it do this, as `ops:exec` or `net:sandbox`; several are fine
    #[arg(long, value_name = "RIGHT", num_args = 1..)]
    grant: Vec<String>,
    /// Let it do everything that it asks for
    #[arg(long, conflicts_with = "grant")]
    grant_all: bool,
    /// Give one of its keywords another name here
    #[arg(long = "as", value_name = "KEYWORD=NEW")]
    rename: Vec<String>,
    /// What it takes to load a native library
    #[arg(long, value_name = "TRUST", value_parser = ["native-full"])]
    trust: Option<String>,
    #[command(flatten)]
    target: Target,
    /// A component (.wasm), a native library (.so), a bundle (.tar), or oci://HOST/REPOSITORY[:TAG|@DIGEST]
    #[arg(value_name = "FILE|oci://...")]
    from: String,
}

impl Add {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        globals.clean_up_when_interrupted();
        let engine = globals.engine()?;
        let request = AddPlugin {
            from: origin(&self.from)?,
            name: self.name.clone(),
            grants: self.grant.clone(),
            grant_all: self.grant_all,
            keywords: self.rename.iter().map(|text| pair(text)).collect::<Result<_, _>>()?,
            native: self.trust.is_some(),
            whose: self.target.whose(),
        };
        let added = engine.add_plugin(&request).map_err(refused)?;
        added.iter().for_each(tell);
        output::lines(added.iter().map(|added| &added.name))?;
        Ok(0)
    }
}

fn pair(text: &str) -> Result<(Keyword, Keyword), Report> {
    let wrong =
        |what: String| Report::message(1, format!("--as {text}: {what}")).hint("write `--as APT=MY_APT`");
    let (own, here) = text.split_once('=').ok_or_else(|| wrong("it has no `=`".to_owned()))?;
    let own = own.parse().map_err(|error| wrong(format!("{error}")))?;
    Ok((own, here.parse().map_err(|error| wrong(format!("{error}")))?))
}

fn tell(added: &Added) {
    let manifest = &added.manifest;
    let provides =
        if added.names.is_empty() { String::new() } else { format!(": {}", added.names.join(" ")) };
    output::say(&format!(
        "added {} ({} {}), {}{provides}",
        added.name, manifest.name, manifest.version, added.world
    ));
    for state in &added.rights {
        output::say(&format!("  {:<14} {} ({})", state.standing.as_str(), state.right, state.reason));
    }
    output::say(&format!("defined in {}, pinned in {}", added.config.display(), added.lock.display()));
    let missing = rights::missing(&added.rights);
    if !missing.is_empty() {
        output::say(&format!("to grant the rest: wharf plugin grant {} {}", added.name, missing.join(" ")));
    }
}
