//! From statements to stages with a plan for each step.
//!
//! A stage begins with a keyword whose plugin says so (FROM). Only stages that the target needs
//! are planned: those it stands on and those its plans copy from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use wharf_model::build::{Action, Input, Op, Plan, StageStart};
use wharf_model::{Diagnostic, Digest, Platform, Severity, Span};
use wharf_plugin::{Plugins, Trace};
use wharf_store::Image;

use super::builtin::BUILT_IN;
use super::context::Context;
use super::dockerfile::{self, Dockerfile, Keywords, Statement};
use super::expanding::Expanding;
use super::inputs::name_of;
use super::kept::KeptPlans;
use super::lint;
use super::record::Recorder;
use super::request::{At, BuildError, BuildOptions};
use super::stage::{Arguments, PROXIES, State};
use crate::Engine;

mod naming;
mod section;
mod statement;

use section::Section;
use statement::Walk;

/// All stages that are needed, each after those it needs.
#[derive(Debug)]
pub(super) struct BuildPlan {
    /// By their number in the Dockerfile.
    pub(super) stages: BTreeMap<usize, Stage>,
    /// In the order they are built; the target is the last.
    pub(super) order: Vec<usize>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// One planned stage.
#[derive(Debug)]
pub(super) struct Stage {
    /// Its name, or its number.
    pub(super) name: String,
    pub(super) base: Base,
    /// The base as the statement names it, when that is an image.
    pub(super) reference: Option<String>,
    /// The statement that begins it.
    pub(super) start: Beginning,
    pub(super) steps: Vec<Step>,
    /// Before its first step.
    pub(super) state: State,
}

/// The statement that begins a stage, for `--explain`.
#[derive(Debug, Clone)]
pub(super) struct Beginning {
    pub(super) span: Span,
    pub(super) statement: String,
    /// The comments above it.
    pub(super) comments: Vec<String>,
    pub(super) plugin: String,
    pub(super) plugin_digest: Digest,
    pub(super) trace: Trace,
    /// Whether the plan was kept or made anew, in words.
    pub(super) planned: String,
}

/// What a stage stands on.
#[derive(Debug, Clone)]
pub(super) enum Base {
    Scratch,
    Image(Box<Image>),
    Stage(usize),
    /// A context that has a name. No stage stands on one: its files are copied.
    Directory(Arc<Context>),
}

/// One statement with its plan, and the stage's state before it.
#[derive(Debug)]
pub(super) struct Step {
    /// Among all of the build's nodes, see `graph.rs`.
    pub(super) number: usize,
    pub(super) span: Span,
    pub(super) statement: String,
    pub(super) keyword: wharf_model::Keyword,
    pub(super) plugin: String,
    pub(super) plugin_digest: Digest,
    pub(super) trace: Trace,
    /// Whether the plan was kept or made anew, in words.
    pub(super) planned: String,
    pub(super) plan: Plan,
    pub(super) state: State,
    /// What [`Input::Named`] stands for in this step's plan.
    pub(super) named: BTreeMap<String, Base>,
    /// What images among them are called where they come from, when that is another name.
    pub(super) given: BTreeMap<String, String>,
}

impl Engine {
    pub(super) fn plan_build(
        &self,
        options: &BuildOptions,
        path: &Path,
        text: &[u8],
        (context, images): (&Context, &dyn Images),
        recorder: Option<&mut Recorder>,
    ) -> Result<BuildPlan, At> {
        let keywords = self.build_keywords()?;
        let dockerfile = parse(path, text, &keywords)?;
        let ground = Ground { plugins: &self.plugins, images, context };
        let mut planner = Planner::of(ground, &keywords, (&dockerfile, text), options);
        planner.recorder = recorder;
        planner.kept = Some(KeptPlans::new(&self.store));
        planner.split(&dockerfile, options.target.as_deref())?;
        let target = planner.target(options.target.as_deref())?;
        planner.plan_stage(target)?;
        planner.kept.take().into_iter().for_each(KeptPlans::write);
        planner.warn_unused(options);
        let filters = planner.warn_of_filters(&options.no_cache_filter);
        let mut warnings = planner.warnings;
        if planner.directive.error {
            no_warnings(&warnings)?;
        }
        warnings.extend(filters);
        Ok(BuildPlan { stages: planner.stages, order: planner.order, warnings })
    }

    /// Plans every stage as far as possible, for what there is to say about them.
    pub(super) fn plan_leniently(
        &self,
        options: &BuildOptions,
        path: &Path,
        text: &[u8],
        context: &Context,
    ) -> (Vec<Diagnostic>, Option<At>) {
        let parsed = self.build_keywords().and_then(|keywords| Ok((parse(path, text, &keywords)?, keywords)));
        let (dockerfile, keywords) = match parsed {
            Ok(parsed) => parsed,
            Err(at) => return (Vec::new(), Some(at)),
        };
        let ground = Ground { plugins: &self.plugins, images: self, context };
        let mut planner = Planner::of(ground, &keywords, (&dockerfile, text), options);
        planner.lenient = true;
        let planned = planner.plan_all(&dockerfile);
        (planner.warnings, planned.err())
    }

    /// Plans every stage, whether the target needs it or not. Images that are not here count as
    /// empty, and are named in the answer.
    pub(super) fn plan_every_stage(
        &self,
        options: &BuildOptions,
        path: &Path,
        text: &[u8],
        context: &Context,
    ) -> Result<(BuildPlan, BTreeSet<String>), At> {
        let keywords = self.build_keywords()?;
        let dockerfile = parse(path, text, &keywords)?;
        let ground = Ground { plugins: &self.plugins, images: self, context };
        let mut planner = Planner::of(ground, &keywords, (&dockerfile, text), options);
        planner.lenient = true;
        planner.plan_all(&dockerfile)?;
        let Planner { stages, order, warnings, absent, .. } = planner;
        Ok((BuildPlan { stages, order, warnings }, absent))
    }

    /// Reads a Dockerfile with the keywords of the configured plugins; unknown ones are no error.
    ///
    /// # Errors
    /// When a plugin can not be loaded, or the text is malformed.
    pub fn parse_dockerfile(&self, path: &Path, text: &[u8]) -> Result<Dockerfile, BuildError> {
        let keywords = self.build_keywords().map_err(|at| at.error)?;
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        Ok(dockerfile::parse(&file, text, &keywords)?)
    }

    fn build_keywords(&self) -> Result<Keywords, At> {
        Ok(Keywords::new(self.plugins.keywords()?.into_iter().map(|(spec, _)| spec)))
    }
}

fn parse(path: &Path, text: &[u8], keywords: &Keywords) -> Result<Dockerfile, At> {
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let dockerfile = dockerfile::parse(&file, text, keywords)?;
    dockerfile.check(keywords)?;
    Ok(dockerfile)
}

/// What a FROM of a directory does.
fn all_of(name: &str) -> String {
    format!("COPY --from={name} / /")
}

/// For a file whose directive makes warnings errors.
fn no_warnings(warnings: &[Diagnostic]) -> Result<(), At> {
    let rules: BTreeSet<&str> = warnings.iter().map(|warning| warning.code.as_str()).collect();
    let Some(first) = warnings.first() else { return Ok(()) };
    let error = BuildError::Lint(rules.into_iter().collect::<Vec<_>>().join(", "));
    Err(At { span: first.span.clone(), error })
}

/// Where base images are found.
pub(crate) trait Images {
    /// An image that a build stands on or copies from, for this machine where no platform is named.
    fn base_image(&self, name: &str, platform: Option<&Platform>) -> Result<Image, BuildError>;
}

/// What planning asks: the plugins, for base images, for files.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) plugins: &'a Plugins,
    pub(super) images: &'a dyn Images,
    pub(super) context: &'a Context,
}

pub(super) struct Planner<'a> {
    ground: Ground<'a>,
    keywords: &'a Keywords,
    escape: char,
    arguments: Arguments,
    sections: Vec<Section<'a>>,
    stages: BTreeMap<usize, Stage>,
    order: Vec<usize>,
    /// Those that are wanted.
    warnings: Vec<Diagnostic>,
    directive: lint::Directive,
    /// Build arguments that some ARG took.
    used: BTreeSet<String>,
    /// The arguments as they are when nobody gives one.
    defaults: Arguments,
    names: lint::Names,
    /// Stages in which a working directory was set.
    moved: BTreeSet<usize>,
    /// What is built for, when somebody said so.
    platform: Option<Platform>,
    /// An image that is not here is taken for an empty one.
    lenient: bool,
    /// Stages on such an image: nobody knows their variables.
    unknown: BTreeSet<usize>,
    /// The full names of such images.
    absent: BTreeSet<String>,
    pub(super) recorder: Option<&'a mut Recorder>,
    /// Where plans are kept; without it each is made anew.
    kept: Option<KeptPlans<'a>>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        ground: Ground<'a>,
        keywords: &'a Keywords,
        escape: char,
        arguments: Arguments,
    ) -> Self {
        Self {
            ground,
            keywords,
            escape,
            arguments,
            sections: Vec::new(),
            stages: BTreeMap::new(),
            order: Vec::new(),
            warnings: Vec::new(),
            directive: lint::Directive::default(),
            used: BTreeSet::new(),
            defaults: Arguments::new(&BTreeMap::new(), &Platform::host()),
            names: lint::Names::default(),
            moved: BTreeSet::new(),
            platform: None,
            lenient: false,
            unknown: BTreeSet::new(),
            absent: BTreeSet::new(),
            recorder: None,
            kept: None,
        }
    }

    /// For a whole file.
    fn of(
        ground: Ground<'a>,
        keywords: &'a Keywords,
        (dockerfile, text): (&Dockerfile, &[u8]),
        options: &BuildOptions,
    ) -> Self {
        let wanted = options.platform.clone().unwrap_or_else(Platform::host);
        let arguments = Arguments::new(&options.build_args, &wanted);
        let mut planner = Self::new(ground, keywords, dockerfile.escape, arguments);
        planner.platform.clone_from(&options.platform);
        planner.directive = lint::Directive::of(text, options.check.as_deref());
        planner.warnings = lint::of_writing(dockerfile, keywords, &planner.directive);
        if let Some(frontend) = &options.frontend {
            planner.warnings.retain(|warning| warning.code != dockerfile::FOREIGN_FRONTEND);
            planner.say(&[], dockerfile::foreign_frontend(frontend));
        }
        planner
    }

    /// Keeps what is wanted of what there is to say about a statement, which has these comments above it.
    fn say(&mut self, comments: &[String], warnings: impl IntoIterator<Item = Diagnostic>) {
        let wanted = self.directive.below(comments).keep(warnings);
        self.warnings.extend(wanted);
    }

    /// Plans every stage, also those that none needs.
    pub(super) fn plan_all(&mut self, dockerfile: &'a Dockerfile) -> Result<(), At> {
        self.split(dockerfile, None)?;
        (0..self.sections.len()).try_for_each(|number| self.plan_stage(number))
    }

    fn plan_stage(&mut self, number: usize) -> Result<(), At> {
        if self.stages.contains_key(&number) {
            return Ok(());
        }
        let start = self.sections[number].beginning.clone();
        let span = start.span.clone();
        let replaced = self.sections[number].start.name.clone();
        let replaced = replaced.filter(|name| self.ground.context.given(name).is_some());
        let base = match &replaced {
            Some(name) => self.named(name, number, false),
            None => self.base(number),
        };
        let base = base.map_err(|at| at.on(&span))?;
        let named = replaced.clone().or_else(|| name_of(&self.sections[number].start.base));
        let (base, copied) = match base {
            Base::Directory(_) => (Base::Scratch, named.iter().map(|name| all_of(name)).collect()),
            base => (base, Vec::new()),
        };
        self.check_platform(number, &base);
        let mut state = self.first_state(number, &base);
        let triggers = std::mem::take(&mut state.config.config.on_build);
        let is_image = matches!(base, Base::Image(_));
        let reference = named.filter(|_| is_image).map(|name| self.real_name(&name).unwrap_or(name));
        let name = self.stage_name(number);
        let mut stage = Stage { name, base, reference, start, steps: Vec::new(), state };
        let state = stage.state.clone();
        let expanding = Expanding::default();
        let mut walk = Walk { number, state, steps: Vec::new(), inside: self.inside(number), expanding };
        for lines in [copied, triggers].iter().filter(|lines| !lines.is_empty()) {
            let lines = dockerfile::parse_lines(lines, &span, self.escape, self.keywords)?;
            self.plan_statements(&lines, &mut walk)?;
        }
        if replaced.is_none() {
            let statements = self.sections[number].statements;
            self.plan_statements(statements, &mut walk)?;
        }
        stage.steps = walk.steps;
        if walk.inside.has_directory {
            self.moved.insert(number);
        }
        self.stages.insert(number, stage);
        self.order.push(number);
        Ok(())
    }

    /// A stage begins with what the stage that it stands on has said.
    fn inside(&mut self, number: usize) -> lint::Inside {
        let below = match &self.sections[number].start.base {
            Input::Named(name) => self.stage_of(name, number),
            _ => None,
        };
        if below.is_some_and(|below| self.unknown.contains(&below)) {
            self.unknown.insert(number);
        }
        let has_directory = below.is_some_and(|below| self.moved.contains(&below));
        lint::Inside::after(has_directory)
    }

    fn stage_name(&self, number: usize) -> String {
        self.sections[number].start.name.clone().unwrap_or_else(|| format!("stage-{number}"))
    }

    /// A base image for another platform than the one that is wanted.
    fn check_platform(&mut self, number: usize, base: &Base) {
        let start = &self.sections[number].start;
        let (Base::Image(image), Input::Named(name)) = (base, &start.base) else { return };
        let wanted = self.platform_of(number, false).unwrap_or_else(Platform::host);
        let Beginning { span, comments, .. } = &self.sections[number].beginning;
        let said = lint::other_platform(name, &image.config, &wanted, span);
        let comments = comments.clone();
        self.say(&comments, said);
    }

    fn first_state(&self, number: usize, base: &Base) -> State {
        let arguments = self.arguments.clone();
        let state = match base {
            Base::Scratch | Base::Directory(_) => {
                let platform = self.platform_of(number, false).unwrap_or_else(Platform::host);
                State::new(wharf_model::image::ImageConfig::empty(&platform), arguments)
            }
            Base::Image(image) => State::new(image.config.clone(), arguments),
            Base::Stage(stage) => State::on_stage(self.stages[stage].last_state(), arguments),
        };
        state.with_path()
    }

    /// What a plugin says of a statement.
    fn warn(&mut self, diagnostics: &[Diagnostic], statement: &Statement) {
        let placed = diagnostics.iter().cloned().map(|mut diagnostic| {
            diagnostic.span.get_or_insert_with(|| statement.span.clone());
            diagnostic
        });
        self.say(&statement.comments, placed);
    }

    fn warn_unused(&mut self, options: &BuildOptions) {
        let is_own =
            |name: &str| PROXIES.contains(&name) || name == "SOURCE_DATE_EPOCH" || name.starts_with(BUILT_IN);
        let unused = options.build_args.keys().filter(|name| !self.used.contains(*name) && !is_own(name));
        let warning = |name: &String| {
            let message = format!("one or more build-args [{name}] were not consumed");
            let meant = dockerfile::nearest(name, self.used.iter().map(String::as_str));
            let help = meant.map(|meant| format!("did you mean {meant}?"));
            Diagnostic { help, ..Diagnostic::new(Severity::Warning, "UnconsumedBuildArg", message) }
        };
        let warnings: Vec<Diagnostic> = unused.map(warning).collect();
        self.say(&[], warnings);
    }
}

impl Stage {
    /// After its last step.
    pub(super) fn last_state(&self) -> State {
        let Some(last) = self.steps.last() else { return self.state.clone() };
        let mut state = last.state.clone();
        last.plan.config.iter().for_each(|change| state.apply(change));
        state
    }
}

/// A state after instructions that change its config only.
pub(super) fn change_config(
    engine: &Engine,
    context: &Context,
    lines: &[String],
    state: State,
) -> Result<State, At> {
    let keywords = Keywords::new(engine.plugins.keywords()?.into_iter().map(|(spec, _)| spec));
    let span = Span { file: "--change".to_owned(), line: 1, column: 1, end_line: 1, end_column: 1 };
    let statements = dockerfile::parse_lines(lines, &span, '\\', &keywords)?;
    let ground = Ground { plugins: &engine.plugins, images: engine, context };
    let mut planner = Planner::new(ground, &keywords, '\\', Arguments::default());
    let beginning = Beginning {
        span,
        statement: String::new(),
        comments: Vec::new(),
        plugin: String::new(),
        plugin_digest: Digest::of([]),
        trace: Trace::default(),
        planned: String::new(),
    };
    let start = StageStart { base: Input::Scratch, name: None, platform: None, diagnostics: Vec::new() };
    if let Some(stage) = statements.iter().find(|statement| planner.starts_stage(statement)) {
        return Err(BuildError::Change(format!("{} begins a stage", stage.written)).into());
    }
    planner.sections.push(Section { start, beginning, statements: &[] });
    let (inside, expanding) = (lint::Inside::default(), Expanding::default());
    let mut walk = Walk { number: 0, state, steps: Vec::new(), inside, expanding };
    planner.plan_statements(&statements, &mut walk)?;
    // A directory to work in is made when a container starts, as docker has it for `--change`.
    let changes_files = |op: &Op| !matches!(op.action, Action::Mkdir { .. });
    match walk.steps.iter().find(|step| step.plan.ops.iter().any(changes_files)) {
        Some(step) => Err(BuildError::Change(format!("{} changes files", step.keyword)).into()),
        None => Ok(walk.state),
    }
}
