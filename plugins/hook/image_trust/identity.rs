//! Whom a certificate may be of.
//!
//! ```text
//! identity    the certificate's name: an address of mail, or the URI of a workflow
//! issuer      who told Fulcio so: the URL of an OpenID provider, as it stands
//! ```
//!
//! `*` in an identity stands for any characters but `/`, also for none; `**` for any at all. A name fits as a
//! whole, and capital letters are other letters.

/// An identity, with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    One(char),
    /// Within a part of a path.
    Some,
    Anything,
}

impl Pattern {
    /// `None` when it would fit everybody, or nobody.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut parts: Vec<Part> = Vec::new();
        for character in text.chars() {
            match (character, parts.last_mut()) {
                ('*', Some(last @ (Part::Some | Part::Anything))) => *last = Part::Anything,
                ('*', _) => parts.push(Part::Some),
                _ => parts.push(Part::One(character)),
            }
        }
        let names = parts.iter().any(|part| matches!(part, Part::One(one) if one.is_alphanumeric()));
        names.then(|| Self { text: text.to_owned(), parts })
    }

    /// Whether a name is one of these.
    pub(crate) fn fits(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        // How many characters of the name may have been used up.
        let mut used = vec![false; name.len() + 1];
        used[0] = true;
        for part in &self.parts {
            let before = std::mem::replace(&mut used, vec![false; name.len() + 1]);
            used[0] = before[0] && !matches!(part, Part::One(_));
            for (index, &character) in name.iter().enumerate() {
                used[index + 1] = match part {
                    Part::One(one) => before[index] && *one == character,
                    Part::Some => before[index + 1] || (used[index] && character != '/'),
                    Part::Anything => before[index + 1] || used[index],
                };
            }
        }
        used[name.len()]
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_a_part_and_two_do_not() {
        const FLOW: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1";
        for (pattern, name, fits) in [
            (FLOW, FLOW, true),
            ("https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*", FLOW, true),
            ("https://github.com/acme/*/.github/workflows/release.yml@refs/tags/v*", FLOW, true),
            ("https://github.com/acme/**", FLOW, true),
            ("https://github.com/acme/**@refs/tags/*", FLOW, true),
            ("**/release.yml@refs/tags/v1", FLOW, true),
            ("https://github.com/acme/*", FLOW, false),
            ("https://github.com/*@refs/tags/v1", FLOW, false),
            ("https://github.com/acme/app", FLOW, false),
            ("github.com/acme/**", FLOW, false),
            ("https://github.com/acme/**@refs/heads/*", FLOW, false),
            ("https://github.com/acme/**", "https://github.com/acmes/app", false),
            ("https://github.com/ACME/**", FLOW, false),
            ("*@acme.example", "me@acme.example", true),
            ("*@acme.example", "@acme.example", true),
            ("*@acme.example", "me@acme.example.evil.example", false),
            ("*@acme.example", "https://evil.example/x@acme.example", false),
            ("me@acme?example", "me@acme.example", false),
            ("a*b*c", "abbc", true),
            ("a*b*c", "ac", false),
            ("a***c", "a/b/c", true),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().fits(name), fits, "{pattern} {name}");
        }
        for everybody in ["", "*", "**", "*@*", "**/*"] {
            assert_eq!(Pattern::new(everybody), None, "{everybody}");
        }
        let long = Pattern::new(&"*a".repeat(200)).unwrap();
        assert!(!long.fits(&format!("{}b", "a".repeat(4000))));
    }
}
