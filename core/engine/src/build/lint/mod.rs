//! What is allowed in a Dockerfile but probably not meant: `build --check`.
//!
//! | what is looked at | file |
//! |---|---|
//! | how it is written | `writing.rs` |
//! | what its stages are called and stand on | `stages.rs` |
//! | what plugins say of their own statements | the plans, see [`super::plan`] |
//!
//! Rules have the names that docker gave them, so that `# check=skip=NAME;error=true` means here
//! what it means there. No rule knows a keyword: what begins a stage, declares an argument or
//! sets a command is what a keyword's description and its plan say.
//!
//! A check runs nothing. Images that are not here are taken for empty ones, whose variables
//! nobody knows; nothing is said of variables there.

mod directive;
mod stages;
mod writing;

use std::path::Path;

use wharf_model::build::{Action, Input, Plan};
use wharf_model::image::ImageConfig;
use wharf_model::{Diagnostic, Keyword, Platform, Severity, Span};

use super::context::Context;
use super::dockerfile::{Dockerfile, Keywords, nearest};
use super::gather::Gathered;
use super::request::{BuildFailure, BuildOptions};
use super::words::Scope;
use crate::Engine;

pub(super) use directive::Directive;
pub(super) use stages::{FromCheck, Inside, Names};

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// In the order of the file; what its `check` directives skip is left out.
    pub warnings: Vec<Diagnostic>,
    /// The file can not be built at all.
    pub failure: Option<BuildFailure>,
    /// Its directive says that warnings fail a build.
    pub error: bool,
}

impl Engine {
    /// Looks at a Dockerfile without building it.
    ///
    /// `path` is its name as errors show it; COPY and ADD are held against the options' context.
    ///
    /// # Errors
    /// When the context can not be read. What is wrong in the file is part of the answer.
    pub fn check(&self, options: &BuildOptions, path: &Path, text: &[u8]) -> Result<Checked, BuildFailure> {
        let context = Context::open(&options.context, Some(path))
            .map_err(|error| BuildFailure::anywhere(error.into()))?;
        Ok(self.checked(options, path, text, &context))
    }

    /// Looks at the Dockerfile that a build with these options would read.
    ///
    /// # Errors
    /// When the Dockerfile or the context can not be read.
    pub fn check_build(&self, options: &BuildOptions) -> Result<Checked, BuildFailure> {
        let Gathered { context, path, text } =
            self.gather(options, &mut |_| {}).map_err(BuildFailure::anywhere)?;
        Ok(self.checked(options, &path, &text, &context))
    }

    fn checked(&self, options: &BuildOptions, path: &Path, text: &[u8], context: &Context) -> Checked {
        let (mut warnings, failure) = self.plan_leniently(options, path, text, context);
        warnings.sort_by_key(|warning| warning.span.as_ref().map_or(0, |span| span.line));
        let error = Directive::of(text, options.check.as_deref()).error;
        Checked { warnings, failure: failure.map(|at| at.in_text(text)), error }
    }
}

/// What can be said before anything is planned.
pub(super) fn of_writing(
    dockerfile: &Dockerfile,
    keywords: &Keywords,
    directive: &Directive,
) -> Vec<Diagnostic> {
    let whole = dockerfile.warnings.iter().cloned().chain(writing::casing(dockerfile));
    let mut warnings = directive.keep(whole);
    for statement in &dockerfile.statements {
        let said = writing::description(statement, keywords);
        warnings.extend(directive.below(&statement.comments).keep(said));
    }
    warnings
}

/// Files of the context that a plan copies by name although the ignore file leaves them out.
pub(super) fn ignored(keyword: &Keyword, plan: &Plan, context: &Context, span: &Span) -> Vec<Diagnostic> {
    let copies = plan.ops.iter().filter_map(|op| match &op.action {
        Action::Copy(copy) if copy.source == Input::Local => Some(copy),
        _ => None,
    });
    let named = copies.flat_map(|copy| &copy.paths).filter(|path| !path.contains(['*', '?', '[']));
    let word = capitalised(keyword.as_str());
    named
        .filter(|path| context.leaves_out(path))
        .map(|path| {
            let by = context.ignored_by();
            let message = format!("Attempting to {word} file {path:?} that is excluded by {by}");
            warning("CopyIgnoredFile", message, span)
        })
        .collect()
}

/// A base image that is for another operating system or processor.
pub(super) fn other_platform(
    name: &str,
    config: &ImageConfig,
    wanted: &Platform,
    span: &Span,
) -> Option<Diagnostic> {
    let is = Platform { os: config.os.clone(), architecture: config.architecture.clone(), variant: None };
    let fits = (&is.os, &is.architecture) == (&wanted.os, &wanted.architecture);
    let message = format!(
        "Base image {name} was pulled with platform \"{is}\", expected \"{wanted}\" for current build"
    );
    (!fits).then(|| warning("InvalidBaseImagePlatform", message, span))
}

fn capitalised(keyword: &str) -> String {
    let (first, rest) = keyword.split_at(keyword.len().min(1));
    format!("{}{}", first.to_uppercase(), rest.to_lowercase())
}

/// A variable that nothing gave a value.
pub(super) fn undefined(name: &str, scope: &dyn Scope, span: &Span) -> Diagnostic {
    let names = scope.names();
    let close = nearest(name, names.iter().map(String::as_str)).map(|close| format!("${close}"));
    let meant = meant(close.as_deref());
    warning("UndefinedVar", format!("Usage of undefined variable '${name}'{meant}"), span)
}

/// The end of a message about a name that looks like another one.
fn meant(close: Option<&str>) -> String {
    close.map(|close| format!(" (did you mean {close}?)")).unwrap_or_default()
}

/// A warning of a rule at a place.
fn warning(rule: &str, message: String, span: &Span) -> Diagnostic {
    let mut warning = Diagnostic::new(Severity::Warning, rule, message);
    warning.span = Some(span.clone());
    warning
}
