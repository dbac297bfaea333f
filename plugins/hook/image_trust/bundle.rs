//! Sigstore bundles: what cosign writes since its third version, and `cosign sign-blob` before.
//!
//! A bundle says something of a digest, either as a statement of in-toto in an envelope or as a
//! signature of the document itself. Of statements only `https://sigstore.dev/cosign/sign/v1` is a
//! signature: an image for which somebody attested a list of flaws is not an image that they let pass.

use sigstore_crypto::{KeyAlgorithm, verify_signature, verify_signature_prehashed};
use sigstore_types::bundle::VerificationMaterialContent;
use sigstore_types::{Bundle, DerPublicKey, HashAlgorithm, Sha256Hash, SignatureContent, Statement};

use crate::certificate::{self, Trust};
use crate::rules::Signers;

/// How the type of a bundle begins, in every version.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle";
const STATEMENT: &str = "application/vnd.in-toto+json";
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// Whether one of the signers says that `digest` is theirs.
///
/// # Errors
/// Says why not.
pub(crate) fn verify(
    content: &[u8],
    signers: &Signers,
    trust: &Trust<'_>,
    digest: &str,
) -> Result<(), String> {
    let text = std::str::from_utf8(content).map_err(|_| "it is no bundle")?;
    let bundle = Bundle::from_json(text).map_err(|error| format!("it is no bundle: {error}"))?;
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    let digest = Sha256Hash::from_hex(hex).map_err(|error| error.to_string())?;
    match (&bundle.verification_material.content, &signers.certificates) {
        // What a log or a clock says beside that is not asked: it proves that a signature was made while a
        // certificate was good, and a key is good until it is taken out of the settings.
        (VerificationMaterialContent::PublicKey(_), _) => {
            if !signers.keys.iter().any(|key| signed(key, &bundle.content, &digest)) {
                return Err(signers.no_key().to_owned());
            }
        }
        (_, Some(certificates)) => certificate::verify(&bundle, digest, certificates, trust)?,
        (_, None) => return Err("it is by a certificate, and the rule names keys".to_owned()),
    }
    match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => {
            says(&envelope.payload_type, envelope.payload.as_bytes(), &digest)
        }
        // Its signature is of the digest itself.
        _ => Ok(()),
    }
}

fn signed(key: &DerPublicKey, content: &SignatureContent, digest: &Sha256Hash) -> bool {
    let Ok(algorithm) = KeyAlgorithm::from_spki(key) else { return false };
    match content {
        SignatureContent::DsseEnvelope(envelope) => {
            let scheme = algorithm.default_signing_scheme();
            verify_signature(key, &envelope.pae(), &envelope.signature.sig, scheme).is_ok()
        }
        SignatureContent::MessageSignature(message) => {
            algorithm.resolve_signing_scheme(HashAlgorithm::Sha2256).is_ok_and(|scheme| {
                verify_signature_prehashed(key, digest.as_bytes(), &message.signature, scheme).is_ok()
            })
        }
        _ => false,
    }
}

/// Whether a statement that is signed is a signature of the image.
fn says(kind: &str, payload: &[u8], digest: &Sha256Hash) -> Result<(), String> {
    let statement = || serde_json::from_slice::<Statement>(payload).ok();
    let Some(statement) = (kind == STATEMENT).then(statement).flatten() else {
        return Err("it is signed, and what is signed is no statement".to_owned());
    };
    if statement.predicate_type != SIGN {
        let kind: String = statement.predicate_type.chars().take(100).collect();
        return Err(format!("it is no signature but a statement, `{kind}`"));
    }
    if statement.matches_sha256(digest) { Ok(()) } else { Err("it is of another image".to_owned()) }
}
