//! From planned stages to layers.
//!
//! Steps that do not wait for each other are carried out side by side (`graph.rs`, `schedule.rs`). What
//! comes of it, and what is said about it afterwards, is in the order of the Dockerfile.
//!
//! The ops of one statement work on one tree and make one layer. A step whose key is in the cache
//! is not carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wharf_model::build::Action;
use wharf_model::image::History;
use wharf_model::{Digest, Span};

use super::agent::KeyAgent;
use super::cancel::Cancel;
use super::context::Context;
use super::download::Download;
use super::explain::Explained;
use super::graph::{Graph, Node};
use super::key::Parts;
use super::plan::{Base, BuildPlan, Stage, Step};
use super::progress::{BuildEvent, Outcome};
use super::provenance::Material;
use super::request::{At, BuildError, BuildOptions};
use super::schedule::{self, lock, unlocked};
use super::share::Imported;
use super::stage::State;
use super::tree::Chain;
use super::turns::Turns;
use crate::Engine;
use crate::event::{self, Asker};
use crate::hook::{AskedOp, Extra};
use crate::snapshot::{SnapshotError, Snapshots};

mod input;
mod judge;
mod operation;

pub(super) use operation::Trees;

/// 1980-01-01T00:00:00Z: what can be written in a zip file, and long before any image.
const EARLIEST: i64 = 315_532_800;

/// A stage that has been built.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub(super) chain: Chain,
    pub(super) state: State,
    pub(super) history: Vec<History>,
    pub(super) epoch: i64,
    /// Keys of the steps that it took, with those of the stages it stands on.
    pub(super) keys: Vec<Digest>,
    /// Keys of the steps of all stages.
    pub(super) all_keys: Vec<Digest>,
}

/// A build that went well.
pub(super) struct Executed {
    pub(super) target: Finished,
    /// In the order of the Dockerfile.
    pub(super) explained: Vec<Explained>,
    /// What its steps fetched.
    pub(super) downloads: BTreeSet<Material>,
}

impl Engine {
    pub(super) fn execute(
        &self,
        options: &BuildOptions,
        context: &Context,
        plan: &BuildPlan,
        imported: &Imported,
        report: &mut Listener<'_>,
    ) -> Result<Executed, At> {
        let graph = Graph::of(plan);
        let run = Execution {
            engine: self,
            snapshots: Mutex::default(),
            options,
            place: std::fs::canonicalize(&options.context).unwrap_or_else(|_| options.context.clone()),
            context,
            plan,
            imported,
            stages: plan.order.iter().map(|number| (*number, Mutex::default())).collect(),
            explained: Mutex::default(),
            downloads: Mutex::default(),
            key_agents: Mutex::default(),
            failure: Mutex::default(),
            cancel: Cancel::default(),
            turns: Turns::default(),
            report: Mutex::new(report),
        };
        run.tell(BuildEvent::Planned(&graph.vertices));
        let limit = self.config().parallelism.unwrap_or_else(schedule::default_limit);
        schedule::carry_out(&graph.after(), limit.min(plan.order.len()), &|node| {
            let done = run.node(graph.nodes[node]).map_err(|at| run.fail(node, at));
            done.is_ok()
        });
        run.ended()
    }
}

/// What hears of a build.
pub(super) type Listener<'r> = dyn FnMut(BuildEvent<'_>) + Send + 'r;

/// A build while it goes on, shared by the threads that carry it out.
pub(super) struct Execution<'a, 'r> {
    pub(super) engine: &'a Engine,
    /// Once something needed it.
    snapshots: Mutex<Option<Arc<Snapshots<'a>>>>,
    pub(super) options: &'a BuildOptions,
    /// Where the build context is, whatever it is called.
    pub(super) place: PathBuf,
    context: &'a Context,
    plan: &'a BuildPlan,
    /// What caches from elsewhere know.
    pub(super) imported: &'a Imported,
    /// As far as they have come; nothing while a step of one is carried out.
    stages: BTreeMap<usize, Mutex<Option<Finished>>>,
    /// By the numbers of the nodes, which are in the order of the Dockerfile.
    explained: Mutex<BTreeMap<usize, Explained>>,
    downloads: Mutex<BTreeSet<Material>>,
    /// Those that were started for keys in files, by their ids.
    pub(super) key_agents: Mutex<BTreeMap<String, KeyAgent>>,
    failure: Mutex<Option<(usize, At)>>,
    pub(super) cancel: Cancel,
    turns: Turns,
    pub(super) report: Mutex<&'r mut Listener<'r>>,
}

impl<'a> Execution<'a, '_> {
    fn node(&self, node: Node) -> Result<(), At> {
        let stage = &self.plan.stages[&node.stage];
        match node.step.and_then(|step| stage.steps.get(step)) {
            None => self.beginning(node, stage).map_err(|at| at.on(&stage.start.span)),
            Some(step) => {
                let done = self.step(node.stage, stage, step);
                done.map_err(|error| At::from(error).on(&step.span))
            }
        }
    }

    fn beginning(&self, node: Node, stage: &Stage) -> Result<(), At> {
        self.tell(BuildEvent::Started { step: node.number });
        self.judge_base(node, stage)?;
        let mut begun = self.begin(stage)?;
        if stage.steps.is_empty() {
            begun.state = stage.last_state();
        }
        self.put(node.stage, begun);
        let explained = Explained::beginning(stage, self.grants(&stage.start.plugin));
        let (step, outcome, took) = (node.number, Outcome::Config, Duration::ZERO);
        self.tell(BuildEvent::Finished { step, outcome, took, why: &explained.cache });
        self.explain(step, explained);
        Ok(())
    }

    /// The first failure ends what runs; what fails because of that says nothing.
    fn fail(&self, node: usize, at: At) {
        if matches!(at.error, BuildError::Canceled) {
            return self.tell(BuildEvent::Canceled { step: node });
        }
        // All of it is to be done again, so what runs may end in peace: it is in the cache then.
        let is_lost = |at: &At| matches!(at.error, BuildError::CacheLost(_));
        if is_lost(&at) {
            self.tell(BuildEvent::Canceled { step: node });
        } else {
            self.cancel.all();
            self.tell(BuildEvent::Failed { step: node, error: &at.error });
        }
        let mut failure = lock(&self.failure);
        if failure.as_ref().is_none_or(|(other, held)| (is_lost(&at), node) < (is_lost(held), *other)) {
            *failure = Some((node, at));
        }
    }

    /// The target, or why there is none.
    fn ended(self) -> Result<Executed, At> {
        if let Some((_, at)) = unlocked(self.failure) {
            return Err(at);
        }
        let places = self.stages.into_iter();
        let mut stages: BTreeMap<usize, Finished> =
            places.filter_map(|(number, place)| Some((number, unlocked(place)?))).collect();
        let all_keys = stages.values().flat_map(|stage| stage.keys.iter().copied()).collect();
        let target = self.plan.order.last().and_then(|number| stages.remove(number));
        let explained = unlocked(self.explained).into_values().collect();
        let target = target.ok_or(BuildError::NoStage)?;
        let downloads = unlocked(self.downloads);
        Ok(Executed { target: Finished { all_keys, ..target }, explained, downloads })
    }

    /// The storage driver, which is started for the first tree: a build of which everything is cached needs
    /// none.
    pub(super) fn snapshots(&self) -> Result<Arc<Snapshots<'a>>, SnapshotError> {
        let mut snapshots = lock(&self.snapshots);
        if let Some(snapshots) = &*snapshots {
            return Ok(Arc::clone(snapshots));
        }
        Ok(Arc::clone(snapshots.insert(Arc::new(self.engine.default_snapshots()?))))
    }

    pub(super) fn tell(&self, event: BuildEvent<'_>) {
        (lock(&self.report))(event);
    }

    fn explain(&self, node: usize, explained: Explained) {
        lock(&self.explained).insert(node, explained);
    }

    fn put(&self, stage: usize, done: Finished) {
        if let Some(place) = self.stages.get(&stage) {
            *lock(place) = Some(done);
        }
    }

    /// A stage as far as it has come. There is none only if the order of the graph is wrong.
    fn take(&self, stage: usize) -> Result<Finished, BuildError> {
        let taken = self.stages.get(&stage).and_then(|place| lock(place).take());
        taken.ok_or_else(|| BuildError::no_stage(stage))
    }

    fn chain_of_stage(&self, stage: usize) -> Result<Chain, BuildError> {
        let look = |place: &Mutex<Option<Finished>>| lock(place).as_ref().map(|done| done.chain.clone());
        self.stages.get(&stage).and_then(look).ok_or_else(|| BuildError::no_stage(stage))
    }

    fn begin(&self, stage: &Stage) -> Result<Finished, BuildError> {
        let state = stage.state.clone();
        Ok(match &stage.base {
            Base::Stage(number) => {
                let below = self.stages.get(number).and_then(|place| lock(place).clone());
                Finished { state, ..below.ok_or_else(|| BuildError::no_stage(number))? }
            }
            Base::Image(image) => Finished {
                chain: Chain { layers: image.layers.clone() },
                state,
                history: image.config.history.clone(),
                epoch: self.epoch(image.config.created.as_deref()),
                keys: Vec::new(),
                all_keys: Vec::new(),
            },
            Base::Scratch | Base::Directory(_) => Finished {
                chain: Chain::default(),
                state,
                history: Vec::new(),
                epoch: self.epoch(None),
                keys: Vec::new(),
                all_keys: Vec::new(),
            },
        })
    }

    /// The caller's, else the base image's, so that the same input gives the same image.
    fn epoch(&self, created: Option<&str>) -> i64 {
        let of_base =
            || created.and_then(|time| time.parse::<jiff::Timestamp>().ok()).map(jiff::Timestamp::as_second);
        self.options.epoch.or_else(of_base).unwrap_or(EARLIEST)
    }

    fn step(&self, number: usize, stage: &Stage, step: &Step) -> Result<(), BuildError> {
        self.cancel.check()?;
        self.tell(BuildEvent::Started { step: step.number });
        let begun = Instant::now();
        let mut done = self.take(number)?;
        let (outcome, cache) = if step.plan.ops.is_empty() {
            (Outcome::Config, "changes the config only".to_owned())
        } else {
            self.carry_out(stage, step, &mut done)?
        };
        record(step, &mut done, outcome);
        if stage.steps.last().is_some_and(|last| last.number == step.number) {
            done.state = stage.last_state();
        }
        self.put(number, done);
        self.tell(BuildEvent::Finished { step: step.number, outcome, took: begun.elapsed(), why: &cache });
        self.explain(step.number, Explained::of(step, self.grants(&step.plugin), cache));
        Ok(())
    }

    fn grants(&self, plugin: &str) -> String {
        let Ok(grants) = self.engine.plugins.grants(plugin) else { return "none".to_owned() };
        let words = wharf_plugin::rights::words(&grants).into_iter();
        words.map(|word| word.trim_start_matches("ops:").to_owned()).collect::<Vec<_>>().join(" ")
    }

    fn carry_out(
        &self,
        stage: &Stage,
        step: &Step,
        done: &mut Finished,
    ) -> Result<(Outcome, String), BuildError> {
        let ops = self.judged(step)?;
        self.note(step, ops.iter().filter(|asked| is_download(asked)));
        let mut fetched = self.fetch_all(&ops)?;
        let parts = self.parts(step, &ops, &fetched, done)?;
        let key = parts.key();
        done.keys.push(key);
        let place = self.place(stage, step);
        let turn = self.turns.take(key);
        self.cancel.check()?;
        if (!self.ignores_cache(stage) || turn.was_done_by_another(&stage.name))
            && let Some(chain) = self.cached(&key, &done.chain)?
        {
            done.chain = chain;
            self.engine.store.cache().used(&key, &step.statement)?;
            self.remember(&place, &parts)?;
            return Ok((Outcome::Cached, format!("cached: {}", key.short())));
        }
        let reason = self.why_not(stage, &place, &parts)?;
        let before = done.chain.key();
        done.chain = self.run_ops(step, &ops, &mut fetched, done)?;
        // What changed between key and copy is whole, and something else than the key says.
        if self.context.held_still() {
            self.keep(&key, &done.chain, before == done.chain.key())?;
            self.engine.store.cache().used(&key, &step.statement)?;
            self.remember(&place, &parts)?;
            turn.done_by(&stage.name);
        }
        Ok((Outcome::Done, reason))
    }

    /// Before the key, as what an address stands for is part of it.
    fn fetch_all(&self, ops: &[AskedOp]) -> Result<BTreeMap<usize, Download>, BuildError> {
        let mut fetched = BTreeMap::new();
        for (index, asked) in ops.iter().enumerate() {
            if let Some(download) = self.engine.begin_download(&asked.op.action)? {
                lock(&self.downloads).extend(download.material(&asked.op.action));
                fetched.insert(index, download);
            }
        }
        Ok(fetched)
    }

    fn parts(
        &self,
        step: &Step,
        ops: &[AskedOp],
        fetched: &BTreeMap<usize, Download>,
        done: &Finished,
    ) -> Result<Parts, BuildError> {
        let mut parts = Parts::default();
        parts.add("base", done.chain.key());
        parts.add("time", done.epoch.to_string());
        parts.add("working directory", step.state.working_dir());
        let json = |error: serde_json::Error| BuildError::Layer(error.into());
        for (index, AskedOp { op, extra, .. }) in ops.iter().enumerate() {
            parts.add(format!("op {index}"), serde_json::to_vec(&op.action).map_err(json)?);
            if *extra != Extra::default() {
                parts
                    .add(format!("what hooks added to op {index}"), serde_json::to_vec(extra).map_err(json)?);
            }
            match &op.action {
                Action::Exec(exec) => self.exec_parts(step, exec, &mut parts)?,
                Action::Copy(copy) => {
                    let digest = self.source_digest(step, copy, fetched)?;
                    parts.add(format!("content of {}", copy.paths.join(" ")), digest);
                }
                _ => {}
            }
        }
        Ok(parts)
    }

    /// In the journal, before anything is done.
    fn note<'o>(&self, step: &Step, ops: impl Iterator<Item = &'o AskedOp>) {
        let plugin = Asker::new(&step.plugin, step.plugin_digest);
        let place = place(&step.span);
        self.engine.note(ops.map(|asked| event::operation(&asked.op.action, &place, &plugin)));
    }
}

/// Downloads are carried out for the step's key already.
fn is_download(asked: &AskedOp) -> bool {
    matches!(asked.op.action, Action::Http { .. } | Action::Git { .. })
}

/// `Dockerfile:3`, for the journal.
fn place(span: &Span) -> String {
    format!("{}:{}", span.file, span.line)
}

/// Adds the step to the image's history.
fn record(step: &Step, done: &mut Finished, outcome: Outcome) {
    let layers = done.history.iter().filter(|entry| !entry.empty_layer).count();
    done.history.push(History {
        created: Some(timestamp(done.epoch)),
        created_by: Some(step.statement.clone()),
        empty_layer: outcome == Outcome::Config || done.chain.layers.len() <= layers,
        ..History::default()
    });
}

/// RFC 3339.
pub(super) fn timestamp(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}
