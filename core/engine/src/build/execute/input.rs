//! What a step reads from: the context, contexts with names, other stages, images and downloads. Its digest
//! is part of the step's key; opened, it is a directory.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use wharf_model::build::{Copy, Input};

use super::Execution;
use super::operation::{Trees, Value};
use crate::build::context::Context;
use crate::build::download::Download;
use crate::build::plan::{Base, Step};
use crate::build::request::BuildError;
use crate::build::source::{Origin, Source};
use crate::build::tree::Chain;

/// A directory that something is copied from.
pub(in crate::build) enum Opened {
    Local,
    Named(Arc<Context>),
    Tree(OwnedFd),
}

impl Execution<'_, '_> {
    pub(super) fn source_digest(
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
    pub(in crate::build) fn input_digest(
        &self,
        step: &Step,
        input: &Input,
        path: &str,
    ) -> Result<String, BuildError> {
        if let Some(context) = self.directory(step, input) {
            return Ok(context.source().digest(&[path.to_owned()], &[], false)?.to_string());
        }
        match input {
            Input::Named(name) => Ok(self.named(step, name)?.key()),
            Input::Local | Input::Stage | Input::Op(_) | Input::Scratch => Ok(format!("{input:?}")),
        }
    }

    /// The files of another stage or of an image.
    pub(in crate::build) fn named(&self, step: &Step, name: &str) -> Result<Chain, BuildError> {
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

    /// The directory that an input stands for.
    pub(in crate::build) fn open_source(
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
            Input::Named(name) => self.open_chain(&self.named(step, name)?)?,
            Input::Scratch => self.open_chain(&Chain::default())?,
            Input::Op(index) => match trees.values.get(*index as usize) {
                Some(Value::File(file)) => file.open()?,
                Some(Value::Chain(chain)) => self.open_chain(chain)?,
                Some(Value::Work(tree)) => trees.works[*tree].open(true)?,
                None => return Err(wrong("an op refers to one that does not come before it")),
            },
            Input::Stage => return Err(wrong("an op copies from the stage that it changes")),
        };
        Ok(Opened::Tree(root))
    }

    pub(in crate::build) fn source<'s>(&'s self, opened: &'s Opened) -> Source<'s> {
        match opened {
            Opened::Local => self.context.source(),
            Opened::Named(context) => context.source(),
            Opened::Tree(root) => {
                Source { root: root.as_fd(), ignore: None, origin: Origin::Rootfs, digests: None }
            }
        }
    }
}
