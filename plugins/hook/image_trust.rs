//! Lets only those images in that the site trusts: by digest, or by who signed them.
//!
//! Rules go by the beginning of a repository's name; see [`rules`]. An image is asked about by every
//! digest that it goes by, its index as well as its manifest. Whatever goes wrong is a no.

use wharf_sdk::hook::{Event, Files, ImageTransfer, Moment, Phase, Subject, Verdict};
use wharf_sdk::signatures::{self, Signature};
use wharf_sdk::{Diagnostic, Failure, Hook, Request, Settings, Severity};

use certificate::Trust;
use rules::{Demand, Policy, Proof, Signers};

#[path = "image_trust/annotated.rs"]
mod annotated;
#[path = "image_trust/bundle.rs"]
mod bundle;
#[path = "image_trust/certificate.rs"]
mod certificate;
#[path = "image_trust/crypto.rs"]
mod crypto;
#[path = "image_trust/identity.rs"]
mod identity;
#[path = "image_trust/rules.rs"]
mod rules;
#[path = "image_trust/simple.rs"]
mod simple;

#[cfg(test)]
#[path = "image_trust/tests.rs"]
mod tests;

struct ImageTrust;

wharf_sdk::export_hook!(ImageTrust, "lets only those images in that are pinned or signed");

/// So many reasons are given at most, for signatures that do not count.
const REASONS: usize = 4;

impl Hook for ImageTrust {
    fn describe() -> Vec<(Moment, Phase)> {
        vec![(Moment::ImagePull, Phase::Judge)]
    }

    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:judge", "refuses images that no rule lets in"),
            Request::new("read:signatures", "looks for signatures beside the image"),
        ]
    }

    fn validate_settings(settings: &Settings) -> Result<(), Failure> {
        Policy::of(settings).map(drop)
    }

    fn judge(event: &Event, _: Option<&dyn Files>, settings: &Settings) -> Result<Verdict, Failure> {
        let Subject::ImagePull(transfer) = &event.subject else { return Ok(Verdict::Allow) };
        crypto::install();
        let verdict = Policy::of(settings).and_then(|policy| judge(transfer, &policy, &Asked));
        // An error of a hook that is not required lets pass what a refusal would not.
        Ok(verdict.unwrap_or_else(|failure| Verdict::Deny(failure.diagnostics)))
    }
}

/// What is known of the image that is asked about.
trait Known {
    /// What its name leads to first, its manifest last.
    fn digests(&self) -> Result<Vec<String>, Failure>;
    /// What is said of one of them.
    fn about(&self, digest: &str) -> Result<Vec<Signature>, Failure>;
    /// A file of the site's.
    fn site_file(&self, name: &str) -> Result<Option<Vec<u8>>, Failure>;
    /// Makes it be now, for those who reckon with certificates.
    fn set_clock(&self) -> Result<(), Failure>;
}

/// By the host.
struct Asked;

impl Known for Asked {
    fn digests(&self) -> Result<Vec<String>, Failure> {
        signatures::digests()
    }

    fn about(&self, digest: &str) -> Result<Vec<Signature>, Failure> {
        signatures::about(digest)
    }

    fn site_file(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        signatures::site_file(name)
    }

    fn set_clock(&self) -> Result<(), Failure> {
        // A library has a clock of its own.
        #[cfg(target_arch = "wasm32")]
        js_sys::set(signatures::asked_at()?);
        Ok(())
    }
}

fn judge(transfer: &ImageTransfer, policy: &Policy, known: &dyn Known) -> Result<Verdict, Failure> {
    let pulled = rules::repository(&transfer.reference);
    let Some(rule) = policy.rule(&pulled) else {
        let said = || denied("unknown", format!("no rule is about {pulled}")).help(ADD_A_RULE);
        return Ok(if policy.accepts_others() { Verdict::Allow } else { Verdict::Deny(vec![said()]) });
    };
    let refusal = match &rule.demand {
        Demand::Anything => return Ok(Verdict::Allow),
        Demand::Nothing => denied("refused", format!("nothing may be pulled from `{}`", rule.prefix)),
        Demand::Proof(proof) => match proven(proof, &pulled, known)? {
            None => return Ok(Verdict::Allow),
            Some(refusal) => refusal,
        },
    };
    let help = format!("the rule of `{}` in `[plugin.image-trust.settings]` says so", rule.prefix);
    Ok(Verdict::Deny(vec![refusal.help(help)]))
}

const ADD_A_RULE: &str = "add one to `[plugin.image-trust.settings]`, or write default = \"accept\" there";

/// Why an image does not have what is demanded.
fn proven(proof: &Proof, pulled: &str, known: &dyn Known) -> Result<Option<Diagnostic>, Failure> {
    let digests = known.digests()?;
    if !proof.digests.is_empty() && !digests.iter().any(|digest| proof.digests.contains(digest)) {
        let is = digests.join(", ");
        return Ok(Some(denied(
            "not-pinned",
            format!("{pulled} is {is}, which is none of the digests of its rule"),
        )));
    }
    let Some(signers) = &proof.signers else { return Ok(None) };
    Ok(signed(signers, pulled, &digests, known).map(|reasons| {
        let message = match reasons.as_slice() {
            [] => format!("{pulled} is not signed: no signature of {} was found", digests.join(" or ")),
            reasons => format!("{pulled} has no signature that counts: {}", reasons.join("; ")),
        };
        denied("unsigned", message)
    }))
}

/// Nothing when one signature counts, else why each does not.
fn signed(signers: &Signers, pulled: &str, digests: &[String], known: &dyn Known) -> Option<Vec<String>> {
    let trust = Trust::new(known);
    let mut reasons = Vec::new();
    for digest in digests {
        let found = match known.about(digest) {
            Ok(found) => found,
            Err(failure) => {
                reasons.push(failure.message().to_owned());
                continue;
            }
        };
        for signature in found {
            match verify(&signature, signers, &trust, (pulled, digest)) {
                Ok(()) => return None,
                Err(reason) if reasons.len() < REASONS => {
                    reasons.push(format!("{} ({})", reason, signature.origin))
                }
                Err(_) => {}
            }
        }
    }
    Some(reasons)
}

fn verify(
    signature: &Signature,
    signers: &Signers,
    trust: &Trust<'_>,
    (pulled, digest): (&str, &str),
) -> Result<(), String> {
    let Signature { media_type, annotations, content, .. } = signature;
    if media_type.starts_with(bundle::MEDIA_TYPE) {
        bundle::verify(content, signers, trust, digest)
    } else if media_type == simple::MEDIA_TYPE {
        simple::verify(content, annotations, signers, trust, (pulled, digest))
    } else {
        Err("it is of a kind that is not known here".to_owned())
    }
}

fn denied(code: &str, message: String) -> Diagnostic {
    Diagnostic::new(Severity::Error, format!("image-trust/{code}"), message)
}
