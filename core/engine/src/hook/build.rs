//! Ops of a build, and images that are about to get their id.

use std::net::IpAddr;

use serde::Serialize;
use wharf_model::build::{Action, Exec, Op};
use wharf_model::hook::{Adjustment, Attached, Moment, ProvidedFile, Subject};
use wharf_model::image::ImageConfig;
use wharf_model::{Digest, Keyword};
use wharf_plugin::ImageFiles;

use super::{Asked, TreeFiles, misfit, provided};
use crate::event::Asker;

/// An op with what hooks added to it.
#[derive(Debug)]
pub(crate) struct AskedOp {
    pub(crate) op: Op,
    pub(crate) extra: Extra,
    plugin: String,
    instruction: Keyword,
    place: String,
}

/// What a hook adds to a RUN that an op has no words for. It is part of the step's key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Extra {
    pub(crate) unset_env: Vec<String>,
    pub(crate) without: Vec<String>,
    pub(crate) hosts: Vec<(String, IpAddr)>,
    pub(crate) files: Vec<ProvidedFile>,
}

impl AskedOp {
    /// `place` is the statement's line, for the journal.
    pub(crate) fn new(op: Op, plugin: &str, instruction: &Keyword, place: String) -> Self {
        let (plugin, instruction) = (plugin.to_owned(), instruction.clone());
        Self { op, extra: Extra::default(), plugin, instruction, place }
    }
}

impl Asked for AskedOp {
    fn moment(&self) -> Moment {
        Moment::BuildOp
    }

    fn id(&self) -> String {
        self.place.clone()
    }

    fn subject(&self) -> Subject {
        Subject::BuildOp {
            op: self.op.clone(),
            plugin: self.plugin.clone(),
            instruction: self.instruction.clone(),
        }
    }

    fn adjust(&mut self, adjustment: Adjustment, _: &Asker) -> Result<String, String> {
        match &mut self.op.action {
            Action::Exec(exec) => adjust_exec(exec, &mut self.extra, adjustment),
            _ => Err(misfit(&adjustment, "an op that runs no program")),
        }
    }
}

fn adjust_exec(exec: &mut Exec, extra: &mut Extra, adjustment: Adjustment) -> Result<String, String> {
    match adjustment {
        Adjustment::SetEnv(name, value) => {
            exec.env.retain(|(held, _)| *held != name);
            extra.unset_env.retain(|unset| *unset != name);
            let description = format!("env {name}={value}");
            exec.env.push((name, value));
            Ok(description)
        }
        Adjustment::UnsetEnv(name) => {
            exec.env.retain(|(held, _)| *held != name);
            let description = format!("env without {name}");
            extra.unset_env.push(name);
            Ok(description)
        }
        Adjustment::DropCapability(name) => {
            let description = format!("without {name}");
            extra.without.push(name);
            Ok(description)
        }
        Adjustment::AddHost(name, address) => {
            let description = format!("host {name} {address}");
            extra.hosts.push((name, address));
            Ok(description)
        }
        Adjustment::ProvideFile(file) => {
            provided::check(&file, extra.files.iter().map(|file| file.target.as_str()))?;
            let description = format!("file {}", file.target);
            extra.files.push(file);
            Ok(description)
        }
        other => Err(misfit(&other, "a step of a build")),
    }
}

/// What hooks want kept beside an image, and who wants it.
pub(crate) type Attachments = Vec<(Attached, Asker)>;

/// An image before it gets its id.
pub(crate) struct AskedCommit<'a> {
    pub(crate) names: &'a [String],
    pub(crate) config: &'a mut ImageConfig,
    pub(crate) files: TreeFiles,
    /// What is to be kept beside it, and who said so.
    pub(crate) attached: Attachments,
}

impl Asked for AskedCommit<'_> {
    fn moment(&self) -> Moment {
        Moment::ImageCommit
    }

    /// The id is not known before the labels are.
    fn id(&self) -> String {
        let unnamed = || serde_json::to_vec(&self.config).map(Digest::of).map(|id| id.to_string());
        self.names.first().cloned().or_else(|| unnamed().ok()).unwrap_or_default()
    }

    fn subject(&self) -> Subject {
        let config = serde_json::to_string(self.config).unwrap_or_default();
        Subject::ImageCommit { names: self.names.to_vec(), config }
    }

    fn adjust(&mut self, adjustment: Adjustment, hook: &Asker) -> Result<String, String> {
        match adjustment {
            Adjustment::AddLabel(name, value) => {
                let description = format!("label {name}={value}");
                self.config.config.labels.insert(name, value);
                Ok(description)
            }
            Adjustment::Attach(attached) => {
                check_attached(&attached)?;
                self.attached.retain(|(held, _)| held.name != attached.name);
                let description = format!("attached {} ({} bytes)", attached.name, attached.content.len());
                self.attached.push((attached, hook.clone()));
                Ok(description)
            }
            other => Err(misfit(&other, "an image")),
        }
    }

    fn files(&mut self) -> Option<&mut dyn ImageFiles> {
        Some(&mut self.files)
    }
}

fn check_attached(attached: &Attached) -> Result<(), String> {
    let name = &attached.name;
    let plain = !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || ".-_+".contains(letter));
    if plain { Ok(()) } else { Err(format!("attach {name:?}: that is not a plain file name")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_model::build::{Command, Input, NetAccess, Security};

    fn exec() -> Exec {
        Exec {
            base: Input::Stage,
            command: Command::Shell("true".into()),
            env: vec![("A".into(), "1".into())],
            cwd: None,
            user: None,
            mounts: Vec::new(),
            net: NetAccess::Sandbox,
            security: Security::Sandbox,
            devices: Vec::new(),
        }
    }

    fn file(target: &str) -> Adjustment {
        Adjustment::ProvideFile(ProvidedFile { target: target.into(), content: b"x".to_vec(), mode: 0o444 })
    }

    #[test]
    fn the_last_word_about_a_variable_counts() {
        let (mut exec, mut extra) = (exec(), Extra::default());
        adjust_exec(&mut exec, &mut extra, Adjustment::UnsetEnv("A".into())).unwrap();
        assert_eq!((exec.env.len(), extra.unset_env.as_slice()), (0, ["A".to_owned()].as_slice()));
        adjust_exec(&mut exec, &mut extra, Adjustment::SetEnv("A".into(), "2".into())).unwrap();
        assert_eq!(exec.env, [("A".to_owned(), "2".to_owned())]);
        assert_eq!(extra, Extra::default());
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let (mut exec, mut extra) = (exec(), Extra::default());
        let label = Adjustment::AddLabel("a".into(), "b".into());
        let said = adjust_exec(&mut exec, &mut extra, label).unwrap_err();
        assert_eq!(said, "add the label a: that is nothing for a step of a build");
        for target in ["relative", "/a/../b", "/", "/proc/x", "/a\0b"] {
            adjust_exec(&mut exec, &mut extra, file(target)).unwrap_err();
        }
        adjust_exec(&mut exec, &mut extra, file("/a")).unwrap();
        adjust_exec(&mut exec, &mut extra, file("/a")).unwrap_err();
    }

    #[test]
    fn an_attachment_has_a_plain_name() {
        for (name, plain) in
            [("sbom.spdx.json", true), ("", false), ("../x", false), (".x", false), ("a b", false)]
        {
            let attached = Attached { name: name.into(), media_type: "a/b".into(), content: Vec::new() };
            assert_eq!(check_attached(&attached).is_ok(), plain, "for {name:?}");
        }
    }
}
