//! What an image was made of, and how: SLSA provenance (<https://slsa.dev/provenance/v1>) in an in-toto
//! statement, with the keys that BuildKit gives it.
//!
//! | where it goes | what it is about |
//! |---|---|
//! | beside the image, as `provenance.json` | the image's manifest |
//! | an attestation manifest in an OCI archive or layout | the same |
//! | `provenance.json` among the files of a directory or a tar | each of the other files |
//! | the metadata file | nothing: the predicate alone |
//!
//! | `mode` | holds |
//! |---|---|
//! | `min` | the Dockerfile's digest, the target, base images, repositories, downloads and contexts by their digests, plugins by theirs |
//! | `max` | arguments and labels, ids of secrets, each step with what its plugin read, and when it was |
//!
//! What `min` says depends on the input alone: the same input gives the same bytes. The value of a secret is in
//! neither; that of a build argument is in `max`. The image itself is the same with and without it.

mod material;
mod predicate;
mod statement;
mod subject;
mod syntax;

pub(super) use material::Material;
pub(super) use predicate::{Facts, predicate};
pub(crate) use statement::about;
pub(super) use statement::{of_files, statement};
pub(super) use subject::files;
pub use syntax::ProvenanceSyntaxError;

/// What the statement is called beside its image and among files.
pub(super) const FILE: &str = "provenance.json";
/// Of a file that holds an in-toto statement.
pub(super) const MEDIA_TYPE: &str = "application/vnd.in-toto+json";
/// Who says it, beside the hooks that attach something.
pub(super) const OWNER: &str = "wharf";
/// Of the statement's predicate.
pub(super) const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// How much provenance is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// How much it says.
    pub mode: ProvenanceMode,
    /// What names the machine or the job that builds; wharf itself without it.
    pub builder_id: Option<String>,
    /// Whoever builds says that it can be done again; `--verify` finds out.
    pub reproducible: bool,
}

/// How much it says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProvenanceMode {
    /// What went in.
    #[default]
    Min,
    /// And how it was asked for, step by step.
    Max,
}
