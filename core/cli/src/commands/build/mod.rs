mod accepted;
mod attest;
mod graph;
mod metadata;
mod outputs;
mod programs;
mod shared;
mod shell;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wharf_engine::Engine;
use wharf_engine::build::output::Output;
use wharf_engine::build::{BuildFailure, BuildOptions, Built, Explained};
use wharf_engine::image::PullPolicy;
use wharf_model::Platform;

use self::outputs::Outputs;
use self::shared::Shared;
use super::import::{EPOCH, seconds};
use crate::globals::Globals;
use crate::output;
use crate::progress::{Progress, WAYS};
use crate::report::Report;

/// Build an image from a Dockerfile
#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// Name the image: REPOSITORY[:TAG]; several are fine
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<String>,
    /// Dockerfile, instead of the one in the context; - for standard input, or an http address
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Further context: NAME=DIRECTORY, an address of a repository, a tar or a file, or
    /// docker-image://IMAGE, oci-layout://DIRECTORY[:TAG][@DIGEST]
    #[arg(long, value_name = "NAME=VALUE")]
    build_context: Vec<String>,
    /// Set an ARG: NAME=VALUE, or NAME for the caller's value
    #[arg(long, value_name = "ARG")]
    build_arg: Vec<String>,
    /// Set a label
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Stage to build
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Build for this platform, such as linux/arm64; its programs run where the kernel knows how
    #[arg(long, value_name = "PLATFORM", value_parser = single_platform)]
    platform: Option<Platform>,
    /// Run every step, whatever the cache holds
    #[arg(long)]
    no_cache: bool,
    /// Run every step of these stages, whatever the cache holds: STAGE[,STAGE]
    #[arg(long, value_name = "STAGES", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Ask a registry for base images although they are here; without it, for those that are missing
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    pull: bool,
    #[command(flatten)]
    programs: programs::ProgramArgs,
    /// Print the image's id only
    #[arg(short, long)]
    quiet: bool,
    /// Say for each line what was read, done and granted, and why it was cached or not
    #[arg(long)]
    explain: bool,
    /// Build nothing; say what is allowed in the Dockerfile but probably not meant
    #[arg(long)]
    check: bool,
    /// How to show progress: auto, plain, tty, rawjson, quiet; as BUILDKIT_PROGRESS says without it
    #[arg(long, value_name = "HOW", value_parser = WAYS)]
    progress: Option<String>,
    #[command(flatten)]
    metadata: metadata::MetadataArgs,
    #[command(flatten)]
    graph: graph::GraphArgs,
    #[command(flatten)]
    attest: attest::AttestArgs,
    #[command(flatten)]
    accepted: accepted::AcceptedArgs,
    #[command(flatten)]
    outputs: Outputs,
    #[command(flatten)]
    shared: Shared,
    /// Write down what plugins were asked and what they read, for `wharf plugin replay`; contents of
    /// files they read are in it
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// What COPY and ADD read: a directory, - for a Dockerfile or a tar on standard input, or the
    /// address of a git repository, a tar or a Dockerfile
    #[arg(value_name = "CONTEXT")]
    directory: PathBuf,
}

impl Build {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        self.accepted.check()?;
        self.metadata.forget()?;
        globals.clean_up_when_interrupted();
        let engine = globals.engine_for(&self.directory)?;
        let options = self.options()?;
        let to_stdout = self.outputs.refuse_to_mix(&options.outputs, self.explain)?;
        if self.check {
            return check(engine, &options);
        }
        let mut progress = Progress::new(if self.quiet { Some("quiet") } else { self.progress.as_deref() })?;
        let quiet = progress.is_quiet();
        let mut graph = self.graph.begin();
        let built = engine.build(&options, &mut |event| {
            graph.hear(&event);
            progress.show(&event);
        });
        progress.finish();
        let built = drawn(graph.write(), built.map_err(|failure| report(engine, failure)))?;
        if self.explain {
            let frontend = built.frontend.iter().map(|name| format!("syntax: {}", output::printable(name)));
            output::lines(frontend.chain(built.explained.iter().flat_map(explanation)))?;
        }
        self.metadata.write(&built)?;
        if options.outputs.iter().any(Output::is_pushed) {
            let quiet = quiet || !progress.is_text();
            built.names.iter().try_for_each(|name| super::push::send(engine, name, quiet))?;
        }
        if quiet {
            output::lines(built.id.filter(|_| !to_stdout).map(|id| id.to_string()))?;
            return Ok(0);
        }
        if !progress.is_text() {
            return Ok(0);
        }
        match built.id {
            Some(id) => output::say(&format!("built {id}")),
            None => output::say("built"),
        }
        for name in &built.names {
            output::say(&format!("named {}", name.familiar()));
        }
        Ok(0)
    }

    /// With the caller's SOURCE_DATE_EPOCH, as buildx gives it on.
    fn build_args(&self) -> BTreeMap<String, String> {
        let mut given = pairs(&super::exec::environment(&self.build_arg));
        if let Ok(epoch) = std::env::var(EPOCH) {
            given.entry(EPOCH.to_owned()).or_insert(epoch);
        }
        given
    }

    /// Standard input, when something is to be read from it.
    fn input(&self) -> Result<Option<Arc<File>>, Report> {
        let dash = Path::new("-");
        if self.directory != dash && self.file.as_deref() != Some(dash) {
            return Ok(None);
        }
        let own = std::io::stdin().as_fd().try_clone_to_owned();
        let own = own.map_err(|error| Report::message(1, format!("cannot read standard input: {error}")))?;
        Ok(Some(Arc::new(own.into())))
    }

    fn options(&self) -> Result<BuildOptions, Report> {
        let build_args = self.build_args();
        let options = BuildOptions {
            context: self.directory.clone(),
            dockerfile: self.file.clone(),
            input: self.input()?,
            contexts: self.build_context.iter().map(named_context).collect::<Result<_, _>>()?,
            tags: self.tag.clone(),
            target: self.target.clone(),
            no_cache: self.no_cache,
            no_cache_filter: self.no_cache_filter.clone(),
            programs: self.programs.options()?,
            labels: pairs(&self.label),
            network: self.programs.network(),
            epoch: epoch(&build_args)?,
            build_args,
            outputs: self.outputs.parsed()?,
            cache_from: self.shared.from()?,
            cache_to: self.shared.to()?,
            verify: self.shared.verify,
            provenance: self.attest.provenance()?,
            record: self.record.clone(),
            platform: self.platform.clone(),
            pull: if self.pull { PullPolicy::Always } else { super::pull::usual()? },
            ..BuildOptions::default()
        };
        options.heeding_arguments().map_err(Report::failed)
    }
}

/// Why a build failed counts for more than that it could not be drawn.
fn drawn(graph: Result<(), Report>, built: Result<Built, Report>) -> Result<Built, Report> {
    match (graph, built) {
        (graph, Ok(built)) => graph.map(|()| built),
        (graph, Err(failed)) => {
            graph.unwrap_or_else(|report| report.say());
            Err(failed)
        }
    }
}

/// Docker's words, and its exit code.
fn check(engine: &Engine, options: &BuildOptions) -> Result<u8, Report> {
    let checked = engine.check_build(options).map_err(|failure| report(engine, failure))?;
    output::lines(super::dockerfile::lines(&checked))?;
    let count = checked.warnings.len();
    match (count, checked.failure) {
        (_, Some(failure)) => Err(report(engine, failure)),
        (0, None) => {
            output::lines(["Check complete, no warnings found."])?;
            Ok(0)
        }
        (count, None) => {
            let things = if count == 1 { "warning has" } else { "warnings have" };
            output::lines([format!("Check complete, {count} {things} been found!")])?;
            Ok(1)
        }
    }
}

/// One of them.
fn single_platform(text: &str) -> Result<Platform, String> {
    if text.contains(',') {
        return Err("one platform at a time".to_owned());
    }
    text.parse::<Platform>().map_err(|error| error.to_string())
}

fn named_context(text: &String) -> Result<(String, String), Report> {
    let wrong = || Report::message(1, format!("invalid context value: {text}, expected NAME=VALUE"));
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    Ok((name.to_owned(), value.to_owned()))
}

/// An empty value is none.
fn epoch(build_args: &BTreeMap<String, String>) -> Result<Option<i64>, Report> {
    build_args.get(EPOCH).filter(|text| !text.is_empty()).map(|text| seconds(text)).transpose()
}

fn pairs(texts: &[String]) -> BTreeMap<String, String> {
    let split = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    texts.iter().map(split).collect()
}

/// The lines of the Dockerfile come before the error.
pub(super) fn report(engine: &Engine, failure: BuildFailure) -> Report {
    if let Some(excerpt) = &failure.excerpt {
        output::say(excerpt.trim_end());
    }
    let hint = engine.hint(&failure);
    let report = Report::failed(failure);
    match hint {
        Some(hint) => report.hint(hint),
        None => report,
    }
}

fn explanation(step: &Explained) -> Vec<String> {
    let mut lines =
        vec![format!("{}:{}: {}", step.span.file, step.span.line, output::printable(&step.statement))];
    lines.push(format!("    plugin: {} {}", step.plugin, step.plugin_digest));
    lines.push(format!("    plan:   {}", output::printable(&step.plan)));
    lines.extend(step.reads.iter().map(|read| format!("    read:   {}", output::printable(read))));
    lines.extend(step.ops.iter().map(|op| format!("    op:     {}", output::printable(op))));
    lines.push(format!("    grants: {}", step.grants));
    lines.push(format!("    cache:  {}", step.cache));
    lines
}
