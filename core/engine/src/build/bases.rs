//! Base images: those that are here, and those that a registry has.

use std::cell::RefCell;
use std::collections::BTreeSet;

use wharf_model::Platform;
use wharf_store::Image;

use super::execute::Listener;
use super::inputs;
use super::plan::Images;
use super::progress::BuildEvent;
use super::request::BuildError;
use crate::Engine;
use crate::image::{PullEvent, PullPolicy};

/// Finds base images for one build; each is asked for once.
pub(super) struct Bases<'a, 'r> {
    engine: &'a Engine,
    policy: PullPolicy,
    report: RefCell<&'a mut Listener<'r>>,
    pulled: RefCell<BTreeSet<(String, String)>>,
}

impl<'a, 'r> Bases<'a, 'r> {
    pub(super) fn new(engine: &'a Engine, policy: PullPolicy, report: &'a mut Listener<'r>) -> Self {
        Self { engine, policy, report: RefCell::new(report), pulled: RefCell::default() }
    }
}

impl Images for Bases<'_, '_> {
    fn base_image(&self, name: &str, platform: Option<&Platform>) -> Result<Image, BuildError> {
        let asked = (name.to_owned(), platform.map(Platform::to_string).unwrap_or_default());
        let policy = if self.pulled.borrow().contains(&asked) { PullPolicy::Never } else { self.policy };
        let mut report = self.report.borrow_mut();
        let reference = inputs::reference(name)?;
        let show = &mut |event: PullEvent<'_>| report(BuildEvent::Pull(event));
        let pulled = self.engine.pull_by_name(&reference, platform, policy, show);
        match pulled {
            Ok(_) => {
                self.pulled.borrow_mut().insert(asked);
                self.engine.base_image(name, platform)
            }
            Err(why) => Err(self.engine.no_image(name, &reference, Some(Box::new(why)))),
        }
    }
}
