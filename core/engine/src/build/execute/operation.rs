//! The ops of one step: each changes a tree or stands for one, and the step's result is the last.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use wharf_model::build::{Action, Copy, Input};
use wharf_store::layer::Times;

use super::{Execution, Finished, is_download};
use crate::build::copy::{self, Target};
use crate::build::download::{Download, Downloaded};
use crate::build::fetch::Unpacker;
use crate::build::plan::Step;
use crate::build::request::BuildError;
use crate::build::tree::{Chain, Work};
use crate::hook::{AskedOp, Extra};

/// What an op gave.
pub(super) enum Value {
    Chain(Chain),
    File(Downloaded),
    /// One of the trees that the ops of this step change.
    Work(usize),
}

/// What the ops of a step gave so far.
#[derive(Default)]
pub(in crate::build) struct Trees<'a> {
    pub(super) values: Vec<Value>,
    pub(super) works: Vec<Work<'a>>,
}

impl Trees<'_> {
    /// The last op that changed a tree.
    fn last_of(&self, tree: usize) -> Option<usize> {
        self.values.iter().rposition(|value| matches!(value, Value::Work(other) if *other == tree))
    }
}

impl<'a> Execution<'a, '_> {
    pub(super) fn run_ops(
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
        trees.works.push(self.work_on(&chain)?);
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
}
