//! `manifest`: an index of images that a registry has already, put together here and sent there.

use std::sync::Arc;

use serde_json::{Value, json};
use wharf_model::{Digest, Reference, ReferenceError};
use wharf_store::RecordError;
use wharf_store::registry::{self, Member, PullError, PushError, Session};

use crate::Engine;

/// Why a manifest list was not made, changed, shown or sent.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The name is not one.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// It would be overwritten.
    #[error("refusing to amend an existing manifest list with no --amend flag")]
    Exists,
    /// None is called so.
    #[error("No such manifest: {0}")]
    Unknown(String),
    /// It has another entry.
    #[error("manifest for image {member} does not exist in {list}")]
    NoMember {
        /// The entry.
        member: String,
        /// The list.
        list: String,
    },
    /// An index leads to what its own registry has.
    #[error("cannot use {member} in {list}: it is in another registry")]
    OtherRegistry {
        /// The entry.
        member: String,
        /// The list.
        list: String,
    },
    /// Nobody could choose anything from it.
    #[error("the manifest list {0} has no entry")]
    Empty(String),
    /// Two images for the same machine are no choice.
    #[error("{one} and {other} in {list} are both for {platform}")]
    Same {
        /// The list.
        list: String,
        /// An entry.
        one: String,
        /// Another one.
        other: String,
        /// What both say.
        platform: String,
    },
    /// The records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The registry did not give it.
    #[error("cannot read {name} from its registry")]
    Read {
        /// What was asked for.
        name: String,
        /// Why not.
        source: PullError,
    },
    /// The registry did not take it.
    #[error("cannot push {name}")]
    Push {
        /// The list.
        name: String,
        /// Why not.
        source: PushError,
    },
}

impl ManifestError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Unknown(name) => Some(format!("make it with `wharf manifest create {name} IMAGE...`")),
            Self::NoMember { list, .. } => {
                Some(format!("`wharf manifest inspect -v {list}` shows what its entries are called"))
            }
            Self::OtherRegistry { member, .. } => {
                Some(format!("pull {member}, tag it for the registry of the list, and push it there"))
            }
            Self::Name(ReferenceError::Given(_)) => Some("name it by a tag".to_owned()),
            Self::Empty(list) => Some(format!("put an image into it with `wharf manifest add {list} IMAGE`")),
            Self::Same { list, other, .. } => Some(format!(
                "say what {other} is for with `wharf manifest annotate --os OS --arch ARCH {list} {other}`"
            )),
            Self::Read { source, .. } => source.next_step(),
            Self::Push { source, .. } => source.next_step(),
            _ => None,
        }
    }

    fn is_unreached(&self) -> bool {
        match self {
            Self::Read { source: PullError::Registry(error), .. }
            | Self::Push { source: PushError::Registry(error), .. } => error.is_unreached(),
            _ => false,
        }
    }
}

/// How a registry has to prove who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Proof {
    /// As the config says: by a certificate, unless it is this machine itself.
    #[default]
    Needed,
    /// Any certificate will do, and where there is no TLS, none.
    None,
}

/// What an entry is to say of itself; the rest stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotation {
    /// Go's name of a system.
    pub os: Option<String>,
    /// Go's name of a processor.
    pub architecture: Option<String>,
    /// Of the processor.
    pub variant: Option<String>,
    /// Of the system.
    pub os_version: Option<String>,
    /// Of the system; none are no change.
    pub os_features: Vec<String>,
    /// Notes, by name.
    pub notes: Vec<(String, String)>,
}

impl Engine {
    /// Begins a manifest list of what registries have under these names, or puts them into one. Returns
    /// the list's full name.
    ///
    /// # Errors
    /// When there is one and it is not to be amended, or an image is not in the list's registry.
    pub fn create_manifest_list(
        &self,
        list: &str,
        images: &[String],
        amend: bool,
        proof: Proof,
    ) -> Result<Reference, ManifestError> {
        let name = Reference::to_give(list)?;
        let known = self.store.manifest_lists().get(&name)?;
        if known.is_some() && !amend {
            return Err(ManifestError::Exists);
        }
        let mut members = known.unwrap_or_default();
        self.registry_has(&name, images, proof)?.into_iter().for_each(|member| put(&mut members, member));
        self.store.manifest_lists().set(&name, &members)?;
        Ok(name)
    }

    /// Puts what registries have under these names into a list that there is, and says what it is for.
    ///
    /// # Errors
    /// When there is no such list, or an image is not in its registry.
    pub fn add_to_manifest_list(
        &self,
        list: &str,
        images: &[String],
        said: &Annotation,
        proof: Proof,
    ) -> Result<Reference, ManifestError> {
        let name = Reference::to_give(list)?;
        let mut members = self.manifest_list(&name)?;
        for mut member in self.registry_has(&name, images, proof)? {
            annotate(&mut member, said);
            put(&mut members, member);
        }
        self.store.manifest_lists().set(&name, &members)?;
        Ok(name)
    }

    /// What the registry of a list has under these names.
    fn registry_has(
        &self,
        list: &Reference,
        images: &[String],
        proof: Proof,
    ) -> Result<Vec<Member>, ManifestError> {
        let mut found = Vec::new();
        for image in images {
            let image: Reference = image.parse()?;
            if image.domain() != list.domain() {
                let (member, list) = (image.familiar(), list.familiar());
                return Err(ManifestError::OtherRegistry { member, list });
            }
            found.extend(self.ask_registry(&image, proof, |session| {
                let read = |source| ManifestError::Read { name: image.familiar(), source };
                registry::members(session, &image).map_err(read)
            })?);
        }
        Ok(found)
    }

    /// Asks the registry of a name. Who needs no proof is asked by TLS first, as docker does it, then without.
    fn ask_registry<T>(
        &self,
        name: &Reference,
        proof: Proof,
        ask: impl Fn(&Arc<Session>) -> Result<T, ManifestError>,
    ) -> Result<T, ManifestError> {
        if proof == Proof::Needed {
            return ask(&self.session());
        }
        match ask(&self.session_without_proof(name.domain(), false)) {
            Err(error) if error.is_unreached() => match ask(&self.session_without_proof(name.domain(), true))
            {
                Err(other) if other.is_unreached() => Err(error),
                answered => answered,
            },
            answered => answered,
        }
    }

    /// Says of an entry what it is for.
    ///
    /// # Errors
    /// When there is no such list, or no such entry in it.
    pub fn annotate_manifest_list(
        &self,
        list: &str,
        image: &str,
        said: &Annotation,
    ) -> Result<(), ManifestError> {
        let (name, image) = (Reference::to_give(list)?, image.parse::<Reference>()?);
        let mut members = self.manifest_list(&name)?;
        let member = members.iter_mut().find(|member| member.name == image.to_string());
        let nobody = || ManifestError::NoMember { member: image.familiar(), list: name.familiar() };
        annotate(member.ok_or_else(nobody)?, said);
        Ok(self.store.manifest_lists().set(&name, &members)?)
    }

    /// The document that a name leads to: of a list that is being put together, or in a registry. In
    /// full, each entry with its own manifest.
    ///
    /// # Errors
    /// When there is neither.
    pub fn inspect_manifest(&self, name: &str, in_full: bool, proof: Proof) -> Result<Value, ManifestError> {
        let name: Reference = name.parse()?;
        let Some(members) = self.store.manifest_lists().get(&name)? else {
            return self.ask_registry(&name, proof, |session| inspect_remote(session, &name, in_full));
        };
        if in_full {
            return self
                .ask_registry(&name, proof, |session| members.iter().map(|it| full(session, it)).collect());
        }
        let (text, _) = registry::list_text(&members);
        Ok(parsed(&text))
    }

    /// One entry of a list that is being put together.
    ///
    /// # Errors
    /// When there is no such list or entry.
    pub fn inspect_member(&self, list: &str, image: &str, proof: Proof) -> Result<Value, ManifestError> {
        let (name, image) = (Reference::to_give(list)?, image.parse::<Reference>()?);
        let members = self.manifest_list(&name)?;
        let member = members.iter().find(|member| member.name == image.to_string());
        let nobody = || ManifestError::NoMember { member: image.familiar(), list: name.familiar() };
        let member = member.ok_or_else(nobody)?;
        self.ask_registry(&name, proof, |session| full(session, member))
    }

    /// Sends a list to the registry that its name says; forgets it here when it is not wanted any more.
    ///
    /// # Errors
    /// When there is none, two entries are for the same machine, or the registry does not take it.
    pub fn push_manifest_list(&self, list: &str, purge: bool, proof: Proof) -> Result<Digest, ManifestError> {
        let name = Reference::to_give(list)?;
        let members = self.manifest_list(&name)?;
        if members.is_empty() {
            return Err(ManifestError::Empty(name.familiar()));
        }
        differ(&name, &members)?;
        let pushed = self.ask_registry(&name, proof, |session| {
            let failed = |source| ManifestError::Push { name: name.familiar(), source };
            registry::push_list(session, &name, &members).map_err(failed)
        })?;
        if purge {
            self.store.manifest_lists().remove(&name)?;
        }
        Ok(pushed.digest)
    }

    /// Forgets a list that was put together here.
    ///
    /// # Errors
    /// When there is none.
    pub fn remove_manifest_list(&self, list: &str) -> Result<(), ManifestError> {
        let name = Reference::to_give(list)?;
        let was_there = self.store.manifest_lists().remove(&name)?;
        was_there.then_some(()).ok_or_else(|| ManifestError::Unknown(name.familiar()))
    }

    fn manifest_list(&self, name: &Reference) -> Result<Vec<Member>, ManifestError> {
        let found = self.store.manifest_lists().get(name)?;
        found.ok_or_else(|| ManifestError::Unknown(name.familiar()))
    }
}

fn inspect_remote(session: &Arc<Session>, name: &Reference, in_full: bool) -> Result<Value, ManifestError> {
    let read = |source| ManifestError::Read { name: name.familiar(), source };
    if !in_full {
        let (_, text, _) = registry::inspect(session, name).map_err(read)?;
        return Ok(parsed(&text));
    }
    let members = registry::members(session, name).map_err(read)?;
    let mut all = members.iter().map(|member| full(session, member)).collect::<Result<Vec<_>, _>>()?;
    let is_one = members.len() == 1 && members.iter().all(|member| member.name == name.to_string());
    Ok(if is_one { all.remove(0) } else { Value::Array(all) })
}

/// An entry with its manifest, under the names that docker gives them.
fn full(session: &Arc<Session>, member: &Member) -> Result<Value, ManifestError> {
    let name: Reference = member.name.parse()?;
    let exact: Reference =
        format!("{}/{}@{}", name.domain(), name.path(), member.descriptor.digest).parse()?;
    let found = registry::inspect(session, &exact);
    let (_, text, kind) = found.map_err(|source| ManifestError::Read { name: exact.familiar(), source })?;
    let field = if kind.contains("docker") { "SchemaV2Manifest" } else { "OCIManifest" };
    Ok(json!({
        "Ref": member.name,
        "Descriptor": member.descriptor,
        field: parsed(&text),
    }))
}

/// What is put in again takes the place that it had.
fn put(members: &mut Vec<Member>, member: Member) {
    match members.iter_mut().find(|known| known.name == member.name) {
        Some(known) => *known = member,
        None => members.push(member),
    }
}

fn annotate(member: &mut Member, said: &Annotation) {
    let platform = &mut member.descriptor.platform;
    if let Some(os) = &said.os {
        platform.os.clone_from(os);
    }
    if let Some(architecture) = &said.architecture {
        platform.architecture.clone_from(architecture);
    }
    platform.variant = said.variant.clone().or(platform.variant.take());
    platform.os_version = said.os_version.clone().or(platform.os_version.take());
    if !said.os_features.is_empty() {
        platform.os_features.clone_from(&said.os_features);
    }
    for (name, value) in &said.notes {
        let notes = member.descriptor.annotations.get_or_insert_default();
        notes.insert(name.clone(), Value::from(value.as_str()));
    }
}

/// Who reads an index takes the first that fits: of two for the same machine, one would never be found.
fn differ(list: &Reference, members: &[Member]) -> Result<(), ManifestError> {
    for (number, member) in members.iter().enumerate() {
        let platform = &member.descriptor.platform;
        // What is about an image, and no image, is for no machine.
        let same = |other: &&Member| {
            other.descriptor.platform == *platform
                && other.descriptor.digest != member.descriptor.digest
                && platform.os != "unknown"
        };
        if let Some(other) = members.iter().skip(number + 1).find(same) {
            return Err(ManifestError::Same {
                list: list.familiar(),
                one: member.name.clone(),
                other: other.name.clone(),
                platform: format!("{}/{}", platform.os, platform.architecture),
            });
        }
    }
    Ok(())
}

/// Text that was verified to be JSON.
fn parsed(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_store::registry::{MemberDescriptor, MemberPlatform};

    fn member(name: &str, architecture: &str) -> Member {
        let platform = MemberPlatform {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            ..MemberPlatform::default()
        };
        let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
        let digest = Digest::of(name);
        let descriptor = MemberDescriptor { media_type, size: 7, digest, platform, annotations: None };
        Member { name: name.to_owned(), descriptor }
    }

    #[test]
    fn an_annotation_changes_what_it_names_and_nothing_else() {
        let mut changed = member("a.test/x:1", "amd64");
        let said = Annotation { variant: Some("v2".to_owned()), ..Annotation::default() };
        annotate(&mut changed, &said);
        assert_eq!(changed.descriptor.platform.variant.as_deref(), Some("v2"));
        assert_eq!(changed.descriptor.platform.architecture, "amd64");
        assert_eq!(changed.descriptor.digest, Digest::of("a.test/x:1"));
        assert!(changed.descriptor.annotations.is_none());
        let said = Annotation { notes: vec![("k".to_owned(), "v".to_owned())], ..Annotation::default() };
        annotate(&mut changed, &said);
        assert_eq!(json!(changed.descriptor.annotations), json!({ "k": "v" }));
    }

    #[test]
    fn two_entries_for_one_machine_are_no_choice() {
        let list: Reference = "a.test/list:1".parse().unwrap();
        let two = [member("a.test/x:1", "amd64"), member("a.test/x:2", "amd64")];
        assert!(matches!(differ(&list, &two), Err(ManifestError::Same { .. })));
        let others = [member("a.test/x:1", "amd64"), member("a.test/x:2", "arm64")];
        assert!(differ(&list, &others).is_ok());
    }

    #[test]
    fn an_entry_that_is_put_in_again_keeps_its_place() {
        let mut members = vec![member("a.test/x:1", "amd64"), member("a.test/x:2", "arm64")];
        put(&mut members, member("a.test/x:1", "riscv64"));
        assert_eq!(members.len(), 2);
        assert_eq!(members[0].descriptor.platform.architecture, "riscv64");
    }
}
