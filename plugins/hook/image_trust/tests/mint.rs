//! A small sigstore of one's own: an authority, a log of certificates and a log of signatures, and what they
//! and a signer leave of one signature.
//!
//! It is written in bytes, not with the crates that verify it. The keys are whoever's who includes this.

use serde_json::{Value, json};

/// The first of June 2023 at noon, when every certificate begins; ten minutes later it ends.
pub(crate) const NOON: u64 = 1_685_620_800;

/// A key on P-256.
pub(crate) trait Key {
    /// The public key, in DER.
    fn public(&self) -> Vec<u8>;
    /// Of SHA-256, in DER.
    fn sign(&self, content: &[u8]) -> Vec<u8>;
    /// SHA-256.
    fn hash(content: &[u8]) -> [u8; 32];
}

/// Those whom a trusted root names.
pub(crate) struct Sigstore<K> {
    /// Signed the authority's certificate.
    pub(crate) root: K,
    /// Signs certificates.
    pub(crate) authority: K,
    /// Logs certificates.
    pub(crate) witness: K,
    /// Logs signatures.
    pub(crate) log: K,
}

/// What is in a signer's certificate, and when its signature was logged.
pub(crate) struct Signer<'k, K> {
    pub(crate) key: &'k K,
    /// An address of mail when there is an `@` and no `/`, else a URI.
    pub(crate) name: &'k str,
    pub(crate) issuer: &'k str,
    /// In seconds since 1970.
    pub(crate) logged: u64,
    /// Whether it was logged, and says so.
    pub(crate) witnessed: bool,
    /// Whether it is for signing code.
    pub(crate) signs_code: bool,
}

impl<K> Clone for Signer<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Signer<'_, K> {}

/// In hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// In base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        (0..4)
            .map(|at| if at <= chunk.len() { char::from(DIGITS[bits >> (18 - 6 * at) & 63]) } else { '=' })
            .collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// A certificate in PEM.
pub(crate) fn pem(certificate: &[u8]) -> String {
    let text = base64(certificate);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// A value of ASN.1 in DER.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let used = length.iter().position(|byte| *byte != 0).unwrap_or(3);
    let mut value = vec![tag];
    if content.len() > 127 {
        value.push(0x80 | u8::try_from(4 - used).unwrap());
    }
    value.extend(&length[used..]);
    value.extend(content);
    value
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const BYTES: u8 = 0x04;
const UTF8: u8 = 0x0c;
const TIME: u8 = 0x17;

fn oid(numbers: &[u32]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(numbers[0] * 40 + numbers[1]).unwrap()];
    for number in &numbers[2..] {
        let groups = (0..5).rev().map(|at| number >> (7 * at)).skip_while(|rest| *rest == 0);
        let groups: Vec<u8> = groups.map(|rest| u8::try_from(rest & 0x7f).unwrap()).collect();
        let last = groups.len().saturating_sub(1);
        bytes.extend(groups.iter().enumerate().map(|(at, group)| group | if at < last { 0x80 } else { 0 }));
        if groups.is_empty() {
            bytes.push(0);
        }
    }
    der(0x06, &[&bytes])
}

fn ecdsa_with_sha256() -> Vec<u8> {
    der(SEQUENCE, &[&oid(&[1, 2, 840, 10045, 4, 3, 2])])
}

fn named(name: &str) -> Vec<u8> {
    let attribute = der(SEQUENCE, &[&oid(&[2, 5, 4, 3]), &der(UTF8, &[name.as_bytes()])]);
    der(SEQUENCE, &[&der(SET, &[&attribute])])
}

fn extension(numbers: &[u32], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    der(SEQUENCE, &[&oid(numbers), critical, &der(BYTES, &[value])])
}

/// The part of a certificate that is signed.
fn to_be_signed(
    issuer: &str,
    subject: &str,
    times: [&str; 2],
    key: &[u8],
    extensions: &[Vec<u8>],
) -> Vec<u8> {
    let version = der(0xa0, &[&der(INTEGER, &[&[2]])]);
    let times: Vec<Vec<u8>> = times.iter().map(|time| der(TIME, &[time.as_bytes()])).collect();
    let subject = if subject.is_empty() { der(SEQUENCE, &[]) } else { named(subject) };
    der(
        SEQUENCE,
        &[
            &version,
            &der(INTEGER, &[&[7]]),
            &ecdsa_with_sha256(),
            &named(issuer),
            &der(SEQUENCE, &[&times[0], &times[1]]),
            &subject,
            key,
            &der(0xa3, &[&der(SEQUENCE, &[&extensions.concat()])]),
        ],
    )
}

fn signed(content: &[u8], key: &impl Key) -> Vec<u8> {
    der(SEQUENCE, &[content, &ecdsa_with_sha256(), &der(BITS, &[&[0], &key.sign(content)])])
}

impl<K: Key> Sigstore<K> {
    /// The root's certificate, and the authority's.
    pub(crate) fn authorities(&self) -> [Vec<u8>; 2] {
        let times = ["220101000000Z", "320101000000Z"];
        let authority = [
            extension(&[2, 5, 29, 19], true, &der(SEQUENCE, &[&[0x01, 0x01, 0xff]])),
            extension(&[2, 5, 29, 15], true, &der(BITS, &[&[1, 0x06]])),
        ];
        let root = to_be_signed("root", "root", times, &self.root.public(), &authority);
        // An authority that is not for signing code can not say so of others.
        let purpose = der(SEQUENCE, &[&oid(&[1, 3, 6, 1, 5, 5, 7, 3, 3])]);
        let [ca, usage] = &authority;
        let authority = [ca.clone(), usage.clone(), extension(&[2, 5, 29, 37], false, &purpose)];
        let below = to_be_signed("root", "authority", times, &self.authority.public(), &authority);
        [signed(&root, &self.root), signed(&below, &self.root)]
    }

    /// The signer's certificate.
    pub(crate) fn certificate(&self, signer: &Signer<'_, K>) -> Vec<u8> {
        let name = if signer.name.contains('@') && !signer.name.contains('/') { 0x81 } else { 0x86 };
        let mut extensions = vec![
            extension(&[2, 5, 29, 15], true, &der(BITS, &[&[7, 0x80]])),
            extension(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], false, &der(UTF8, &[signer.issuer.as_bytes()])),
        ];
        if !signer.name.is_empty() {
            let names = der(SEQUENCE, &[&der(name, &[signer.name.as_bytes()])]);
            extensions.push(extension(&[2, 5, 29, 17], true, &names));
        }
        let purpose = if signer.signs_code { 3 } else { 1 };
        let purpose = der(SEQUENCE, &[&oid(&[1, 3, 6, 1, 5, 5, 7, 3, purpose])]);
        extensions.push(extension(&[2, 5, 29, 37], false, &purpose));
        let times = ["230601120000Z", "230601121000Z"];
        let key = signer.key.public();
        if signer.witnessed {
            let seen = self.witness(&to_be_signed("authority", "", times, &key, &extensions));
            extensions.push(extension(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], false, &der(BYTES, &[&seen])));
        }
        signed(&to_be_signed("authority", "", times, &key, &extensions), &self.authority)
    }

    /// A list of one timestamp for a certificate (RFC 6962, section 3.2 and 3.3).
    fn witness(&self, content: &[u8]) -> Vec<u8> {
        let time = (NOON * 1000).to_be_bytes();
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        let issuer = K::hash(&self.authority.public());
        let seen = [&[0, 0], &time[..], &[0, 1], &issuer, &length[1..], content, &[0, 0]].concat();
        let signature = counted(&self.witness.sign(&seen));
        let log = K::hash(&self.witness.public());
        let stamp = [&[0], &log[..], &time, &[0, 0], &[4, 3], &signature].concat();
        counted(&counted(&stamp))
    }

    /// What a verifier is told of all of them.
    pub(crate) fn trusted_root(&self) -> Value {
        let log = |key: &K| {
            json!({
                "baseUrl": "https://log.example", "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": base64(&key.public()), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": { "start": "2022-01-01T00:00:00Z" }
                },
                "logId": { "keyId": base64(&K::hash(&key.public())) }
            })
        };
        let [root, authority] =
            self.authorities().map(|certificate| json!({ "rawBytes": base64(&certificate) }));
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.log)],
            "ctlogs": [log(&self.witness)],
            "certificateAuthorities": [{
                "subject": { "organization": "example", "commonName": "authority" },
                "uri": "https://authority.example",
                "certChain": { "certificates": [authority, root] },
                "validFor": { "start": "2022-01-01T00:00:00Z" }
            }],
            "timestampAuthorities": []
        })
    }

    /// What the log has of a signature of an envelope with some payload.
    pub(crate) fn envelope(&self, certificate: &[u8], payload: &[u8], signature: &[u8]) -> String {
        let certificate = base64(pem(certificate).as_bytes());
        let hash = |content: &[u8]| json!({ "algorithm": "sha256", "value": hex(&K::hash(content)) });
        let signatures = json!([{ "signature": base64(signature), "verifier": certificate }]);
        let spec = json!({
            "envelopeHash": hash(b"nobody asks"), "payloadHash": hash(payload), "signatures": signatures
        });
        json!({ "apiVersion": "0.0.1", "kind": "dsse", "spec": spec }).to_string()
    }

    /// What the log has of a signature of some content.
    pub(crate) fn body(&self, certificate: &[u8], content: &[u8], signature: &[u8]) -> String {
        let certificate = base64(pem(certificate).as_bytes());
        let hash = json!({ "algorithm": "sha256", "value": hex(&K::hash(content)) });
        let signature = json!({ "content": base64(signature), "publicKey": { "content": certificate } });
        let spec = json!({ "data": { "hash": hash }, "signature": signature });
        json!({ "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec }).to_string()
    }

    /// The log's promise to show an entry.
    pub(crate) fn promise(&self, body: &str, logged: u64) -> Vec<u8> {
        let (body, log) = (base64(body.as_bytes()), hex(&K::hash(&self.log.public())));
        let entry = format!(r#"{{"body":"{body}","integratedTime":{logged},"logID":"{log}","logIndex":1}}"#);
        self.log.sign(entry.as_bytes())
    }

    /// The proof that the log shows an entry, the second of two.
    pub(crate) fn proof(&self, body: &str) -> Value {
        let (first, own) = (K::hash(b"\0other"), K::hash(&[b"\0", body.as_bytes()].concat()));
        let root = K::hash(&[&[1], &first[..], &own].concat());
        let note = format!("log.example\n2\n{}\n", base64(&root));
        let hint = &K::hash(&self.log.public())[..4];
        let signature = base64(&[hint, &self.log.sign(note.as_bytes())].concat());
        json!({
            "logIndex": "1", "rootHash": base64(&root), "treeSize": "2", "hashes": [base64(&first)],
            "checkpoint": { "envelope": format!("{note}\n\u{2014} log.example {signature}\n") }
        })
    }

    /// A bundle in which a signer says of a document that it is an image.
    pub(crate) fn bundle(&self, signer: &Signer<'_, K>, digest: &str) -> Value {
        const KIND: &str = "application/vnd.in-toto+json";
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1", "subject": [{ "digest": { "sha256": &digest[7..] } }],
            "predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": {}
        })
        .to_string();
        let content = format!("DSSEv1 {} {KIND} {} {statement}", KIND.len(), statement.len());
        let signature = signer.key.sign(content.as_bytes());
        let certificate = self.certificate(signer);
        let body = self.envelope(&certificate, statement.as_bytes(), &signature);
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": { "rawBytes": base64(&certificate) },
                "tlogEntries": [{
                    "logIndex": "1", "logId": { "keyId": base64(&K::hash(&self.log.public())) },
                    "kindVersion": { "kind": "dsse", "version": "0.0.1" },
                    "integratedTime": signer.logged.to_string(),
                    "inclusionPromise": { "signedEntryTimestamp": base64(&self.promise(&body, signer.logged)) },
                    "inclusionProof": self.proof(&body), "canonicalizedBody": base64(body.as_bytes())
                }]
            },
            "dsseEnvelope": {
                "payload": base64(statement.as_bytes()), "payloadType": KIND,
                "signatures": [{ "sig": base64(&signature) }]
            }
        })
    }

    /// What cosign writes beside a payload, by the ends of the names of its annotations.
    pub(crate) fn annotations(&self, signer: &Signer<'_, K>, payload: &[u8]) -> [(&'static str, String); 4] {
        let signature = signer.key.sign(payload);
        let certificate = self.certificate(signer);
        let body = self.body(&certificate, payload, &signature);
        let logged = json!({
            "SignedEntryTimestamp": base64(&self.promise(&body, signer.logged)),
            "Payload": {
                "body": base64(body.as_bytes()), "integratedTime": signer.logged, "logIndex": 1,
                "logID": hex(&K::hash(&self.log.public()))
            }
        });
        let [root, authority] = self.authorities();
        [
            ("dev.cosignproject.cosign/signature", base64(&signature)),
            ("dev.sigstore.cosign/certificate", pem(&certificate)),
            ("dev.sigstore.cosign/chain", pem(&authority) + &pem(&root)),
            ("dev.sigstore.cosign/bundle", logged.to_string()),
        ]
    }
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}
