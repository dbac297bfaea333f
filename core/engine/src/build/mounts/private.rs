//! `type=secret` and `type=ssh`: what is shown to one program and kept nowhere.
//!
//! A secret is a file, and an agent a socket, each in a file system in memory that is part of no namespace
//! but the program's. Nothing on the host ever leads to them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use wharf_model::build::Mount as Request;
use wharf_runtime::memory::{Access, Memory};

use super::super::agent::{Agent, AgentError, Forward, KeyAgent, SOCKET_VARIABLE};
use super::super::dockerfile;
use super::super::execute::Execution;
use super::super::plan::Step;
use super::super::request::BuildError;
use super::super::schedule::lock;
use super::super::secret::SecretError;
use super::{Mounted, Shown, absolute};

/// The only name in the file system.
const NAME: &str = "it";

/// A file or a socket that is made when a program needs it.
pub(super) struct Private {
    what: What,
    access: Access,
}

enum What {
    Secret(Vec<u8>),
    Agent(PathBuf),
}

impl Private {
    /// Made anew, with whoever answers behind it.
    pub(super) fn open(&self) -> Result<(OwnedFd, Option<Forward>), BuildError> {
        let failed = |source: io::Error| BuildError::Memory { source };
        match &self.what {
            What::Secret(content) => {
                let memory = Memory::new(content.len() as u64).map_err(failed)?;
                memory.file(NAME, content, self.access).map_err(failed)?;
                Ok((memory.into_mount(), None))
            }
            What::Agent(socket) => {
                let memory = Memory::new(0).map_err(failed)?;
                let listener = memory.socket(NAME, self.access).map_err(failed)?;
                let forward = Forward::start(listener, socket.clone()).map_err(failed)?;
                Ok((memory.into_mount(), Some(forward)))
            }
        }
    }
}

impl<'a> Execution<'a, '_> {
    /// One that nobody gave is left out, and its variable is empty, unless it is required.
    pub(super) fn mount_secret(
        &self,
        step: &Step,
        request: &Request,
        mounted: &mut Mounted<'a>,
    ) -> Result<(), BuildError> {
        let Request::Secret { id, target, env, required, mode, uid, gid } = request else { return Ok(()) };
        let content = match self.options.programs.secrets.get(id) {
            Some(source) => Some(source.read(id)?),
            None if *required => {
                let meant = nearest(id, &self.options.programs.secrets);
                return Err(SecretError::NotGiven { id: id.clone(), meant }.into());
            }
            None => None,
        };
        if let Some(name) = env {
            let text = String::from_utf8(content.clone().unwrap_or_default());
            let text = text.map_err(|_| SecretError::NotText { id: id.clone() })?;
            mounted.env.push((name.clone(), text));
        }
        if let (Some(target), Some(content)) = (target, content) {
            let access = Access { mode: *mode, uid: *uid, gid: *gid };
            let private = Private { what: What::Secret(content), access };
            mounted.show(Shown::Private(private), NAME, absolute(step, target), true);
        }
        Ok(())
    }

    /// The first agent of a program is the one its variable names.
    pub(super) fn mount_agent(
        &self,
        step: &Step,
        request: &Request,
        mounted: &mut Mounted<'a>,
    ) -> Result<(), BuildError> {
        let Request::Ssh { id, target, required, mode, uid, gid } = request else { return Ok(()) };
        let Some(agent) = self.options.programs.agents.get(id) else {
            if !*required {
                return Ok(());
            }
            let meant = nearest(id, &self.options.programs.agents);
            return Err(AgentError::NotGiven { id: id.clone(), meant }.into());
        };
        let is_agent =
            |shown: &&Shown<'_>| matches!(shown, Shown::Private(Private { what: What::Agent(_), .. }));
        let number = mounted.shown.iter().filter(is_agent).count();
        let target = match target {
            Some(target) => absolute(step, target),
            None => format!("/run/buildkit/ssh_agent.{number}"),
        };
        if number == 0 {
            mounted.env.push((SOCKET_VARIABLE.to_owned(), target.clone()));
        }
        let access = Access { mode: *mode, uid: *uid, gid: *gid };
        let private = Private { what: What::Agent(self.socket_of(id, agent)?), access };
        mounted.show(Shown::Private(private), NAME, target, false);
        Ok(())
    }
}

impl Execution<'_, '_> {
    /// Keys get an agent when the first step needs it, which lives as long as the build.
    fn socket_of(&self, id: &str, agent: &Agent) -> Result<PathBuf, BuildError> {
        let keys = match agent {
            Agent::Socket(socket) => return Ok(socket.clone()),
            Agent::Keys(keys) => keys,
        };
        let mut agents = lock(&self.key_agents);
        let agent = match agents.entry(id.to_owned()) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => place.insert(KeyAgent::start(keys)?),
        };
        Ok(agent.socket().to_owned())
    }
}

/// The id of something that was given.
fn nearest<T>(id: &str, given: &BTreeMap<String, T>) -> Option<String> {
    dockerfile::nearest(id, given.keys().map(String::as_str)).map(str::to_owned)
}
