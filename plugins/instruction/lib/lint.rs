//! Warnings under the names that docker's build checks gave them.

use wharf_sdk::Diagnostic;

/// A warning with the link to docker's page about it.
pub fn warn(rule: &str, message: impl Into<String>) -> Diagnostic {
    Diagnostic::warning(rule, message)
        .url(format!("https://docs.docker.com/go/dockerfile/rule/{}/", kebab(rule)))
}

/// `ENV key value`: the old form of ENV and LABEL.
pub fn legacy_pair(keyword: &str) -> Diagnostic {
    let message =
        format!("\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format");
    warn("LegacyKeyValueFormat", message)
}

/// A name such as `DB_PASSWORD` in ARG or ENV: the value stays readable in the image.
pub fn secret(keyword: &str, name: &str) -> Option<Diagnostic> {
    is_secret(name).then(|| {
        let message = format!("Do not use ARG or ENV instructions for sensitive data ({keyword} \"{name}\")");
        warn("SecretsUsedInArgOrEnv", message).help("give it to one command with `RUN --mount=type=secret`")
    })
}

/// Words that make a name look like a secret's, unless another one says that it is public, or that the secret is
/// elsewhere.
fn is_secret(name: &str) -> bool {
    const HARMLESS: [&str; 3] = ["public", "file", "version"];
    const SECRET: [&str; 10] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    let lower = name.to_lowercase();
    let mut words = lower.split('_');
    words.clone().any(|word| SECRET.contains(&word)) && !words.any(|word| HARMLESS.contains(&word))
}

/// `MaintainerDeprecated` as `maintainer-deprecated`.
fn kebab(rule: &str) -> String {
    let mut word = String::new();
    let mut upper_before = true;
    for letter in rule.chars() {
        let upper = letter.is_ascii_uppercase();
        if upper && !upper_before {
            word.push('-');
        }
        word.push(letter.to_ascii_lowercase());
        upper_before = upper;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_seen_by_their_words() {
        for (name, secret) in [
            ("GPG_KEY", true),
            ("api_token", true),
            ("PASSWORD", true),
            ("PUBLIC_KEY", false),
            ("DB_PASSWORD_FILE", false),
            ("secret_File", false),
            ("AUTH_MODULE_VERSION", false),
            ("PROFILE_TOKEN", true),
            ("MONKEY", false),
            ("PATH", false),
        ] {
            assert_eq!(is_secret(name), secret, "for {name}");
        }
    }

    #[test]
    fn links_lead_to_the_rule() {
        let url = legacy_pair("ENV").url.unwrap();
        assert_eq!(url, "https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/");
        assert!(warn("JSONArgsRecommended", "").url.unwrap().ends_with("/jsonargs-recommended/"));
    }
}
