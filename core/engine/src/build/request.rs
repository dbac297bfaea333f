//! What a build is asked for, and what comes of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use wharf_model::{Diagnostic, Digest, Platform, Reference, ReferenceError, Severity, Span};
use wharf_plugin::PluginError;
use wharf_runtime::monitor;
use wharf_runtime::mount::MountError;
use wharf_runtime::user::UserError;
use wharf_store::{AttachError, CommitError, RecordError, ResolveError};

use super::agent::AgentError;
use super::bases::Bases;
use super::context::{Context, ContextError};
use super::copy::CopyError;
use super::dockerfile::{self, DockerfileError};
use super::execute::Executed;
use super::explain::Explained;
use super::gather::{GatherError, Gathered};
use super::git::GitError;
use super::graph;
use super::named::NamedError;
use super::output::{Output, OutputError, Product};
use super::plan::BuildPlan;
use super::program::{Entitlement, ProgramOptions};
use super::progress::BuildEvent;
use super::provenance::{Facts, Provenance, predicate};
use super::record::Recorder;
use super::secret::SecretError;
use super::share::{CacheFrom, CacheTo, CacheWriteError, Imported, Lost};
use super::source::SourceError;
use super::verify::VerifyError;
use crate::Engine;
use crate::author::bundle;
use crate::device::DeviceError;
use crate::hook::HookError;
use crate::image::{PullImageError, PullPolicy};
use crate::network::NetworkError;
use crate::snapshot::SnapshotError;

/// A file of which lines are shown is not longer.
const LONGEST_SHOWN: u64 = 1 << 20;

/// What to build, from what, and how.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// The directory that COPY and ADD read, or `-` for standard input, or the address of an archive,
    /// of a Dockerfile or of a git repository.
    pub context: PathBuf,
    /// `None` is `Dockerfile` in the context, `-` is standard input.
    pub dockerfile: Option<PathBuf>,
    /// Standard input, where `-` stands for it.
    pub input: Option<Arc<File>>,
    /// Further contexts: their names and what they stand for.
    pub contexts: Vec<(String, String)>,
    /// Names for the image.
    pub tags: Vec<String>,
    /// Values of ARGs.
    pub build_args: BTreeMap<String, String>,
    /// The stage to build; the last one without it.
    pub target: Option<String>,
    /// Run every step, whatever the cache holds.
    pub no_cache: bool,
    /// Further labels.
    pub labels: BTreeMap<String, String>,
    /// The network that RUN sees: a network's name; `None` is the config's.
    pub network: Option<String>,
    /// Seconds since 1970 instead of the base image's time.
    pub epoch: Option<i64>,
    /// Stages whose steps are run whatever the cache holds; an empty name means all.
    pub no_cache_filter: Vec<String>,
    /// What RUN's programs get, and what they may.
    pub programs: ProgramOptions,
    /// Where the result goes; to the store when nothing is said.
    pub outputs: Vec<Output>,
    /// Caches to read.
    pub cache_from: Vec<CacheFrom>,
    /// Caches to write.
    pub cache_to: Vec<CacheTo>,
    /// Build twice, and compare.
    pub verify: bool,
    /// Say what the result was made of; nothing without it.
    pub provenance: Option<Provenance>,
    /// Write down what planners were asked and what they read; see `author/replay.rs`.
    pub record: Option<PathBuf>,
    /// When a registry is asked for base images.
    pub pull: PullPolicy,
    /// What is built for: this machine without it.
    pub platform: Option<Platform>,
    /// Which checks are made, in the words of `# check=...`; the file's own without it.
    pub check: Option<String>,
    /// A build context that is a repository keeps its `.git`.
    pub keep_git_dir: bool,
    /// The frontend that is named instead of the file's `# syntax=...`. None is run.
    pub frontend: Option<String>,
}

/// A finished build.
#[derive(Debug, Clone)]
pub struct Built {
    /// The image's id, when one was made.
    pub id: Option<Digest>,
    /// The names it got.
    pub names: Vec<Reference>,
    /// What happened to each statement, and why.
    pub explained: Vec<Explained>,
    /// The frontend that was named. None is run.
    pub frontend: Option<String>,
    /// The predicate of its provenance, when that was asked for.
    pub provenance: Option<serde_json::Value>,
}

/// A failed build: the error, and the lines it is about.
#[derive(Debug, thiserror::Error)]
#[error("{}", location(.span.as_ref()))]
pub struct BuildFailure {
    /// Where in the Dockerfile.
    pub span: Option<Span>,
    /// Those lines, with their numbers.
    pub excerpt: Option<String>,
    /// Why.
    #[source]
    pub error: BuildError,
}

fn location(span: Option<&Span>) -> String {
    match span {
        Some(span) => format!("build failed at {}:{}", span.file, span.line),
        None => "build failed".to_owned(),
    }
}

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The context is not there.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// What is read from can not be had.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// A context that has a name.
    #[error(transparent)]
    Named(#[from] NamedError),
    /// The Dockerfile can not be read.
    #[error("failed to read dockerfile: cannot open {path}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no Dockerfile.
    #[error("failed to read dockerfile: cannot open {path}", path = .path.display())]
    NoDockerfile {
        /// Where it was looked for.
        path: PathBuf,
        /// A file that may be it.
        near: Option<PathBuf>,
        /// What the kernel says.
        source: io::Error,
    },
    /// The Dockerfile is wrong.
    #[error(transparent)]
    Dockerfile(#[from] DockerfileError),
    /// A name for the image is not one.
    #[error("invalid tag `{tag}`")]
    Tag {
        /// As given.
        tag: String,
        /// Why not.
        source: ReferenceError,
    },
    /// Warnings, in a file that says that they are errors.
    #[error("lint violation found for rules: {0}")]
    Lint(String),
    /// Nothing begins a stage.
    #[error("no build stage in current context")]
    NoStage,
    /// `--target` names no stage.
    #[error("target stage \"{wanted}\" could not be found")]
    Target {
        /// As it was given.
        wanted: String,
        /// The names of the stages there are.
        known: Vec<String>,
    },
    /// No plugin claims the keyword.
    #[error("unknown instruction: {0}")]
    Unclaimed(String),
    /// A plugin failed.
    #[error(transparent)]
    Plugin(PluginError),
    /// A plugin says that the statement is wrong.
    #[error("{}", said(.0))]
    Refused(Vec<Diagnostic>),
    /// A plugin's plan makes no sense.
    #[error("plugin `{plugin}` returned a plan that can not be carried out: {cause}")]
    Plan {
        /// Which.
        plugin: String,
        /// Why not.
        cause: String,
    },
    /// An instruction's lines hold the instruction itself.
    #[error("{keyword} leads back to itself: {}", .places.join(" -> "))]
    ExpandsToItself {
        /// Which instruction.
        keyword: String,
        /// The way there: files with line numbers.
        places: Vec<String>,
    },
    /// An instruction's lines expand to lines, and so on.
    #[error("{keyword} is nested more than {limit} deep: {}", .places.join(" -> "))]
    ExpandsTooDeep {
        /// Which instruction.
        keyword: String,
        /// How deep is allowed.
        limit: usize,
        /// The way there: files with line numbers.
        places: Vec<String>,
    },
    /// A base image or a source is not here.
    #[error("{full}: not found{}", if .why.is_some() { " here, and it can not be pulled" } else { "" })]
    NoImage {
        /// With registry and tag.
        full: String,
        /// A stage whose name is nearly that.
        meant: Option<String>,
        /// As it was written, when it is the id of an image or its beginning.
        id: Option<String>,
        /// Why the registry did not give it, when it was asked.
        #[source]
        why: Option<Box<PullImageError>>,
    },
    /// `COPY --from=3` in the third stage.
    #[error("invalid stage index {number}")]
    StageNumber {
        /// As it was written.
        number: String,
        /// How many stages come before.
        stages: usize,
    },
    /// A stage reads from one that is not built before it.
    #[error("cannot read from stage \"{from}\", it needs to be defined before current stage \"{stage}\"")]
    LaterStage {
        /// Which.
        from: String,
        /// Where that is said.
        stage: String,
    },
    /// A base image can not be looked up.
    #[error(transparent)]
    Image(ResolveError),
    /// A file to copy.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Copying.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// A download.
    #[error(transparent)]
    Fetch(#[from] wharf_store::fetch::FetchError),
    /// A git repository.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A program failed.
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Exit {
        /// What ran.
        command: String,
        /// How it ended.
        code: u8,
        /// There was no room left for what it wrote.
        is_full: bool,
    },
    /// It was ended, as another step failed.
    #[error("canceled, as another step failed")]
    Canceled,
    /// A program could not be started.
    #[error("cannot run {command:?}")]
    Start {
        /// What.
        command: String,
        /// Its first word.
        program: String,
        /// The stage's shell was to run it.
        by_shell: bool,
        /// Why not.
        source: monitor::StartError,
    },
    /// A program's output was lost.
    #[error(transparent)]
    Stream(#[from] monitor::ForwardError),
    /// What this engine can not do.
    #[error("{0}")]
    Unsupported(String),
    /// What an instruction does that is to change a config only.
    #[error("{0}, which --change can not")]
    Change(String),
    /// A secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// An ssh agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A file or a socket in memory.
    #[error("cannot make a file system in memory")]
    Memory {
        /// Why not.
        source: io::Error,
    },
    /// A Dockerfile asks for more than whoever builds it allows.
    #[error("{0} is not allowed")]
    NotEntitled(Entitlement),
    /// A Dockerfile asks for devices that whoever builds it does not allow.
    #[error("{} requested by the build but not allowed", devices_are(.0))]
    DevicesNotAllowed(Vec<String>),
    /// A device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// `host-gateway` on a network that the host is not on.
    #[error("there is no host-gateway for {name}: the host has no address on network `{network}`")]
    NoGateway {
        /// The name of the host.
        name: String,
        /// Which network.
        network: String,
    },
    /// A hook refused.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// A user is not there.
    #[error(transparent)]
    User(#[from] UserError),
    /// The network of a RUN.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A root file system.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A root file system can not be mounted.
    #[error("cannot mount the root file system of the step")]
    Mount(#[from] MountError),
    /// The layer of a step.
    #[error("cannot make the layer of the step")]
    Layer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The image.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What a hook wants kept beside the image.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The result did not get where it was to go.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// It is not the same twice, or that could not be found out.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A layer that was found in a cache from elsewhere can not be had. The build begins anew without it.
    #[error("a layer of the build cache can not be had")]
    CacheLost(Lost),
    /// A cache can not be written.
    #[error(transparent)]
    Cache(#[from] CacheWriteError),
    /// The records.
    #[error("cannot keep the records of the build")]
    Record(#[from] RecordError),
    /// A file of the engine's own.
    #[error("cannot write {path}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// What the plugin says itself of a statement is what a person should read; what it says of its settings
/// is about the config, and needs the plugin's name.
impl From<PluginError> for BuildError {
    fn from(error: PluginError) -> Self {
        match error.failure() {
            Some(failure) if error.function() != Some("validate-settings") => {
                Self::Refused(failure.diagnostics.clone())
            }
            _ => Self::Plugin(error),
        }
    }
}

fn said(diagnostics: &[Diagnostic]) -> String {
    let messages: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    if messages.is_empty() { "the plugin gave no reason".to_owned() } else { messages.join("; ") }
}

/// In BuildKit's words.
fn devices_are(devices: &[String]) -> String {
    let many = if let [_] = devices { ("device", "is") } else { ("devices", "are") };
    format!("{} {} {}", many.0, devices.join(", "), many.1)
}

impl BuildError {
    /// A stage that the order of the graph should have brought.
    pub(super) fn no_stage(name: impl ToString) -> Self {
        Self::Target { wanted: name.to_string(), known: Vec::new() }
    }
}

impl BuildFailure {
    /// About no line in particular.
    pub(super) fn anywhere(error: BuildError) -> Self {
        Self { span: None, excerpt: None, error }
    }
}

/// An error, and the statement it is about.
pub(super) struct At {
    pub(super) span: Option<Span>,
    pub(super) error: BuildError,
}

/// `?` in a function that knows which statement it is about.
macro_rules! somewhere {
    ($($kind:ty),*) => {
        $(impl From<$kind> for At {
            fn from(error: $kind) -> Self {
                Self { span: None, error: error.into() }
            }
        })*
    };
}

somewhere!(BuildError, CommitError, ContextError, HookError, PluginError, SnapshotError);

impl From<DockerfileError> for At {
    fn from(error: DockerfileError) -> Self {
        Self { span: Some(error.span.clone()), error: error.into() }
    }
}

impl At {
    /// Says which statement it is about, unless that is known already.
    pub(super) fn on(mut self, span: &Span) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    /// With the lines that it is about.
    pub(super) fn in_text(self, text: &[u8]) -> BuildFailure {
        let excerpt = self.span.as_ref().map(|span| dockerfile::excerpt(text, span));
        BuildFailure { span: self.span, excerpt, error: self.error }
    }

    /// As [`At::in_text`]; the lines may be those of a file of the context that one of the Dockerfile's
    /// stands for.
    fn in_texts(self, path: &Path, text: &[u8], context: &Context) -> BuildFailure {
        let named = self.span.as_ref().map(|span| span.file.as_str());
        let other = named.filter(|file| path.file_name().is_none_or(|name| name != *file));
        let other = other.and_then(|file| context.read(file, LONGEST_SHOWN).ok().flatten());
        self.in_text(other.as_deref().unwrap_or(text))
    }
}

impl Engine {
    /// Builds an image. `report` hears what happens as it happens.
    ///
    /// # Errors
    /// With the lines of the Dockerfile that are to blame. No name is given then.
    pub fn build(
        &self,
        options: &BuildOptions,
        report: &mut (dyn FnMut(BuildEvent<'_>) + Send),
    ) -> Result<Built, BuildFailure> {
        let plain = BuildFailure::anywhere;
        let names = references(&options.tags).map_err(plain)?;
        for (id, source) in &options.programs.secrets {
            source.check(id).map_err(|error| plain(error.into()))?;
        }
        self.check_outputs(options).map_err(plain)?;
        let Gathered { context, path, text } = self.gather(options, report).map_err(plain)?;
        let built = self.build_text(options, &path, &text, &context, names, report);
        // Outputs and caches may be on another file system.
        if let Err(At { error, .. }) = &built
            && !matches!(error, BuildError::Output(_) | BuildError::Cache(_))
        {
            self.give_up_parts(error);
        }
        if let Some(error) = self.keep_cache_small() {
            let text = format!("the build cache is not kept within its limit: {error}");
            let warning = &Diagnostic::new(Severity::Warning, "BuildCache", text);
            report(BuildEvent::Warning { step: None, warning });
        }
        built.map_err(|at| at.in_texts(&path, &text, &context))
    }

    fn build_text(
        &self,
        options: &BuildOptions,
        path: &Path,
        text: &[u8],
        context: &Context,
        names: Vec<Reference>,
        report: &mut (dyn FnMut(BuildEvent<'_>) + Send),
    ) -> Result<Built, At> {
        let mut plan = self.plan_recorded(options, path, text, context, report)?;
        graph::number(&mut plan);
        options.programs.permit_all(&plan)?;
        self.permit_devices(&plan, &options.programs, report)?;
        self.sweep_unfinished();
        let _no_sweep = self.store.guard().map_err(BuildError::from)?;
        for warning in &plan.warnings {
            report(BuildEvent::Warning { step: None, warning });
        }
        let mut imported = self.read_caches(options, report);
        let begun = Timestamp::now();
        let executed = self.execute_all(options, context, &plan, &mut imported, report);
        context.keep();
        let Executed { target, explained, downloads } = executed?;
        if options.verify {
            self.verify(options, context, &plan, &target, report)?;
        }
        self.write_caches(options, &mut imported, &target, report)?;
        let facts = Facts {
            store: &self.store,
            options,
            plan: &plan,
            context,
            dockerfile: (path, text),
            downloads: &downloads,
            times: (begun, Timestamp::now()),
        };
        let provenance = options.provenance.as_ref().map(|wanted| predicate(wanted, &facts)).transpose()?;
        let product = Product { stage: target, provenance: provenance.as_ref(), imported: &imported };
        let (id, names) = self.hand_out(options, product, names, report)?;
        Ok(Built { id, names, explained, frontend: options.frontend_of(text), provenance })
    }
}

impl Engine {
    /// Carries out all steps. When a layer of a cache from elsewhere turns out not to be had, it begins
    /// again without it; each time there is less to begin again for.
    fn execute_all(
        &self,
        options: &BuildOptions,
        context: &Context,
        plan: &BuildPlan,
        imported: &mut Imported,
        report: &mut (dyn FnMut(BuildEvent<'_>) + Send),
    ) -> Result<Executed, At> {
        loop {
            let executed = self.execute(options, context, plan, imported, report);
            let whole = executed.and_then(|executed| self.whole(options, imported, executed));
            match whole {
                Err(At { error: BuildError::CacheLost(lost), .. }) => {
                    imported.strike(&lost, report);
                    report(BuildEvent::Restarted);
                }
                whole => return whole,
            }
        }
    }

    /// With all layers of the result, if somebody wants it.
    fn whole(&self, options: &BuildOptions, imported: &Imported, executed: Executed) -> Result<Executed, At> {
        let is_wanted = options.outputs.is_empty() || options.outputs.iter().any(Output::wants_layers);
        if !is_wanted && !options.verify {
            return Ok(executed);
        }
        let mut target = executed.target;
        target.chain = self.brought(imported, target.chain)?;
        Ok(Executed { target, ..executed })
    }

    /// A failed plan is recorded, too.
    fn plan_recorded(
        &self,
        options: &BuildOptions,
        path: &Path,
        text: &[u8],
        context: &Context,
        report: &mut (dyn FnMut(BuildEvent<'_>) + Send),
    ) -> Result<BuildPlan, At> {
        let bases = Bases::new(self, options.pull, report);
        let Some(bundle) = &options.record else {
            return self.plan_build(options, path, text, (context, &bases), None);
        };
        let mut recorder = Recorder::default();
        let plan = self.plan_build(options, path, text, (context, &bases), Some(&mut recorder));
        let written = bundle::write(bundle, &recorder.calls);
        written.map_err(|source| BuildError::File { path: bundle.clone(), source })?;
        plan
    }
}

fn references(tags: &[String]) -> Result<Vec<Reference>, BuildError> {
    let parse =
        |tag: &String| Reference::to_give(tag).map_err(|source| BuildError::Tag { tag: tag.clone(), source });
    tags.iter().map(parse).collect()
}
