//! A build context and a state of plain maps, for tests.

use std::collections::BTreeMap;

use wharf_model::{Diagnostic, Digest, Failure, FailureKind, Platform, Severity};

use crate::config::{Config, Level, PluginConfig, Source};
use crate::kind::{BuildContext, Entry, EntryKind, ImageFiles, ResolvedImage, Root, StateView};

/// Answers from maps.
#[derive(Debug, Default)]
pub(crate) struct Fixed {
    pub(crate) args: BTreeMap<String, String>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) state: BTreeMap<String, Vec<u8>>,
}

impl Fixed {
    fn entry(&self, path: &str) -> Option<Entry> {
        let content = self.files.get(path)?;
        Some(Entry {
            path: path.into(),
            kind: EntryKind::File,
            size: content.len() as u64,
            mode: 0o644,
            content: Some(Digest::of(content)),
        })
    }
}

impl BuildContext for Fixed {
    fn target_platform(&mut self) -> Platform {
        Platform { os: "linux".into(), architecture: "amd64".into(), variant: None }
    }

    fn arg(&mut self, name: &str) -> Option<String> {
        self.args.get(name).cloned()
    }

    fn env(&mut self, _: &str) -> Option<String> {
        None
    }

    fn working_dir(&mut self) -> String {
        "/".into()
    }

    fn user(&mut self) -> String {
        String::new()
    }

    fn shell(&mut self) -> Vec<String> {
        vec!["/bin/sh".into(), "-c".into()]
    }

    fn stat(&mut self, _: &Root, path: &str) -> Result<Option<Entry>, Failure> {
        Ok(self.entry(path))
    }

    fn read(&mut self, _: &Root, path: &str, _: u64) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.files.get(path).cloned())
    }

    fn glob(&mut self, _: &Root, patterns: &[String], _: u32) -> Result<Vec<Entry>, Failure> {
        let matches = |path: &str| {
            patterns.iter().any(|pattern| glob::Pattern::new(pattern).is_ok_and(|glob| glob.matches(path)))
        };
        Ok(self.files.keys().filter(|path| matches(path)).filter_map(|path| self.entry(path)).collect())
    }

    fn resolve_image(&mut self, reference: &str, _: Option<&Platform>) -> Result<ResolvedImage, Failure> {
        let diagnostic = Diagnostic::new(Severity::Error, "test/no-image", format!("no image {reference}"));
        Err(Failure { kind: FailureKind::NotFound, diagnostics: vec![diagnostic] })
    }
}

impl ImageFiles for Fixed {
    fn stat(&mut self, path: &str) -> Result<Option<Entry>, Failure> {
        Ok(self.entry(path))
    }

    fn read(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        BuildContext::read(self, &Root::Local, path, limit)
    }

    fn glob(&mut self, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure> {
        BuildContext::glob(self, &Root::Local, patterns, limit)
    }
}

impl StateView for Fixed {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.state.get(key).cloned()
    }

    fn keys(&self, prefix: &str, limit: u32) -> Vec<String> {
        let keys = self.state.keys().filter(|key| key.starts_with(prefix));
        keys.take(limit as usize).cloned().collect()
    }
}

/// `[plugin.<name>]` as a user would write it.
pub(crate) fn plugin(name: &str, world: &str) -> PluginConfig {
    let text = format!("[plugin.{name}]\nworld = \"{world}\"\nsource = \"embedded:{name}\"\n");
    let source = Source { path: "test.toml".into(), text, level: Level::User };
    Config::load(&[source]).unwrap().plugins.remove(0)
}
