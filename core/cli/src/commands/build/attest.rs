//! What is said about an image beside it: `--provenance`, `--attest` and `--sbom`.

use wharf_engine::build::{Provenance, ProvenanceSyntaxError};

use crate::report::Report;

#[derive(Debug, clap::Args)]
pub(crate) struct AttestArgs {
    /// Say what the image was made of, beside it: true, or mode=min for what went in by its digest, mode=max
    /// for arguments, steps and times as well; with builder-id=URI, reproducible=true
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    provenance: Option<String>,
    /// The same as type=provenance[,mode=MODE]
    #[arg(long, value_name = "ATTESTATION")]
    attest: Vec<String>,
    /// List what is in the image: a hook does that
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sbom: Option<String>,
}

impl AttestArgs {
    /// The last that was said counts, and `--provenance` for more than `--attest`.
    pub(super) fn provenance(&self) -> Result<Option<Provenance>, Report> {
        if !matches!(self.sbom.as_deref(), None | Some("false")) {
            return Err(no_sbom());
        }
        let attested: Vec<_> = self.attest.iter().map(|text| Provenance::parse_attestation(text)).collect();
        let own = self.provenance.as_deref().map(Provenance::parse);
        let mut wanted = None;
        for parsed in attested.into_iter().chain(own) {
            wanted = parsed.map_err(refused)?;
        }
        Ok(wanted)
    }
}

fn refused(error: ProvenanceSyntaxError) -> Report {
    match &error {
        ProvenanceSyntaxError::Type(kind) if kind == "sbom" => no_sbom(),
        _ => Report::failed(error).hint("write --provenance=true, or --provenance=mode=max"),
    }
}

fn no_sbom() -> Report {
    let hint = "add the SBOM hook of the examples with `wharf plugin add`; `wharf image attachment IMAGE` shows \
                what it wrote";
    Report::message(1, "--sbom is not built in: a hook writes the list when an image is made").hint(hint)
}
