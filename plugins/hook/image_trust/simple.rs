//! Cosign's own signatures: a payload that names the image, and a signature of the payload.
//!
//! ```text
//! layer       application/vnd.dev.cosign.simplesigning.v1+json
//!   content     {"critical": {"identity": {"docker-reference": REPOSITORY},
//!                             "image": {"docker-manifest-digest": DIGEST},
//!                             "type": "cosign container image signature"}, "optional": ...}
//!   annotation  dev.cosignproject.cosign/signature: base64 of the signature
//!   annotation  dev.sigstore.cosign/certificate, /chain, /bundle, /rfc3161timestamp: see `annotated`
//! ```
//!
//! The signature is verified first: of what nobody known signed, nothing is read.

use serde::Deserialize;
use sigstore_crypto::{KeyAlgorithm, SigningScheme, verify_signature};
use sigstore_types::{DerPublicKey, HashAlgorithm, SignatureBytes};

use crate::annotated;
use crate::certificate::{self, Trust};
use crate::rules::{SignedName, Signers, repository};

/// What the layers are called.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const TYPE: &str = "cosign container image signature";

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

/// Whether one of the signers says that `pulled` has the image `digest`.
///
/// # Errors
/// Says why not.
pub(crate) fn verify(
    content: &[u8],
    annotations: &[(String, String)],
    signers: &Signers,
    trust: &Trust<'_>,
    (pulled, digest): (&str, &str),
) -> Result<(), String> {
    let annotation =
        |name: &str| annotations.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let signature = annotation(SIGNATURE).ok_or("it has no signature")?;
    let signature = SignatureBytes::from_base64(signature).map_err(|_| "its signature is not in base64")?;
    if !signers.keys.iter().any(|key| signed(key, content, &signature)) {
        match (annotation(annotated::CERTIFICATE), &signers.certificates) {
            (Some(certificate), Some(certificates)) => {
                let bundle = annotated::bundle(certificate, signature, annotation)?;
                certificate::verify(&bundle, content, certificates, trust)?;
            }
            (Some(_), None) => {
                return Err("it is by none of the keys of the rule, but by a certificate".to_owned());
            }
            (None, _) => return Err(signers.no_key().to_owned()),
        }
    }
    says(content, &signers.name, pulled, digest)
}

fn signed(key: &DerPublicKey, content: &[u8], signature: &SignatureBytes) -> bool {
    let Ok(algorithm) = KeyAlgorithm::from_spki(key) else { return false };
    // Cosign hashed with SHA-256 whatever the curve, and goes by the curve since.
    let older = (algorithm == KeyAlgorithm::EcdsaP384).then_some(HashAlgorithm::Sha2256);
    let older = older.and_then(|hash| algorithm.resolve_signing_scheme(hash).ok());
    let schemes: [Option<SigningScheme>; 2] = [Some(algorithm.default_signing_scheme()), older];
    schemes.into_iter().flatten().any(|scheme| verify_signature(key, content, signature, scheme).is_ok())
}

fn says(content: &[u8], name: &SignedName, pulled: &str, digest: &str) -> Result<(), String> {
    let Payload { critical } =
        serde_json::from_slice(content).map_err(|_| "it is signed, and what is signed is no image")?;
    if critical.kind != TYPE {
        return Err("it is signed, but not as an image".to_owned());
    }
    let signed = critical.image.docker_manifest_digest;
    if signed != digest {
        return Err(format!("it is of another image, {}", shown(&signed)));
    }
    let wanted = match name {
        SignedName::Any => return Ok(()),
        SignedName::Pulled => pulled,
        SignedName::Other(other) => other,
    };
    let named = critical.identity.docker_reference;
    if repository(&named) == wanted {
        return Ok(());
    }
    Err(format!("it was signed as {}, not as {wanted}", shown(&named)))
}

/// As far as it fits into a sentence.
pub(crate) fn shown(text: &str) -> String {
    let end = if text.chars().count() > 100 { "..." } else { "" };
    format!("`{}{end}`", text.chars().take(100).collect::<String>())
}
