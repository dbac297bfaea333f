//! Indexes that somebody puts together of images which a registry has already (docker's `manifest`).
//!
//! Nothing is fetched but manifests and configs: an entry that is in another repository of the same
//! registry is mounted there, blob by blob, before the index names it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::{Deserialize, Serialize};
use serde_json::json;
use wharf_model::{Digest, Reference};

use super::document::{self, Descriptor, Document};
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::pull::{PullError, runtime};
use super::push::{PushError, Pushed};
use super::resolve::tag_of;
use super::session::Session;
use super::upload::{Arrived, Outgoing, Target};
use crate::archive::INDEX_TYPE;

const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// An entry of an index, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What it was called when it was put in: host, path, and tag or digest.
    pub name: String,
    /// What the index says of it.
    pub descriptor: MemberDescriptor,
}

/// An entry as the index has it (OCI image specification, "Image Index Property Descriptions").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberDescriptor {
    /// Of the manifest.
    #[serde(default)]
    pub media_type: String,
    /// Bytes of the manifest.
    pub size: u64,
    /// Of the manifest.
    pub digest: Digest,
    /// What it runs on.
    #[serde(default)]
    pub platform: MemberPlatform,
    /// What else was said of it where it is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<serde_json::Map<String, serde_json::Value>>,
}

/// What an entry runs on, with all that an index can say of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberPlatform {
    /// Go's name of a processor.
    #[serde(default)]
    pub architecture: String,
    /// Go's name of a system.
    #[serde(default)]
    pub os: String,
    /// Of a system that must have one.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// That the system must have.
    #[serde(default, rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Of the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

#[derive(Deserialize)]
struct Listing {
    manifests: Vec<MemberDescriptor>,
}

/// What a name leads to in its registry, as entries: one for an image, all of its own for an index.
///
/// # Errors
/// When the registry does not give it, or it can not be understood.
pub fn members(session: &Arc<Session>, name: &Reference) -> Result<Vec<Member>, PullError> {
    let runtime = runtime()?;
    let endpoint = session.target(name)?;
    let what = format!("the manifest of {}", name.familiar());
    let (tag, wanted) = tag_of(name);
    let (digest, text, kind) = runtime.block_on(session.document(&endpoint, &tag, wanted, &what))?;
    let manifest = match document::parse_any(&what, &text, &kind)? {
        Document::Index(_) => return Ok(listed(name, &what, &text)?),
        Document::Manifest(manifest) => manifest,
    };
    let what = format!("the config of {}", name.familiar());
    let config = runtime.block_on(session.small_blob(&endpoint, &manifest.config, &what))?;
    let platform = serde_json::from_slice(&config).map_err(|error| damaged(&what, &error.to_string()))?;
    let media_type = manifest.media_type;
    let size = text.len() as u64;
    let descriptor = MemberDescriptor { media_type, size, digest, platform, annotations: None };
    Ok(vec![Member { name: name.to_string(), descriptor }])
}

fn listed(name: &Reference, what: &str, text: &[u8]) -> Result<Vec<Member>, RegistryError> {
    let listing: Listing = serde_json::from_slice(text).map_err(|error| damaged(what, &error.to_string()))?;
    let called = |descriptor: MemberDescriptor| {
        let name = format!("{}/{}@{}", name.domain(), name.path(), descriptor.digest);
        Member { name, descriptor }
    };
    Ok(listing.manifests.into_iter().map(called).collect())
}

/// The document of a name as its registry has it, with its digest and its type.
///
/// # Errors
/// When the registry does not give it, or it is neither an index nor a manifest.
pub fn inspect(session: &Arc<Session>, name: &Reference) -> Result<(Digest, Vec<u8>, String), PullError> {
    let runtime = runtime()?;
    let what = format!("the manifest of {}", name.familiar());
    let (text, said) = runtime.block_on(session.first_document(name))?;
    let kind = match document::parse_any(&what, &text, &said)? {
        Document::Manifest(manifest) => manifest.media_type,
        Document::Index(_) => said,
    };
    Ok((Digest::of(&text), text, kind))
}

/// The index of these entries, and its type: the same entries give the same bytes. It is one of docker's
/// when all of them are.
pub fn list_text(members: &[Member]) -> (Vec<u8>, &'static str) {
    let is_docker = |member: &Member| member.descriptor.media_type == DOCKER_MANIFEST;
    let kind = if members.iter().all(is_docker) { DOCKER_LIST } else { INDEX_TYPE };
    let manifests: Vec<_> = members.iter().map(|member| &member.descriptor).collect();
    let text = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": manifests });
    (text.to_string().into_bytes(), kind)
}

/// Gives a registry the index of these entries, which it has in this or in other repositories.
///
/// # Errors
/// When the registry does not take it, or an entry is not there any more.
pub fn push_list(session: &Arc<Session>, name: &Reference, members: &[Member]) -> Result<Pushed, PushError> {
    let runtime = runtime().map_err(PushError::Runtime)?;
    let endpoint = session.target(name)?;
    let mut sources: Vec<(Endpoint, &Member)> = Vec::new();
    let mut scopes = vec![format!("repository:{}:pull,push", endpoint.repository)];
    for member in members {
        let from = source(session, member)?;
        if from.repository != endpoint.repository {
            scopes.push(format!("repository:{}:pull", from.repository));
            sources.push((from, member));
        }
    }
    scopes.dedup();
    let target = Target::new(session, endpoint, scopes);
    for (from, member) in sources {
        runtime.block_on(mount(&target, &from, member))?;
    }
    let (text, kind) = list_text(members);
    let what = format!("the manifest list {}", name.familiar());
    let tag = name.tag().unwrap_or("latest");
    runtime.block_on(target.put_manifest(tag, kind, &text, &what))?;
    Ok(Pushed { digest: Digest::of(&text), size: text.len() as u64 })
}

fn source(session: &Session, member: &Member) -> Result<Endpoint, RegistryError> {
    let name = member.name.parse::<Reference>();
    session.target(&name.map_err(|error| damaged("the manifest list", &error.to_string()))?)
}

/// An image of another repository of the same registry is one of this repository as well.
async fn mount(target: &Target, from: &Endpoint, member: &Member) -> Result<(), RegistryError> {
    let MemberDescriptor { digest, size, .. } = &member.descriptor;
    let what = format!("the manifest of {}", member.name);
    let wanted = Some((*digest, Some(*size)));
    let (_, text, kind) = target.session.document(from, &digest.to_string(), wanted, &what).await?;
    let Document::Manifest(manifest) = document::parse_any(&what, &text, &kind)? else {
        return Err(damaged(&what, "an index can not be an entry of another one"));
    };
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        mount_blob(target, from, blob).await?;
    }
    target.put_manifest(&digest.to_string(), &manifest.media_type, &text, &what).await
}

async fn mount_blob(target: &Target, from: &Endpoint, blob: &Descriptor) -> Result<(), RegistryError> {
    let outgoing = Outgoing {
        digest: blob.digest,
        size: blob.size,
        path: None,
        holders: vec![from.repository.clone()],
        sent: Arc::new(AtomicU64::new(0)),
    };
    match target.deliver(&outgoing, false).await? {
        Arrived::Nowhere => Err(RegistryError::Missing {
            what: format!("blob {} in {}", blob.digest, target.endpoint.full()),
            said: format!("the registry does not mount it from {}", from.full()),
        }),
        _ => Ok(()),
    }
}

fn damaged(what: &str, reason: &str) -> RegistryError {
    RegistryError::Damaged { what: what.to_owned(), reason: reason.to_owned() }
}
