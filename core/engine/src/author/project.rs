//! A plugin's project: where its component is, and its cases.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::case::Case;
use super::inject::{self, Run};
use super::outcome::Tested;
use super::workshop::{Candidate, Workshop, WorkshopError};
use super::{hook, instruction};
use wharf_plugin::{World, rights};

/// Directories in which a build leaves its component.
const BUILT: [&str; 4] = ["", "build", "dist", "target/wasm32-unknown-unknown/release"];

/// A project.
#[derive(Debug)]
pub struct Project {
    directory: PathBuf,
}

/// Which cases, and what to do with them.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only cases whose name holds this.
    pub filter: Option<String>,
    /// What comes out is what is expected from now on.
    pub bless: bool,
}

/// Why a project can not be tested.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// Nothing was built.
    #[error("no component in {directory}", directory = .directory.display())]
    NoComponent {
        /// The project.
        directory: PathBuf,
    },
    /// No case is there, or none that was asked for.
    #[error("no test case in {directory}{}", of_filter(.filter.as_deref()), directory = .directory.display())]
    NoCase {
        /// Where they belong.
        directory: PathBuf,
        /// What was asked for.
        filter: Option<String>,
    },
    /// A file of a case.
    #[error("cannot read or write {path}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of a case says something that can not be.
    #[error("{path} is wrong", path = .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The plugin.
    #[error(transparent)]
    Workshop(#[from] WorkshopError),
}

fn of_filter(filter: Option<&str>) -> String {
    filter.map(|filter| format!(" whose name holds `{filter}`")).unwrap_or_default()
}

impl ProjectError {
    /// What to do next, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::NoComponent { .. } => {
                Some("build it first, with `wharf plugin build`, or name it with `--component FILE`".into())
            }
            Self::NoCase { filter: None, .. } => {
                Some("make `tests/first/Dockerfile` and run `wharf plugin test --bless`".into())
            }
            Self::Workshop(error) => error.next_step(),
            Self::NoCase { .. } | Self::File { .. } | Self::Content { .. } => None,
        }
    }
}

impl Project {
    /// A project's directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The component that was built last.
    ///
    /// # Errors
    /// When there is none.
    pub fn component(&self) -> Result<PathBuf, ProjectError> {
        let built = BUILT.iter().flat_map(|place| components(&self.directory.join(place)));
        let newest = built.max_by_key(|(modified, _)| *modified).map(|(_, path)| path);
        newest.ok_or_else(|| ProjectError::NoComponent { directory: self.directory.clone() })
    }

    /// Carries out the cases.
    ///
    /// # Errors
    /// When a case can not be read; one that fails is in the answer.
    pub fn test(
        &self,
        workshop: &Workshop,
        candidate: &Candidate,
        selection: &Selection,
    ) -> Result<Tested, ProjectError> {
        let mut tested = Tested {
            plugin: candidate.name().to_owned(),
            kind: candidate.world().as_str(),
            digest: candidate.digest().to_string(),
            checks: Vec::new(),
            notes: Vec::new(),
        };
        match candidate.world() {
            World::Instruction | World::Hook => self.cases(workshop, candidate, selection, &mut tested)?,
            World::Storage | World::Network => {
                inject::driver(workshop, candidate, &mut Run::new(&mut tested.checks))?;
            }
        }
        Ok(tested)
    }

    fn cases(
        &self,
        workshop: &Workshop,
        candidate: &Candidate,
        selection: &Selection,
        tested: &mut Tested,
    ) -> Result<(), ProjectError> {
        let cases = self.find(selection.filter.as_deref())?;
        let used = match candidate.world() {
            World::Hook => hook::run(workshop, candidate, &cases, selection.bless, &mut tested.checks)?,
            _ => instruction::run(workshop, candidate, &cases, selection.bless, &mut tested.checks)?,
        };
        if selection.filter.is_none() {
            let requested = rights::words(&candidate.config.grants);
            let unused = requested.difference(&used);
            tested.notes.extend(unused.map(|right| format!("requested and used by no case: {right}")));
        }
        Ok(())
    }

    /// Sorted by name.
    fn find(&self, filter: Option<&str>) -> Result<Vec<Case>, ProjectError> {
        let tests = self.directory.join("tests");
        let mut cases = Vec::new();
        for entry in fs::read_dir(&tests).into_iter().flatten() {
            let entry = entry.map_err(|source| ProjectError::File { path: tests.clone(), source })?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let wanted = filter.is_none_or(|filter| name.contains(filter));
            if wanted && entry.path().is_dir() && Case::is_one(&entry.path()) {
                cases.push(Case::new(name, entry.path()));
            }
        }
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        if cases.is_empty() {
            return Err(ProjectError::NoCase { directory: tests, filter: filter.map(str::to_owned) });
        }
        Ok(cases)
    }
}

fn components(directory: &Path) -> Vec<(std::time::SystemTime, PathBuf)> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let components = files.filter(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    components.filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path))).collect()
}
