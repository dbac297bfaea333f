//! `# check=skip=A,B;error=true;experimental=C`.

use wharf_model::Diagnostic;

use crate::build::dockerfile;

/// Rules that are asked for by name, or with `experimental=all`.
const EXPERIMENTAL: [&str; 1] = ["InvalidDefinitionDescription"];

/// What a file says of its own checks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::build) struct Directive {
    /// Rules that are not wanted.
    skip: Vec<String>,
    /// Experimental ones that are.
    experimental: Vec<String>,
    /// Warnings fail a build.
    pub(in crate::build) error: bool,
}

impl Directive {
    /// The one at the top of a file.
    pub(in crate::build) fn of(text: &[u8]) -> Self {
        dockerfile::directives(text)
            .iter()
            .find(|directive| directive.name == "check")
            .map_or_else(Self::default, |directive| Self::parse(&directive.value))
    }

    fn parse(value: &str) -> Self {
        let rules = |list: &str| list.split(',').map(|rule| rule.trim().to_owned()).collect();
        let mut directive = Self::default();
        for (name, value) in value.split(';').filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "skip" => directive.skip = rules(value),
                "experimental" => directive.experimental = rules(value),
                "error" => directive.error = value.trim().eq_ignore_ascii_case("true") || value.trim() == "1",
                _ => {}
            }
        }
        directive
    }

    /// Without what is skipped, and with what is experimental only where it is asked for.
    pub(in crate::build) fn keep(&self, warnings: Vec<Diagnostic>) -> Vec<Diagnostic> {
        warnings.into_iter().filter(|warning| self.wants(&warning.code)).collect()
    }

    fn wants(&self, rule: &str) -> bool {
        !has(&self.skip, rule) && (!EXPERIMENTAL.contains(&rule) || has(&self.experimental, rule))
    }
}

fn has(list: &[String], rule: &str) -> bool {
    list.iter().any(|listed| listed == "all" || listed.eq_ignore_ascii_case(rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_model::Severity;

    #[test]
    fn rules_are_skipped_by_name_or_all_at_once() {
        let said = |rules: &[&str]| -> Vec<Diagnostic> {
            rules.iter().map(|rule| Diagnostic::new(Severity::Warning, *rule, "x")).collect()
        };
        let all = ["StageNameCasing", "UndefinedVar", "InvalidDefinitionDescription"];
        for (text, kept, error) in [
            ("FROM a", &all[..2], false),
            ("# check=skip=stagenamecasing\nFROM a", &all[1..2], false),
            ("# check=experimental=all\nFROM a", &all[..], false),
            ("# check=skip=StageNameCasing, UndefinedVar;error=true\nFROM a", &[][..], true),
            ("# check=skip=all\nFROM a", &[][..], false),
            ("# check=error=true\nFROM a", &all[..2], true),
            ("# a comment\n# check=skip=all\nFROM a", &all[..2], false),
        ] {
            let directive = Directive::of(text.as_bytes());
            assert_eq!(directive.keep(said(&all)), said(kept), "{text}");
            assert_eq!(directive.error, error, "{text}");
        }
    }
}
