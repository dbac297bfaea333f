//! Planning without building: every stage of a Dockerfile, on base images of the caller's choice.

use std::collections::BTreeMap;
use std::path::Path;

use wharf_model::Platform;
use wharf_plugin::Plugins;

use super::context::Context;
use super::dockerfile::{self, Keywords};
use super::plan::{Ground, Images, Planner};
use super::record::Recorder;
use super::request::{At, BuildFailure};
use super::stage::Arguments;

/// A Dockerfile that is planned and not built.
pub(crate) struct Rehearsal<'a> {
    pub(crate) plugins: &'a Plugins,
    pub(crate) images: &'a dyn Images,
    /// The directory that plugins look into.
    pub(crate) context: &'a Path,
    /// As it is called in errors.
    pub(crate) file: &'a str,
    pub(crate) text: &'a [u8],
    pub(crate) arguments: &'a BTreeMap<String, String>,
}

impl Rehearsal<'_> {
    /// Plans every statement. What was asked until an error is in `recorder` too.
    pub(crate) fn run(&self, recorder: &mut Recorder) -> Result<(), BuildFailure> {
        self.plan(recorder).map_err(|At { span, error }| {
            let excerpt = span.as_ref().map(|span| dockerfile::excerpt(self.text, span));
            BuildFailure { span, excerpt, error }
        })
    }

    fn plan(&self, recorder: &mut Recorder) -> Result<(), At> {
        let context = Context::open(self.context, None)?;
        let keywords = Keywords::new(self.plugins.keywords()?.into_iter().map(|(spec, _)| spec));
        let dockerfile = dockerfile::parse(self.file, self.text, &keywords)?;
        dockerfile.check(&keywords)?;
        let arguments = Arguments::new(self.arguments, &Platform::host());
        let ground = Ground { plugins: self.plugins, images: self.images, context: &context };
        let mut planner = Planner::new(ground, &keywords, dockerfile.escape, arguments);
        planner.recorder = Some(recorder);
        planner.plan_all(&dockerfile)
    }
}
