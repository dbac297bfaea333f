//! One directory of `tests/`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wharf_model::Settings;
use wharf_model::image::RunConfig;
use wharf_plugin::{Config, ConfigError, Level, Source};

use super::project::ProjectError;

/// A case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    directory: PathBuf,
}

impl Case {
    /// A directory with something to ask a plugin.
    pub(crate) fn is_one(directory: &Path) -> bool {
        ["Dockerfile", "event.json"].iter().any(|file| directory.join(file).exists())
    }

    pub(crate) fn new(name: String, directory: PathBuf) -> Self {
        Self { name, directory }
    }

    /// A file of the case.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// A file of the case, where it is there.
    pub(crate) fn read(&self, file: &str) -> Result<Option<String>, ProjectError> {
        let path = self.path(file);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ProjectError::File { path, source }),
        }
    }

    /// `settings.toml`: the lines below `[plugin.<name>.settings]`.
    pub(crate) fn settings(&self) -> Result<Settings, ProjectError> {
        let Some(text) = self.read("settings.toml")? else { return Ok(Settings::default()) };
        let path = self.path("settings.toml");
        let head = "[plugin.p]\nworld = \"instruction\"\nsource = \"file:/p\"\n[plugin.p.settings]\n";
        let source = Source { path: path.clone(), text: format!("{head}{text}"), level: Level::User };
        let config = Config::load(&[source]).map_err(|error| self.shifted(error, head.lines().count()))?;
        Ok(config.plugins.into_iter().next().map(|plugin| plugin.settings).unwrap_or_default())
    }

    /// As if the lines before the file's own were not there.
    fn shifted(&self, error: ConfigError, by: usize) -> ProjectError {
        let source: Box<dyn std::error::Error + Send + Sync> = match error {
            ConfigError::Syntax { place, message } => {
                format!("line {}: {message}", place.line.saturating_sub(by)).into()
            }
            ConfigError::Key { place, key, what, .. } => {
                let key = key.trim_start_matches("plugin.p.settings.").to_owned();
                format!("line {}: {key}: {what}", place.line.saturating_sub(by)).into()
            }
            error @ ConfigError::Read { .. } => error.into(),
        };
        ProjectError::Content { path: self.path("settings.toml"), source }
    }

    /// `args.toml`: build arguments.
    pub(crate) fn arguments(&self) -> Result<BTreeMap<String, String>, ProjectError> {
        let Some(text) = self.read("args.toml")? else { return Ok(BTreeMap::new()) };
        let wrong = |source: toml::de::Error| ProjectError::Content {
            path: self.path("args.toml"),
            source: source.message().to_owned().into(),
        };
        toml::from_str(&text).map_err(wrong)
    }

    /// `image.json`: what every base image says.
    pub(crate) fn image(&self) -> Result<RunConfig, ProjectError> {
        let Some(text) = self.read("image.json")? else { return Ok(RunConfig::default()) };
        let wrong = |source: serde_json::Error| ProjectError::Content {
            path: self.path("image.json"),
            source: source.into(),
        };
        serde_json::from_str(&text).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use wharf_model::Value;

    use super::*;

    fn case(files: &[(&str, &str)]) -> (tempfile::TempDir, Case) {
        let directory = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(directory.path().join(name), text).unwrap());
        let case = Case::new("case".into(), directory.path().to_owned());
        (directory, case)
    }

    #[test]
    fn what_is_not_there_is_plain() {
        let (_dir, case) = case(&[]);
        assert!(case.settings().unwrap().is_empty());
        assert!(case.arguments().unwrap().is_empty());
        assert_eq!(case.image().unwrap(), RunConfig::default());
    }

    #[test]
    fn files_say_what_they_are_for() {
        let (_dir, case) = case(&[
            ("settings.toml", "snapshot = \"2026\"\n"),
            ("args.toml", "VERSION = \"1\"\n"),
            ("image.json", "{\"User\": \"app\", \"Env\": [\"A=1\"]}"),
        ]);
        assert_eq!(case.settings().unwrap(), [("snapshot".to_owned(), Value::Text("2026".into()))]);
        assert_eq!(case.arguments().unwrap()["VERSION"], "1");
        assert_eq!(case.image().unwrap().user, "app");
    }

    #[test]
    fn a_wrong_line_has_its_own_number() {
        let (_dir, case) = case(&[
            ("settings.toml", "a = 1\nb = 1979-05-27\n"),
            ("args.toml", "A = 1\n"),
            ("image.json", "["),
        ]);
        let said = |error: ProjectError| super::super::outcome::chain(&error);
        let settings = said(case.settings().unwrap_err());
        assert!(settings.contains("settings.toml is wrong: line 2: b: "), "{settings}");
        assert!(said(case.arguments().unwrap_err()).contains("args.toml is wrong: "));
        assert!(said(case.image().unwrap_err()).contains("image.json is wrong: "));
    }
}
