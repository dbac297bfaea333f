//! The image's config and the user's options, put together as docker does.

use std::collections::BTreeSet;

use wharf_model::image::{Empty, RunConfig};
use wharf_runtime::caps;

use super::spec::capability_names;
use super::{CreateError, CreateOptions};

/// Capabilities by name that `ALL` stands for, minus nothing.
const ALL: &str = "ALL";

/// What a container runs with.
pub(super) fn run_config(image: &RunConfig, options: &CreateOptions) -> RunConfig {
    let mut config = image.clone();
    for pair in &options.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        config.set_env(name, value);
    }
    config.labels.extend(options.labels.iter().cloned());
    if let Some(user) = &options.user {
        config.user.clone_from(user);
    }
    if let Some(directory) = &options.working_dir {
        config.working_dir.clone_from(directory);
    }
    if let Some(signal) = &options.stop_signal {
        config.stop_signal = Some(signal.clone());
    }
    config.exposed_ports.extend(options.expose.iter().map(|port| (port.clone(), Empty {})));
    replace_command(&mut config, options);
    config
}

/// A given entrypoint also drops the image's command; an empty one drops the entrypoint.
fn replace_command(config: &mut RunConfig, options: &CreateOptions) {
    if let Some(entrypoint) = &options.entrypoint {
        config.entrypoint = (!entrypoint.is_empty()).then(|| vec![entrypoint.clone()]);
        config.cmd = None;
    }
    if !options.args.is_empty() {
        config.cmd = Some(options.args.clone());
    }
}

/// Entrypoint, then command.
pub(super) fn argv(config: &RunConfig) -> Result<Vec<String>, CreateError> {
    let parts = config.entrypoint.iter().flatten().chain(config.cmd.iter().flatten());
    let argv: Vec<String> = parts.cloned().collect();
    if argv.is_empty() { Err(CreateError::NoCommand) } else { Ok(argv) }
}

/// The default capabilities with `--cap-add` and `--cap-drop`, sorted.
pub(super) fn capabilities(options: &CreateOptions) -> Result<Vec<String>, CreateError> {
    let known: BTreeSet<String> = capability_names(&caps::all()).into_iter().collect();
    if options.privileged {
        return Ok(known.into_iter().collect());
    }
    let mut set: BTreeSet<String> = capability_names(&caps::DEFAULT).into_iter().collect();
    for name in &options.cap_drop {
        match capability(name, &known)? {
            None => set.clear(),
            Some(name) => drop(set.remove(&name)),
        }
    }
    for name in &options.cap_add {
        match capability(name, &known)? {
            None => set.clone_from(&known),
            Some(name) => drop(set.insert(name)),
        }
    }
    for name in options.cap_drop.iter().filter(|name| !name.eq_ignore_ascii_case(ALL)) {
        if let Some(name) = capability(name, &known)? {
            set.remove(&name);
        }
    }
    Ok(set.into_iter().collect())
}

/// `None` is all of them.
fn capability(name: &str, known: &BTreeSet<String>) -> Result<Option<String>, CreateError> {
    let upper = name.to_ascii_uppercase();
    if upper == ALL {
        return Ok(None);
    }
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    if known.contains(&full) { Ok(Some(full)) } else { Err(CreateError::Capability(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn image() -> RunConfig {
        RunConfig { entrypoint: Some(words("entry")), cmd: Some(words("default")), ..RunConfig::default() }
    }

    #[test]
    fn arguments_replace_the_command_and_an_entrypoint_drops_it() {
        for (entrypoint, args, expected) in [
            (None, "", "entry default"),
            (None, "mine", "entry mine"),
            (Some("other"), "", "other"),
            (Some("other"), "mine", "other mine"),
            (Some(""), "mine", "mine"),
        ] {
            let options = CreateOptions {
                entrypoint: entrypoint.map(str::to_owned),
                args: words(args),
                ..CreateOptions::default()
            };
            let config = run_config(&image(), &options);
            assert_eq!(argv(&config).unwrap(), words(expected), "{entrypoint:?} {args}");
        }
        let options = CreateOptions { entrypoint: Some(String::new()), ..CreateOptions::default() };
        assert!(argv(&run_config(&image(), &options)).is_err());
    }

    #[test]
    fn capabilities_are_added_and_dropped() {
        let set = |add: &str, drop: &str| {
            let options =
                CreateOptions { cap_add: words(add), cap_drop: words(drop), ..CreateOptions::default() };
            capabilities(&options)
        };
        assert_eq!(set("", "").unwrap().len(), caps::DEFAULT.len());
        assert_eq!(set("", "all").unwrap(), [] as [&str; 0]);
        assert_eq!(set("net_admin", "ALL").unwrap(), ["CAP_NET_ADMIN"]);
        assert!(!set("ALL", "CAP_SYS_ADMIN").unwrap().contains(&"CAP_SYS_ADMIN".to_owned()));
        assert!(set("flying", "").is_err());
    }
}
