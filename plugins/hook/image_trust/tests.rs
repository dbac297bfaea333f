use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;
use sigstore_types::{DerPublicKey, PayloadBytes, SignatureBytes};
use wharf_sdk::Value;

use super::*;
use crate::rules::SignedName;

#[path = "tests/keyless.rs"]
mod keyless;
#[path = "tests/mint.rs"]
mod mint;

const PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";
/// What stands before the point in the public key of a P-256 key.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const PULLED: &str = "registry.example/acme/app";

fn digest(of: char) -> String {
    format!("sha256:{}", of.to_string().repeat(64))
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn public(key: &SigningKey) -> DerPublicKey {
    let point = key.verifying_key().to_sec1_point(false);
    DerPublicKey::new([&SPKI[..], point.as_bytes()].concat())
}

fn sign(key: &SigningKey, content: &[u8]) -> String {
    let signature: p256::ecdsa::Signature = key.sign(content);
    SignatureBytes::new(signature.to_der().as_bytes().to_vec()).to_base64()
}

fn signers(seed: u8) -> Signers {
    let keys = vec![public(&key(9)), public(&key(seed))];
    Signers { keys, certificates: None, name: SignedName::Pulled }
}

/// Whether a signature counts where the site has no file at all.
fn verify(signature: &Signature, signers: &Signers, pulled: &str, digest: &str) -> Result<(), String> {
    super::verify(signature, signers, &Trust::new(&Fixed(vec![])), (pulled, digest))
}

fn simple(seed: u8, name: &str, kind: &str, digest: &str) -> Signature {
    let payload = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"{name}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"{kind}"}},"optional":null}}"#
    );
    let signature = sign(&key(seed), payload.as_bytes());
    Signature {
        origin: "tag".into(),
        media_type: simple::MEDIA_TYPE.into(),
        annotations: vec![("dev.cosignproject.cosign/signature".into(), signature)],
        content: payload.into_bytes(),
    }
}

fn bundle(seed: u8, kind: &str, digest: &str) -> Signature {
    let hex = &digest[7..];
    let statement = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{hex}"}}}}],"predicateType":"{kind}","predicate":{{}}}}"#
    );
    let signed = format!("DSSEv1 28 application/vnd.in-toto+json {} {statement}", statement.len());
    let signature = sign(&key(seed), signed.as_bytes());
    let payload = PayloadBytes::from_bytes(statement.as_bytes()).to_base64();
    let content = format!(
        r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"publicKey":{{"hint":"x"}},"tlogEntries":[]}},"dsseEnvelope":{{"payload":"{payload}","payloadType":"application/vnd.in-toto+json","signatures":[{{"sig":"{signature}"}}]}}}}"#
    );
    let media_type = "application/vnd.dev.sigstore.bundle.v0.3+json".into();
    Signature { origin: "referrer".into(), media_type, annotations: vec![], content: content.into_bytes() }
}

const IMAGE: &str = "cosign container image signature";
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

#[test]
fn a_signature_counts_for_its_key_its_digest_and_its_name() {
    crypto::install();
    let (own, other) = (digest('a'), digest('b'));
    let by = |signature: &Signature| verify(signature, &signers(1), PULLED, &own);
    assert_eq!(by(&simple(1, PULLED, IMAGE, &own)), Ok(()));
    assert_eq!(by(&simple(9, &format!("{PULLED}:v1"), IMAGE, &own)), Ok(()), "any of the keys");
    assert_eq!(by(&bundle(1, SIGN, &own)), Ok(()));
    for (signature, words) in [
        (simple(2, PULLED, IMAGE, &own), "by none of the keys"),
        (simple(1, PULLED, IMAGE, &other), "of another image, `sha256:bbb"),
        (simple(1, "registry.example/acme/tool", IMAGE, &own), "signed as `registry.example/acme/tool`"),
        (simple(1, PULLED, "atomic container signature", &own), "not as an image"),
        (bundle(2, SIGN, &own), "by none of the keys"),
        (bundle(1, SIGN, &other), "of another image"),
        (
            bundle(1, "https://slsa.dev/provenance/v1", &own),
            "no signature but a statement, `https://slsa.dev",
        ),
    ] {
        let said = by(&signature).unwrap_err();
        assert!(said.contains(words), "{said}");
    }
    let mut changed = simple(1, PULLED, IMAGE, &own);
    changed.content.push(b' ');
    assert!(by(&changed).is_err(), "not what was signed");
    changed.annotations.clear();
    assert_eq!(by(&changed), Err("it has no signature".into()));
    let certificate = String::from_utf8(bundle(1, SIGN, &own).content).unwrap();
    let certificate =
        certificate.replace(r#""publicKey":{"hint":"x"}"#, r#""certificate":{"rawBytes":"MAA="}"#);
    let known = Fixed(vec![]);
    let bundled = |content: &str| bundle::verify(content.as_bytes(), &signers(1), &Trust::new(&known), &own);
    assert!(bundled(&certificate).unwrap_err().contains("by a certificate"));
    for nonsense in ["", "{}", "[1]", "\u{0}"] {
        assert!(bundled(nonsense).is_err());
    }
}

#[test]
fn a_copy_may_carry_the_name_it_was_signed_as() {
    crypto::install();
    let own = digest('a');
    let signature = simple(1, "index.docker.io/acme/app", IMAGE, &own);
    for (name, counts) in [
        (SignedName::Pulled, false),
        (SignedName::Other("docker.io/acme/app".into()), true),
        (SignedName::Other("docker.io/acme".into()), false),
        (SignedName::Any, true),
    ] {
        let signers = Signers { name, ..signers(1) };
        assert_eq!(verify(&signature, &signers, PULLED, &own).is_ok(), counts, "{:?}", signers.name);
    }
}

struct Fixed(Vec<(String, Result<Vec<Signature>, &'static str>)>);

impl Known for Fixed {
    fn digests(&self) -> Result<Vec<String>, Failure> {
        Ok(self.0.iter().map(|(digest, _)| digest.clone()).collect())
    }

    fn about(&self, digest: &str) -> Result<Vec<Signature>, Failure> {
        let (_, found) = self.0.iter().find(|(known, _)| known == digest).unwrap();
        found.clone().map_err(wharf_sdk::refuse)
    }

    fn site_file(&self, _: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }

    fn set_clock(&self) -> Result<(), Failure> {
        Ok(())
    }
}

fn settings(rules: &[&[(&str, Value)]]) -> Settings {
    let keys = |number: usize, (key, value): &(&str, Value)| (format!("rule.{number}.{key}"), value.clone());
    let rules = rules.iter().enumerate();
    rules.flat_map(|(number, rule)| rule.iter().map(move |said| keys(number, said))).collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn list(texts: &[&str]) -> Value {
    Value::Texts(texts.iter().map(|text| (*text).into()).collect())
}

fn asked(settings: &Settings, reference: &str, known: &dyn Known) -> String {
    let transfer = ImageTransfer { reference: reference.into(), digest: None, layers: vec![] };
    match judge(&transfer, &Policy::of(settings).unwrap(), known).unwrap() {
        Verdict::Deny(why) => why[0].message.clone(),
        _ => "allowed".into(),
    }
}

#[test]
fn the_longest_prefix_counts() {
    let nobody = Fixed(vec![(digest('a'), Ok(vec![]))]);
    let rules = settings(&[
        &[("prefix", text("registry.example")), ("accept", text("nothing"))],
        &[("prefix", text("registry.example/acme/")), ("accept", text("anything"))],
        &[("prefix", text("registry.example/acme/base")), ("digests", list(&[&digest('b')]))],
    ]);
    for (reference, expected) in [
        ("registry.example/other/app:v1", "nothing may be pulled from `registry.example`"),
        ("registry.example/acmes/app:v1", "nothing may be pulled"),
        ("registry.example/acme/app:v1", "allowed"),
        ("Registry.example/acme/app:v1", "allowed"),
        ("registry.example/acme/base:v1", "none of the digests of its rule"),
        ("registry.example/acme/base/more:v1", "none of the digests of its rule"),
        ("registry.example:5000/acme/app:v1", "no rule is about registry.example:5000/acme/app"),
        ("docker.io/library/busybox:latest", "no rule is about docker.io/library/busybox"),
    ] {
        let said = asked(&rules, reference, &nobody);
        assert!(said.contains(expected), "{reference}: {said}");
    }
    let others = [rules, vec![("default".into(), text("accept"))]].concat();
    assert_eq!(asked(&others, "docker.io/library/busybox:latest", &nobody), "allowed");
}

#[test]
fn an_index_answers_for_its_manifest_and_what_fails_is_a_no() {
    crypto::install();
    let (index, manifest) = (digest('a'), digest('b'));
    let policy = |proof| Policy::of(&settings(&[&[("prefix", text("registry.example/acme")), proof]]));
    assert!(policy(("keys", list(&[PEM]))).is_ok());
    let pinned = settings(&[&[("prefix", text("registry.example/acme")), ("digests", list(&[&index]))]]);
    let unsigned = |digest: &String| (digest.clone(), Ok(vec![]));
    let name = "registry.example/acme/app:v1";
    assert_eq!(asked(&pinned, name, &Fixed(vec![unsigned(&index), unsigned(&manifest)])), "allowed");
    let only = asked(&pinned, name, &Fixed(vec![unsigned(&manifest)]));
    assert!(only.contains(&manifest), "{only}");

    let ask = |found: Vec<_>| {
        let known = Fixed(found);
        signed(&signers(1), PULLED, &known.digests().unwrap(), &known)
    };
    let good = |digest: &String| (digest.clone(), Ok(vec![simple(1, PULLED, IMAGE, digest)]));
    assert_eq!(ask(vec![good(&index), unsigned(&manifest)]), None);
    assert_eq!(ask(vec![unsigned(&index), good(&manifest)]), None);
    assert_eq!(ask(vec![unsigned(&index), unsigned(&manifest)]), Some(vec![]));
    assert_eq!(ask(vec![(index.clone(), Err("is silent"))]), Some(vec!["is silent".into()]));
    let other = (index.clone(), Ok(vec![simple(1, PULLED, IMAGE, &manifest); 9]));
    assert_eq!(ask(vec![other]).unwrap().len(), REASONS);
}

#[test]
fn settings_are_held_to_what_they_can_mean() {
    let prefix = ("prefix", text("registry.example/acme"));
    let by = [("identity", text("*@acme.example")), ("issuer", text("https://accounts.example"))];
    for (rules, words) in [
        (settings(&[&[("accept", text("anything"))]]), "rule 1 has no `prefix`"),
        (
            settings(&[&[("prefix", text("acme/app")), ("accept", text("anything"))]]),
            "no beginning of a repository",
        ),
        (settings(&[&[("prefix", text("r.example/app:v1")), ("accept", text("anything"))]]), "no beginning"),
        (settings(&[std::slice::from_ref(&prefix)]), "it demands nothing"),
        (settings(&[&[prefix.clone(), ("keys", list(&[]))]]), "of at least one"),
        (settings(&[&[prefix.clone(), ("keys", list(&["x"]))]]), "no public key"),
        (settings(&[&[prefix.clone(), ("digests", list(&["sha256:1"]))]]), "`sha256:1` is no digest"),
        (settings(&[&[prefix.clone(), ("accept", text("all"))]]), "`accept` is \"anything\" or \"nothing\""),
        (
            settings(&[&[prefix.clone(), ("signed-as", text("*")), ("digests", list(&[&digest('a')]))]]),
            "neither `keys` nor `identity`",
        ),
        (settings(&[&[prefix.clone(), ("identity", text("me"))]]), "no `issuer` says who vouches"),
        (settings(&[&[prefix.clone(), ("issuer", text("https://i.example"))]]), "no `identity` says whose"),
        (settings(&[&[prefix.clone(), ("trusted-root", text("x.json"))]]), "no `identity` is there"),
        (
            settings(&[&[prefix.clone(), by[0].clone(), ("issuer", text("i.example"))]]),
            "`i.example` is no issuer",
        ),
        (settings(&[&[prefix.clone(), by[0].clone(), ("issuer", text("https://*"))]]), "is no issuer"),
        (settings(&[&[prefix.clone(), ("identity", text("**")), by[1].clone()]]), "`**` is anybody's"),
        (settings(&[&[prefix.clone(), ("identity", list(&[])), by[1].clone()]]), "of at least one"),
        (settings(&[&[prefix.clone(), ("key", text("x"))]]), "there is no setting `rule.0.key`"),
        (
            settings(&[
                &[prefix.clone(), ("accept", text("anything"))],
                &[prefix.clone(), ("accept", text("nothing"))],
            ]),
            "two rules are about `registry.example/acme`",
        ),
        (vec![("default".into(), text("maybe"))], "`default` is \"refuse\" or \"accept\""),
        (vec![("rules".into(), text("x"))], "there is no setting `rules`"),
    ] {
        let failure = ImageTrust::validate_settings(&rules).unwrap_err();
        assert!(failure.message().contains(words), "{}", failure.message());
    }
    let [identity, issuer] = by;
    let more = ("signed-as", text("docker.io/acme/app"));
    for all in [
        settings(&[&[prefix.clone(), ("keys", list(&[PEM])), more.clone()]]),
        settings(&[&[
            prefix.clone(),
            ("keys", list(&[PEM])),
            more.clone(),
            identity.clone(),
            issuer.clone(),
        ]]),
        settings(&[&[prefix.clone(), identity, issuer.clone(), more, ("trusted-root", text("acme.json"))]]),
        settings(&[&[prefix, ("identity", list(&["a@b.example", "c@d.example"])), issuer]]),
    ] {
        assert_eq!(ImageTrust::validate_settings(&all), Ok(()));
    }
}
