//! What a plugin reads: contexts and images.

use crate::bindings::build_context as wit;
use crate::bindings::types;
use crate::kind::{Entry, EntryKind, ResolvedImage, Root};

impl From<wit::Root> for Root {
    fn from(root: wit::Root) -> Self {
        match root {
            wit::Root::Local => Self::Local,
            wit::Root::Named(name) => Self::Named(name),
        }
    }
}

impl From<Entry> for types::Entry {
    fn from(entry: Entry) -> Self {
        Self {
            path: entry.path,
            kind: match entry.kind {
                EntryKind::File => types::EntryKind::File,
                EntryKind::Directory => types::EntryKind::Directory,
                EntryKind::Symlink => types::EntryKind::Symlink,
                EntryKind::Other => types::EntryKind::Other,
            },
            size: entry.size,
            mode: entry.mode,
            content: entry.content.map(|digest| digest.to_string()),
        }
    }
}

impl From<ResolvedImage> for wit::ResolvedImage {
    fn from(image: ResolvedImage) -> Self {
        Self {
            digest: image.digest.to_string(),
            platform: image.platform.into(),
            env: image.env,
            user: image.user,
            working_dir: image.working_dir,
            labels: image.labels,
        }
    }
}
