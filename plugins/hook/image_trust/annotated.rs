//! What cosign writes into annotations beside a signature by certificate, as a bundle of the first version.
//!
//! ```text
//! dev.sigstore.cosign/certificate         the certificate, in PEM
//! dev.sigstore.cosign/chain               those above it, in PEM, one after the other
//! dev.sigstore.cosign/bundle              {"SignedEntryTimestamp": BASE64, "Payload":
//!                                            {"body": BASE64, "integratedTime": N, "logIndex": N, "logID": HEX}}
//! dev.sigstore.cosign/rfc3161timestamp    {"SignedRFC3161Timestamp": BASE64}
//! ```

use serde::Deserialize;
use sigstore_types::bundle::{
    InclusionPromise, KindVersion, LogId, MessageSignature, Rfc3161Timestamp, TimestampVerificationData,
    TransparencyLogEntry, VerificationMaterial, VerificationMaterialContent, X509Certificate,
};
use sigstore_types::{
    Bundle, CanonicalizedBody, DerCertificate, LogIndex, LogKeyId, MediaType, Sha256Hash, SignatureBytes,
    SignatureContent, SignedTimestamp, TimestampToken,
};

pub(crate) const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Logged {
    signed_entry_timestamp: SignedTimestamp,
    payload: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    body: CanonicalizedBody,
    integrated_time: i64,
    log_index: LogIndex,
    #[serde(rename = "logID")]
    log_id: String,
}

/// What the log wrote down, as far as it says of what kind it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    api_version: String,
    kind: String,
}

#[derive(Deserialize)]
struct Timestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    signed: TimestampToken,
}

/// The bundle that the annotations are.
///
/// # Errors
/// Names the one that makes no sense.
pub(crate) fn bundle<'a>(
    certificate: &str,
    signature: SignatureBytes,
    annotation: impl Fn(&str) -> Option<&'a str>,
) -> Result<Bundle, String> {
    let mut certificates = certificates(certificate).ok_or_else(|| nonsense(CERTIFICATE))?;
    if let Some(chain) = annotation(CHAIN).filter(|chain| !chain.trim().is_empty()) {
        certificates.extend(self::certificates(chain).ok_or_else(|| nonsense(CHAIN))?);
    }
    let mut material =
        VerificationMaterial::new(VerificationMaterialContent::X509CertificateChain { certificates });
    if let Some(logged) = annotation(BUNDLE) {
        material = material.with_tlog_entries(vec![entry(logged).ok_or_else(|| nonsense(BUNDLE))?]);
    }
    if let Some(stamp) = annotation(TIMESTAMP) {
        let stamp: Timestamp = serde_json::from_str(stamp).map_err(|_| nonsense(TIMESTAMP))?;
        let stamps = TimestampVerificationData::new(vec![Rfc3161Timestamp::new(stamp.signed)]);
        material = material.with_timestamp_verification_data(stamps);
    }
    let content = SignatureContent::MessageSignature(MessageSignature::new(signature));
    Ok(Bundle::new(MediaType::Bundle0_1, material, content))
}

fn nonsense(annotation: &str) -> String {
    format!("its annotation `{annotation}` makes no sense")
}

fn certificates(text: &str) -> Option<Vec<X509Certificate>> {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = text.split_inclusive(END).filter(|block| !block.trim().is_empty());
    let read = blocks.map(|block| DerCertificate::from_pem(block.trim()).ok().map(X509Certificate::new));
    read.collect::<Option<Vec<_>>>().filter(|read| !read.is_empty())
}

fn entry(text: &str) -> Option<TransparencyLogEntry> {
    let Logged { signed_entry_timestamp, payload } = serde_json::from_str(text).ok()?;
    let body: Body = serde_json::from_slice(payload.body.as_bytes()).ok()?;
    let kind = serde_json::json!({ "kind": body.kind, "version": body.api_version });
    let kind: KindVersion = serde_json::from_value(kind).ok()?;
    let log = LogKeyId::new(Sha256Hash::from_hex(&payload.log_id).ok()?.as_bytes().to_vec());
    let time = jiff::Timestamp::from_second(payload.integrated_time).ok()?;
    let entry = TransparencyLogEntry::new(payload.log_index, LogId::new(log), kind, payload.body);
    let promise = InclusionPromise::new(signed_entry_timestamp);
    Some(entry.with_integrated_time(time).with_inclusion_promise(promise))
}
