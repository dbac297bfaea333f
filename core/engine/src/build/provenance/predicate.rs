//! The predicate: what was asked for, what it was made of, who made it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use wharf_model::build::{Action, Mount, NetAccess};
use wharf_model::{Digest, Platform};
use wharf_store::{Image, RecordError, Store};

use super::{Material, Provenance, ProvenanceMode};
use crate::build::context::Context;
use crate::build::git;
use crate::build::graph::Graph;
use crate::build::plan::{Base, BuildPlan, Step};
use crate::build::request::{BuildError, BuildOptions};
use crate::build::stage::PROXIES;
use crate::container::fresh_id;

/// BuildKit's: its keys and their meaning are what this one has, too.
const BUILD_TYPE: &str = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";
/// Who builds, where nobody says it.
const BUILDER: &str = concat!("pkg:generic/wharf@", env!("CARGO_PKG_VERSION"));

/// What is known of a build that went well.
pub(in crate::build) struct Facts<'a> {
    pub(in crate::build) store: &'a Store,
    pub(in crate::build) options: &'a BuildOptions,
    pub(in crate::build) plan: &'a BuildPlan,
    pub(in crate::build) context: &'a Context,
    /// The Dockerfile, and its text.
    pub(in crate::build) dockerfile: (&'a Path, &'a [u8]),
    /// What its steps fetched.
    pub(in crate::build) downloads: &'a BTreeSet<Material>,
    pub(in crate::build) times: (Timestamp, Timestamp),
}

/// The predicate of a build.
pub(in crate::build) fn predicate(wanted: &Provenance, facts: &Facts<'_>) -> Result<Value, BuildError> {
    let is_max = wanted.mode == ProvenanceMode::Max;
    let mut internal = json!({
        "builderPlatform": Platform::host().to_string(),
        "plugins": plugins(facts.plan),
    });
    if is_max {
        internal["buildConfig"] = json!({ "steps": steps(facts.plan) });
    }
    let materials: Vec<Value> = materials(facts)?.iter().map(Material::json).collect();
    Ok(json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "configSource": config_source(facts),
                "request": request(facts, is_max),
            },
            "internalParameters": internal,
            "resolvedDependencies": materials,
        },
        "runDetails": {
            "builder": { "id": wanted.builder_id.as_deref().unwrap_or(BUILDER) },
            "metadata": metadata(wanted, facts, is_max)?,
        },
    }))
}

fn metadata(wanted: &Provenance, facts: &Facts<'_>, is_max: bool) -> Result<Value, BuildError> {
    let mut metadata = json!({
        "buildkit_hermetic": is_hermetic(facts.plan),
        "buildkit_completeness": {
            "request": is_max,
            "resolvedDependencies": facts.context.came_from().is_some(),
        },
        "buildkit_reproducible": wanted.reproducible || facts.options.verify,
    });
    if is_max {
        let (begun, ended) = facts.times;
        let random = |source| BuildError::File { path: "/dev/urandom".into(), source };
        metadata["invocationID"] = fresh_id().map_err(random)?.into();
        metadata["startedOn"] = begun.to_string().into();
        metadata["finishedOn"] = ended.to_string().into();
    }
    Ok(metadata)
}

/// The Dockerfile; where its context is from, when that is not this machine.
fn config_source(facts: &Facts<'_>) -> Value {
    let (path, text) = facts.dockerfile;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    match facts.context.came_from() {
        Some(material) => json!({ "uri": material.uri(), "digest": material.digest(), "path": name }),
        None => json!({ "digest": { "sha256": Digest::of(text).hex() }, "path": name }),
    }
}

/// What was asked for. Only `max` has what may be anybody's own: values of arguments, labels, ids of secrets.
fn request(facts: &Facts<'_>, is_max: bool) -> Value {
    let options = facts.options;
    let mut args = Map::new();
    let mut add = |key: String, value: &str| drop(args.insert(key, value.into()));
    if let Some(target) = &options.target {
        add("target".to_owned(), target);
    }
    if let Some(network) = &options.network {
        add("force-network-mode".to_owned(), network);
    }
    for (name, value) in &options.contexts {
        let is_address = value.contains("://") || git::Address::parse(value).is_some();
        let value = if is_address { git::without_password(value) } else { format!("local:{name}") };
        add(format!("context:{name}"), &value);
    }
    if is_max {
        let is_own = |name: &str| !PROXIES.contains(&name);
        for (name, value) in options.build_args.iter().filter(|(name, _)| is_own(name)) {
            add(format!("build-arg:{name}"), value);
        }
        for (name, value) in &options.labels {
            add(format!("label:{name}"), value);
        }
    }
    let mut request = json!({ "frontend": "dockerfile.v0", "args": args });
    if is_max {
        let (secrets, agents) = private(facts.plan);
        request["secrets"] = secrets.into();
        request["ssh"] = agents.into();
    }
    if facts.context.came_from().is_none() {
        request["locals"] = json!([{ "name": "context" }, { "name": "dockerfile" }]);
    }
    request
}

/// The ids of secrets and of agents that programs can see.
fn private(plan: &BuildPlan) -> (Vec<Value>, Vec<Value>) {
    let (mut secrets, mut agents) = (BTreeMap::new(), BTreeMap::new());
    for mount in all_steps(plan).flat_map(mounts) {
        match mount {
            Mount::Secret { id, required, .. } => *secrets.entry(id).or_insert(false) |= required,
            Mount::Ssh { id, required, .. } => *agents.entry(id).or_insert(false) |= required,
            _ => {}
        }
    }
    let listed = |ids: BTreeMap<&String, bool>| {
        ids.into_iter()
            .map(
                |(id, required)| {
                    if required { json!({ "id": id }) } else { json!({ "id": id, "optional": true }) }
                },
            )
            .collect()
    };
    (listed(secrets), listed(agents))
}

/// Whether no program could reach anything.
fn is_hermetic(plan: &BuildPlan) -> bool {
    let mut actions = all_steps(plan).flat_map(|step| &step.plan.ops).map(|op| &op.action);
    actions.all(|action| !matches!(action, Action::Exec(exec) if exec.net != NetAccess::None))
}

/// Images, repositories, downloads and contexts, each once.
fn materials(facts: &Facts<'_>) -> Result<BTreeSet<Material>, RecordError> {
    let of = |name: &str, image: &Image| -> Result<Material, RecordError> {
        Ok(Material::image(name, image, &facts.store.remotes().of(&image.id)?))
    };
    let mut materials = facts.downloads.clone();
    materials.extend(facts.context.came_from().cloned());
    for stage in facts.plan.stages.values() {
        if let (Base::Image(image), Some(name)) = (&stage.base, &stage.reference) {
            materials.insert(of(name, image)?);
        }
        for step in &stage.steps {
            for (name, base) in &step.named {
                materials.extend(match base {
                    Base::Image(image) => Some(of(step.given.get(name).unwrap_or(name), image)?),
                    Base::Directory(context) => context.came_from().cloned(),
                    Base::Stage(_) | Base::Scratch => None,
                });
            }
        }
    }
    Ok(materials)
}

/// The plugins that said what to do, each with the digest of its code.
fn plugins(plan: &BuildPlan) -> Vec<Value> {
    let begun = plan.stages.values().map(|stage| (&stage.start.plugin, stage.start.plugin_digest));
    let asked = all_steps(plan).map(|step| (&step.plugin, step.plugin_digest));
    let plugins: BTreeSet<(&String, Digest)> = begun.chain(asked).collect();
    let one =
        |(name, digest): (&String, Digest)| json!({ "name": name, "digest": { "sha256": digest.hex() } });
    plugins.into_iter().map(one).collect()
}

/// Each step with what it stands on and what its plugin read while it planned, as digests of the answers.
fn steps(plan: &BuildPlan) -> Vec<Value> {
    let graph = Graph::of(plan);
    let name = |number: usize| format!("step{number}");
    let described = graph.nodes.iter().zip(&graph.vertices).map(|(node, vertex)| {
        let stage = &plan.stages[&node.stage];
        let step = node.step.and_then(|step| stage.steps.get(step));
        let (plugin, digest, trace) = match step {
            Some(step) => (&step.plugin, step.plugin_digest, &step.trace),
            None => (&stage.start.plugin, stage.start.plugin_digest, &stage.start.trace),
        };
        let reads = trace.entries.iter().map(|read| {
            json!({ "question": read.question.to_string(), "digest": { "sha256": read.answer.hex() } })
        });
        let inputs: Vec<String> = vertex.after.iter().copied().map(name).collect();
        let ops: Vec<&str> =
            step.iter().flat_map(|step| &step.plan.ops).map(|op| op.label.as_str()).collect();
        json!({
            "id": name(node.number),
            "inputs": inputs,
            "stage": vertex.stage,
            "line": vertex.line,
            "statement": vertex.statement,
            "plugin": { "name": plugin, "digest": { "sha256": digest.hex() } },
            "reads": reads.collect::<Vec<_>>(),
            "ops": ops,
        })
    });
    described.collect()
}

fn all_steps(plan: &BuildPlan) -> impl Iterator<Item = &Step> {
    plan.stages.values().flat_map(|stage| &stage.steps)
}

fn mounts(step: &Step) -> impl Iterator<Item = &Mount> {
    step.plan.ops.iter().flat_map(|op| match &op.action {
        Action::Exec(exec) => exec.mounts.as_slice(),
        _ => &[],
    })
}
