//! Plugins in registries: `plugin push`, and where `plugin add` and `plugin update` get them.
//!
//! What travels is the component, as a WebAssembly artifact, never machine code: neither a native library
//! nor what was compiled here. Hooks are asked as for images, and the ways, logins and certificates are
//! the same. What came is pinned by the digest of its code, so a tag that moves changes nothing.

use std::path::PathBuf;
use std::str::FromStr;

use wharf_model::hook::ImageTransfer;
use wharf_model::{Digest, Reference, ReferenceError};
use wharf_plugin::outline::{self, Form, Outline};
use wharf_plugin::{PluginSource, Trust, shelf};
use wharf_store::registry::{self, Beside, Found, Pushed, WasmArtifact, WasmPulled};

use super::ChangeError;
use crate::Engine;
use crate::hook::AskedTransfer;
use crate::image::{PullImageError, PushImageError};

/// Where a plugin's code is to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A component, a native library, or a bundle.
    File(PathBuf),
    /// A WebAssembly artifact.
    Registry(Reference),
}

impl Default for Origin {
    fn default() -> Self {
        Self::File(PathBuf::new())
    }
}

impl FromStr for Origin {
    type Err = String;

    /// `oci://host/repository[:tag|@digest]`; everything else is a path.
    fn from_str(text: &str) -> Result<Self, String> {
        match PluginSource::in_registry(text) {
            Some(name) => name.map(Self::Registry),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl Engine {
    /// Sends a plugin's component to a registry.
    ///
    /// # Errors
    /// When it is machine code, a hook refuses, or the registry does not take it.
    pub fn push_plugin(&self, name: &str, target: &str) -> Result<(Reference, Pushed), ChangeError> {
        let target = match PluginSource::in_registry(target) {
            Some(named) => named.map_err(|what| ChangeError::Locator { what })?,
            None => target.parse().map_err(|error: ReferenceError| PushImageError::from(error))?,
        };
        if target.digest().is_some() {
            return Err(PushImageError::Digest(target.familiar()).into());
        }
        let plugin = Self::known(self.config(), name)?;
        if plugin.trust == Trust::NativeFull {
            return Err(ChangeError::MachineCode { what: format!("the plugin `{name}`") });
        }
        let code = self.plugins.code(name)?.into_owned();
        let outline = component(&code, &format!("the plugin `{name}`"))?;
        let artifact = WasmArtifact::of(code, &outline.exports, &outline.imports);
        let found = artifact.digests();
        let asked = ImageTransfer {
            reference: target.to_string(),
            digest: Some(found.manifest),
            layers: found.layers,
        };
        let mut asked = AskedTransfer::Push(asked);
        self.ask_aloud(&mut asked).map_err(PushImageError::from)?;
        let pushed = registry::push_wasm(&self.store, &self.session(), &target, &artifact);
        let pushed = pushed.map_err(|source| PushImageError::Push { name: target.clone(), source })?;
        self.forget_transferred();
        self.note_plugin("push", name, &[("to", &target.familiar()), ("digest", &pushed.digest.to_string())]);
        self.tell_hooks(&asked);
        Ok((target, pushed))
    }

    /// The component that a registry has under a name.
    pub(super) fn fetch_plugin(&self, name: &Reference) -> Result<Vec<u8>, ChangeError> {
        let mut denied = None;
        let mut judge =
            |found: &Found, beside: &Beside<'_>| self.ask_about_pull(name, found, beside, &mut denied);
        let pulled = registry::pull_wasm(&self.store, &self.session(), name, outline::LARGEST, &mut judge);
        if let Some(denied) = denied {
            return Err(PullImageError::from(denied).into());
        }
        let pulled = pulled.map_err(|source| PullImageError::Pull { name: name.clone(), source })?;
        self.forget_transferred();
        let WasmPulled { digest, code } = pulled;
        component(&code, &PluginSource::Registry(name.clone()).to_string())?;
        self.tell_about_pull(name, &digest);
        Ok(code)
    }

    /// Puts code where it can be asked; the answer is what to [`Engine::forget`] afterwards.
    pub(super) fn keep_for_a_look(&self, code: &[u8]) -> Result<Option<Digest>, ChangeError> {
        let cannot = |source| ChangeError::File { path: self.options.plugins(), source };
        let is_new = shelf::put(&self.options.plugins(), code).map_err(cannot)?;
        Ok(is_new.then(|| Digest::of(code)))
    }

    /// Takes code away that was put there for a look.
    pub(super) fn forget_code(&self, kept: Option<Digest>) {
        if let Some(digest) = kept {
            let _as_before = shelf::forget(&self.options.plugins(), digest);
        }
    }

    /// The blobs of a transfer belong to no image; a plugin's code has a place of its own.
    fn forget_transferred(&self) {
        let _another_time = self.store.sweep();
    }
}

/// What is no machine code says what it is.
fn component(code: &[u8], what: &str) -> Result<Outline, ChangeError> {
    let outline = Outline::of(code).map_err(|source| ChangeError::File { path: what.into(), source })?;
    match outline.form {
        Form::Component => Ok(outline),
        Form::Library => Err(ChangeError::MachineCode { what: what.to_owned() }),
    }
}

/// What a registry gives for a plugin that is pinned to a digest of its can not change.
pub(super) fn is_fixed(name: &Reference, code: Option<Digest>, is_kept: impl Fn(Digest) -> bool) -> bool {
    name.digest().is_some() && code.is_some_and(is_kept)
}
