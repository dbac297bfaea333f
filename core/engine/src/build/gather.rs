//! Where a build reads from.
//!
//! | what is written | the context | the Dockerfile |
//! |---|---|---|
//! | a directory | that directory | the file that is named, which may lie anywhere; else `Dockerfile` in it |
//! | `-`, and a tar on standard input | the tar's files | a path in it |
//! | `-`, and anything else there | empty | what was read |
//! | `http://...`, a tar | the tar's files | a path in it |
//! | `http://...`, anything else | that file, called `Dockerfile` | that file |
//! | a git repository | the commit's files | a path in it |
//!
//! A Dockerfile called `-` is read from standard input, and one called `http://...` from the web,
//! wherever the context is from. A directory wins over an address of the same name. What does not
//! come from a directory of the user's is kept in a directory of its own until the build ends, and
//! nothing in it, no Dockerfile and no ignore file, is looked up outside. Where there is no
//! `Dockerfile`, `dockerfile` is as good.

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags};
use wharf_store::fetch;
use wharf_store::layer::{self, ApplyError, Limits};

use super::bases::Bases;
use super::context::Context;
use super::dockerfile::nearest;
use super::execute::Listener;
use super::fetch::Scratch;
use super::git;
use super::provenance::Material;
use super::request::{BuildError, BuildOptions};
use crate::{Engine, home};

/// No Dockerfile is longer.
const LONGEST: u64 = 16 << 20;
/// What tells a tar from a Dockerfile.
const HEAD: u64 = 512;
const USUAL: &str = "Dockerfile";

/// Why there is nothing to build from.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// Standard input can not be both.
    #[error("standard input can not be the build context and the Dockerfile")]
    InputTwice,
    /// It is a Dockerfile already.
    #[error("standard input holds a Dockerfile, and `{}` is named as well", .0.display())]
    TwoDockerfiles(PathBuf),
    /// `-` where there is nothing to read from.
    #[error("there is no standard input")]
    NoInput,
    /// Standard input broke off.
    #[error("cannot read standard input")]
    Input(#[source] io::Error),
    /// A context that is an archive.
    #[error("cannot unpack the build context from {from}")]
    Unpack {
        /// Standard input, or an address.
        from: String,
        /// Why not.
        source: ApplyError,
    },
    /// Something that should be a Dockerfile.
    #[error("{from} is longer than {LONGEST} bytes, which no Dockerfile is")]
    TooLong {
        /// Standard input, an address or a file.
        from: String,
    },
}

impl GatherError {
    /// What to do next, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::InputTwice => Some("name a directory, an address or an archive as the context".to_owned()),
            Self::TwoDockerfiles(_) => Some("leave `--file` out, or send a tar that holds it".to_owned()),
            _ => None,
        }
    }
}

/// What a build reads.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) context: Context,
    /// As errors call the Dockerfile.
    pub(super) path: PathBuf,
    pub(super) text: Vec<u8>,
}

/// A directory that holds what came from elsewhere.
#[derive(Debug)]
pub(super) enum Held {
    Scratch(#[expect(dead_code, reason = "kept until the build ends")] Scratch),
    Checkout(#[expect(dead_code, reason = "kept until the build ends")] git::Checkout),
}

impl Engine {
    /// Reads the Dockerfile and opens the context.
    pub(super) fn gather(
        &self,
        options: &BuildOptions,
        report: &mut Listener<'_>,
    ) -> Result<Gathered, BuildError> {
        let _no_sweep = self.store.guard()?;
        let Gathered { context, path, text } = self.gather_main(options)?;
        let bases = Bases::new(self, options.pull, report);
        let context =
            context.naming(self.name_contexts(&options.contexts, options.platform.as_ref(), &bases)?);
        Ok(Gathered { context, path, text })
    }

    fn gather_main(&self, options: &BuildOptions) -> Result<Gathered, BuildError> {
        let dockerfile = options.dockerfile.as_deref();
        if options.context.is_dir() {
            return self.read_directory(&options.context, dockerfile, options);
        }
        let written = options.context.to_str().unwrap_or_default();
        if written == "-" {
            return self.read_input(dockerfile, options);
        }
        if let Some(mut address) = git::Address::parse(written) {
            address.source.keep_git_dir |= options.keep_git_dir;
            return self.read_inside(self.check_out_context(address)?, dockerfile, options);
        }
        if is_web(written) {
            return self.read_web(written, dockerfile, options);
        }
        self.read_directory(&options.context, dockerfile, options)
    }

    fn read_directory(
        &self,
        directory: &Path,
        dockerfile: Option<&Path>,
        options: &BuildOptions,
    ) -> Result<Gathered, BuildError> {
        let path = dockerfile.map_or_else(|| usual(directory), Path::to_owned);
        if let Some(text) = self.read_elsewhere(&path, options)? {
            let context = Context::open(directory, None)?.remembering(self.digests());
            return Ok(Gathered { context, path: shown(&path), text });
        }
        let context = Context::open(directory, Some(&path))?.remembering(self.digests());
        let text = read(&path).map_err(|error| looked_for(error, directory))?;
        Ok(Gathered { context, path, text })
    }

    /// Where what is known about the files of contexts is kept.
    pub(crate) fn digests(&self) -> PathBuf {
        self.root().join("digests")
    }

    /// A Dockerfile from standard input or from the web.
    fn read_elsewhere(&self, path: &Path, options: &BuildOptions) -> Result<Option<Vec<u8>>, BuildError> {
        let written = path.to_str().unwrap_or_default();
        if written == "-" {
            let mut input = input(options)?;
            return bounded(&mut input, "standard input").map(Some);
        }
        if !is_web(written) {
            return Ok(None);
        }
        let fetched = fetch::download(&self.store, written, None)?;
        let mut blob = self.store.blobs().open(&fetched.digest).map_err(layer_error)?;
        bounded(&mut blob, written).map(Some)
    }

    fn read_input(&self, dockerfile: Option<&Path>, options: &BuildOptions) -> Result<Gathered, BuildError> {
        if dockerfile == Some(Path::new("-")) {
            return Err(GatherError::InputTwice.into());
        }
        let mut input = input(options)?;
        let mut head = Vec::new();
        input.by_ref().take(HEAD).read_to_end(&mut head).map_err(GatherError::Input)?;
        let is_archive = layer::is_archive(&head).is_some();
        let mut whole = Cursor::new(head).chain(input);
        if is_archive {
            let inside = self.unpacked(whole, "standard input")?;
            return self.read_inside(inside, dockerfile, options);
        }
        if let Some(path) = dockerfile {
            return Err(GatherError::TwoDockerfiles(path.to_owned()).into());
        }
        let text = bounded(&mut whole, "standard input")?;
        let nothing = Scratch::make(self)?;
        let context = Context::open(nothing.path(), None)?.holding(Held::Scratch(nothing));
        Ok(Gathered { context, path: USUAL.into(), text })
    }

    fn read_web(
        &self,
        url: &str,
        dockerfile: Option<&Path>,
        options: &BuildOptions,
    ) -> Result<Gathered, BuildError> {
        let fetched = fetch::download(&self.store, url, None)?;
        let mut blob = self.store.blobs().open(&fetched.digest).map_err(layer_error)?;
        let failed = |source| BuildError::Read { path: url.into(), source };
        if layer::holds_tar(&mut blob).map_err(failed)? {
            let inside = self.unpacked(blob, url)?;
            let material = Some(Material::download(url, &fetched.digest));
            return self.read_inside(Inside { material, ..inside }, dockerfile, options);
        }
        let text = bounded(&mut blob, url)?;
        let alone = Scratch::make(self)?;
        let path = alone.path().join(USUAL);
        fs::write(&path, &text).map_err(|source| BuildError::File { path, source })?;
        let context = Context::open(alone.path(), None)?.holding(Held::Scratch(alone));
        let context = context.from(Some(Material::download(url, &fetched.digest)));
        Ok(Gathered { context, path: USUAL.into(), text })
    }

    /// A repository's files.
    pub(super) fn check_out_context(&self, address: git::Address) -> Result<Inside, BuildError> {
        let pinned = address.source.pin()?;
        let checkout = pinned.check_out(self)?;
        let directory = checkout.inside(Path::new(&address.directory))?;
        Ok(Inside { directory, held: Held::Checkout(checkout), material: Some(pinned.material()) })
    }

    /// An archive's files in a directory of their own.
    pub(super) fn unpacked(&self, archive: impl Read, from: &str) -> Result<Inside, BuildError> {
        let scratch = Scratch::make(self)?;
        let path = scratch.path().to_owned();
        let failed = |source: io::Error| BuildError::File { path: path.clone(), source };
        let root = home::open(&path).map_err(|error| failed(error.into()))?;
        let limits = Limits::with_room(root.as_fd()).map_err(failed)?;
        layer::unpack(archive, root.as_fd(), Path::new(""), None, &limits)
            .map_err(|source| GatherError::Unpack { from: from.to_owned(), source })?;
        Ok(Inside { directory: path, held: Held::Scratch(scratch), material: None })
    }

    fn read_inside(
        &self,
        inside: Inside,
        dockerfile: Option<&Path>,
        options: &BuildOptions,
    ) -> Result<Gathered, BuildError> {
        let Inside { directory, held, material } = inside;
        if let Some(path) = dockerfile
            && let Some(text) = self.read_elsewhere(path, options)?
        {
            let context = Context::open_alone(&directory, None)?.holding(held).from(material);
            return Ok(Gathered { context, path: shown(path), text });
        }
        let context = Context::open_alone(&directory, Some(dockerfile.unwrap_or(Path::new(USUAL))))?;
        let context = context.holding(held).from(material);
        let (path, text) = match dockerfile {
            Some(path) => (path.to_owned(), context.text(path, LONGEST)),
            None => match context.text(Path::new(USUAL), LONGEST) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => lower_case(&context, error),
                text => (USUAL.into(), text),
            },
        };
        let text = text.map_err(|source| {
            let near = near(&directory.join(&path)).and_then(|near| Some(near.file_name()?.into()));
            unread(path.clone(), near, source)
        })?;
        Ok(Gathered { context, path, text })
    }
}

/// A directory that nobody but the build looks into.
pub(super) struct Inside {
    pub(super) directory: PathBuf,
    pub(super) held: Held,
    /// What it is from, when that has a digest.
    pub(super) material: Option<Material>,
}

fn lower_case(context: &Context, missing: io::Error) -> (PathBuf, io::Result<Vec<u8>>) {
    let lower = PathBuf::from(USUAL.to_lowercase());
    match context.text(&lower, LONGEST) {
        Ok(text) => (lower, Ok(text)),
        Err(_) => (USUAL.into(), Err(missing)),
    }
}

fn usual(directory: &Path) -> PathBuf {
    let (upper, lower) = (directory.join(USUAL), directory.join(USUAL.to_lowercase()));
    if !upper.exists() && lower.is_file() { lower } else { upper }
}

/// What a Dockerfile that has no name of its own is called.
fn shown(path: &Path) -> PathBuf {
    if path == Path::new("-") { USUAL.into() } else { path.to_owned() }
}

pub(super) fn is_web(written: &str) -> bool {
    written.starts_with("http://") || written.starts_with("https://")
}

fn input(options: &BuildOptions) -> Result<Arc<File>, GatherError> {
    options.input.clone().ok_or(GatherError::NoInput)
}

fn bounded(from: &mut impl Read, name: &str) -> Result<Vec<u8>, BuildError> {
    let mut text = Vec::new();
    let read = from.take(LONGEST + 1).read_to_end(&mut text);
    read.map_err(|source| BuildError::Read { path: name.into(), source })?;
    if text.len() as u64 > LONGEST {
        return Err(GatherError::TooLong { from: name.to_owned() }.into());
    }
    Ok(text)
}

/// Reads a Dockerfile of the user's: a file, or a pipe to its end, such as a shell's `<(...)`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    let mut file = open(path).map_err(|source| unread(path.to_owned(), near(path), source))?;
    bounded(&mut file, &path.to_string_lossy())
}

/// A Dockerfile is not there, or can not be read.
fn unread(path: PathBuf, near: Option<PathBuf>, source: io::Error) -> BuildError {
    match source.kind() {
        io::ErrorKind::NotFound => BuildError::NoDockerfile { path, near, source },
        _ => BuildError::Read { path, source },
    }
}

/// A path that was meant to be below the context counts from where it was typed.
fn looked_for(error: BuildError, context: &Path) -> BuildError {
    match error {
        BuildError::NoDockerfile { path, source, .. } if context.join(&path).is_file() => {
            BuildError::NoDockerfile { near: Some(context.join(&path)), path, source }
        }
        error => error,
    }
}

/// A file beside a Dockerfile that is not there which may have been meant: one with nearly that name, or one
/// that is called as Dockerfiles are.
fn near(path: &Path) -> Option<PathBuf> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let entries = fs::read_dir(directory.unwrap_or(Path::new("."))).ok()?;
    let files = entries.flatten().filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    let is_usual = |name: &&String| {
        let name = name.to_lowercase();
        let (ours, theirs) = ("dockerfile", "containerfile");
        [ours, theirs].iter().any(|usual| {
            name == *usual || name.starts_with(&format!("{usual}.")) || name.ends_with(&format!(".{usual}"))
        })
    };
    let wanted = path.file_name()?.to_string_lossy();
    let close = nearest(&wanted, names.iter().map(String::as_str));
    let is_rule = |name: &str| name.ends_with("ignore");
    let found = close.filter(|name| !is_rule(name)).map(str::to_owned);
    let found = found.or_else(|| names.iter().find(|name| is_usual(name) && !is_rule(name)).cloned())?;
    Some(directory.map_or_else(|| found.clone().into(), |directory| directory.join(&found)))
}

/// Nothing waits for somebody to write into a pipe that nobody holds.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => {}
        FileType::Fifo => rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?,
        FileType::Directory => return Err(io::ErrorKind::IsADirectory.into()),
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
    Ok(file.into())
}

fn layer_error(error: wharf_store::BlobError) -> BuildError {
    BuildError::Layer(error.into())
}
