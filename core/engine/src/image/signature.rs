//! What hooks are told of signatures: those beside an image in its registry, and those that the site keeps
//! in a directory for machines that see no registry but their own.
//!
//! ```text
//! <[engine] signatures>/sha256-<hex>.ANYTHING     a sigstore bundle about the document with that digest
//! <[engine] signatures>/NAME                      what a hook asks for by its name, such as trusted-root.json
//! ```

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, OFlags};
use wharf_model::{Diagnostic, Digest, Failure, FailureKind, Severity};
use wharf_plugin::{ImageSignatures, Signature};
use wharf_store::registry::{Beside, Kept, RegistryError};

use super::layout::open_below;

/// The type of what the site keeps.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Bytes of one at most.
const LARGEST: u64 = 1 << 20;
/// Files about one document at most.
const MOST: usize = 64;

/// The signatures of an image that was found and not yet fetched.
pub(crate) struct Signatures<'a> {
    pub(crate) beside: &'a Beside<'a>,
    /// The site's own.
    pub(crate) directory: Option<&'a Path>,
}

impl ImageSignatures for Signatures<'_> {
    fn asked_at(&mut self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn digests(&mut self) -> Vec<Digest> {
        self.beside.digests()
    }

    fn about(&mut self, subject: &Digest) -> Result<Vec<Signature>, Failure> {
        let own = self.directory.map_or(Ok(Vec::new()), |directory| in_directory(directory, subject));
        let mut all = own.map_err(|error| failed(FailureKind::Other, error.to_string()))?;
        match self.beside.signatures(subject) {
            Ok(kept) => all.extend(kept.into_iter().map(signature)),
            // The site keeps its own for registries that keep none.
            Err(_) if !all.is_empty() => {}
            Err(error) => return Err(refused(&error)),
        }
        Ok(all)
    }

    fn site_file(&mut self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        file(self.directory, name)
    }
}

fn file(directory: Option<&Path>, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        let shown: String = name.chars().take(100).collect();
        return Err(failed(FailureKind::InvalidInput, format!("`{shown}` is no name of a file of the site")));
    }
    let Some(directory) = directory else { return Ok(None) };
    let opened = std::fs::File::open(directory).map(OwnedFd::from);
    match opened.map_err(|error| named(directory, &error)).and_then(|root| read(&root, Path::new(name))) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Other => {
            Err(failed(FailureKind::InvalidInput, error.to_string()))
        }
        Err(error) => Err(failed(FailureKind::Other, error.to_string())),
    }
}

fn named(directory: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", directory.display()))
}

fn signature(kept: Kept) -> Signature {
    let Kept { origin, media_type, annotations, content } = kept;
    Signature { origin, media_type, annotations, content }
}

fn refused(error: &RegistryError) -> Failure {
    let kind = match error {
        RegistryError::TooLong { .. } | RegistryError::Damaged { .. } | RegistryError::Mismatch { .. } => {
            FailureKind::InvalidInput
        }
        _ => FailureKind::Transient,
    };
    failed(kind, error.to_string())
}

fn failed(kind: FailureKind, message: String) -> Failure {
    Failure { kind, diagnostics: vec![Diagnostic::new(Severity::Error, "wharf/signatures", message)] }
}

/// Regular files of the directory itself only; a link in it leads nowhere.
fn in_directory(directory: &Path, subject: &Digest) -> io::Result<Vec<Signature>> {
    let beginning = format!("sha256-{}.", subject.hex());
    let named = |error: io::Error| named(directory, &error);
    let root: OwnedFd = std::fs::File::open(directory).map_err(named)?.into();
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .map_err(named)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(&beginning))
        .collect();
    names.sort();
    if names.len() > MOST {
        return Err(io::Error::other(format!(
            "{}: more than {MOST} signatures of {subject}",
            directory.display()
        )));
    }
    names.iter().map(|name| Ok(bundle(read(&root, Path::new(name))?))).collect()
}

fn bundle(content: Vec<u8>) -> Signature {
    Signature { origin: "site", media_type: BUNDLE.to_owned(), annotations: Vec::new(), content }
}

fn read(root: &OwnedFd, name: &Path) -> io::Result<Vec<u8>> {
    let file = open_below(root, name, OFlags::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other(format!("{} is no regular file", name.display())));
    }
    let mut content = Vec::new();
    std::fs::File::from(file).take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("{} has more than {LARGEST} bytes", name.display())));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_keeps_files_by_digest() {
        let temp = tempfile::tempdir().unwrap();
        let subject = Digest::of("manifest");
        let at = |end: &str| temp.path().join(format!("sha256-{}{end}", subject.hex()));
        std::fs::write(at(".b.json"), "2").unwrap();
        std::fs::write(at(".a.json"), "1").unwrap();
        std::fs::write(temp.path().join("sha256-00.json"), "3").unwrap();
        let found = in_directory(temp.path(), &subject).unwrap();
        let contents: Vec<&[u8]> = found.iter().map(|found| &*found.content).collect();
        assert_eq!(contents, [b"1", b"2"]);
        assert!(in_directory(temp.path(), &Digest::of("other")).unwrap().is_empty());
        std::os::unix::fs::symlink("/etc/passwd", at(".c")).unwrap();
        assert!(in_directory(temp.path(), &subject).is_err(), "a link leads nowhere");
        assert!(in_directory(Path::new("/none"), &subject).unwrap_err().to_string().contains("/none"));
    }

    #[test]
    fn a_file_of_the_site_is_asked_for_by_its_name_alone() {
        let temp = tempfile::tempdir().unwrap();
        let site = temp.path().join("site");
        std::fs::create_dir_all(site.join("below")).unwrap();
        std::fs::write(temp.path().join("secret"), "1").unwrap();
        std::fs::write(site.join("trusted-root.json"), "{}").unwrap();
        std::os::unix::fs::symlink("../secret", site.join("link")).unwrap();
        std::fs::write(site.join("long"), vec![0; 1 + usize::try_from(LARGEST).unwrap()]).unwrap();
        let ask = |name: &str| file(Some(&site), name);
        assert_eq!(ask("trusted-root.json").unwrap().as_deref(), Some(&b"{}"[..]));
        assert_eq!(ask("other.json").unwrap(), None);
        for name in ["", ".", "..", "../secret", "below/x", "/etc/passwd", "a\0b", "below", "link", "long"] {
            assert!(ask(name).is_err(), "{name:?}");
        }
        assert_eq!(file(None, "trusted-root.json").unwrap(), None, "there is no directory");
        assert_eq!(file(Some(Path::new("/none")), "x").unwrap(), None);
    }
}
