//! What sigstore's crates compute with: RustCrypto, which is all Rust and needs nothing of a host.
//!
//! Only verifying is there. ML-DSA is refused by name.

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::{PublicKey, pkcs1v15, pss};
use sha2::{Digest, Sha256, Sha384, Sha512};
use sigstore_crypto::{CryptoProvider, Error, HashContext, Result, SigningScheme};
use sigstore_types::HashAlgorithm;

/// Makes it what sigstore's crates compute with, once for all.
pub(crate) fn install() {
    // The second time it is there already, and it is the same one.
    let _ = sigstore_crypto::install_default_provider(&RustCrypto);
}

#[derive(Debug)]
struct RustCrypto;

struct Hashing<D>(D);

impl<D: Digest + Send> HashContext for Hashing<D> {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

impl CryptoProvider for RustCrypto {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>> {
        match algorithm {
            HashAlgorithm::Sha2256 => Ok(Box::new(Hashing(Sha256::new()))),
            HashAlgorithm::Sha2384 => Ok(Box::new(Hashing(Sha384::new()))),
            HashAlgorithm::Sha2512 => Ok(Box::new(Hashing(Sha512::new()))),
            other => Err(Error::UnsupportedAlgorithm(format!("{other} is not computed here"))),
        }
    }

    fn verify_raw(&self, scheme: SigningScheme, key: &[u8], data: &[u8], signature: &[u8]) -> Result<()> {
        match scheme.hash_algorithm() {
            Some(algorithm) => {
                let mut hashing = self.hash(algorithm)?;
                hashing.update(data);
                self.verify_prehashed(scheme, key, &hashing.finalize(), signature)
            }
            None if scheme == SigningScheme::Ed25519 => checked(scheme, ed25519(key, data, signature)),
            None => Err(unknown(scheme)),
        }
    }

    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        digest: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        use SigningScheme as Scheme;
        let valid = match scheme {
            Scheme::EcdsaP256Sha256 | Scheme::EcdsaP256Sha384 => p256(key, digest, signature),
            Scheme::EcdsaP384Sha256 | Scheme::EcdsaP384Sha384 => p384(key, digest, signature),
            Scheme::RsaPkcs1Sha256 => pkcs1::<Sha256>(key, digest, signature),
            Scheme::RsaPkcs1Sha384 => pkcs1::<Sha384>(key, digest, signature),
            Scheme::RsaPkcs1Sha512 => pkcs1::<Sha512>(key, digest, signature),
            Scheme::RsaPssSha256 => probabilistic::<Sha256>(key, digest, signature),
            Scheme::RsaPssSha384 => probabilistic::<Sha384>(key, digest, signature),
            Scheme::RsaPssSha512 => probabilistic::<Sha512>(key, digest, signature),
            other => return Err(unknown(other)),
        };
        checked(scheme, valid)
    }
}

fn ed25519(key: &[u8], data: &[u8], signature: &[u8]) -> Option<()> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
    // The strict form refuses keys under which one signature fits many messages.
    key.verify_strict(data, &signature).ok()
}

fn p256(key: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(digest, &p256::ecdsa::Signature::from_der(signature).ok()?).ok()
}

fn p384(key: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(digest, &p384::ecdsa::Signature::from_der(signature).ok()?).ok()
}

fn pkcs1<D: Digest + rsa::pkcs8::AssociatedOid>(key: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    let key = pkcs1v15::VerifyingKey::<D>::new(PublicKey::from_pkcs1_der(key).ok()?);
    key.verify_prehash(digest, &pkcs1v15::Signature::try_from(signature).ok()?).ok()
}

fn probabilistic<D>(key: &[u8], digest: &[u8], signature: &[u8]) -> Option<()>
where
    D: Digest + sha2::digest::FixedOutputReset,
{
    let key = pss::VerifyingKey::<D>::new(PublicKey::from_pkcs1_der(key).ok()?);
    key.verify_prehash(digest, &pss::Signature::try_from(signature).ok()?).ok()
}

fn checked(scheme: SigningScheme, valid: Option<()>) -> Result<()> {
    valid.ok_or_else(|| Error::Verification(format!("it is no {} signature of this key", scheme.name())))
}

fn unknown(scheme: SigningScheme) -> Error {
    Error::UnsupportedAlgorithm(format!("{} is not verified here", scheme.name()))
}
