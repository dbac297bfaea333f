//! Glob patterns: one matcher for the three dialects a build meets.
//!
//! ```text
//! COPY conf/*.d        Go's filepath.Match: * ? [a-z] \x within one path component
//! .dockerignore        the same, and ** for any number of components (moby/patternmatcher)
//! ${name%.*}           the shell's: * and ? match anything, \ escapes
//! ```
//!
//! A pattern is a list of tokens. Matching keeps the set of positions that the tokens so far can
//! have reached, so its cost is pattern times text whatever the pattern is: nothing backtracks.

use std::iter::Peekable;
use std::str::Chars;

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern `{0}`")]
pub struct PatternError(pub String);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// Any one character, `/` included.
    Any,
    /// Any number of characters, `/` included.
    All,
    /// Any one character but `/`.
    One,
    /// Any number of characters but `/`.
    Star,
    /// Nothing, or anything that ends in `/`.
    Dirs,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<Token>);

impl Glob {
    /// Go's `filepath.Match` for one path component.
    ///
    /// # Errors
    /// When a class does not end, or nothing follows the last `\`.
    pub fn component(pattern: &str) -> Result<Self, PatternError> {
        Self::parse(pattern, |_| Token::Star)
    }

    /// A pattern of `.dockerignore`: `**` stands for any number of components.
    ///
    /// # Errors
    /// As [`Glob::component`].
    pub fn path(pattern: &str) -> Result<Self, PatternError> {
        Self::parse(pattern, |rest| {
            if rest.next_if_eq(&'*').is_none() {
                return Token::Star;
            }
            rest.next_if_eq(&'/');
            if rest.peek().is_none() { Token::All } else { Token::Dirs }
        })
    }

    /// The pattern of a shell's `${name#pattern}`, where only `*`, `?` and `\` are special.
    ///
    /// # Errors
    /// When `\` stands before anything but `* ? \ / }`.
    pub fn shell(pattern: &str) -> Result<Self, PatternError> {
        let wrong = || PatternError(pattern.to_owned());
        let mut rest = pattern.chars();
        let mut tokens = Vec::new();
        while let Some(letter) = rest.next() {
            tokens.push(match letter {
                '*' => Token::All,
                '?' => Token::Any,
                '\\' => match rest.next().ok_or_else(wrong)? {
                    literal @ ('*' | '?' | '\\' | '/' | '}') => Token::Char(literal),
                    _ => return Err(wrong()),
                },
                literal => Token::Char(literal),
            });
        }
        Ok(Self(tokens))
    }

    fn parse(
        pattern: &str,
        mut star: impl FnMut(&mut Peekable<Chars<'_>>) -> Token,
    ) -> Result<Self, PatternError> {
        let wrong = || PatternError(pattern.to_owned());
        let mut rest = pattern.chars().peekable();
        let mut tokens = Vec::new();
        while let Some(letter) = rest.next() {
            tokens.push(match letter {
                '*' => star(&mut rest),
                '?' => Token::One,
                '[' => class(&mut rest).ok_or_else(wrong)?,
                '\\' => Token::Char(rest.next().ok_or_else(wrong)?),
                literal => Token::Char(literal),
            });
        }
        Ok(Self(tokens))
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.ends(&text)[text.len()]
    }

    /// The length of the shortest prefix of `text` that matches.
    pub fn shortest(&self, text: &[char]) -> Option<usize> {
        self.ends(text).iter().position(|reached| *reached)
    }

    /// The length of the longest prefix of `text` that matches.
    pub fn longest(&self, text: &[char]) -> Option<usize> {
        self.ends(text).iter().rposition(|reached| *reached)
    }

    /// The pattern that matches the same texts written backwards. For shell patterns only.
    pub fn reversed(mut self) -> Self {
        self.0.reverse();
        self
    }

    /// For each length, whether the prefix of that length matches.
    fn ends(&self, text: &[char]) -> Vec<bool> {
        let mut reached = vec![false; text.len() + 1];
        reached[0] = true;
        for token in &self.0 {
            reached = token.step(&reached, text);
        }
        reached
    }
}

impl Token {
    fn step(&self, from: &[bool], text: &[char]) -> Vec<bool> {
        match self {
            Self::Char(wanted) => single(from, text, |letter| letter == *wanted),
            Self::Any => single(from, text, |_| true),
            Self::One => single(from, text, |letter| letter != '/'),
            Self::Class { negated, ranges } => single(from, text, |letter| {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter)) != *negated
            }),
            Self::All => several(from, text, |_| true),
            Self::Star => several(from, text, |letter| letter != '/'),
            Self::Dirs => directories(from, text),
        }
    }
}

fn single(from: &[bool], text: &[char], fits: impl Fn(char) -> bool) -> Vec<bool> {
    let advanced = from.iter().zip(text).map(|(reached, letter)| *reached && fits(*letter));
    std::iter::once(false).chain(advanced).collect()
}

fn several(from: &[bool], text: &[char], fits: impl Fn(char) -> bool) -> Vec<bool> {
    let mut to = from.to_vec();
    for (at, letter) in text.iter().enumerate() {
        to[at + 1] |= to[at] && fits(*letter);
    }
    to
}

fn directories(from: &[bool], text: &[char]) -> Vec<bool> {
    let mut to = from.to_vec();
    let mut begun = false;
    for (at, letter) in text.iter().enumerate() {
        begun |= from[at];
        to[at + 1] |= begun && *letter == '/';
    }
    to
}

/// What follows `[`: `^`, then characters and ranges, then `]`.
fn class(rest: &mut Peekable<Chars<'_>>) -> Option<Token> {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || rest.next_if_eq(&']').is_none() {
        let low = class_char(rest)?;
        let high = if rest.next_if_eq(&'-').is_some() { class_char(rest)? } else { low };
        ranges.push((low, high));
    }
    Some(Token::Class { negated, ranges })
}

fn class_char(rest: &mut Peekable<Chars<'_>>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        letter => Some(letter),
    }
}

/// Whether `text` means more than itself as a pattern.
pub fn is_pattern(text: &str) -> bool {
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// The shortest path that means the same, by its text alone: Go's `path.Clean`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// `path` below a root: clean, relative, empty for the root itself; `..` stops at the root.
pub fn below_root(path: &str) -> String {
    clean(&format!("/{path}")).split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_match_as_in_go() {
        for (pattern, text, matched) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a?b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-x]", "-", true),
            ("**", "a/b", false),
        ] {
            assert_eq!(Glob::component(pattern).unwrap().matches(text), matched, "{pattern} on {text}");
        }
    }

    #[test]
    fn unfinished_patterns_are_refused() {
        for pattern in ["[", "[^", "[a", "[]a]", "[-]", "[x-]", "[-x]", "a\\", "[a-b-c]"] {
            assert!(Glob::component(pattern).is_err(), "for {pattern:?}");
        }
    }

    #[test]
    fn two_stars_cross_directories() {
        for (pattern, text, matched) in [
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("a/**", "a/x/y", true),
            ("a/**", "a", false),
            ("**/*.go", "x/y/z.go", true),
            ("**/*.go", "z.go", true),
            ("*/**/z", "a/z", true),
        ] {
            assert_eq!(Glob::path(pattern).unwrap().matches(text), matched, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_more_time() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!Glob::component(&pattern).unwrap().matches(&"a".repeat(4000)));
    }

    #[test]
    fn paths_are_cleaned_as_in_go() {
        for (path, cleaned, below) in [
            ("", ".", ""),
            ("/", "/", ""),
            ("a//b/./c/..", "a/b", "a/b"),
            ("../a", "../a", "a"),
            ("/../a/", "/a", "a"),
            ("a/../..", "..", ""),
        ] {
            assert_eq!((clean(path).as_str(), below_root(path).as_str()), (cleaned, below), "for {path:?}");
        }
    }
}
