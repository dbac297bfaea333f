//! Signatures by certificate: each thing that has to hold, and what is said when it does not.

use serde_json::Value;
use sha2::Digest;

use super::mint::{Key, NOON, Signer, Sigstore, base64, pem};
use super::*;
use crate::certificate::Certificates;
use crate::identity::Pattern;

const FLOW: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

impl Key for SigningKey {
    fn public(&self) -> Vec<u8> {
        super::public(self).as_bytes().to_vec()
    }

    fn sign(&self, content: &[u8]) -> Vec<u8> {
        let signature: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(self, content);
        signature.to_der().as_bytes().to_vec()
    }

    fn hash(content: &[u8]) -> [u8; 32] {
        sha2::Sha256::digest(content).into()
    }
}

fn sigstore(seed: u8) -> Sigstore<SigningKey> {
    let [root, authority, witness, log] = [0, 1, 2, 3].map(|more| key(seed + more));
    Sigstore { root, authority, witness, log }
}

fn signer(key: &SigningKey) -> Signer<'_, SigningKey> {
    Signer { key, name: FLOW, issuer: ISSUER, logged: NOON + 60, witnessed: true, signs_code: true }
}

/// A site with one file.
struct Site(Option<Value>);

impl Known for Site {
    fn digests(&self) -> Result<Vec<String>, Failure> {
        Ok(vec![])
    }

    fn about(&self, _: &str) -> Result<Vec<Signature>, Failure> {
        Ok(vec![])
    }

    fn site_file(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let there = self.0.as_ref().filter(|_| name == "trusted-root.json");
        Ok(there.map(|root| root.to_string().into_bytes()))
    }

    fn set_clock(&self) -> Result<(), Failure> {
        Ok(())
    }
}

fn by(identity: &str, issuer: &str) -> Signers {
    let certificates = Certificates {
        identities: vec![Pattern::new("nobody@acme.example").unwrap(), Pattern::new(identity).unwrap()],
        issuer: issuer.into(),
        root: "trusted-root.json".into(),
    };
    Signers { keys: vec![], certificates: Some(certificates), name: SignedName::Pulled }
}

fn bundled(bundle: &Value) -> Signature {
    let media_type = bundle["mediaType"].as_str().unwrap().into();
    Signature {
        origin: "referrer".into(),
        media_type,
        annotations: vec![],
        content: bundle.to_string().into_bytes(),
    }
}

fn ask(signature: &Signature, signers: &Signers, root: &Value) -> Result<(), String> {
    crypto::install();
    let site = Site(Some(root.clone()));
    super::super::verify(signature, signers, &Trust::new(&site), (PULLED, &digest('a')))
}

/// Each change of a good bundle or of the trusted root, and the words about it.
type Change = (&'static str, fn(&mut Value, &mut Value), &'static str);

fn refused(bundle: &Value, root: &Value, changes: &[Change]) {
    for (what, change, words) in changes {
        let (mut bundle, mut root) = (bundle.clone(), root.clone());
        change(&mut bundle, &mut root);
        let said = ask(&bundled(&bundle), &by(FLOW, ISSUER), &root).unwrap_err();
        assert!(said.contains(words), "{what}: {said}");
    }
}

const ENTRY: &str = "/verificationMaterial/tlogEntries/0";

fn entry<'v>(bundle: &'v mut Value, end: &str) -> &'v mut Value {
    bundle.pointer_mut(&format!("{ENTRY}{end}")).unwrap()
}

/// Another value of the same length.
fn other(value: &mut Value) {
    let text = value.as_str().unwrap();
    let first = if text.starts_with('A') { "B" } else { "A" };
    *value = format!("{first}{}", &text[1..]).into();
}

#[test]
fn a_certificate_counts_for_who_it_names_while_it_was_good() {
    let (world, key) = (sigstore(20), key(7));
    let root = world.trusted_root();
    let ask_by = |signer: &Signer<'_, SigningKey>, identity: &str, issuer: &str| {
        ask(&bundled(&world.bundle(signer, &digest('a'))), &by(identity, issuer), &root)
    };
    let good = signer(&key);
    for identity in
        [FLOW, "https://github.com/acme/app/.github/workflows/*@refs/tags/v*", "https://github.com/acme/**"]
    {
        assert_eq!(ask_by(&good, identity, ISSUER), Ok(()), "{identity}");
    }
    let mail = Signer { name: "me@acme.example", ..good };
    assert_eq!(ask_by(&mail, "*@acme.example", ISSUER), Ok(()));
    for (signer, identity, issuer, words) in [
        (good, "https://github.com/acme/*", ISSUER, "it is by `https://github.com/acme/app/.github"),
        (mail, FLOW, ISSUER, "it is by `me@acme.example`, who is not the rule's identity"),
        (Signer { name: "", ..good }, FLOW, ISSUER, "it is by nobody"),
        (good, FLOW, "https://gitlab.example", "said so, who is not the rule's issuer"),
        (Signer { logged: NOON - 1, ..good }, FLOW, ISSUER, "was not good when it was signed"),
        (Signer { logged: NOON + 601, ..good }, FLOW, ISSUER, "was not good when it was signed"),
        (Signer { witnessed: false, ..good }, FLOW, ISSUER, "no timestamp of a log of certificates (SCT)"),
        (Signer { signs_code: false, ..good }, FLOW, ISSUER, "its certificate does not hold"),
    ] {
        let said = ask_by(&signer, identity, issuer).unwrap_err();
        assert!(said.contains(words), "{said}");
    }
    let bundle = bundled(&world.bundle(&good, &digest('b')));
    assert_eq!(ask(&bundle, &by(FLOW, ISSUER), &root), Err("it is of another image".into()));
    let said = ask(&bundle, &signers(1), &root).unwrap_err();
    assert_eq!(said, "it is by a certificate, and the rule names keys");
    let said = ask(&super::bundle(1, SIGN, &digest('a')), &by(FLOW, ISSUER), &root).unwrap_err();
    assert_eq!(said, "it is by a key, and the rule names who has certificates");
    let both = Signers { keys: signers(1).keys, ..by(FLOW, ISSUER) };
    for signature in [bundled(&world.bundle(&good, &digest('a'))), super::bundle(1, SIGN, &digest('a'))] {
        assert_eq!(ask(&signature, &both, &root), Ok(()), "keys and certificates");
    }
}

#[test]
fn what_a_trusted_root_does_not_name_does_not_count() {
    let (world, stranger, key) = (sigstore(20), sigstore(60), key(7));
    let (root, strange) = (world.trusted_root(), stranger.trusted_root());
    let good = world.bundle(&signer(&key), &digest('a'));
    assert_eq!(ask(&bundled(&good), &by(FLOW, ISSUER), &root), Ok(()));
    for (part, words) in [
        ("certificateAuthorities", "its certificate is by no authority of the trusted root"),
        ("ctlogs", "its certificate's timestamp (SCT) is by no log of the trusted root"),
        ("tlogs", "it is in a log that the trusted root does not name"),
    ] {
        let mut root = root.clone();
        root[part] = strange[part].clone();
        assert_eq!(ask(&bundled(&good), &by(FLOW, ISSUER), &root), Err(words.into()), "{part}");
        root[part] = serde_json::json!([]);
        assert!(ask(&bundled(&good), &by(FLOW, ISSUER), &root).is_err(), "{part}");
    }
    refused(
        &good,
        &root,
        &[
            (
                "an authority of later",
                |_, root| {
                    root["certificateAuthorities"][0]["validFor"]["start"] = "2024-01-01T00:00:00Z".into()
                },
                "the trusted root names no authority for certificates of 2023-06-01T12:01:00Z",
            ),
            (
                "a log of before",
                |_, root| root["tlogs"][0]["publicKey"]["validFor"]["end"] = "2023-01-01T00:00:00Z".into(),
                "in a log that the trusted root does not name",
            ),
            ("no root", |_, root| *root = "x".into(), "the trusted root `trusted-root.json` is none"),
            (
                "a key of nothing",
                |_, root| root["tlogs"][0]["publicKey"]["rawBytes"] = "AAAA".into(),
                "the trusted root `trusted-root.json` makes no sense",
            ),
        ],
    );
    crypto::install();
    let nowhere = Site(None);
    let said = super::super::verify(
        &bundled(&good),
        &by(FLOW, ISSUER),
        &Trust::new(&nowhere),
        (PULLED, &digest('a')),
    );
    assert!(said.unwrap_err().contains("the site has no trusted root: `trusted-root.json` is not there"));
}

#[test]
fn without_a_log_or_with_another_word_of_it_a_bundle_does_not_count() {
    let (world, key) = (sigstore(20), key(7));
    let (root, good) = (world.trusted_root(), world.bundle(&signer(&key), &digest('a')));
    refused(
        &good,
        &root,
        &[
            (
                "no entry",
                |bundle, _| bundle["verificationMaterial"]["tlogEntries"] = serde_json::json!([]),
                "no entry of a log comes with it",
            ),
            (
                "no proof",
                |bundle, _| {
                    entry(bundle, "").as_object_mut().unwrap().remove("inclusionProof");
                },
                "its entry of a log comes without a proof",
            ),
            (
                "no promise, so no time",
                |bundle, _| {
                    entry(bundle, "").as_object_mut().unwrap().remove("inclusionPromise");
                },
                "neither a log nor a clock says when",
            ),
            (
                "another time",
                |bundle, _| *entry(bundle, "/integratedTime") = (NOON + 61).to_string().into(),
                "the log's promise does not hold",
            ),
            (
                "another promise",
                |bundle, _| other(entry(bundle, "/inclusionPromise/signedEntryTimestamp")),
                "the log's promise does not hold",
            ),
            (
                "another proof",
                |bundle, _| other(entry(bundle, "/inclusionProof/hashes/0")),
                "the proof that the log has it does not hold",
            ),
            (
                "another body",
                |bundle, _| other(entry(bundle, "/canonicalizedBody")),
                "the log's promise does not hold",
            ),
        ],
    );
}

#[test]
fn whatever_is_changed_in_a_bundle_it_does_not_count() {
    let (world, key) = (sigstore(20), key(7));
    let (root, good) = (world.trusted_root(), world.bundle(&signer(&key), &digest('a')));
    refused(
        &good,
        &root,
        &[
            (
                "another signature",
                |bundle, _| {
                    let sign = bundle.pointer_mut("/dsseEnvelope/signatures/0/sig").unwrap();
                    *sign = base64(&Key::sign(&super::key(8), b"x")).into();
                },
                "it is not what was signed",
            ),
            (
                "another payload",
                |bundle, _| {
                    let payload = base64(
                        br#"{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x"}"#,
                    );
                    *bundle.pointer_mut("/dsseEnvelope/payload").unwrap() = payload.into();
                },
                "it",
            ),
            (
                "another certificate",
                |bundle, _| other(bundle.pointer_mut("/verificationMaterial/certificate/rawBytes").unwrap()),
                "it",
            ),
            (
                "a checkpoint by nobody",
                |bundle, _| {
                    let note = entry(bundle, "/inclusionProof/checkpoint/envelope");
                    *note = note.as_str().unwrap().replace("log.example\n2\n", "log.example2\n2\n").into();
                },
                "the log's checkpoint does not hold",
            ),
        ],
    );
}

#[test]
fn entries_of_something_else_do_not_count() {
    let (world, key) = (sigstore(20), key(7));
    let (root, good) = (world.trusted_root(), world.bundle(&signer(&key), &digest('a')));
    // An entry that holds, of another signature by the same certificate.
    let mut mixed = good.clone();
    let theirs = world.bundle(&signer(&key), &digest('b'));
    *entry(&mut mixed, "") = theirs.pointer(ENTRY).unwrap().clone();
    let said = ask(&bundled(&mixed), &by(FLOW, ISSUER), &root).unwrap_err();
    assert!(said.contains("another image") || said.contains("of something else"), "{said}");
    // One that never was in the log: its proof is of another log, its promise of this one.
    let mut unproven = good.clone();
    let body =
        PayloadBytes::from_base64(entry(&mut unproven, "/canonicalizedBody").as_str().unwrap()).unwrap();
    let body = String::from_utf8(body.as_bytes().to_vec()).unwrap();
    *entry(&mut unproven, "/inclusionProof") = sigstore(60).proof(&body);
    let said = ask(&bundled(&unproven), &by(FLOW, ISSUER), &root).unwrap_err();
    assert_eq!(said, "it is in a log that the trusted root does not name");
}

#[test]
fn bundles_of_the_first_versions_carry_a_chain() {
    let (world, key) = (sigstore(20), key(7));
    let mut root = world.trusted_root();
    root["certificateAuthorities"][0]["certChain"]["certificates"].as_array_mut().unwrap().remove(0);
    let mut bundle = world.bundle(&signer(&key), &digest('a'));
    let said = ask(&bundled(&bundle), &by(FLOW, ISSUER), &root).unwrap_err();
    assert_eq!(
        said, "its certificate is by no authority of the trusted root",
        "the one between is not there"
    );
    let own = bundle["verificationMaterial"].as_object_mut().unwrap().remove("certificate").unwrap();
    let [_, authority] = world.authorities();
    let chain = serde_json::json!([own, { "rawBytes": base64(&authority) }]);
    bundle["verificationMaterial"]["x509CertificateChain"] = serde_json::json!({ "certificates": chain });
    for (kind, proven, counts) in [
        ("application/vnd.dev.sigstore.bundle+json;version=0.1", true, true),
        ("application/vnd.dev.sigstore.bundle+json;version=0.2", true, true),
        ("application/vnd.dev.sigstore.bundle+json;version=0.3", true, false),
        ("application/vnd.dev.sigstore.bundle+json;version=0.1", false, true),
        ("application/vnd.dev.sigstore.bundle+json;version=0.2", false, false),
    ] {
        let mut bundle = bundle.clone();
        bundle["mediaType"] = kind.into();
        if !proven {
            entry(&mut bundle, "").as_object_mut().unwrap().remove("inclusionProof");
        }
        let said = ask(&bundled(&bundle), &by(FLOW, ISSUER), &root);
        assert_eq!(said.is_ok(), counts, "{kind} {said:?}");
    }
}

#[test]
fn payloads_of_cosigns_carry_certificates_in_annotations() {
    let (world, key) = (sigstore(20), key(7));
    let root = world.trusted_root();
    let simple = |signer: &Signer<'_, SigningKey>, name: &str, digest: &str| {
        let mut signature = super::simple(1, name, IMAGE, digest);
        let annotations = world.annotations(signer, &signature.content);
        signature.annotations = annotations.map(|(name, value)| (name.to_owned(), value)).to_vec();
        signature
    };
    let (rule, good) = (by(FLOW, ISSUER), signer(&key));
    let whole = simple(&good, PULLED, &digest('a'));
    assert_eq!(ask(&whole, &rule, &root), Ok(()));
    assert!(ask(&whole, &signers(1), &root).unwrap_err().contains("but by a certificate"));
    for (signature, words) in [
        (simple(&good, "registry.example/acme/tool", &digest('a')), "signed as `registry.example/acme/tool`"),
        (simple(&good, PULLED, &digest('b')), "of another image, `sha256:bbb"),
        (
            simple(&Signer { logged: NOON + 601, ..good }, PULLED, &digest('a')),
            "was not good when it was signed",
        ),
        (
            super::simple(1, PULLED, IMAGE, &digest('a')),
            "it is by a key, and the rule names who has certificates",
        ),
    ] {
        let said = ask(&signature, &rule, &root).unwrap_err();
        assert!(said.contains(words), "{said}");
    }
    let mut changed = whole.clone();
    changed.content.push(b' ');
    assert!(ask(&changed, &rule, &root).is_err(), "not what was signed");
    let without = |end: &str, value: Option<&str>| {
        let mut signature = whole.clone();
        signature.annotations.retain(|(name, _)| !name.ends_with(end));
        let value = value.map(|value| (format!("dev.sigstore.cosign{end}"), value.to_owned()));
        signature.annotations.extend(value);
        ask(&signature, &rule, &root)
    };
    assert_eq!(without("/chain", None), Ok(()), "the trusted root has the chain");
    assert!(without("/bundle", None).unwrap_err().contains("no entry of a log comes with it"));
    for end in ["/certificate", "/chain", "/bundle", "/rfc3161timestamp"] {
        let said = without(end, Some("nonsense")).unwrap_err();
        assert!(said.contains(&format!("`dev.sigstore.cosign{end}` makes no sense")), "{said}");
    }
    assert!(without("/rfc3161timestamp", Some(r#"{"SignedRFC3161Timestamp":"MAA="}"#)).is_err());
    // The entry of another payload by the same certificate.
    let theirs = simple(&good, PULLED, &digest('b'));
    let logged = &theirs.annotations.iter().find(|(name, _)| name.ends_with("/bundle")).unwrap().1;
    assert!(without("/bundle", Some(logged)).unwrap_err().contains("another image"));
    // Somebody else's certificate beside one's own signature.
    let other = world.certificate(&Signer { key: &super::key(8), ..good });
    assert!(without("/certificate", Some(&pem(&other))).is_err());
}

#[test]
fn a_key_of_a_kind_that_is_not_computed_here_is_refused_by_its_name() {
    crypto::install();
    // id-ml-dsa-65, and a key of its length.
    let oid = [0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12];
    let key = [&[0x30, 0x82, 0x07, 0xb2][..], &oid, &[0x03, 0x82, 0x07, 0xa1, 0x00], &[7; 1952]].concat();
    let (key, signature) = (DerPublicKey::new(key), SignatureBytes::new(vec![7; 3309]));
    let scheme = sigstore_crypto::KeyAlgorithm::from_spki(&key).unwrap().default_signing_scheme();
    let said = sigstore_crypto::verify_signature(&key, b"x", &signature, scheme).unwrap_err().to_string();
    assert!(said.contains("ML_DSA_65 is not verified here"), "{said}");
}
