//! `manifest`: an index of images that a registry has already, put together here and sent there.

use serde_json::{Value, json};
use wharf_model::{Digest, Reference, ReferenceError};
use wharf_store::RecordError;
use wharf_store::registry::{self, Member, PullError, PushError};

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
    /// A digest can not be given, only found.
    #[error("cannot make {0}: a digest is not a name to give")]
    Digest(String),
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
            Self::Digest(_) => Some("name it by a tag".to_owned()),
            Self::Same { list, other, .. } => Some(format!(
                "say what {other} is for with `wharf manifest annotate --os OS --arch ARCH {list} {other}`"
            )),
            Self::Read { source, .. } => source.next_step(),
            Self::Push { source, .. } => source.next_step(),
            _ => None,
        }
    }
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
    ) -> Result<Reference, ManifestError> {
        let name = list_name(list)?;
        let known = self.store.manifest_lists().get(&name)?;
        if known.is_some() && !amend {
            return Err(ManifestError::Exists);
        }
        let mut members = known.unwrap_or_default();
        let session = self.session();
        for image in images {
            let image: Reference = image.parse()?;
            if image.domain() != name.domain() {
                let (member, list) = (image.familiar(), name.familiar());
                return Err(ManifestError::OtherRegistry { member, list });
            }
            let found = registry::members(&session, &image);
            let found = found.map_err(|source| ManifestError::Read { name: image.familiar(), source })?;
            found.into_iter().for_each(|member| put(&mut members, member));
        }
        self.store.manifest_lists().set(&name, &members)?;
        Ok(name)
    }

    /// Says of an entry what it is for.
    ///
    /// # Errors
    /// When there is no such list, or no such entry in it.
    pub fn annotate_manifest_list(
        &self,
        list: &str,
        image: &str,
        said: Annotation,
    ) -> Result<(), ManifestError> {
        let (name, image) = (list_name(list)?, image.parse::<Reference>()?);
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
    pub fn inspect_manifest(&self, name: &str, in_full: bool) -> Result<Value, ManifestError> {
        let name: Reference = name.parse()?;
        let Some(members) = self.store.manifest_lists().get(&name)? else {
            return self.inspect_remote(&name, in_full);
        };
        if in_full {
            return members.iter().map(|member| self.in_full(member)).collect();
        }
        let (text, _) = registry::list_text(&members);
        Ok(parsed(&text))
    }

    /// One entry of a list that is being put together.
    ///
    /// # Errors
    /// When there is no such list or entry.
    pub fn inspect_member(&self, list: &str, image: &str) -> Result<Value, ManifestError> {
        let (name, image) = (list_name(list)?, image.parse::<Reference>()?);
        let members = self.manifest_list(&name)?;
        let member = members.iter().find(|member| member.name == image.to_string());
        let nobody = || ManifestError::NoMember { member: image.familiar(), list: name.familiar() };
        self.in_full(member.ok_or_else(nobody)?)
    }

    fn inspect_remote(&self, name: &Reference, in_full: bool) -> Result<Value, ManifestError> {
        let read = |source| ManifestError::Read { name: name.familiar(), source };
        if !in_full {
            let (_, text, _) = registry::inspect(&self.session(), name).map_err(read)?;
            return Ok(parsed(&text));
        }
        let members = registry::members(&self.session(), name).map_err(read)?;
        let mut all = members.iter().map(|member| self.in_full(member)).collect::<Result<Vec<_>, _>>()?;
        let is_one = members.len() == 1 && members.iter().all(|member| member.name == name.to_string());
        Ok(if is_one { all.remove(0) } else { Value::Array(all) })
    }

    /// An entry with its manifest, under the names that docker gives them.
    fn in_full(&self, member: &Member) -> Result<Value, ManifestError> {
        let name: Reference = member.name.parse()?;
        let exact: Reference =
            format!("{}/{}@{}", name.domain(), name.path(), member.descriptor.digest).parse()?;
        let found = registry::inspect(&self.session(), &exact);
        let (_, text, kind) =
            found.map_err(|source| ManifestError::Read { name: exact.familiar(), source })?;
        let field = if kind.contains("docker") { "SchemaV2Manifest" } else { "OCIManifest" };
        Ok(json!({
            "Ref": member.name,
            "Descriptor": member.descriptor,
            field: parsed(&text),
        }))
    }

    /// Sends a list to the registry that its name says; forgets it here when it is not wanted any more.
    ///
    /// # Errors
    /// When there is none, two entries are for the same machine, or the registry does not take it.
    pub fn push_manifest_list(&self, list: &str, purge: bool) -> Result<Digest, ManifestError> {
        let name = list_name(list)?;
        let members = self.manifest_list(&name)?;
        differ(&name, &members)?;
        let pushed = registry::push_list(&self.session(), &name, &members);
        let pushed = pushed.map_err(|source| ManifestError::Push { name: name.familiar(), source })?;
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
        let name = list_name(list)?;
        let was_there = self.store.manifest_lists().remove(&name)?;
        was_there.then_some(()).ok_or_else(|| ManifestError::Unknown(name.familiar()))
    }

    fn manifest_list(&self, name: &Reference) -> Result<Vec<Member>, ManifestError> {
        let found = self.store.manifest_lists().get(name)?;
        found.ok_or_else(|| ManifestError::Unknown(name.familiar()))
    }
}

fn list_name(text: &str) -> Result<Reference, ManifestError> {
    let name: Reference = text.parse()?;
    if name.digest().is_some() { Err(ManifestError::Digest(text.to_owned())) } else { Ok(name) }
}

/// What is put in again takes the place that it had.
fn put(members: &mut Vec<Member>, member: Member) {
    match members.iter_mut().find(|known| known.name == member.name) {
        Some(known) => *known = member,
        None => members.push(member),
    }
}

fn annotate(member: &mut Member, said: Annotation) {
    let platform = &mut member.descriptor.platform;
    if let Some(os) = said.os {
        platform.os = os;
    }
    if let Some(architecture) = said.architecture {
        platform.architecture = architecture;
    }
    platform.variant = said.variant.or(platform.variant.take());
    platform.os_version = said.os_version.or(platform.os_version.take());
    if !said.os_features.is_empty() {
        platform.os_features = said.os_features;
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
        annotate(&mut changed, said);
        assert_eq!(changed.descriptor.platform.variant.as_deref(), Some("v2"));
        assert_eq!(changed.descriptor.platform.architecture, "amd64");
        assert_eq!(changed.descriptor.digest, Digest::of("a.test/x:1"));
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
