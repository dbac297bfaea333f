//! A new plugin's project, put together from the templates in `plugins/templates/`.
//!
//! ```text
//! README.md, build.sh, src/      written for this plugin
//! tests/<case>/                  what it is held against
//! wit/                           the contract; wit/plugin.wit is this plugin's world
//! bindings/                      C: what a generator made of it
//! vendor/wharf-sdk/              Rust: the kit, which is in no registry
//! ```
//!
//! A project is complete: it needs neither a checkout of wharf nor this program to be built.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// What a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A Dockerfile instruction
    Instruction,
    /// A storage driver
    Storage,
    /// A network driver
    Network,
    /// A policy
    Hook,
}

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// Compiled, 50 kB
    Rust,
    /// Compiled, 40 kB
    C,
    /// With SpiderMonkey, 13 MB
    Js,
    /// With CPython, 18 MB
    Python,
}

/// Small letters, digits and hyphens, the first one a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(String);

/// The files of a project, by their paths.
pub(crate) struct Project {
    files: Vec<(String, Vec<u8>)>,
}

/// Why a project can not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectError {
    /// Nobody wrote it yet.
    #[error("there is no {language} template of the kind `{kind}`: choose one of {}", languages(*.kind).join(", "))]
    NoTemplate { kind: Kind, language: Language },
    /// There is something already.
    #[error("{} is not empty: choose another directory by `--dir`", .0.display())]
    NotEmpty(PathBuf),
    /// A file can not be written.
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Instruction => "instruction",
            Self::Storage => "storage",
            Self::Network => "network",
            Self::Hook => "hook",
        }
    }

    /// What the template's plugin does.
    const fn summary(self) -> &'static str {
        match self {
            Self::Instruction => "writes a text into the image",
            Self::Storage => "keeps whole trees",
            Self::Network => "loopback and nothing else",
            Self::Hook => "refuses containers of images without a fixed tag",
        }
    }

    /// What the template's plugin requests, in the words of the TOML.
    const fn rights(self) -> &'static str {
        match self {
            Self::Instruction => r#""write", "config""#,
            Self::Storage => r#""directory", "remove-tree", "mount-directory""#,
            Self::Network => r#""sysctl""#,
            Self::Hook => r#""judge""#,
        }
    }
}

impl Language {
    const fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Js => "js",
            Self::Python => "python",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

impl fmt::Display for Language {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        if !text.starts_with(|first: char| first.is_ascii_lowercase()) || !text.chars().all(fits) {
            return Err("expected small letters, digits and hyphens, the first one a letter");
        }
        if text.ends_with('-') || text.len() > 40 {
            return Err("expected at most 40 letters, the last one not a hyphen");
        }
        Ok(Self(text.to_owned()))
    }
}

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// `hello_world`.
    fn snake(&self) -> String {
        self.0.replace('-', "_")
    }

    /// `HelloWorld`.
    fn camel(&self) -> String {
        let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
        self.0.split('-').filter(|word| !word.is_empty()).map(capital).collect()
    }

    /// `HELLO_WORLD`.
    fn keyword(&self) -> String {
        self.snake().to_ascii_uppercase()
    }
}

impl Project {
    pub(crate) fn new(name: &Name, kind: Kind, language: Language) -> Result<Self, ProjectError> {
        let (language_word, kind_word) = (language.word(), kind.word());
        let own = format!("{language_word}/{kind_word}/");
        if !TEMPLATES.iter().any(|(path, _)| path.starts_with(&own)) {
            return Err(ProjectError::NoTemplate { kind, language });
        }
        let mut project = Self { files: Vec::new() };
        let world = format!("worlds/{kind_word}.wit");
        for (from, to) in [
            ("project/", ""),
            (&*format!("{language_word}/project/"), ""),
            (&own, ""),
            (&format!("{language_word}/bindings/{kind_word}/"), "bindings/"),
            (&format!("{language_word}/vendor/"), "vendor/"),
            (&format!("cases/{kind_word}/"), "tests/"),
            ("wit/", "wit/"),
            (&world, "wit/plugin.wit"),
        ] {
            // The kit brings its own worlds.
            if !(language == Language::Rust && from == world) {
                project.take(from, to, name, kind);
            }
        }
        Ok(project)
    }

    /// Takes the templates below `from`, with what stands for the name replaced.
    fn take(&mut self, from: &str, to: &str, name: &Name, kind: Kind) {
        for (path, content) in TEMPLATES {
            let Some(rest) = path.strip_prefix(from) else { continue };
            let path = filled(&format!("{to}{rest}"), name, kind);
            let content = match std::str::from_utf8(content) {
                Ok(text) => filled(text, name, kind).into_bytes(),
                Err(_) => content.to_vec(),
            };
            self.files.push((path, content));
        }
    }

    /// Writes it into a directory that is empty or not there yet.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), ProjectError> {
        if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(ProjectError::NotEmpty(dir.to_owned()));
        }
        for (path, content) in &self.files {
            let path = dir.join(path);
            write(&path, content).map_err(|source| ProjectError::Write { path, source })?;
        }
        Ok(())
    }
}

/// The languages that a kind has templates in.
fn languages(kind: Kind) -> Vec<&'static str> {
    let all = [Language::Rust, Language::C, Language::Js, Language::Python].map(Language::word);
    let has = |language: &&str| {
        let own = format!("{language}/{}/", kind.word());
        TEMPLATES.iter().any(|(path, _)| path.starts_with(&own))
    };
    all.into_iter().filter(has).collect()
}

fn filled(text: &str, name: &Name, kind: Kind) -> String {
    let config = format!(
        "[plugin.{name}]\nworld = \"{}\"\nsource = \"file:/path/to/{name}.wasm\"\ngrants = {{ ops = [{}] }}",
        kind.word(),
        kind.rights(),
        name = name.as_str(),
    );
    text.replace("__config__", &config)
        .replace("__summary__", kind.summary())
        .replace("__kind__", kind.word())
        .replace("__name__", name.as_str())
        .replace("__snake__", &name.snake())
        .replace("__Type__", &name.camel())
        .replace("__KEYWORD__", &name.keyword())
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mode = if content.starts_with(b"#!") { 0o777 } else { 0o666 };
    fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 4] = [Kind::Instruction, Kind::Storage, Kind::Network, Kind::Hook];

    #[test]
    fn names_are_words_of_every_language() {
        for (text, fits) in [
            ("hello", true),
            ("a", true),
            ("a1-b", true),
            ("", false),
            ("A", false),
            ("1a", false),
            ("a-", false),
        ] {
            assert_eq!(text.parse::<Name>().is_ok(), fits, "{text:?}");
        }
        let name: Name = "hello-big-world".parse().unwrap();
        assert_eq!(
            (name.snake(), name.camel(), name.keyword()),
            ("hello_big_world".into(), "HelloBigWorld".into(), "HELLO_BIG_WORLD".into())
        );
    }

    #[test]
    fn every_project_is_complete_and_no_placeholder_is_left() {
        let name: Name = "hello-world".parse().unwrap();
        for kind in KINDS {
            for language in [Language::Rust, Language::C, Language::Js, Language::Python] {
                let Ok(project) = Project::new(&name, kind, language) else { continue };
                let paths: Vec<&str> = project.files.iter().map(|(path, _)| &**path).collect();
                for path in ["README.md", ".gitignore", "build.sh", "wit/about.wit"] {
                    assert!(paths.contains(&path), "{kind:?} {language:?}: {path} is not among {paths:?}");
                }
                for (path, content) in &project.files {
                    let text = String::from_utf8_lossy(content);
                    let placeholders = ["name", "snake", "kind", "summary", "config", "Type", "KEYWORD"];
                    let left = placeholders.map(|word| format!("__{word}__")).into_iter();
                    let left: Vec<_> =
                        left.filter(|word| text.contains(&**word) || path.contains(&**word)).collect();
                    assert!(left.is_empty(), "{kind:?} {language:?}: {path} has {left:?}");
                }
            }
        }
    }

    /// What a new user builds first passes its tests.
    #[test]
    fn every_case_of_a_project_says_what_is_expected() {
        for kind in [Kind::Instruction, Kind::Hook] {
            let project = Project::new(&"a".parse().unwrap(), kind, Language::C).unwrap();
            let paths: Vec<&str> = project.files.iter().map(|(path, _)| &**path).collect();
            let asked = ["Dockerfile", "event.json"];
            let cases: Vec<&str> = paths
                .iter()
                .filter_map(|path| path.strip_prefix("tests/")?.rsplit_once('/'))
                .filter_map(|(case, file)| asked.contains(&file).then_some(case))
                .collect();
            assert!(cases.len() >= 2, "{kind:?}: {paths:?}");
            for case in cases {
                let expected = ["plan.json", "error.txt", "verdict.json"];
                let expected = expected.map(|file| format!("tests/{case}/{file}"));
                assert!(
                    expected.iter().any(|file| paths.contains(&&**file)),
                    "{kind:?}: {case} expects nothing"
                );
            }
        }
    }

    #[test]
    fn rust_has_every_kind_and_every_language_has_the_usual_ones() {
        assert!(KINDS.iter().all(|kind| languages(*kind).contains(&"rust")));
        for kind in [Kind::Instruction, Kind::Hook] {
            assert_eq!(languages(kind), ["rust", "c", "js", "python"]);
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = std::env::temp_dir().join(format!("wharf-project-{}", std::process::id()));
        let project = Project::new(&"a".parse().unwrap(), Kind::Hook, Language::Js).unwrap();
        project.write(&dir).unwrap();
        assert!(matches!(project.write(&dir), Err(ProjectError::NotEmpty(_))));
        fs::remove_dir_all(&dir).unwrap();
    }
}
