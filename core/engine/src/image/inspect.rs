//! `inspect`: docker's JSON of an image. Scripts depend on these keys.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use wharf_model::image::RunConfig;
use wharf_model::{Platform, Reference};
use wharf_store::{Attachment, Remote, ResolveError};

use crate::Engine;

impl Engine {
    /// Everything about an image, with docker's keys.
    ///
    /// # Errors
    /// When there is none, or none for the platform.
    pub fn inspect_image(&self, name: &str, platform: Option<&Platform>) -> Result<Value, ResolveError> {
        let image = self.store.resolve_for(name, platform)?;
        let config = &image.config;
        let (pinned, tagged): (Vec<&Reference>, Vec<_>) =
            image.names.iter().partition(|name| name.digest().is_some());
        let names: Vec<String> = tagged.into_iter().map(Reference::familiar).collect();
        let added = Timestamp::from_second(image.added).map(|time| time.to_string()).unwrap_or_default();
        let remotes = self.store.remotes().of(&image.id)?;
        let digests: BTreeSet<String> =
            remotes.iter().map(called).chain(pinned.into_iter().map(exact)).collect();
        let attached = self.store.attachments().of(&image.id)?;
        let attachments: Vec<Value> = attached.iter().map(shown).collect();
        Ok(json!({
            "Id": image.id.to_string(),
            "RepoTags": names,
            "RepoDigests": digests,
            "Parent": "",
            "Comment": config.history.last().and_then(|step| step.comment.clone()).unwrap_or_default(),
            "Created": config.created,
            "Author": config.author.clone().unwrap_or_default(),
            "Config": with_all_keys(&config.config),
            "Architecture": config.architecture,
            "Variant": config.variant.clone().unwrap_or_default(),
            "Os": config.os,
            "Size": image.size,
            "GraphDriver": { "Name": image.layers.last().map(|layer| &layer.driver), "Data": null },
            "RootFS": { "Type": "layers", "Layers": config.rootfs.diff_ids },
            "Metadata": { "LastTagTime": added },
            "Attachments": attachments,
        }))
    }
}

/// What an image does not say has docker's empty values: a template asks for a key whether or not it is there.
fn with_all_keys(config: &RunConfig) -> Value {
    let mut all = json!({
        "User": "",
        "ExposedPorts": null,
        "Env": null,
        "Cmd": null,
        "Healthcheck": null,
        "Volumes": null,
        "WorkingDir": "",
        "Entrypoint": null,
        "OnBuild": null,
        "Labels": null,
        "StopSignal": "",
        "Shell": null,
    });
    if let (Value::Object(all), Value::Object(said)) = (&mut all, json!(config)) {
        all.extend(said);
    }
    all
}

/// As people write it, with the digest that a registry's tag leads to.
fn called(remote: &Remote) -> String {
    let full = format!("{}@{}", remote.repository, remote.digest);
    full.parse().map_or(full, |name: Reference| name.familiar())
}

/// Docker keeps no tag beside a digest.
fn exact(name: &Reference) -> String {
    let digest = name.digest().map(|digest| format!("@{digest}"));
    name.familiar_name() + &digest.unwrap_or_default()
}

fn shown(attached: &Attachment) -> Value {
    json!({
        "Name": attached.name,
        "MediaType": attached.media_type,
        "Digest": attached.digest.to_string(),
        "Size": attached.size,
        "Hook": attached.owner,
    })
}
