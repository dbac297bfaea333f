//! From planned stages to layers.
//!
//! Steps that do not wait for each other are carried out side by side (`graph.rs`, `schedule.rs`). What
//! comes of it, and what is said about it afterwards, is in the order of the Dockerfile.
//!
//! The ops of one statement work on one tree and make one layer. A step whose key is in the cache
//! is not carried out.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wharf_model::build::{Action, Copy, Input, Op};
use wharf_model::image::History;
use wharf_model::{Digest, Keyword, Span};
use wharf_store::layer::Times;

use super::cancel::Cancel;
use super::context::Context;
use super::copy::{self, Target};
use super::download::{Download, Downloaded};
use super::explain::Explained;
use super::fetch::Unpacker;
use super::graph::{Graph, Node};
use super::key::Parts;
use super::plan::{Base, Beginning, BuildPlan, Stage, Step};
use super::progress::{BuildEvent, Outcome};
use super::request::{At, BuildError, BuildOptions};
use super::schedule::{self, lock, unlocked};
use super::source::{Origin, Source};
use super::stage::State;
use super::tree::{Chain, Work};
use super::turns::Turns;
use crate::Engine;
use crate::event::{self, Asker};
use crate::hook::{AskedOp, Extra};
use crate::snapshot::Snapshots;

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

impl Engine {
    pub(super) fn execute(
        &self,
        options: &BuildOptions,
        context: &Context,
        plan: &BuildPlan,
        report: &mut Listener<'_>,
    ) -> Result<(Finished, Vec<Explained>), At> {
        let snapshots = self.default_snapshots()?;
        let graph = Graph::of(plan);
        let run = Execution {
            engine: self,
            snapshots: &snapshots,
            options,
            context,
            plan,
            stages: plan.order.iter().map(|number| (*number, Mutex::default())).collect(),
            explained: Mutex::default(),
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
    pub(super) snapshots: &'a Snapshots<'a>,
    pub(super) options: &'a BuildOptions,
    context: &'a Context,
    plan: &'a BuildPlan,
    /// As far as they have come; nothing while a step of one is carried out.
    stages: BTreeMap<usize, Mutex<Option<Finished>>>,
    /// By the numbers of the nodes, which are in the order of the Dockerfile.
    explained: Mutex<BTreeMap<usize, Explained>>,
    failure: Mutex<Option<(usize, At)>>,
    pub(super) cancel: Cancel,
    turns: Turns,
    pub(super) report: Mutex<&'r mut Listener<'r>>,
}

/// What an op gave.
enum Value {
    Chain(Chain),
    File(Downloaded),
    /// One of the trees that the ops of this step change.
    Work(usize),
}

/// What the ops of a step gave so far.
#[derive(Default)]
pub(super) struct Trees<'a> {
    values: Vec<Value>,
    works: Vec<Work<'a>>,
}

impl Trees<'_> {
    /// The last op that changed a tree.
    fn last_of(&self, tree: usize) -> Option<usize> {
        self.values.iter().rposition(|value| matches!(value, Value::Work(other) if *other == tree))
    }
}

/// A directory that something is copied from.
pub(super) enum Opened {
    Local,
    Named(Arc<Context>),
    Tree(OwnedFd),
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
        self.explain(node.number, Explained::beginning(stage, self.grants(&stage.start.plugin)));
        let outcome = Outcome::Config;
        self.tell(BuildEvent::Finished { step: node.number, outcome, took: Duration::ZERO });
        Ok(())
    }

    /// The first failure ends what runs; what fails because of that says nothing.
    fn fail(&self, node: usize, at: At) {
        if matches!(at.error, BuildError::Canceled) {
            return self.tell(BuildEvent::Canceled { step: node });
        }
        self.cancel.all();
        self.tell(BuildEvent::Failed { step: node, error: &at.error });
        let mut failure = lock(&self.failure);
        if failure.as_ref().is_none_or(|(other, _)| node < *other) {
            *failure = Some((node, at));
        }
    }

    /// The target, or why there is none.
    fn ended(self) -> Result<(Finished, Vec<Explained>), At> {
        if let Some((_, at)) = unlocked(self.failure) {
            return Err(at);
        }
        let places = self.stages.into_iter();
        let mut stages: BTreeMap<usize, Finished> =
            places.filter_map(|(number, place)| Some((number, unlocked(place)?))).collect();
        let all_keys = stages.values().flat_map(|stage| stage.keys.iter().copied()).collect();
        let target = self.plan.order.last().and_then(|number| stages.remove(number));
        let explained = unlocked(self.explained).into_values().collect();
        let target = target.map(|stage| (Finished { all_keys, ..stage }, explained));
        target.ok_or_else(|| BuildError::NoStage.into())
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

    fn judge_base(&self, node: Node, stage: &Stage) -> Result<(), BuildError> {
        let Some(name) = &stage.reference else { return Ok(()) };
        let Beginning { span, statement, plugin, .. } = &stage.start;
        let Ok(keyword) = statement.split_whitespace().next().unwrap_or_default().parse() else {
            return Ok(());
        };
        self.judge_image(name, statement, &Asking { node: node.number, plugin, keyword: &keyword, span })
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
        self.tell(BuildEvent::Finished { step: step.number, outcome, took: begun.elapsed() });
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
        let before = done.chain.layers.len();
        done.chain = self.run_ops(step, &ops, &mut fetched, done)?;
        // What changed between key and copy is whole, and something else than the key says.
        if self.context.held_still() {
            self.keep(&key, &done.chain, before == done.chain.layers.len())?;
            self.engine.store.cache().used(&key, &step.statement)?;
            self.remember(&place, &parts)?;
            turn.done_by(&stage.name);
        }
        Ok((Outcome::Done, reason))
    }

    /// The ops as hooks leave them.
    fn judged(&self, step: &Step) -> Result<Vec<AskedOp>, BuildError> {
        let source =
            Asking { node: step.number, plugin: &step.plugin, keyword: &step.keyword, span: &step.span };
        let mentioned = |name: &String| {
            let is_it = |op: &Op| matches!(&op.action, Action::Image { reference, .. } if reference == name);
            step.plan.ops.iter().any(is_it)
        };
        for (name, base) in &step.named {
            if matches!(base, Base::Image(_)) && !mentioned(name) {
                self.judge_image(step.given.get(name).unwrap_or(name), &step.statement, &source)?;
            }
        }
        let mut judged = Vec::with_capacity(step.plan.ops.len());
        for op in &step.plan.ops {
            let asked = self.judge_op(as_whom(op.clone(), step), &source)?;
            self.engine.plugins.permit_operation(&step.plugin, &asked.op.action)?;
            judged.push(asked);
        }
        Ok(judged)
    }

    /// An image that something stands on or reads from, for which there is no op.
    fn judge_image(&self, name: &str, label: &str, source: &Asking<'_>) -> Result<(), BuildError> {
        let action = Action::Image { reference: name.to_owned(), platform: None };
        self.judge_op(Op { action, label: label.to_owned() }, source).map(drop)
    }

    fn judge_op(&self, op: Op, source: &Asking<'_>) -> Result<AskedOp, BuildError> {
        let mut asked = AskedOp::new(op, source.plugin, source.keyword, place(source.span));
        let warnings = self.engine.ask_hooks(&mut asked)?;
        for warning in &warnings {
            self.tell(BuildEvent::Warning { step: Some(source.node), warning });
        }
        Ok(asked)
    }

    /// Before the key, as what an address stands for is part of it.
    fn fetch_all(&self, ops: &[AskedOp]) -> Result<BTreeMap<usize, Download>, BuildError> {
        let mut fetched = BTreeMap::new();
        for (index, asked) in ops.iter().enumerate() {
            if let Some(download) = self.engine.begin_download(&asked.op.action)? {
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

    fn source_digest(
        &self,
        step: &Step,
        copy: &Copy,
        fetched: &BTreeMap<usize, Download>,
    ) -> Result<String, BuildError> {
        if let Some(context) = self.directory(step, &copy.source) {
            let digest = context.source().digest(&copy.paths, &copy.excludes, copy.parents)?;
            return Ok(digest.to_string());
        }
        match &copy.source {
            Input::Op(index) => match fetched.get(&(*index as usize)) {
                Some(file) => Ok(file.key()),
                None => Ok(format!("op {index}")),
            },
            Input::Named(name) => Ok(self.named(step, name)?.key()),
            Input::Stage | Input::Local => Ok("stage".to_owned()),
            Input::Scratch => Ok("scratch".to_owned()),
        }
    }

    /// An input that is a directory of the user's.
    fn directory<'s>(&'s self, step: &'s Step, input: &Input) -> Option<&'s Context> {
        match input {
            Input::Local => Some(self.context),
            Input::Named(name) => match step.named.get(name) {
                Some(Base::Directory(context)) => Some(context),
                _ => None,
            },
            _ => None,
        }
    }

    /// What a bind mount shows.
    pub(super) fn input_digest(&self, step: &Step, input: &Input, path: &str) -> Result<String, BuildError> {
        if let Some(context) = self.directory(step, input) {
            return Ok(context.source().digest(&[path.to_owned()], &[], false)?.to_string());
        }
        match input {
            Input::Named(name) => Ok(self.named(step, name)?.key()),
            Input::Local | Input::Stage | Input::Op(_) | Input::Scratch => Ok(format!("{input:?}")),
        }
    }

    /// The files of another stage or of an image.
    pub(super) fn named(&self, step: &Step, name: &str) -> Result<Chain, BuildError> {
        match step.named.get(name) {
            Some(Base::Stage(number)) => self.chain_of_stage(*number),
            Some(Base::Image(image)) => Ok(Chain { layers: image.layers.clone() }),
            Some(Base::Scratch) => Ok(Chain::default()),
            Some(Base::Directory(_)) => Err(BuildError::Plan {
                plugin: step.plugin.clone(),
                cause: format!("the build context `{name}` can not be changed"),
            }),
            None => Err(BuildError::no_stage(name)),
        }
    }

    fn run_ops(
        &self,
        step: &Step,
        ops: &[AskedOp],
        fetched: &mut BTreeMap<usize, Download>,
        done: &Finished,
    ) -> Result<Chain, BuildError> {
        let mut trees = Trees::default();
        self.note(step, ops.iter().filter(|asked| !is_download(asked)));
        for (index, asked) in ops.iter().enumerate() {
            let value = match (&asked.op.action, fetched.remove(&index)) {
                (_, Some(download)) => Value::File(download.finish(self.engine)?),
                (Action::Image { reference, .. }, _) => Value::Chain(self.named(step, reference)?),
                (action, _) => {
                    let tree = self.tree_for(step, action, &mut trees, done)?;
                    self.act(step, (action, &asked.extra), tree, &trees, done)?;
                    Value::Work(tree)
                }
            };
            self.engine.tell_hooks(asked);
            trees.values.push(value);
        }
        self.result(step, trees, done)
    }

    /// In the journal, before anything is done.
    fn note<'o>(&self, step: &Step, ops: impl Iterator<Item = &'o AskedOp>) {
        let plugin = Asker::new(&step.plugin, step.plugin_digest);
        let place = place(&step.span);
        self.engine.note(ops.map(|asked| event::operation(&asked.op.action, &place, &plugin)));
    }

    /// The tree that an op changes: the one that the op it stands on left, or a new one.
    fn tree_for(
        &self,
        step: &Step,
        action: &Action,
        trees: &mut Trees<'a>,
        done: &Finished,
    ) -> Result<usize, BuildError> {
        let base = match action {
            Action::Exec(exec) => &exec.base,
            Action::Copy(copy) => &copy.base,
            Action::Write { base, .. }
            | Action::Mkdir { base, .. }
            | Action::Remove { base, .. }
            | Action::Symlink { base, .. } => base,
            Action::Image { .. } | Action::Http { .. } | Action::Git { .. } | Action::Extension(_) => {
                &Input::Stage
            }
        };
        let wrong = |cause: &str| BuildError::Plan { plugin: step.plugin.clone(), cause: cause.to_owned() };
        let chain = match base {
            Input::Stage => done.chain.clone(),
            Input::Scratch => Chain::default(),
            Input::Named(name) => self.named(step, name)?,
            Input::Local => return Err(wrong("the build context can not be changed")),
            Input::Op(index) => match trees.values.get(*index as usize) {
                Some(Value::Work(tree)) if trees.last_of(*tree) == Some(*index as usize) => return Ok(*tree),
                Some(Value::Work(_)) => return Err(wrong("two ops change the result of one op")),
                Some(Value::Chain(chain)) => chain.clone(),
                Some(Value::File(_)) => return Err(wrong("an op changes a download")),
                None => return Err(wrong("an op refers to one that does not come before it")),
            },
        };
        trees.works.push(Work::on(self.engine, self.snapshots, &chain)?);
        Ok(trees.works.len() - 1)
    }

    fn result(&self, step: &Step, mut trees: Trees<'a>, done: &Finished) -> Result<Chain, BuildError> {
        let wrong = || BuildError::Plan {
            plugin: step.plugin.clone(),
            cause: "the stage's file system is not one of its ops' results".to_owned(),
        };
        let times = Times { epoch: done.epoch, since: None };
        match &step.plan.rootfs {
            Input::Stage => Ok(done.chain.clone()),
            Input::Scratch => Ok(Chain::default()),
            Input::Named(name) => self.named(step, name),
            Input::Local => Err(wrong()),
            Input::Op(index) => match trees.values.get(*index as usize) {
                Some(Value::Work(tree)) => trees.works.swap_remove(*tree).finish(&times),
                Some(Value::Chain(chain)) => Ok(chain.clone()),
                Some(Value::File(_)) | None => Err(wrong()),
            },
        }
    }

    fn act(
        &self,
        step: &Step,
        (action, extra): (&Action, &Extra),
        tree: usize,
        trees: &Trees<'a>,
        done: &Finished,
    ) -> Result<(), BuildError> {
        let tree = &trees.works[tree];
        if let Action::Exec(exec) = action {
            return self.exec(step, (exec, extra), tree);
        }
        let root = tree.open(false)?;
        let target = Target {
            root: root.as_fd(),
            accounts: root.as_fd(),
            working_dir: step.state.working_dir(),
            epoch: done.epoch,
        };
        match action {
            Action::Copy(copy) => self.copy(step, copy, &target, trees),
            Action::Write { path, content, owner, mode, .. } => {
                Ok(copy::write(path, content, owner.as_ref(), *mode, &target)?)
            }
            Action::Mkdir { path, owner, mode, .. } => Ok(copy::mkdir(path, owner.as_ref(), *mode, &target)?),
            Action::Remove { path, missing_ok, .. } => Ok(copy::remove(path, *missing_ok, &target)?),
            Action::Symlink { target: to, path, .. } => Ok(copy::symlink(to, path, &target)?),
            Action::Extension(op) => Err(BuildError::Unsupported(format!(
                "the experimental operation `{}` is not known here",
                op.name
            ))),
            Action::Exec(_) | Action::Image { .. } | Action::Http { .. } | Action::Git { .. } => Ok(()),
        }
    }

    fn copy(
        &self,
        step: &Step,
        copy: &Copy,
        target: &Target<'_>,
        trees: &Trees<'_>,
    ) -> Result<(), BuildError> {
        let opened = self.open_source(step, &copy.source, trees)?;
        let mut unpacker = Unpacker;
        copy::copy(copy, &self.source(&opened), target, &mut unpacker)?;
        Ok(())
    }

    /// The directory that an input stands for.
    pub(super) fn open_source(
        &self,
        step: &Step,
        input: &Input,
        trees: &Trees<'_>,
    ) -> Result<Opened, BuildError> {
        let wrong = |cause: &str| BuildError::Plan { plugin: step.plugin.clone(), cause: cause.to_owned() };
        let root = match input {
            Input::Local => return Ok(Opened::Local),
            Input::Named(name) if let Some(Base::Directory(context)) = step.named.get(name) => {
                return Ok(Opened::Named(Arc::clone(context)));
            }
            Input::Named(name) => self.engine.open_chain(self.snapshots, &self.named(step, name)?)?,
            Input::Scratch => self.engine.open_chain(self.snapshots, &Chain::default())?,
            Input::Op(index) => match trees.values.get(*index as usize) {
                Some(Value::File(file)) => file.open()?,
                Some(Value::Chain(chain)) => self.engine.open_chain(self.snapshots, chain)?,
                Some(Value::Work(tree)) => trees.works[*tree].open(true)?,
                None => return Err(wrong("an op refers to one that does not come before it")),
            },
            Input::Stage => return Err(wrong("an op copies from the stage that it changes")),
        };
        Ok(Opened::Tree(root))
    }

    pub(super) fn source<'s>(&'s self, opened: &'s Opened) -> Source<'s> {
        match opened {
            Opened::Local => self.context.source(),
            Opened::Named(context) => context.source(),
            Opened::Tree(root) => {
                Source { root: root.as_fd(), ignore: None, origin: Origin::Rootfs, digests: None }
            }
        }
    }
}

/// Whose op a hook is asked about.
struct Asking<'a> {
    node: usize,
    plugin: &'a str,
    keyword: &'a Keyword,
    span: &'a Span,
}

/// Downloads are carried out for the step's key already.
fn is_download(asked: &AskedOp) -> bool {
    matches!(asked.op.action, Action::Http { .. } | Action::Git { .. })
}

/// `Dockerfile:3`, for the journal.
fn place(span: &Span) -> String {
    format!("{}:{}", span.file, span.line)
}

/// With the stage's USER where the op has none of its own, so that a hook knows who runs it.
fn as_whom(mut op: Op, step: &Step) -> Op {
    let user = &step.state.config.config.user;
    if let Action::Exec(exec) = &mut op.action
        && !user.is_empty()
    {
        exec.user.get_or_insert_with(|| user.clone());
    }
    op
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
