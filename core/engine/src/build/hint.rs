//! What to do next after a build that failed.

use wharf_runtime::monitor::StartError;

use super::dockerfile;
use super::mounts::SCRIPT;
use super::request::{BuildError, BuildFailure};
use super::verify::VerifyError;

impl BuildFailure {
    /// What to do next, where something is known.
    pub fn hint(&self) -> Option<String> {
        match &self.error {
            BuildError::Context(error) => error.next_step(),
            BuildError::Dockerfile(error) => error.hint(),
            BuildError::Refused(diagnostics) => {
                diagnostics.iter().find_map(|diagnostic| diagnostic.help.clone())
            }
            BuildError::Plugin(error) => error.next_step(),
            BuildError::Git(error) => error.next_step(),
            BuildError::Gather(error) => error.next_step(),
            BuildError::Snapshot(error) => error.next_step(),
            BuildError::Hook(error) => error.next_step(),
            BuildError::Network(error) => error.next_step(),
            BuildError::Secret(error) => error.next_step(),
            BuildError::Agent(error) => error.next_step(),
            BuildError::Cache(error) => error.next_step(),
            BuildError::Output(error) => error.next_step(),
            BuildError::Source(error) => error.hint(),
            BuildError::Copy(error) => error.hint(),
            BuildError::Target { wanted, known } => Some(meant_stage(wanted, known)),
            BuildError::NotEntitled(needed) => {
                Some(format!("build with `--allow {needed}` if you trust this Dockerfile with it"))
            }
            BuildError::DevicesNotAllowed(devices) => {
                let options: Vec<String> =
                    devices.iter().map(|device| format!("`--allow device={device}`")).collect();
                Some(format!("build with {} if you trust this Dockerfile with it", options.join(" and ")))
            }
            BuildError::Device(error) => error.next_step(),
            BuildError::Verify(VerifyError::Differs(_)) => Some(
                "build it on what does not change: no times, no random numbers, no newest versions"
                    .to_owned(),
            ),
            BuildError::Change(_) => Some(
                "give instructions for the config, such as CMD, ENV or LABEL; all others go into a Dockerfile for `wharf build`"
                    .to_owned(),
            ),
            BuildError::NoStage => Some("begin the Dockerfile with `FROM image`".to_owned()),
            BuildError::NoDockerfile { near, .. } => Some(match near {
                Some(near) => format!("did you mean `-f {}`?", near.display()),
                None => "one that is elsewhere, or called otherwise, is named with `-f FILE`".to_owned(),
            }),
            error => program(error).or_else(|| name(error)),
        }
    }
}

/// After a program that did not run, or did not run well.
fn program(error: &BuildError) -> Option<String> {
    let hint = match error {
        BuildError::Start { program, by_shell: true, source: StartError::NotFound { .. }, .. } => format!(
            "the stage has no {program}, as one on `scratch` holds nothing but what was copied into it: stand on an \
             image with a shell, or write `RUN [\"/program\", \"argument\"]` for a program that is there"
        ),
        BuildError::Start { program, source: StartError::NotFound { .. }, .. } => missing(program),
        BuildError::Start { source: StartError::NotExecutable { .. }, .. } => {
            "it needs the permission, as `COPY --chmod=755` gives it, and has to be for this machine".to_owned()
        }
        BuildError::Exit { code: 127, .. } => {
            "127 says that a program was not found: install what has it in a line above, or look at its name and at PATH"
                .to_owned()
        }
        BuildError::Exit { code: 126, .. } => {
            "126 says that a program can not be executed: it needs the permission, as `COPY --chmod=755` gives it, \
             and has to be for this machine"
                .to_owned()
        }
        _ => return None,
    };
    Some(hint)
}

/// A program of a list, which no shell looks up.
fn missing(program: &str) -> String {
    if program == SCRIPT {
        return "the program that the script's first line names is not in the stage".to_owned();
    }
    if let Some((first, _)) = program.split_once(' ').filter(|_| !program.starts_with('/')) {
        return format!("each argument is a string of its own: [\"{first}\", ...]");
    }
    if program.contains('/') {
        return "it is not in the stage, or the program that its first line or its header names is not"
            .to_owned();
    }
    format!("no directory of PATH has `{program}`: install what has it in a line above, or write its path")
}

/// After a name that stands for nothing.
fn name(error: &BuildError) -> Option<String> {
    match error {
        BuildError::NoImage { meant: Some(meant), .. } => Some(format!("did you mean the stage {meant}?")),
        BuildError::StageNumber { stages: 0, .. } => {
            Some("no stage comes before this one: the first has number 0".to_owned())
        }
        BuildError::StageNumber { stages, .. } => {
            Some(format!("the stages before this one have the numbers 0 to {}", stages - 1))
        }
        BuildError::LaterStage { from, .. } => {
            Some(format!("move the stage {from} above the stage that reads from it"))
        }
        BuildError::NoImage { id: Some(id), .. } => {
            Some(format!("a Dockerfile names images, not ids: give it a name with `wharf tag {id} NAME`"))
        }
        BuildError::NoImage { why: Some(why), .. } if why.next_step().is_some() => why.next_step(),
        BuildError::NoImage { full, .. } => Some(format!(
            "import it with `wharf import FILE {full}`, load it with `wharf load`, or build it first"
        )),
        _ => None,
    }
}

fn meant_stage(wanted: &str, known: &[String]) -> String {
    match dockerfile::nearest(wanted, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean {meant}?"),
        None if known.is_empty() => {
            "no stage has a name: give one with `FROM image AS name`, or use its number".to_owned()
        }
        None => format!("the stages are {}", known.join(", ")),
    }
}
