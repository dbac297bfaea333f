//! Images that are let in by the certificate of who signed them. The authority, the logs and the signer are
//! made here, with openssl's keys.

use std::fs;

use serde_json::{Value, json};

use super::trust::{Harbour, Key, REPOSITORY, harbour, payload};
use crate::harness::host;
use mint::{NOON, Signer, Sigstore};

#[path = "../../plugins/hook/image_trust/tests/mint.rs"]
mod mint;

const FLOW: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

impl mint::Key for Key {
    fn public(&self) -> Vec<u8> {
        let file = self.at("public");
        host(&["openssl", "pkey", "-in", &self.at("key"), "-pubout", "-outform", "DER", "-out", &file]);
        fs::read(file).unwrap()
    }

    fn sign(&self, content: &[u8]) -> Vec<u8> {
        fs::read(self.signed(content)).unwrap()
    }

    fn hash(content: &[u8]) -> [u8; 32] {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        let said = host(&["sha256sum", file.path().to_str().unwrap()]);
        std::array::from_fn(|at| u8::from_str_radix(&said[2 * at..2 * at + 2], 16).unwrap())
    }
}

fn sigstore() -> Sigstore<Key> {
    Sigstore { root: Key::p256(), authority: Key::p256(), witness: Key::p256(), log: Key::p256() }
}

fn signer(key: &Key) -> Signer<'_, Key> {
    Signer { key, name: FLOW, issuer: ISSUER, logged: NOON + 60, witnessed: true, signs_code: true }
}

impl Harbour {
    fn identity(&self, identity: &str, issuer: &str, more: &str) {
        self.rules(&[&format!(
            "prefix = \"*/acme\"\nidentity = \"{identity}\"\nissuer = \"{issuer}\"\n{more}"
        )]);
    }

    fn trust(&self, name: &str, root: &Value) {
        fs::write(self.site().join(name), root.to_string()).unwrap();
    }
}

#[test]
fn an_image_is_let_in_by_the_certificate_of_who_signed_it() {
    let Some(port) = harbour() else { return };
    let (world, key) = (sigstore(), Key::p256());
    let (root, good) = (world.trusted_root(), world.bundle(&signer(&key), &port.digest).to_string());
    port.identity(FLOW, ISSUER, "");
    port.refuses(&["acme/app is not signed"]);
    port.refer(&good);
    port.refuses(&["the site has no trusted root: `trusted-root.json` is not there (referrer)"]);
    port.trust("trusted-root.json", &sigstore().trusted_root());
    port.refuses(&["(referrer)", "the trusted root does not name"]);
    port.trust("trusted-root.json", &json!({}));
    port.refuses(&["the trusted root `trusted-root.json` is none"]);
    port.trust("trusted-root.json", &root);
    port.lets_in();

    port.identity("https://github.com/acme/app/.github/workflows/*@refs/tags/*", ISSUER, "");
    port.lets_in();
    port.identity("https://github.com/acme/other/**", ISSUER, "");
    port.refuses(&[&format!("it is by `{FLOW}`, who is not the rule's identity")]);
    port.identity(FLOW, "https://gitlab.example", "");
    port.refuses(&[&format!("`{ISSUER}` said so, who is not the rule's issuer")]);
    port.identity(FLOW, ISSUER, "trusted-root = \"acme.json\"");
    port.refuses(&["`acme.json` is not there"]);
    port.trust("acme.json", &root);
    port.lets_in();
    port.identity(FLOW, ISSUER, "trusted-root = \"../site/acme.json\"");
    port.refuses(&["`../site/acme.json` is no name of a file of the site"]);

    port.identity(FLOW, ISSUER, "");
    port.refer(&world.bundle(&Signer { logged: NOON + 601, ..signer(&key) }, &port.digest).to_string());
    port.refuses(&["its certificate was not good when it was signed"]);
    port.refer(&world.bundle(&Signer { witnessed: false, ..signer(&key) }, &port.digest).to_string());
    port.refuses(&["no timestamp of a log of certificates (SCT)"]);
    let kept = port.site().join(format!("sha256-{}.acme.json", &port.digest[7..]));
    fs::write(kept, good).unwrap();
    port.lets_in();
}

#[test]
fn a_payload_of_cosigns_is_let_in_by_its_certificate() {
    let Some(port) = harbour() else { return };
    let (world, key) = (sigstore(), Key::p256());
    port.identity("*@acme.example", "https://accounts.example", "");
    port.trust("trusted-root.json", &world.trusted_root());
    let mail = Signer { name: "me@acme.example", issuer: "https://accounts.example", ..signer(&key) };
    let repository = port.registry.name(REPOSITORY);
    let leave = |signer: &Signer<'_, Key>, payload: &str| {
        let said: Value = world
            .annotations(signer, payload.as_bytes())
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .collect();
        port.simply(payload, &said);
    };
    leave(&mail, &payload(&repository, &port.digest));
    port.lets_in();
    leave(&Signer { name: "you@acme.example.evil", ..mail }, &payload(&repository, &port.digest));
    port.refuses(&["it is by `you@acme.example.evil`, who is not the rule's identity (tag)"]);
    leave(&mail, &payload("registry.example/acme/other", &port.digest));
    port.refuses(&["signed as `registry.example/acme/other`"]);
}
