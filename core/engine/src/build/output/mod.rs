//! Where the result of a build goes.
//!
//! | output | what is written |
//! |---|---|
//! | `image` | an image in the store, with its names |
//! | `registry` | the same, for whoever asked to push under these names |
//! | `docker`, `oci` | an archive of the image, or an OCI layout in a directory |
//! | `local` | the files of the last stage, in a directory |
//! | `tar` | the same files, as a tar |
//! | `cacheonly` | nothing: the layers are in the build cache |
//!
//! Without any output the image is kept in the store. What only goes elsewhere leaves no image behind.
//! A file appears under its name when it is whole. In a directory, links lead to places below it, the
//! files belong to whoever asked for the build, and what was there and is not in the result stays. The
//! bytes of an archive depend on the image alone.

mod files;
pub(super) mod syntax;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use wharf_model::{Digest, Reference, ReferenceError};
use wharf_store::archive::{Form, Saved, Statement};
use wharf_store::is_full;
use wharf_store::layer::{Added, ApplyError, DiffError};

use super::execute::Finished;
use super::progress::BuildEvent;
use super::provenance;
use super::request::{At, BuildError, BuildOptions};
use super::share::Imported;
use super::source::SourceError;
use crate::Engine;
use crate::full::NO_ROOM_THERE;
use crate::image::{ExchangeError, RemoveImageError};

pub use syntax::OutputSyntaxError;

/// One place that the result of a build goes to.
#[derive(Debug, Clone)]
pub enum Output {
    /// The store; with these names when the build has none of its own.
    Image(Vec<String>),
    /// The same, to be pushed under all its names; there has to be one.
    Registry(Vec<String>),
    /// An archive of the image.
    Archive {
        /// Who shall be able to read it.
        form: Form,
        /// Where it goes.
        to: Destination,
        /// Its names in the archive when the build has none of its own.
        names: Vec<String>,
    },
    /// An OCI layout that is not packed.
    Layout {
        /// The directory; made when it is missing.
        to: PathBuf,
        /// As of an archive.
        names: Vec<String>,
    },
    /// The files, in a directory that is made when it is missing.
    Local(PathBuf),
    /// The files as a tar.
    Tar(Destination),
    /// Nothing but the cache.
    CacheOnly,
}

/// Where a stream of bytes goes.
#[derive(Debug, Clone)]
pub enum Destination {
    /// A file that appears when it is whole.
    File(PathBuf),
    /// What the caller has open.
    Stream(Arc<File>),
}

/// Why the result of a build did not get where it was to go.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A name of it is not one.
    #[error("invalid name `{name}` of an output")]
    Name {
        /// As given.
        name: String,
        /// Why not.
        source: ReferenceError,
    },
    /// What is to be pushed needs a name.
    #[error("tag is needed when pushing to registry")]
    NoName,
    /// A file or a directory can not be written.
    #[error("cannot write the output to {to}")]
    Write {
        /// Where.
        to: String,
        /// Why not.
        source: io::Error,
    },
    /// The files can not be opened.
    #[error("cannot open the files of the image")]
    Tree(#[source] io::Error),
    /// The files can not be read.
    #[error("cannot read the files of the image")]
    Files(#[from] SourceError),
    /// Where the provenance is to be, there is something else.
    #[error("the result has a file {0} of its own, where its provenance would be")]
    Taken(&'static str),
    /// The files can not be packed.
    #[error("cannot pack the files of the image")]
    Pack(#[from] DiffError),
    /// A directory can not be filled.
    #[error("cannot write the output to {to}")]
    Unpack {
        /// Where.
        to: String,
        /// Why not.
        source: ApplyError,
    },
    /// There is no room for it.
    #[error("no room is left for the output to {to}")]
    NoRoom {
        /// Where it was to go.
        to: String,
        /// What could not be written.
        source: Box<Self>,
    },
    /// An archive can not be made.
    #[error(transparent)]
    Archive(#[from] ExchangeError),
    /// An image that was only made for an archive stays.
    #[error(transparent)]
    Remove(#[from] RemoveImageError),
}

impl OutputError {
    /// What to do next, where something is known.
    pub fn next_step(&self) -> Option<String> {
        matches!(self, Self::NoRoom { .. }).then(|| NO_ROOM_THERE.to_owned())
    }

    /// Whether it is for want of room is worth saying first.
    fn at(self, to: &str) -> Self {
        if is_full(&self) { Self::NoRoom { to: to.to_owned(), source: Box::new(self) } } else { self }
    }
}

impl Output {
    fn wants_image(&self) -> bool {
        self.is_kept() || matches!(self, Self::Archive { .. } | Self::Layout { .. })
    }

    fn is_kept(&self) -> bool {
        matches!(self, Self::Image(_) | Self::Registry(_))
    }

    /// Whether the layers of the result have to be here for it.
    pub(super) fn wants_layers(&self) -> bool {
        !matches!(self, Self::CacheOnly)
    }

    /// Whether the image is to be pushed once it is here.
    pub fn is_pushed(&self) -> bool {
        matches!(self, Self::Registry(_))
    }

    fn names(&self) -> &[String] {
        match self {
            Self::Image(names)
            | Self::Registry(names)
            | Self::Archive { names, .. }
            | Self::Layout { names, .. } => names,
            Self::Local(_) | Self::Tar(_) | Self::CacheOnly => &[],
        }
    }

    /// The build's names, else its own.
    fn named(&self, names: &[Reference]) -> Result<Vec<Reference>, OutputError> {
        if !names.is_empty() {
            return Ok(names.to_vec());
        }
        let parse =
            |name: &String| name.parse().map_err(|source| OutputError::Name { name: name.clone(), source });
        self.names().iter().map(parse).collect()
    }
}

/// What a build made.
pub(super) struct Product<'a> {
    pub(super) stage: Finished,
    /// The predicate of its provenance, when that is wanted.
    pub(super) provenance: Option<&'a Value>,
    /// What it knows from caches of elsewhere.
    pub(super) imported: &'a Imported,
}

/// The image of a build, if there is one, and the names that it got.
pub(super) type Handed = (Option<Digest>, Vec<Reference>);

impl Engine {
    /// Everything that can be said about the outputs before anything is built.
    pub(super) fn check_outputs(&self, options: &BuildOptions) -> Result<(), BuildError> {
        for output in &options.outputs {
            let names = output.named(&[])?;
            if output.is_pushed() && names.is_empty() && options.tags.is_empty() {
                return Err(OutputError::NoName.into());
            }
        }
        Ok(())
    }

    /// Brings the result of a build to where it was to go.
    pub(super) fn hand_out(
        &self,
        options: &BuildOptions,
        product: Product<'_>,
        names: Vec<Reference>,
        report: &mut (dyn FnMut(BuildEvent<'_>) + Send),
    ) -> Result<Handed, At> {
        if options.outputs.is_empty() {
            let id = self.commit_product(options, product, &names, report)?;
            return Ok((Some(id), names));
        }
        self.give_files(options, &product).map_err(At::from)?;
        if !options.outputs.iter().any(Output::wants_image) {
            return Ok((None, Vec::new()));
        }
        let kept = options.outputs.iter().filter(|output| output.is_kept());
        let kept = kept.max_by_key(|output| output.is_pushed());
        let before = self.store.images().map_err(BuildError::from)?;
        let given = kept.map_or(Ok(Vec::new()), |output| output.named(&names)).map_err(BuildError::from)?;
        let provenance = product.provenance;
        let id = self.commit_product(options, product, &given, report)?;
        let written = self.give_archives(options, &id, &names, provenance);
        if kept.is_none() && before.iter().all(|image| image.id != id) {
            self.forget_image(&id).map_err(BuildError::from)?;
        }
        written?;
        Ok((Some(id), given))
    }

    fn give_files(&self, options: &BuildOptions, product: &Product<'_>) -> Result<(), BuildError> {
        let epoch = options.epoch.unwrap_or(i64::MAX);
        for output in &options.outputs {
            let (Output::Local(_) | Output::Tar(_)) = output else { continue };
            let tree = files::readable(&self.open_result(&product.stage)?)?;
            let statement =
                product.provenance.map(|predicate| files::statement(&tree, predicate)).transpose()?;
            let added = statement.as_deref().map(|content| Added {
                path: provenance::FILE,
                content,
                mtime: product.stage.epoch,
            });
            match output {
                Output::Local(to) => files::local(&tree, epoch, added.as_slice(), to)?,
                Output::Tar(to) => files::tar(&tree, epoch, added.as_slice(), to)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn open_result(&self, stage: &Finished) -> Result<OwnedFd, BuildError> {
        self.open_chain(&self.default_snapshots()?, &stage.chain)
    }

    fn give_archives(
        &self,
        options: &BuildOptions,
        id: &Digest,
        names: &[Reference],
        provenance: Option<&Value>,
    ) -> Result<(), BuildError> {
        for output in &options.outputs {
            let names = output.named(names)?;
            let statement =
                provenance.map(|predicate| self.statement_of(id, &names, predicate)).transpose()?;
            let statement = statement
                .map(|text| Statement { predicate_type: provenance::PREDICATE_TYPE.to_owned(), text });
            let saved = [Saved { image: *id, names, index: None, only: Vec::new(), statement }];
            match output {
                Output::Archive { form, to, .. } => {
                    files::write_to(to, |out| Ok(self.save_as(&saved, *form, out)?))?;
                }
                Output::Layout { to, .. } => {
                    files::fill(to, |out| Ok(self.save_as(&saved, Form::Oci, out)?))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// An image that was made for an archive. Somebody may have given it a name meanwhile.
    fn forget_image(&self, id: &Digest) -> Result<(), OutputError> {
        let named = self
            .store
            .image(id)
            .map_err(RemoveImageError::from)?
            .is_some_and(|image| !image.names.is_empty());
        if !named {
            self.remove_image(&id.to_string(), &[], false)?;
        }
        Ok(())
    }
}
