//! Containers that are about to be created, and programs that are about to run in one.

use serde_json::Value;
use wharf_model::hook::{
    Adjustment, ContainerMount, ContainerSpec, ExecSpec, Moment, MountKind as Shown, ProvidedFile, Subject,
};
use wharf_model::network::Port;

use super::{Asked, Provided, misfit, provided};
use crate::container::{Container, Mount, MountKind};
use crate::event::Asker;

/// A container before it exists. Files that hooks provide are kept until it has a directory.
pub(crate) struct AskedContainer<'a> {
    pub(crate) container: &'a mut Container,
    pub(crate) files: Vec<ProvidedFile>,
    /// As `inspect` prints it.
    pub(crate) details: &'a dyn Fn(&Container) -> Value,
}

impl Asked for AskedContainer<'_> {
    fn moment(&self) -> Moment {
        Moment::Container
    }

    fn id(&self) -> String {
        self.container.id.clone()
    }

    fn subject(&self) -> Subject {
        let container = &*self.container;
        Subject::Container(ContainerSpec {
            id: container.id.clone(),
            name: container.name.clone(),
            image: container.image.clone(),
            image_id: container.image_id,
            argv: container.argv.clone(),
            env: pairs(&container.config.env),
            working_dir: container.config.working_dir.clone(),
            user: container.config.user.clone(),
            mounts: container.mounts.iter().map(shown).collect(),
            network: container.network.clone(),
            ports: container.ports.iter().map(port).collect(),
            capabilities: container.capabilities.clone(),
            annotations: container.annotations.clone(),
            labels: container.config.labels.clone().into_iter().collect(),
            privileged: container.privileged,
            details: (self.details)(container).to_string(),
        })
    }

    fn adjust(&mut self, adjustment: Adjustment, hook: &Asker) -> Result<String, String> {
        let container = &mut *self.container;
        match adjustment {
            Adjustment::SetEnv(name, value) => {
                container.config.set_env(&name, &value);
                Ok(format!("env {name}={value}"))
            }
            Adjustment::UnsetEnv(name) => {
                container.config.env.retain(|pair| pair.split('=').next() != Some(&name));
                Ok(format!("env without {name}"))
            }
            Adjustment::AddAnnotation(name, value) => {
                let description = format!("annotation {name}={value}");
                container.annotations.push((name, value));
                Ok(description)
            }
            Adjustment::AddLabel(name, value) => {
                let description = format!("label {name}={value}");
                container.config.labels.insert(name, value);
                Ok(description)
            }
            Adjustment::DropCapability(name) => {
                container.capabilities.retain(|held| *held != name);
                Ok(format!("without {name}"))
            }
            Adjustment::AddHost(name, address) => {
                let description = format!("host {name} {address}");
                container.extra_hosts.push((name, address));
                Ok(description)
            }
            Adjustment::ProvideFile(file) => {
                let mounts = container.mounts.iter().map(|mount| mount.target.as_str());
                let others = container.provided.iter().map(|file| file.target.as_str());
                provided::check(&file, mounts.chain(others))?;
                let description = format!("file {}", file.target);
                container.provided.push(Provided { target: file.target.clone(), owner: hook.name.clone() });
                self.files.push(file);
                Ok(description)
            }
            Adjustment::Attach(_) => Err(misfit(&adjustment, "a container")),
        }
    }
}

fn pairs(env: &[String]) -> Vec<(String, String)> {
    let pair = |pair: &String| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    };
    env.iter().map(pair).collect()
}

/// Links in the source of a bind are resolved, so that a policy is about what is really mounted.
fn shown(mount: &Mount) -> ContainerMount {
    let (kind, source) = match mount.kind {
        MountKind::Bind => (Shown::Bind, mount.host_path()),
        MountKind::Volume => (Shown::Volume, mount.name.as_str()),
        MountKind::Tmpfs => (Shown::Tmpfs, ""),
    };
    ContainerMount {
        kind,
        source: source.to_owned(),
        target: mount.target.clone(),
        read_only: mount.read_only,
    }
}

fn port(spec: &crate::network::PortSpec) -> Port {
    Port {
        host_address: spec.host_address,
        host_port: spec.host_port,
        container_port: spec.container_port,
        protocol: spec.protocol,
    }
}

/// A program before it runs in a container.
pub(crate) struct AskedExec<'a> {
    pub(crate) container: &'a Container,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) user: String,
    pub(crate) privileged: bool,
    pub(crate) tty: bool,
    pub(crate) capabilities: Vec<String>,
}

impl Asked for AskedExec<'_> {
    fn moment(&self) -> Moment {
        Moment::Exec
    }

    fn id(&self) -> String {
        self.container.id.clone()
    }

    fn subject(&self) -> Subject {
        Subject::Exec(ExecSpec {
            container: self.container.id.clone(),
            container_name: self.container.name.clone(),
            argv: self.argv.clone(),
            env: pairs(&self.env),
            working_dir: self.working_dir.clone(),
            user: self.user.clone(),
            privileged: self.privileged,
            tty: self.tty,
        })
    }

    fn adjust(&mut self, adjustment: Adjustment, _: &Asker) -> Result<String, String> {
        let is = |pair: &String, name: &str| pair.split('=').next() == Some(name);
        match adjustment {
            Adjustment::SetEnv(name, value) => {
                self.env.retain(|pair| !is(pair, &name));
                self.env.push(format!("{name}={value}"));
                Ok(format!("env {name}={value}"))
            }
            Adjustment::UnsetEnv(name) => {
                self.env.retain(|pair| !is(pair, &name));
                Ok(format!("env without {name}"))
            }
            Adjustment::DropCapability(name) => {
                self.capabilities.retain(|held| *held != name);
                Ok(format!("without {name}"))
            }
            other => Err(misfit(&other, "an exec")),
        }
    }
}
