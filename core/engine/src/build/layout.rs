//! One image of an OCI image layout, as a build context.
//!
//! What is wanted of the layout is given to whoever loads archives, as an archive: an index with the
//! one image, its manifest, its config and its layers. Every file is checked against the digest that
//! is its name, and nothing outside `blobs/sha256` is read.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde_json::Value;
use wharf_model::{Digest, Hasher, Platform};

use super::resolve::open_file;
use crate::Engine;

type Failure = Box<dyn Error + Send + Sync>;

/// Indexes and manifests are not longer, and not nested deeper.
const LONGEST: u64 = 4 << 20;
const DEPTH: usize = 4;
const NAME: &str = "org.opencontainers.image.ref.name";

/// `DIRECTORY[:TAG][@DIGEST]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) directory: PathBuf,
    tag: Option<String>,
    digest: Option<String>,
}

impl Wanted {
    pub(super) fn parse(text: &str) -> Self {
        let (rest, digest) = match text.rsplit_once('@') {
            Some((rest, digest)) if digest.starts_with("sha256:") => (rest, Some(digest.to_owned())),
            _ => (text, None),
        };
        let (directory, tag) = match rest.rsplit_once(':') {
            Some((directory, tag)) if !tag.contains('/') => (directory, Some(tag.to_owned())),
            _ => (rest, None),
        };
        Self { directory: directory.into(), tag, digest }
    }

    /// The image's line of the index.
    fn choose(&self, index: &Value) -> Result<Value, Failure> {
        let all = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
        let tag = self.tag.as_deref();
        let is_it = |image: &&Value| match (&self.digest, tag) {
            (Some(digest), _) => image["digest"] == digest.as_str(),
            (None, Some(tag)) => {
                let name = image["annotations"][NAME].as_str().unwrap_or_default();
                name == tag || name.ends_with(&format!(":{tag}"))
            }
            (None, None) => all.len() == 1 || image["annotations"][NAME] == "latest",
        };
        if let Some(found) = all.iter().find(is_it) {
            return Ok(found.clone());
        }
        let Some(digest) = &self.digest else {
            return Err(match tag {
                Some(tag) => format!("it has no image with the tag `{tag}`"),
                None => format!("it has {} images: say which, as `:TAG` or `@DIGEST`", all.len()),
            }
            .into());
        };
        // It may be a manifest that one of its indexes lists.
        Ok(serde_json::json!({ "digest": digest }))
    }
}

impl Engine {
    /// Loads the image without giving it a name.
    pub(super) fn load_layout(&self, wanted: &Wanted) -> Result<Digest, Failure> {
        let root: OwnedFd = File::open(&wanted.directory)?.into();
        let index: Value = serde_json::from_slice(&whole(&root, Path::new("index.json"))?)?;
        let mut chosen = wanted.choose(&index)?;
        if let Some(image) = chosen.as_object_mut() {
            // A name of the layout's is no name of ours.
            image.remove("annotations");
        }
        let digest = digest(&chosen)?;
        let text = serde_json::to_vec(&serde_json::json!({ "schemaVersion": 2, "manifests": [chosen] }))?;
        let mut files = Vec::new();
        list(&root, digest, DEPTH, &mut files)?;
        // Of an index, the image for this machine; one that was named is taken as it is.
        let top: Value = serde_json::from_slice(&whole(&root, &blob(&digest))?)?;
        let platform = top["manifests"].is_array().then(Platform::host);
        let (read, write) = io::pipe()?;
        std::thread::scope(|scope| {
            let packer = scope.spawn(|| pack(write, &root, &text, &files));
            let loaded = self.load(read, platform.as_slice());
            let packed = packer.join().map_err(|_| "the layout could not be packed")?;
            // A blob that is not what its name says is the cause of all other trouble.
            packed?;
            let loaded = loaded?;
            loaded.first().map(|image| image.id).ok_or_else(|| "it holds no image".into())
        })
    }
}

fn digest(descriptor: &Value) -> Result<Digest, Failure> {
    Ok(descriptor["digest"].as_str().ok_or("a descriptor has no digest")?.parse::<Digest>()?)
}

fn blob(digest: &Digest) -> PathBuf {
    format!("blobs/sha256/{}", digest.hex()).into()
}

fn whole(root: &OwnedFd, path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::from(open(root, path)?).take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("{} is longer than {LONGEST} bytes", path.display()).into());
    }
    Ok(bytes)
}

fn open(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Failure> {
    open_file(root.as_fd(), path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// An index or a manifest with everything that it lists and that is here: of an index, not every
/// machine's image has to be.
fn list(root: &OwnedFd, digest: Digest, depth: usize, files: &mut Vec<Digest>) -> Result<(), Failure> {
    if depth == 0 {
        return Err("its indexes are nested too deep".into());
    }
    let text = whole(root, &blob(&digest))?;
    if Digest::of(&text) != digest {
        return Err(format!("the content of {digest} is something else").into());
    }
    files.push(digest);
    let document: Value = serde_json::from_slice(&text)?;
    for inner in document["manifests"].as_array().into_iter().flatten() {
        let inner = self::digest(inner)?;
        if open_file(root.as_fd(), &blob(&inner)).is_ok() {
            list(root, inner, depth - 1, files)?;
        }
    }
    if document["config"].is_object() {
        let layers = document["layers"].as_array().into_iter().flatten();
        for part in std::iter::once(&document["config"]).chain(layers) {
            files.push(self::digest(part)?);
        }
    }
    Ok(())
}

fn pack(out: impl io::Write, root: &OwnedFd, index: &[u8], files: &[Digest]) -> Result<(), Failure> {
    let mut builder = tar::Builder::new(out);
    append(&mut builder, Path::new("index.json"), index.len() as u64, index)?;
    for digest in files {
        let file = File::from(open(root, &blob(digest))?);
        let size = file.metadata()?.len();
        let mut hashed = Hashed { inner: file, hasher: Hasher::new() };
        append(&mut builder, &blob(digest), size, &mut hashed)?;
        if hashed.hasher.finish() != *digest {
            return Err(format!("the content of {digest} is something else").into());
        }
    }
    Ok(builder.finish()?)
}

fn append(
    builder: &mut tar::Builder<impl io::Write>,
    path: &Path,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    builder.append_data(&mut header, path, content)
}

struct Hashed {
    inner: File,
    hasher: Hasher,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_named_by_directory_tag_and_digest() {
        let digest = Digest::of("").to_string();
        for (text, directory, tag, has_digest) in [
            ("dir/a", "dir/a", None, false),
            ("/dir:v1", "/dir", Some("v1"), false),
            ("./a:b/dir", "./a:b/dir", None, false),
            (&format!("/dir:v1@{digest}"), "/dir", Some("v1"), true),
            (&format!("/dir@{digest}"), "/dir", None, true),
        ] {
            let wanted = Wanted::parse(text);
            assert_eq!(wanted.directory, Path::new(directory), "{text}");
            assert_eq!((wanted.tag.as_deref(), wanted.digest.is_some()), (tag, has_digest), "{text}");
        }
    }
}
