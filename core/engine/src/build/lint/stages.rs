//! What stages are called, what they stand on, and what is said twice in one.

use std::collections::BTreeSet;

use wharf_model::build::ConfigChange;
use wharf_model::{Diagnostic, Span};

use super::{meant, warning};
use crate::build::dockerfile::{Statement, nearest};

/// The variable that stands for the platform that is built for.
const TARGET: &str = "TARGETPLATFORM";

/// A statement that begins a stage, as it is written.
pub(in crate::build) struct FromCheck<'a> {
    pub(in crate::build) statement: &'a Statement,
    /// Variables that have no value.
    pub(in crate::build) unset: &'a BTreeSet<String>,
    /// The platform's variables, and those that an ARG before the first stage declares.
    pub(in crate::build) declared: &'a BTreeSet<String>,
    /// Nothing was given for an argument in it: the defaults alone name no image.
    pub(in crate::build) invalid_default: bool,
}

impl FromCheck<'_> {
    pub(in crate::build) fn warnings(&self) -> Vec<Diagnostic> {
        let mut warnings: Vec<Diagnostic> = self.undeclared().collect();
        warnings.extend(self.casing());
        warnings.extend(self.platform());
        if self.invalid_default {
            let base = self.statement.words().into_iter().next().unwrap_or_default();
            let message = format!("Default value for ARG {base} results in empty or invalid base image name");
            warnings.push(self.warning("InvalidDefaultArgInFrom", message));
        }
        warnings
    }

    fn undeclared(&self) -> impl Iterator<Item = Diagnostic> {
        let warning = |name: &String| {
            let meant = meant(nearest(name, self.declared.iter().map(String::as_str)));
            self.warning("UndefinedArgInFrom", format!("FROM argument '{name}' is not declared{meant}"))
        };
        self.unset.difference(self.declared).map(warning)
    }

    /// `FROM x as y`: both words in the same case.
    fn casing(&self) -> Option<Diagnostic> {
        let words = self.statement.words();
        let [_, word, _] = words.as_slice() else { return None };
        let first = &self.statement.written;
        let upper = |text: &str| text.bytes().all(|byte| byte.is_ascii_uppercase());
        let lower = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase());
        // FROM itself in mixed letters is what `ConsistentInstructionCasing` is about.
        let fits = (upper(first) && upper(word)) || (lower(first) && lower(word));
        if !word.eq_ignore_ascii_case("as") || fits || !(upper(first) || lower(first)) {
            return None;
        }
        Some(self.warning("FromAsCasing", format!("'{word}' and '{first}' keywords' casing do not match")))
    }

    /// A constant platform, unless the stage's name says it; `$TARGETPLATFORM`, which is the default.
    fn platform(&self) -> Option<Diagnostic> {
        let mut flags = self.statement.flags.iter();
        let value = flags.find_map(|flag| flag.strip_prefix("--platform="))?;
        if value == format!("${TARGET}") || value == format!("${{{TARGET}}}") {
            let message = format!(
                "Setting platform to predefined {value} in FROM is redundant as this is the default behavior"
            );
            return Some(self.warning("RedundantTargetPlatform", message));
        }
        let words = self.statement.words();
        let name = words.get(2).map(|name| name.to_lowercase()).unwrap_or_default();
        let said = value.split('/').any(|part| !part.is_empty() && name.contains(&part.to_lowercase()));
        if value.is_empty() || value.contains('$') || said {
            return None;
        }
        let message = format!("FROM --platform flag should not use constant value \"{value}\"");
        Some(self.warning("FromPlatformFlagConstDisallowed", message))
    }

    fn warning(&self, rule: &str, message: String) -> Diagnostic {
        warning(rule, message, &self.statement.span)
    }
}

/// The names of a file's stages.
#[derive(Debug, Default)]
pub(in crate::build) struct Names(BTreeSet<String>);

impl Names {
    /// A stage's name; each is given once.
    pub(in crate::build) fn add(&mut self, name: &str, span: &Span) -> Option<Diagnostic> {
        if self.0.insert(name.to_lowercase()) {
            return None;
        }
        let message = format!("Duplicate stage name \"{name}\", stage names should be unique");
        Some(warning("DuplicateStageName", message, span))
    }
}

/// What the statements of one stage have said so far.
#[derive(Debug, Default)]
pub(in crate::build) struct Inside {
    /// The last statement for each thing that only the last one sets.
    last: Vec<(Single, Span)>,
    /// A WORKDIR was set in this file, here or in the stage that this one stands on.
    pub(in crate::build) has_directory: bool,
}

/// What a later statement of a stage takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Single {
    Cmd,
    Entrypoint,
    Healthcheck,
}

impl Inside {
    /// Of a stage on one in which a working directory was set, or not.
    pub(in crate::build) fn after(has_directory: bool) -> Self {
        Self { last: Vec::new(), has_directory }
    }

    /// What a statement's plan does to the config.
    pub(in crate::build) fn planned(
        &mut self,
        keyword: &str,
        changes: &[ConfigChange],
        span: &Span,
    ) -> Vec<Diagnostic> {
        changes.iter().filter_map(|change| self.changed(keyword, change, span)).collect()
    }

    fn changed(&mut self, keyword: &str, change: &ConfigChange, span: &Span) -> Option<Diagnostic> {
        let single = match change {
            ConfigChange::Cmd(_) => Single::Cmd,
            ConfigChange::Entrypoint(_) => Single::Entrypoint,
            ConfigChange::Healthcheck(_) => Single::Healthcheck,
            ConfigChange::WorkingDir(path) => return self.moved(path, span),
            _ => return None,
        };
        let before = self.last.iter_mut().find(|(known, _)| *known == single);
        let Some((_, place)) = before else {
            self.last.push((single, span.clone()));
            return None;
        };
        let overruled = std::mem::replace(place, span.clone());
        let message = format!(
            "Multiple {keyword} instructions should not be used in the same stage because only the last one will \
             be used"
        );
        Some(warning("MultipleInstructionsDisallowed", message, &overruled))
    }

    fn moved(&mut self, path: &str, span: &Span) -> Option<Diagnostic> {
        let relative = !path.starts_with('/');
        let first = !self.has_directory;
        self.has_directory = true;
        let message =
            format!("Relative workdir {path:?} can have unexpected results if the base image changes");
        (relative && first).then(|| warning("WorkdirRelativePath", message, span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::dockerfile::{Keywords, parse};
    use wharf_model::statement::{BodyKind, KeywordSpec};

    fn span(line: u32) -> Span {
        Span { line, ..Span::default() }
    }

    fn from() -> Keywords {
        Keywords::new([KeywordSpec {
            keyword: "FROM".parse().unwrap(),
            summary: String::new(),
            body: BodyKind::Words,
            expands_variables: true,
            heredocs: false,
            flags: Vec::new(),
            before_from: false,
            starts_stage: true,
        }])
    }

    fn said(line: &str, unset: &[&str], invalid_default: bool) -> Vec<Diagnostic> {
        let dockerfile = parse("Dockerfile", line.as_bytes(), &from()).unwrap();
        let unset = unset.iter().map(|name| (*name).to_owned()).collect();
        let declared = &["VERSION".to_owned()].into();
        let statement = &dockerfile.statements[0];
        FromCheck { statement, unset: &unset, declared, invalid_default }.warnings()
    }

    fn rules(line: &str, unset: &[&str], invalid_default: bool) -> Vec<String> {
        said(line, unset, invalid_default).into_iter().map(|warning| warning.code).collect()
    }

    #[test]
    fn the_first_line_of_a_stage_is_looked_at() {
        for (line, rule) in [
            ("FROM a AS b", ""),
            ("from a as b", ""),
            ("FROM a as b", "FromAsCasing"),
            ("from a AS b", "FromAsCasing"),
            ("From a as b", ""),
            ("FROM --platform=$BUILDPLATFORM a", ""),
            ("FROM --platform=$TARGETPLATFORM a", "RedundantTargetPlatform"),
            ("FROM --platform=${TARGETPLATFORM} a", "RedundantTargetPlatform"),
            ("FROM --platform=linux/amd64 a", "FromPlatformFlagConstDisallowed"),
            ("FROM --platform=linux/amd64 a AS build-amd64", ""),
        ] {
            let expected: Vec<&str> = [rule].into_iter().filter(|rule| !rule.is_empty()).collect();
            assert_eq!(rules(line, &[], false), expected, "{line}");
        }
        assert_eq!(rules("FROM $A", &["A"], true), ["UndefinedArgInFrom", "InvalidDefaultArgInFrom"]);
        assert_eq!(rules("FROM a:$VERSION", &["VERSION"], false), [] as [&str; 0]);
        let close = said("FROM a:$VERSOIN", &["VERSOIN"], false).remove(0).message;
        assert_eq!(close, "FROM argument 'VERSOIN' is not declared (did you mean VERSION?)");
    }

    #[test]
    fn only_the_last_command_of_a_stage_counts() {
        let mut inside = Inside::default();
        let cmd = [ConfigChange::Cmd(vec!["a".into()])];
        let lines = |warnings: Vec<Diagnostic>| -> Vec<u32> {
            warnings.iter().filter_map(|warning| warning.span.as_ref().map(|span| span.line)).collect()
        };
        assert!(inside.planned("CMD", &cmd, &span(1)).is_empty());
        assert_eq!(lines(inside.planned("CMD", &cmd, &span(2))), [1]);
        assert_eq!(lines(inside.planned("CMD", &cmd, &span(3))), [2]);
        assert!(Inside::default().planned("CMD", &cmd, &span(4)).is_empty());
    }

    #[test]
    fn a_relative_directory_is_odd_until_one_was_set() {
        let mut inside = Inside::default();
        let to = |path: &str| [ConfigChange::WorkingDir(path.into())];
        assert_eq!(inside.planned("WORKDIR", &to("a"), &span(1)).len(), 1);
        assert!(inside.planned("WORKDIR", &to("b"), &span(2)).is_empty());
        let mut after = Inside::after(true);
        assert!(after.planned("WORKDIR", &to("b"), &span(3)).is_empty());
    }

    #[test]
    fn a_name_is_given_once() {
        let mut names = Names::default();
        assert!(names.add("a", &span(1)).is_none());
        assert_eq!(names.add("A", &span(2)).unwrap().code, "DuplicateStageName");
    }
}
