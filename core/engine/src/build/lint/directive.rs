//! `# check=skip=A,B;error=true;experimental=C`, at the top of a file or above one instruction.

use wharf_model::Diagnostic;

use crate::build::dockerfile;

/// Rules that are asked for by name, or with `experimental=all`.
const EXPERIMENTAL: [&str; 1] = ["InvalidDefinitionDescription"];

/// Which warnings are wanted: what a file says at its top, and what a comment above an instruction says of that
/// instruction alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::build) struct Directive {
    /// Rules that are not wanted.
    skip: Vec<String>,
    /// Experimental ones that are.
    experimental: Vec<String>,
    /// Warnings fail a build.
    pub(in crate::build) error: bool,
}

impl Directive {
    /// The one at the top of a file, or the one that was given for the build instead of it.
    pub(in crate::build) fn of(text: &[u8], given: Option<&str>) -> Self {
        if let Some(given) = given {
            return Self::parse(given);
        }
        let directives = dockerfile::directives("", text);
        let check = directives.iter().find(|directive| directive.name == "check");
        check.map_or_else(Self::default, |check| Self::parse(first_word(&check.value)))
    }

    /// With what the first `check` of the comments above an instruction adds. That warnings are errors is for the
    /// whole file to say.
    pub(in crate::build) fn below(&self, comments: &[String]) -> Self {
        let check = |comment: &String| {
            let (name, value) = comment.split_once('=')?;
            name.trim_end().eq_ignore_ascii_case("check").then(|| Self::parse(first_word(value.trim())))
        };
        let Some(own) = comments.iter().find_map(check) else { return self.clone() };
        Self {
            skip: [self.skip.clone(), own.skip].concat(),
            experimental: [self.experimental.clone(), own.experimental].concat(),
            error: self.error,
        }
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
    pub(in crate::build) fn keep(&self, warnings: impl IntoIterator<Item = Diagnostic>) -> Vec<Diagnostic> {
        warnings.into_iter().filter(|warning| self.wants(&warning.code)).collect()
    }

    fn wants(&self, rule: &str) -> bool {
        if EXPERIMENTAL.contains(&rule) { has(&self.experimental, rule) } else { !has(&self.skip, rule) }
    }
}

/// What follows a blank is a remark, as in `skip=all // a reason`.
fn first_word(value: &str) -> &str {
    value.split(' ').next().unwrap_or_default()
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
            ("# check=skip=StageNameCasing,UndefinedVar;error=true // why\nFROM a", &[][..], true),
            ("#!/usr/bin/env x\n# check=skip=all\nFROM a", &[][..], false),
            ("# check=skip=all;experimental=InvalidDefinitionDescription\nFROM a", &all[2..], false),
            ("# check=skip=all\nFROM a", &[][..], false),
            ("# check=error=true\nFROM a", &all[..2], true),
            ("# a comment\n# check=skip=all\nFROM a", &all[..2], false),
        ] {
            let directive = Directive::of(text.as_bytes(), None);
            assert_eq!(directive.keep(said(&all)), said(kept), "{text}");
            assert_eq!(directive.error, error, "{text}");
        }
    }

    #[test]
    fn a_comment_is_for_the_instruction_below_it() {
        let said = || vec![Diagnostic::new(Severity::Warning, "UndefinedVar", "x")];
        let file = Directive::of(b"# check=skip=StageNameCasing;error=true\nFROM a", None);
        for (comments, kept) in [
            (&["check=skip=UndefinedVar // of a secret"][..], 0),
            (&["a note", "check = skip=all"], 0),
            (&["check=skip=Other", "check=skip=all"], 1),
            (&["check"], 1),
            (&[], 1),
        ] {
            let comments: Vec<String> = comments.iter().map(|comment| (*comment).to_owned()).collect();
            let below = file.below(&comments);
            assert_eq!(below.keep(said()).len(), kept, "{comments:?}");
            assert!(below.error && !below.wants("StageNameCasing"));
        }
    }

    #[test]
    fn what_is_given_for_the_build_counts_instead() {
        let given = Directive::of(b"# check=skip=all;error=true\nFROM a", Some("skip=UndefinedVar"));
        assert!(!given.error && given.wants("StageNameCasing") && !given.wants("UndefinedVar"));
    }
}
