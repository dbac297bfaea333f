//! WebAssembly artifacts in registries, as the "Wasm OCI Artifact Layout" of the CNCF has them.
//!
//! ```text
//! manifest
//! |- config   application/vnd.wasm.config.v0+json: os, architecture, layerDigests, component
//! '- layer    application/wasm: the component, as it was built
//! ```
//!
//! One layer and no other: code that was compiled for a machine has no place in it. The same component
//! gives the same three documents everywhere, so that a second push changes nothing.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::oneshot;
use wharf_model::{Digest, Reference};

use super::beside::Beside;
use super::document::{WASM_CONFIG, WASM_LAYER, Wanted};
use super::error::RegistryError;
use super::partial::Arriving;
use super::pull::{Found, Judge, PullError, runtime};
use super::push::{PushError, Pushed};
use super::session::Session;
use super::transfer::fetch_all;
use super::upload::{Outgoing, Target};
use crate::Store;
use crate::image::MANIFEST_TYPE;

/// An artifact's time: the same for everybody.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A component that goes to a registry, with the documents that lead to it.
#[derive(Debug, Clone)]
pub struct WasmArtifact {
    code: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

/// A component that came from a registry.
#[derive(Debug, Clone)]
pub struct WasmPulled {
    /// What the registry's name leads to.
    pub digest: Digest,
    /// The component.
    pub code: Vec<u8>,
}

impl WasmArtifact {
    /// Of a component that exports and imports these interfaces.
    pub fn of(code: Vec<u8>, exports: &[String], imports: &[String]) -> Self {
        let layer = Digest::of(&code);
        let config = json!({
            "created": CREATED,
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [layer],
            "component": { "exports": exports, "imports": imports, "target": null },
        });
        let config = config.to_string().into_bytes();
        let descriptor = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len() });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(WASM_CONFIG, &config),
            "layers": [descriptor(WASM_LAYER, &code)],
        });
        Self { config, manifest: manifest.to_string().into_bytes(), code }
    }

    /// Of its manifest, and of the component.
    pub fn digests(&self) -> Found {
        let manifest = Digest::of(&self.manifest);
        Found { manifest, layers: vec![Digest::of(&self.code)] }
    }
}

/// Brings a component of at most `limit` bytes; `judge` may say no before it is fetched.
///
/// # Errors
/// When the registry does not give it, it is something else, or it is too long.
pub fn pull_wasm(
    store: &Store,
    session: &Arc<Session>,
    name: &Reference,
    limit: u64,
    judge: &mut Judge<'_>,
) -> Result<WasmPulled, PullError> {
    let _guard = store.guard()?;
    let runtime = runtime()?;
    let resolved = runtime.block_on(session.resolve(name, Wanted::Wasm))?;
    let beside = Beside { session, runtime: &runtime, resolved: &resolved, name };
    judge(&resolved.found(), &beside).map_err(PullError::Judged)?;
    let what = format!("the component of {}", name.familiar());
    let Some(layer) = resolved.manifest.layers.first() else {
        return Err(RegistryError::NotWasm { what, is: "an empty one".to_owned() }.into());
    };
    if layer.size > limit {
        return Err(RegistryError::TooLong { what, limit }.into());
    }
    let arriving = Arc::new(Arriving::new(store.blobs(), layer.digest, layer.size));
    // Nobody says stop; it has to live as long as the transfer.
    let (_stop, stopped) = oneshot::channel();
    let wanted = vec![Arc::clone(&arriving)];
    runtime.block_on(fetch_all(Arc::clone(session), resolved.places(), wanted, stopped))?;
    arriving.keep()?;
    let code = store.blobs().read(&layer.digest, limit)?;
    Ok(WasmPulled { digest: resolved.digest, code })
}

/// Sends a component to where a name says.
///
/// # Errors
/// When the registry does not take it.
pub fn push_wasm(
    store: &Store,
    session: &Arc<Session>,
    name: &Reference,
    artifact: &WasmArtifact,
) -> Result<Pushed, PushError> {
    let _guard = store.guard()?;
    let runtime = runtime().map_err(PushError::Runtime)?;
    let endpoint = session.target(name)?;
    let scopes = vec![format!("repository:{}:pull,push", endpoint.repository)];
    let target = Target::new(session, endpoint, scopes);
    for bytes in [&artifact.code, &artifact.config] {
        let digest = store.blobs().put(bytes)?;
        let path = Some(store.blobs().path(&digest));
        let size = bytes.len() as u64;
        let blob = Outgoing { digest, size, path, holders: Vec::new(), sent: Arc::default() };
        runtime.block_on(target.deliver(&blob, false))?;
    }
    let digest = Digest::of(&artifact.manifest);
    let tag = name.tag().map_or_else(|| digest.to_string(), str::to_owned);
    let what = format!("the manifest of {}", name.familiar());
    runtime.block_on(target.put_manifest(&tag, MANIFEST_TYPE, &artifact.manifest, &what))?;
    Ok(Pushed { digest, size: artifact.manifest.len() as u64 })
}
