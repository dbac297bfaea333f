//! Compiled components: made once by Cranelift, mapped from then on.
//!
//! ```text
//! <cache>/                                       0700, ours
//!   <component's sha256>-<engine key>/           0700, ours
//!     component.cwasm                            0600, what Cranelift made, and its sha256
//!     describe.json                              0600, {about, manifest}: what it says of itself
//!     settings-<digest>                          0600, empty: these settings were found valid
//! ```
//!
//! The engine key covers the version of wasmtime, everything that changes its code (fuel, epochs,
//! processor features) and our own version. Compiled code is machine code that runs with our
//! rights, so only what we wrote ourselves is loaded: directories and files must belong to us and
//! be closed to others, a symbolic link is refused, and the bytes must have the digest behind them.
//! Anything truncated or changed is made again. Files appear by `rename(2)` and are not written to
//! afterwards, so that what was hashed can be mapped, and a call costs only the pages that it touches.
//!
//! What a plugin says of itself is kept apart from its code: who only wants to know what there is
//! compiles nothing. For components that are part of the program it is part of the program, too.

use std::fs::{DirBuilder, File};
use std::hash::{Hash, Hasher as _};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::Component;
use wharf_model::hook::{Moment, Phase};
use wharf_model::manifest::Manifest;
use wharf_model::network::NetworkInfo;
use wharf_model::statement::KeywordSpec;
use wharf_model::storage::StorageInfo;
use wharf_model::{Digest, Hasher, Settings};

use crate::Fault;

const CODE: &str = "component.cwasm";
const DESCRIPTION: &str = "describe.json";
/// Bytes of a digest.
const DIGEST: usize = 32;
/// Code is hashed in pieces of this length, which stay in the processor's cache.
const BUFFER: usize = 32 << 10;

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum About {
    Instruction(Vec<KeywordSpec>),
    Storage(StorageInfo),
    Network(NetworkInfo),
    Hook(Vec<(Moment, Phase)>),
}

/// `describe.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) about: About,
    pub(crate) manifest: Manifest,
}

/// The directory of one component.
pub(crate) struct Entry {
    path: PathBuf,
    directory: OwnedFd,
}

/// Names the code that an engine makes and takes.
pub(crate) fn engine_key(engine: &Engine) -> String {
    struct Feed(Hasher);
    impl std::hash::Hasher for Feed {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut feed = Feed(Hasher::new());
    env!("CARGO_PKG_VERSION").hash(&mut feed);
    engine.precompile_compatibility_hash().hash(&mut feed);
    feed.write(b".");
    feed.0.finish().hex().chars().take(16).collect()
}

/// Where the compiled code of a component is, if it is there.
pub(crate) fn code_path(cache: &Path, component: Digest, key: &str) -> PathBuf {
    cache.join(format!("{}-{key}", component.hex())).join(CODE)
}

/// Compiles a component.
pub(crate) fn compile(engine: &Engine, component: &[u8]) -> Result<Vec<u8>, Fault> {
    if component.starts_with(b"\0asm\x01\0\0\0") {
        return Err(Fault::NotAComponent { reason: "it is a core WebAssembly module".into() });
    }
    engine.precompile_component(component).map_err(|error| Fault::NotAComponent {
        reason: format!("{error:#}").lines().collect::<Vec<_>>().join(", "),
    })
}

/// Takes code that [`compile`] made into memory.
pub(crate) fn load(engine: &Engine, code: &[u8]) -> Result<Component, Fault> {
    // SAFETY: `code` is what `precompile_component` returned in this process.
    let component = unsafe { Component::deserialize(engine, code) };
    component.map_err(|error| Fault::Sandbox { reason: format!("{error:#}") })
}

/// Compiled code in a file that only we can write, whose digest was right when it was opened.
pub(crate) struct Code(File);

impl Code {
    /// Maps it.
    pub(crate) fn map(&self, engine: &Engine) -> Result<Component, Fault> {
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        // SAFETY: this user wrote the file into a directory that is closed to everybody else, from what
        // `precompile_component` had returned, and nobody wrote to it since, by its digest
        // (`Entry::code`). wasmtime itself refuses code of another version or other settings.
        let component = unsafe { Component::deserialize_file(engine, path) };
        component.map_err(|error| Fault::Sandbox { reason: format!("{error:#}") })
    }
}

impl Entry {
    /// Opens the directory of a component, making what is missing.
    pub(crate) fn open(cache: &Path, component: Digest, key: &str) -> Result<Self, Fault> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(cache);
        made.map_err(|error| unusable(cache, &error))?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let outer = rustix::fs::open(cache, flags, Mode::empty()).map_err(|error| unusable(cache, &error))?;
        ours(cache, &outer, FileType::Directory)?;

        let name = format!("{}-{key}", component.hex());
        let path = cache.join(&name);
        match rustix::fs::mkdirat(&outer, &*name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(unusable(&path, &error)),
        }
        let directory = rustix::fs::openat(&outer, &*name, flags, Mode::empty());
        let directory = directory.map_err(|error| unusable(&path, &error))?;
        ours(&path, &directory, FileType::Directory)?;
        Ok(Self { path, directory })
    }

    /// What the plugin said of itself; `None` when it has to be asked (again).
    pub(crate) fn description(&self) -> Result<Option<Description>, Fault> {
        let bytes = self.read(DESCRIPTION)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// The compiled code; `None` when it has to be made (again).
    pub(crate) fn code(&self) -> Result<Option<Code>, Fault> {
        let Some((file, size)) = self.file(CODE)? else { return Ok(None) };
        let whole = is_whole(&file, size).map_err(|error| unusable(&self.path.join(CODE), &error))?;
        Ok(whole.then_some(Code(file)))
    }

    /// Keeps compiled code.
    pub(crate) fn write_code(&self, code: &[u8]) -> Result<(), Fault> {
        self.place(CODE, &[code, Digest::of(code).as_bytes()].concat())
    }

    /// Keeps what the plugin said.
    pub(crate) fn write_description(&self, description: &Description) -> Result<(), Fault> {
        let json = serde_json::to_vec(description).map_err(|error| unusable(&self.path, &error))?;
        self.place(DESCRIPTION, &json)
    }

    /// Whether these settings were found valid before.
    pub(crate) fn knows_settings(&self, settings: &Settings) -> bool {
        rustix::fs::statat(&self.directory, settings_name(settings), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Remembers that they are.
    pub(crate) fn remember_settings(&self, settings: &Settings) -> Result<(), Fault> {
        self.place(&settings_name(settings), b"")
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Fault> {
        let Some((mut file, size)) = self.file(name)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(1 << 30));
        file.read_to_end(&mut bytes).map_err(|error| unusable(&self.path.join(name), &error))?;
        Ok(Some(bytes))
    }

    /// A file of ours and its length; `None` when there is none.
    fn file(&self, name: &str) -> Result<Option<(File, u64)>, Fault> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(unusable(&path, &error)),
        };
        let stat = ours(&path, &file, FileType::RegularFile)?;
        Ok(Some((file.into(), stat.st_size.cast_unsigned())))
    }

    fn place(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let aside = format!(".{name}.{}.{count}", std::process::id());
        let written = self.write_aside(&aside, bytes).and_then(|()| {
            rustix::fs::renameat(&self.directory, &*aside, &self.directory, name).map_err(Into::into)
        });
        written.map_err(|error| {
            let _gone_already = rustix::fs::unlinkat(&self.directory, &*aside, AtFlags::empty());
            unusable(&self.path.join(name), &error)
        })
    }

    fn write_aside(&self, aside: &str, bytes: &[u8]) -> io::Result<()> {
        // A process of this number that died while writing may have left one.
        match rustix::fs::unlinkat(&self.directory, aside, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, aside, flags, Mode::RUSR | Mode::WUSR)?;
        File::from(file).write_all(bytes)
    }
}

/// Whether a file ends in the digest of what is before.
fn is_whole(mut file: &File, size: u64) -> io::Result<bool> {
    let Some(size) = size.checked_sub(DIGEST as u64) else { return Ok(false) };
    let mut code = file.take(size);
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match code.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut digest = Vec::new();
    file.read_to_end(&mut digest)?;
    Ok(digest == hasher.finish().as_bytes())
}

fn settings_name(settings: &Settings) -> String {
    format!("settings-{}", Digest::of(serde_json::to_vec(settings).unwrap_or_default()).short())
}

/// Refuses what others own or can write, and what is not of the expected kind.
pub(crate) fn ours(path: &Path, file: impl AsFd, kind: FileType) -> Result<Stat, Fault> {
    let stat = rustix::fs::fstat(file).map_err(|error| unusable(path, &error))?;
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(unusable(path, &"it is not of the expected kind"));
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(unusable(path, &format!("it belongs to uid {}", stat.st_uid)));
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(unusable(path, &format!("its mode {:o} lets others in", stat.st_mode & 0o7777)));
    }
    Ok(stat)
}

pub(crate) fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> Fault {
    Fault::Cache { path: path.into(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn description() -> Description {
        let about = About::Hook(vec![(Moment::Container, Phase::Judge)]);
        Description { about, manifest: Manifest::default() }
    }

    fn entry(cache: &Path) -> Entry {
        Entry::open(cache, Digest::of("component"), "key").unwrap()
    }

    #[test]
    fn what_was_written_is_read_again() {
        let temp = tempfile::tempdir().unwrap();
        let entry = entry(&temp.path().join("plugins"));
        assert!(entry.description().unwrap().is_none());
        assert!(entry.code().unwrap().is_none());
        entry.write_description(&description()).unwrap();
        assert_eq!(entry.description().unwrap().unwrap(), description());
        assert!(entry.code().unwrap().is_none());
        entry.write_code(b"code").unwrap();
        assert!(entry.code().unwrap().is_some());
    }

    #[test]
    fn settings_are_remembered() {
        let temp = tempfile::tempdir().unwrap();
        let entry = entry(&temp.path().join("plugins"));
        let settings = vec![("a".to_owned(), wharf_model::Value::Integer(1))];
        assert!(!entry.knows_settings(&settings));
        entry.remember_settings(&settings).unwrap();
        assert!(entry.knows_settings(&settings));
        assert!(!entry.knows_settings(&Settings::new()));
    }

    #[test]
    fn changed_code_is_not_used() {
        let temp = tempfile::tempdir().unwrap();
        let entry = entry(&temp.path().join("plugins"));
        entry.write_code(b"code").unwrap();
        entry.write_description(&description()).unwrap();
        let kept = std::fs::read(entry.path.join(CODE)).unwrap();
        let swapped = [b"CODE", &kept[4..]].concat();
        for bytes in [&kept[..kept.len() - 1], b"", b"code", &swapped, &[&kept[..], b" and more"].concat()] {
            std::fs::write(entry.path.join(CODE), bytes).unwrap();
            assert!(entry.code().unwrap().is_none(), "for {bytes:?}");
        }
        std::fs::write(entry.path.join(DESCRIPTION), b"{").unwrap();
        assert!(entry.description().unwrap().is_none());
    }

    #[test]
    fn links_and_open_modes_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let cache = temp.path().join("plugins");
        let entry = entry(&cache);
        entry.write_code(b"code").unwrap();

        let code = entry.path.join(CODE);
        std::fs::rename(&code, temp.path().join("elsewhere")).unwrap();
        symlink(temp.path().join("elsewhere"), &code).unwrap();
        assert!(matches!(entry.code(), Err(Fault::Cache { .. })));

        std::fs::set_permissions(&entry.path, std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(Entry::open(&cache, Digest::of("component"), "key").is_err());
        std::fs::remove_dir_all(&entry.path).unwrap();
        symlink(temp.path(), &entry.path).unwrap();
        assert!(Entry::open(&cache, Digest::of("component"), "key").is_err());
    }

    #[test]
    fn privileged_what_others_own_is_refused() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root to give a file away");
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let entry = entry(&temp.path().join("plugins"));
        entry.write_description(&description()).unwrap();
        std::os::unix::fs::chown(entry.path.join(DESCRIPTION), Some(12345), None).unwrap();
        assert!(matches!(entry.description(), Err(Fault::Cache { .. })));
    }
}
