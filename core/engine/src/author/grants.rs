//! What a plugin under test may do, and which of it the plans needed.

use std::collections::BTreeSet;

use wharf_model::build::Outcome;
use wharf_model::grant::Grants;
use wharf_plugin::authorize;
use wharf_plugin::trace::{Answer, Question};

/// The rights, in the words of the TOML, without which this would have been refused.
pub(crate) fn needed(
    grants: &Grants,
    check: impl Fn(&Grants) -> Result<(), authorize::Denied>,
) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for right in &grants.ops {
        let mut fewer = grants.clone();
        fewer.ops.remove(right);
        needed.extend(check(&fewer).err().map(|denied| denied.right));
    }
    for net in &grants.net {
        let mut fewer = grants.clone();
        fewer.net.remove(net);
        needed.extend(check(&fewer).err().map(|denied| denied.right));
    }
    needed
}

/// The rights that an instruction's answer needed, and those that its questions needed.
pub(crate) fn used(
    grants: &Grants,
    outcome: Option<&Outcome>,
    reads: &[(Question, Answer)],
) -> BTreeSet<String> {
    let mut used = match outcome {
        Some(outcome) => needed(grants, |fewer| authorize::build("", fewer, outcome)),
        None => BTreeSet::new(),
    };
    for read in &grants.read {
        if reads.iter().any(|(question, answer)| reaches(read, question, answer)) {
            used.insert(format!("read:{read}"));
        }
    }
    used
}

/// Whether a question is of the kind that the grant `read` is for.
fn reaches(read: &str, question: &Question, answer: &Answer) -> bool {
    let granted = authorize::Reads::new([&read.to_owned()]);
    let may = |path: &str| granted.may(path);
    match (question, answer) {
        (Question::ResolveImage(..), _) => read == "image",
        (Question::Stat(_, path) | Question::Read(_, path, _), _) => may(path),
        (Question::Glob(..), Answer::Entries(Ok(entries))) => entries.iter().any(|entry| may(&entry.path)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use wharf_model::build::{ConfigChange, Input, Plan};

    use wharf_plugin::rights;

    use super::*;

    #[test]
    fn what_a_plan_needs_is_what_it_would_be_refused_without() {
        let plan = Plan {
            ops: vec![],
            rootfs: Input::Named("x".into()),
            config: vec![ConfigChange::User("a".into())],
            diagnostics: vec![],
        };
        let stat =
            (Question::Stat(wharf_plugin::Root::Local, "debian/control".into()), Answer::Entry(Ok(None)));
        let grants = rights::parse([
            "ops:config",
            "ops:image",
            "ops:exec",
            "net:host",
            "read:context:debian/**",
            "read:context:other/**",
            "read:image",
        ])
        .unwrap();
        let used = used(&grants, Some(&Outcome::Plan(plan)), &[stat]);
        assert_eq!(used, ["ops:config", "ops:image", "read:context:debian/**"].map(str::to_owned).into());
        assert!(rights::words(&grants).is_superset(&used));
    }
}
