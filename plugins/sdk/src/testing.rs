//! For tests of plugins: a statement and a stage without an engine. Native target only.

use std::collections::BTreeMap;

use crate::hook::Files;
use crate::instruction::{Body, Context, Entry, EntryKind, Heredoc, Invocation, ResolvedImage, Root};
use crate::state::View;
use crate::{Failure, FailureKind, Platform, Span, refuse};

/// A statement without flags.
pub fn call(keyword: &str, body: Body) -> Invocation {
    let span = Span { file: "Dockerfile".into(), line: 1, column: 1, end_line: 1, end_column: 1 };
    Invocation { keyword: keyword.into(), flags: vec![], body, heredocs: vec![], span, stage: None }
}

/// A statement whose body is words.
pub fn words(keyword: &str, line: &str) -> Invocation {
    call(keyword, Body::Words(line.split_whitespace().map(Into::into).collect()))
}

/// A statement whose body is text.
pub fn text(keyword: &str, line: &str) -> Invocation {
    call(keyword, Body::Text(line.into()))
}

impl Invocation {
    /// With `--name=value`.
    #[must_use]
    pub fn with_flag(mut self, name: &str, value: &str) -> Self {
        self.flags.push((name.into(), Some(value.into())));
        self
    }

    /// With `--name`.
    #[must_use]
    pub fn with_switch(mut self, name: &str) -> Self {
        self.flags.push((name.into(), None));
        self
    }

    /// With a here-document.
    #[must_use]
    pub fn with_heredoc(mut self, name: &str, content: &str) -> Self {
        let (name, content) = (name.into(), content.into());
        self.heredocs.push(Heredoc { name, expand: true, chomp: false, content });
        self
    }
}

/// A stage as a plugin sees it.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// The image's environment.
    pub env: BTreeMap<String, String>,
    /// WORKDIR.
    pub working_dir: String,
    /// USER.
    pub user: String,
    /// SHELL.
    pub shell: Vec<String>,
    /// Files of the build context, by path.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            args: BTreeMap::new(),
            env: BTreeMap::new(),
            working_dir: "/".into(),
            user: String::new(),
            shell: vec!["/bin/sh".into(), "-c".into()],
            files: BTreeMap::new(),
        }
    }
}

impl Context for Stage {
    fn target_platform(&self) -> Platform {
        Platform { os: "linux".into(), architecture: "amd64".into(), variant: None }
    }

    fn arg(&self, name: &str) -> Option<String> {
        self.args.get(name).cloned()
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn working_dir(&self) -> String {
        self.working_dir.clone()
    }

    fn user(&self) -> String {
        self.user.clone()
    }

    fn shell(&self) -> Vec<String> {
        self.shell.clone()
    }

    fn stat(&self, _: &Root, path: &str) -> Result<Option<Entry>, Failure> {
        Ok(self.files.get(path).map(|content| entry(path, content)))
    }

    fn read(&self, _: &Root, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        match self.files.get(path) {
            Some(content) if content.len() as u64 > limit => {
                Err(refuse(format!("{path} is longer than {limit} bytes")))
            }
            found => Ok(found.cloned()),
        }
    }

    /// Knows whole paths only: no wildcards.
    fn glob(&self, _: &Root, patterns: &[String], _: u32) -> Result<Vec<Entry>, Failure> {
        let wanted = self.files.iter().filter(|(path, _)| patterns.contains(path));
        Ok(wanted.map(|(path, content)| entry(path, content)).collect())
    }

    fn resolve_image(&self, reference: &str, _: Option<&Platform>) -> Result<ResolvedImage, Failure> {
        Err(refuse(format!("there is no image {reference}")).kind(FailureKind::NotFound))
    }
}

fn entry(path: &str, content: &[u8]) -> Entry {
    Entry { path: path.into(), kind: EntryKind::File, size: content.len() as u64, mode: 0o644, content: None }
}

/// The files of an image, by path.
#[derive(Debug, Clone, Default)]
pub struct Image(pub BTreeMap<String, Vec<u8>>);

impl Files for Image {
    fn stat(&self, path: &str) -> Result<Option<Entry>, Failure> {
        Ok(self.0.get(path).map(|content| entry(path, content)))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        match self.0.get(path) {
            Some(content) if content.len() as u64 > limit => {
                Err(refuse(format!("{path} is longer than {limit} bytes")))
            }
            found => Ok(found.cloned()),
        }
    }

    /// Knows whole paths only: no wildcards.
    fn glob(&self, patterns: &[String], _: u32) -> Result<Vec<Entry>, Failure> {
        let wanted = self.0.iter().filter(|(path, _)| patterns.contains(path));
        Ok(wanted.map(|(path, content)| entry(path, content)).collect())
    }
}

/// A driver's state in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory(pub BTreeMap<String, Vec<u8>>);

impl View for Memory {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }

    fn keys(&self, prefix: &str, limit: u32) -> Vec<String> {
        let with_prefix = self.0.keys().filter(|key| key.starts_with(prefix));
        with_prefix.take(limit as usize).cloned().collect()
    }
}
