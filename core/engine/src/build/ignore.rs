//! `.dockerignore` and `--exclude`: which paths of a tree are left out.
//!
//! Patterns are tried in order and the last one that matches decides; `!` takes a path in again.
//! A pattern that matches a directory also matches what is below it, and an ignored directory
//! does not keep a `!` pattern from taking in something below. As in moby/patternmatcher, what
//! matched a directory is handed down to its children, so a tree must be walked from its top.

use super::pattern::{Glob, PatternError, clean, is_pattern};

/// The rules of one ignore file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
}

/// A line of an ignore file that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no pattern")]
pub struct IgnoreError {
    /// Which line.
    pub line: usize,
    /// What is wrong with it.
    pub source: PatternError,
}

impl IgnoreError {
    /// What to write instead.
    pub fn next_step(&self) -> String {
        match self.source.0.as_str() {
            "!" => "name behind the `!` what is taken in again".to_owned(),
            text if text.ends_with('\\') => "write `\\\\` for a backslash".to_owned(),
            _ => "close the `[`, or write `\\[` for the character itself".to_owned(),
        }
    }
}

/// Which rules matched a directory, or one above it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matched(Vec<bool>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    takes_in: bool,
    shape: Shape,
    /// The components before the first one with a wildcard.
    literal: Vec<String>,
}

/// Most patterns need no matcher. The cases are moby's, with their corners: `**x` matches any
/// path that ends in `x`, and `x**` any that begins with it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Glob(Glob),
}

impl Ignore {
    /// Reads the text of an ignore file: one pattern a line, `#` in the first column for comments.
    ///
    /// # Errors
    /// When a line is no pattern.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (line, pattern) in (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#')) {
            rules.extend(Rule::parse(pattern.trim()).map_err(|source| IgnoreError { line, source })?);
        }
        Ok(Self { rules })
    }

    /// From patterns; blank ones are skipped.
    ///
    /// # Errors
    /// When one is no pattern.
    pub fn new<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<Self, PatternError> {
        let mut rules = Vec::new();
        for pattern in patterns {
            rules.extend(Rule::parse(pattern.as_ref().trim())?);
        }
        Ok(Self { rules })
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether the entry at `path` is left out, given what matched its directory, and what to hand
    /// down to its children.
    pub fn judge(&self, path: &str, directory: &Matched) -> (bool, Matched) {
        let mut ignored = false;
        let mut matched = vec![false; self.rules.len()];
        for (at, rule) in self.rules.iter().enumerate() {
            let inherited = directory.0.get(at).copied().unwrap_or(false);
            matched[at] = inherited || (rule.takes_in == ignored && rule.shape.matches(path));
            if matched[at] {
                ignored = !rule.takes_in;
            }
        }
        (ignored, Matched(matched))
    }

    /// The same for a path alone, judged from the top of the tree. The top itself is never ignored.
    pub fn judge_alone(&self, path: &str) -> (bool, Matched) {
        let mut judged = (false, Matched::default());
        for (end, _) in path.match_indices('/').chain((!path.is_empty()).then_some((path.len(), ""))) {
            judged = self.judge(&path[..end], &judged.1);
        }
        judged
    }

    /// Whether a `!` rule may take in something below an ignored directory.
    pub fn may_take_in_below(&self, directory: &str) -> bool {
        self.rules.iter().any(|rule| rule.takes_in && rule.may_match_below(directory))
    }

    /// Whether a rule may match something below a directory.
    pub fn may_match_below(&self, directory: &str) -> bool {
        self.rules.iter().any(|rule| !rule.takes_in && rule.may_match_below(directory))
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Option<Self>, PatternError> {
        let (takes_in, pattern) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        if pattern.is_empty() {
            return if takes_in { Err(PatternError(line.to_owned())) } else { Ok(None) };
        }
        let cleaned = clean(pattern);
        let pattern = match cleaned.strip_prefix('/') {
            Some(relative) if !relative.is_empty() => relative,
            _ => &cleaned,
        };
        Glob::component(pattern)?;
        let parts = pattern.split('/').take_while(|part| !is_pattern(part) && !part.contains('\\'));
        let literal = parts.map(str::to_owned).collect();
        Ok(Some(Self { takes_in, shape: Shape::parse(pattern)?, literal }))
    }

    /// Either `directory` leads to where the pattern begins to vary, or it is there already.
    fn may_match_below(&self, directory: &str) -> bool {
        let directory = directory.split('/').filter(|part| !part.is_empty());
        directory.zip(&self.literal).all(|(here, wanted)| here == wanted)
    }
}

impl Shape {
    fn parse(pattern: &str) -> Result<Self, PatternError> {
        let special = |text: &str| text.contains(['*', '?', '[', ']', '\\']);
        if !special(pattern) {
            return Ok(Self::Exact(pattern.to_owned()));
        }
        if let Some(suffix) = pattern.strip_prefix("**").filter(|suffix| !special(suffix)) {
            return Ok(Self::Suffix(suffix.to_owned()));
        }
        if let Some(prefix) = pattern.strip_suffix("**").filter(|prefix| !special(prefix)) {
            return Ok(Self::Prefix(prefix.to_owned()));
        }
        Glob::path(pattern).map(Self::Glob)
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix),
            Self::Suffix(suffix) => path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path),
            Self::Glob(glob) => glob.matches(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(rules: &str, path: &str) -> bool {
        Ignore::parse(rules).unwrap().judge_alone(path).0
    }

    #[test]
    fn patterns_match_from_the_top() {
        for (rules, path, expected) in [
            ("node_modules", "node_modules", true),
            ("node_modules", "node_modules/a/b", true),
            ("node_modules", "sub/node_modules", false),
            ("**/node_modules", "sub/node_modules/a", true),
            ("**/node_modules", "node_modules", true),
            ("/a", "a", true),
            ("./a/", "a", true),
            ("*.go", "a.go", true),
            ("*.go", "b/a.go", false),
            ("*/*.go", "b/a.go", true),
            ("a/**", "a", false),
            ("a/**", "a/b", true),
            ("**", "anything/at/all", true),
            ("**", "", false),
            (" a ", "a", true),
            ("#a", "#a", false),
            (" #a", "#a", true),
            ("", "a", false),
            ("\u{feff}a", "a", true),
            ("a\r\nb\r\n", "b", true),
        ] {
            assert_eq!(ignored(rules, path), expected, "{rules:?} on {path}");
        }
    }

    #[test]
    fn the_last_match_wins() {
        for (rules, path, expected) in [
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README.md", "other.md", true),
            ("!README.md\n*.md", "README.md", true),
            ("a\n!a/b", "a/b", false),
            ("a\n!a/b", "a/c", true),
            ("a\n!a/b\na/b/c", "a/b/c", true),
            ("a\n!a/b\na/b/c", "a/b/d", false),
            ("**\n!a/b", "a/b/c", false),
            ("! a\nb", "b", true),
        ] {
            assert_eq!(ignored(rules, path), expected, "{rules:?} on {path}");
        }
    }

    /// Where BuildKit differs from its predecessors: an exception for a directory does not take in
    /// what a pattern named below it, unless the directory itself had been ignored.
    #[test]
    fn an_exception_counts_for_what_was_ignored_above() {
        assert!(ignored("dir/file\n!dir", "dir/file"));
        assert!(!ignored("dir\n!dir", "dir/file"));
        assert!(!ignored("**\n!subdir", "subdir/other"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for rules in ["!", "[", "a[", "a\\", "! "] {
            assert!(Ignore::parse(rules).is_err(), "for {rules:?}");
        }
    }

    #[test]
    fn only_directories_that_may_hold_exceptions_are_entered() {
        let ignore = Ignore::parse("**\n!a/b/*.c\n!d/e").unwrap();
        for (directory, expected) in [
            ("a", true),
            ("a/b", true),
            ("a/b/x", true),
            ("a/c", false),
            ("d", true),
            ("node_modules", false),
        ] {
            assert_eq!(ignore.may_take_in_below(directory), expected, "for {directory}");
        }
    }
}
