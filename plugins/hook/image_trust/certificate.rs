//! Signatures by certificate, as `cosign sign` makes them without a key.
//!
//! The certificate was good for minutes only. So what counts is what holds of the moment of signing, all of
//! it said by those that a trusted root of sigstore names, and all of it in the signature itself:
//!
//! ```text
//! authority    signed the certificate, and the certificate was good when a log or a clock saw the signature
//! certificate's log    promised to show the certificate (its SCT, RFC 6962)
//! log          has an entry of just this signature: a proof with a signed checkpoint, or its own promise
//! clock        where the log tells no time (Rekor's second version), a timestamp (RFC 3161)
//! ```
//!
//! `sigstore-verify` does all that; here is what an image needs beside, and the words. The trusted root is a
//! file of the site, so that nothing here grows old: `trusted-root.json`, or what `trusted-root` names.

use std::cell::OnceCell;

use sigstore_crypto::SubjectAltName;
use sigstore_trust_root::TrustedRoot;
use sigstore_types::bundle::TransparencyLogEntry;
use sigstore_types::{Artifact, Bundle, MediaType};
use sigstore_verify::{
    CertificateError, Error, TimestampError, TransparencyLogError, VerificationPolicy, Verifier,
};

use crate::Known;
use crate::identity::Pattern;

/// Whose certificates count.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// At least one; any will do.
    pub(crate) identities: Vec<Pattern>,
    pub(crate) issuer: String,
    /// The site's file with the trusted root.
    pub(crate) root: String,
}

/// The trusted root, read when the first certificate wants it.
pub(crate) struct Trust<'k> {
    known: &'k dyn Known,
    verifier: OnceCell<Result<Verifier, String>>,
}

impl<'k> Trust<'k> {
    pub(crate) fn new(known: &'k dyn Known) -> Self {
        Self { known, verifier: OnceCell::new() }
    }

    fn verifier(&self, file: &str) -> Result<&Verifier, String> {
        let read = || {
            let known = self.known;
            let content = known.site_file(file).map_err(|failure| failure.message().to_owned())?;
            known.set_clock().map_err(|failure| failure.message().to_owned())?;
            let none =
                || format!("it is by a certificate, and the site has no trusted root: `{file}` is not there");
            verifier(&content.ok_or_else(none)?)
                .map_err(|reason| format!("the trusted root `{file}` {reason}"))
        };
        self.verifier.get_or_init(read).as_ref().map_err(Clone::clone)
    }
}

fn verifier(content: &[u8]) -> Result<Verifier, String> {
    let text = std::str::from_utf8(content).map_err(|_| "is no text")?;
    let root = TrustedRoot::from_json(text).map_err(|error| format!("is none: {error}"))?;
    Verifier::new(&root).map_err(|error| format!("makes no sense: {error}"))
}

/// Whether one of these signed the artifact.
///
/// # Errors
/// Says why not.
pub(crate) fn verify<'a>(
    bundle: &Bundle,
    artifact: impl Into<Artifact<'a>>,
    signers: &Certificates,
    trust: &Trust<'_>,
) -> Result<(), String> {
    let verifier = trust.verifier(&signers.root)?;
    let entries = &bundle.verification_material.tlog_entries;
    let policy = VerificationPolicy::any_identity();
    let policy = if entries.iter().any(|entry| entry.inclusion_proof.is_some()) {
        policy
    } else if bundle.media_type() == MediaType::Bundle0_1 && entries.iter().any(is_promised) {
        // Its promise is verified all the same, for the time that it tells.
        policy.skip_tlog_unsafe()
    } else if entries.is_empty() {
        return Err("it is by a certificate, and no entry of a log comes with it".to_owned());
    } else {
        return Err("its entry of a log comes without a proof".to_owned());
    };
    let verified = verifier.verify(artifact, bundle, &policy).map_err(|error| reason(&error))?;
    signers.admit(verified.identity(), verified.issuer())
}

fn is_promised(entry: &TransparencyLogEntry) -> bool {
    entry.inclusion_promise.is_some() && entry.integrated_time.is_some()
}

impl Certificates {
    fn admit(&self, identity: Option<&SubjectAltName>, issuer: Option<&str>) -> Result<(), String> {
        let name = identity.map(SubjectAltName::as_str).unwrap_or_default();
        if !self.identities.iter().any(|identity| identity.fits(name)) {
            return Err(format!("it is by {}, who is not the rule's identity", shown(name)));
        }
        if issuer != Some(&self.issuer) {
            let told = shown(issuer.unwrap_or_default());
            return Err(format!(
                "it is by {}, but {told} said so, who is not the rule's issuer",
                shown(name)
            ));
        }
        Ok(())
    }
}

fn shown(name: &str) -> String {
    if name.is_empty() { "nobody".to_owned() } else { crate::simple::shown(name) }
}

/// What is wrong, in words.
fn reason(error: &Error) -> String {
    match error {
        Error::Certificate(error) => of_certificate(error),
        Error::TransparencyLog(error) => of_log(error),
        Error::Timestamp(TimestampError::NoVerifiedTimestamp(_)) => {
            "neither a log nor a clock says when it was signed".to_owned()
        }
        Error::Timestamp(TimestampError::Invalid(why))
            if why.contains("any trusted TSA") || why.contains("no timestamp authorities") =>
        {
            "its timestamp is by no clock of the trusted root".to_owned()
        }
        Error::Timestamp(error) => format!("when it was signed is not proven: {error}"),
        Error::SignatureInvalid(why) => format!("it is not what was signed: {why}"),
        Error::ArtifactMismatch(_) => "it is of another image".to_owned(),
        other => format!("it does not hold: {other}"),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    use CertificateError as Wrong;
    match error {
        Wrong::Expired { time, not_after } => {
            format!("its certificate was good until {not_after}, and it was signed at {time}")
        }
        Wrong::NotYetValid { time, not_before } => {
            format!("its certificate was good from {not_before} on, and it was signed at {time}")
        }
        Wrong::NoValidAuthority { time } => {
            format!("the trusted root names no authority for certificates of {time}")
        }
        // What is in brackets is the words of webpki.
        Wrong::ChainInvalid(why) if why.contains("CertExpired") || why.contains("CertNotValidYet") => {
            format!("its certificate was not good when it was signed ({why})")
        }
        // The latter: by one who is called like an authority.
        Wrong::ChainInvalid(why) if why.contains("UnknownIssuer") || why.contains("InvalidSignature") => {
            "its certificate is by no authority of the trusted root".to_owned()
        }
        Wrong::ChainInvalid(why) => format!("its certificate does not hold ({why})"),
        Wrong::Sct(why) if why.contains("missing SCT") || why.contains("no SCTs") => {
            "its certificate has no timestamp of a log of certificates (SCT)".to_owned()
        }
        Wrong::Sct(why) if why.contains("key not found") => {
            "its certificate's timestamp (SCT) is by no log of the trusted root".to_owned()
        }
        Wrong::Sct(why) => format!("its certificate's timestamp (SCT) does not hold ({why})"),
        other => format!("its certificate makes no sense ({other})"),
    }
}

fn of_log(error: &TransparencyLogError) -> String {
    use TransparencyLogError as Wrong;
    const STRANGER: &str = "it is in a log that the trusted root does not name";
    match error {
        Wrong::UnknownLog { .. } => STRANGER.to_owned(),
        Wrong::InclusionPromise(why) if why.contains("No log key") => STRANGER.to_owned(),
        Wrong::Checkpoint(why) if why.contains("No matching Rekor key") => STRANGER.to_owned(),
        Wrong::InclusionPromise(why) => format!("the log's promise does not hold ({why})"),
        Wrong::InclusionProof(why) => format!("the proof that the log has it does not hold ({why})"),
        Wrong::Checkpoint(why) => format!("the log's checkpoint does not hold ({why})"),
        Wrong::EntryMismatch(why) => format!("its entry of the log is of something else ({why})"),
        Wrong::IntegratedTime(why) => format!("the time that the log tells does not hold ({why})"),
        other => format!("its entry of the log makes no sense ({other})"),
    }
}
