//! What a name stands for: the target, what FROM stands on, what COPY and RUN --mount read from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wharf_model::build::{Action, Input, Plan};
use wharf_model::{Diagnostic, Platform, Severity};
use wharf_store::ResolveError;

use super::{Base, Planner, Section};
use crate::build::dockerfile;
use crate::build::inputs::{mount_source, name_of};
use crate::build::named::Given;
use crate::build::request::{At, BuildError};

impl Planner<'_> {
    /// The last stage, or the one of that name or number.
    pub(super) fn target(&self, wanted: Option<&str>) -> Result<usize, At> {
        let last = self.sections.len() - 1;
        let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else { return Ok(last) };
        let found = self.stage_of(wanted, self.sections.len());
        let known = || self.sections.iter().filter_map(|section| section.start.name.clone()).collect();
        found.ok_or_else(|| BuildError::Target { wanted: wanted.to_owned(), known: known() }.into())
    }

    /// Stages whose cache is not to be used, and which are not there.
    pub(super) fn warn_of_filters(&self, filters: &[String]) -> Vec<Diagnostic> {
        let known: Vec<String> = (0..self.sections.len()).map(|number| self.stage_name(number)).collect();
        let is_known = |name: &str| known.iter().any(|known| known.eq_ignore_ascii_case(name));
        let unknown = filters.iter().filter(|name| !name.is_empty() && !is_known(name));
        let warning = |name: &String| {
            let message = format!("--no-cache-filter names \"{name}\", and no stage is called that");
            let meant = dockerfile::nearest(name, known.iter().map(String::as_str));
            let help = meant.map(|meant| format!("did you mean {meant}?"));
            Diagnostic { help, ..Diagnostic::new(Severity::Warning, "UnknownStage", message) }
        };
        unknown.map(warning).collect()
    }

    /// A stage before `limit`, by name or number; of several with one name, the last.
    pub(super) fn stage_of(&self, name: &str, limit: usize) -> Option<usize> {
        let same = |section: &Section<'_>| {
            section.start.name.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(name))
        };
        let by_number = || name.parse::<usize>().ok().filter(|number| *number < limit);
        (0..limit).rev().find(|number| same(&self.sections[*number])).or_else(by_number)
    }

    pub(super) fn base(&mut self, number: usize) -> Result<Base, At> {
        match self.sections[number].start.base.clone() {
            Input::Scratch => Ok(Base::Scratch),
            Input::Named(name) => self.named(&name, number, false),
            Input::Stage | Input::Local | Input::Op(_) => {
                let cause = "a stage stands on an image, an earlier stage or nothing".to_owned();
                Err(BuildError::Plan { plugin: "FROM".to_owned(), cause }.into())
            }
        }
    }

    /// A context of that name, else an earlier stage by name (and number, for sources), else an image.
    pub(super) fn named(&mut self, name: &str, before: usize, by_number: bool) -> Result<Base, At> {
        match self.ground.context.given(name) {
            Some(Given::Directory(context)) => return Ok(Base::Directory(Arc::clone(context))),
            Some(Given::Image { image, .. }) => return Ok(Base::Image(image.clone())),
            None => {}
        }
        let numeric = name.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(stage) = self.stage_of(name, before).filter(|_| by_number || !numeric) {
            self.plan_stage(stage)?;
            return Ok(Base::Stage(stage));
        }
        if numeric && by_number {
            return Err(BuildError::StageNumber { number: name.to_owned(), stages: before }.into());
        }
        if by_number && self.stage_of(name, self.sections.len()).is_some() {
            return Err(
                BuildError::LaterStage { from: name.to_owned(), stage: self.stage_name(before) }.into()
            );
        }
        let platform = self.platform_of(before, by_number);
        match self.ground.images.base_image(name, platform.as_ref()) {
            Err(BuildError::NoImage { full, .. }) if self.lenient => {
                self.unknown.insert(before);
                self.absent.insert(full);
                Ok(Base::Scratch)
            }
            // Whoever only looks gets a warning about it.
            Err(BuildError::Image(ResolveError::Platform { .. })) if self.lenient => {
                Ok(Base::Image(Box::new(self.ground.images.base_image(name, None)?)))
            }
            Err(BuildError::NoImage { full, why, id, .. }) => {
                let names =
                    self.sections[..before].iter().filter_map(|section| section.start.name.as_deref());
                let meant = dockerfile::nearest(name, names).map(str::to_owned);
                Err(BuildError::NoImage { full, meant, id, why }.into())
            }
            image => Ok(Base::Image(Box::new(image?))),
        }
    }

    /// The platform of a stage's base, as its FROM says or the whole build is for; what it copies from is
    /// for the latter.
    pub(super) fn platform_of(&self, number: usize, is_source: bool) -> Option<Platform> {
        let own = self.sections[number].start.platform.clone().filter(|_| !is_source);
        own.or_else(|| self.platform.clone())
    }

    /// What an image is called where it comes from, when the name was given to it for this build.
    pub(super) fn real_name(&self, name: &str) -> Option<String> {
        match self.ground.context.given(name) {
            Some(Given::Image { reference, .. }) => Some(reference.clone()),
            _ => None,
        }
    }

    pub(super) fn named_inputs(&mut self, plan: &Plan, before: usize) -> Result<BTreeMap<String, Base>, At> {
        let mut names = BTreeSet::new();
        for op in &plan.ops {
            match &op.action {
                Action::Copy(copy) => names.extend(name_of(&copy.source)),
                Action::Exec(exec) => {
                    names.extend(exec.mounts.iter().flat_map(mount_source).flat_map(name_of))
                }
                Action::Image { reference, .. } => names.extend([reference.clone()]),
                _ => {}
            }
        }
        names.into_iter().map(|name| Ok((name.clone(), self.named(&name, before, true)?))).collect()
    }
}
