//! Dockerfile lines, before anybody knows what they mean.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Span;

/// The first word of a Dockerfile instruction: ASCII letters, digits and `_`, upper case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Keyword(String);

/// Why a text is not a keyword.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a keyword: expected letters, digits and `_`, a letter first")]
pub struct KeywordError(String);

impl Keyword {
    /// The upper-case word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Keyword {
    type Err = KeywordError;

    fn from_str(text: &str) -> Result<Self, KeywordError> {
        let letter_first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if letter_first && plain && text.len() <= 64 {
            Ok(Self(text.to_ascii_uppercase()))
        } else {
            Err(KeywordError(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for Keyword {
    type Error = KeywordError;

    fn try_from(text: String) -> Result<Self, KeywordError> {
        text.parse()
    }
}

impl From<Keyword> for String {
    fn from(keyword: Keyword) -> Self {
        keyword.0
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// How the rest of a line is read; a plugin says which for each keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BodyKind {
    /// Split on blanks.
    Words,
    /// `k=v ...` with quotes, or the old `KEY rest of line` (ENV, LABEL).
    Pairs,
    /// `k[=v] ...`, each seeing those before it (ARG).
    Assignments,
    /// A JSON array of strings, else words (COPY, ADD, VOLUME).
    JsonOrWords,
    /// A JSON array of strings, else text (RUN, CMD, ENTRYPOINT).
    JsonOrText,
    /// The rest of the line.
    Text,
}

/// One `--flag` a keyword knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FlagSpec {
    /// Without the dashes.
    pub name: String,
    /// `--name=value`; without it, `--name`, `--name=true` or `--name=false`.
    pub takes_value: bool,
    /// May be given several times.
    pub repeatable: bool,
    /// `$x` in the value is expanded.
    pub expands_variables: bool,
    /// One line of help.
    pub doc: String,
}

/// What a plugin says about one of its keywords.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeywordSpec {
    /// The keyword.
    pub keyword: Keyword,
    /// One line of help.
    pub summary: String,
    /// How the rest of the line is read.
    pub body: BodyKind,
    /// `$x` in the body is expanded.
    pub expands_variables: bool,
    /// `<<EOF` begins a here-document.
    pub heredocs: bool,
    /// Known flags.
    pub flags: Vec<FlagSpec>,
    /// May stand before the first stage.
    pub before_from: bool,
    /// Begins a stage; sees only the arguments from before the first stage.
    pub starts_stage: bool,
}

/// A here-document of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Heredoc {
    /// The word after `<<`.
    pub name: String,
    /// False when that word was quoted.
    pub expand: bool,
    /// `<<-`: leading tabs are gone from `content`.
    pub chomp: bool,
    /// The lines, each with its line feed.
    pub content: String,
}

/// What followed the keyword, parsed and, where the keyword asks for it, expanded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Body {
    /// Words.
    Words(Vec<String>),
    /// A JSON array.
    Json(Vec<String>),
    /// Keys with values; `legacy` marks the `KEY rest of line` form.
    Pairs {
        /// In the order written.
        items: Vec<(String, String)>,
        /// The old form.
        legacy: bool,
    },
    /// Keys, some with values.
    Assignments(Vec<(String, Option<String>)>),
    /// The rest of the line.
    Text(String),
}

/// One statement, ready to be asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Invocation {
    /// The keyword.
    pub keyword: Keyword,
    /// In the order written; `None` for a flag without a value.
    pub flags: Vec<(String, Option<String>)>,
    /// What followed.
    pub body: Body,
    /// Its here-documents.
    pub heredocs: Vec<Heredoc>,
    /// Where it stands.
    pub span: Span,
    /// The name of the stage it is in, if it has one.
    pub stage: Option<String>,
}
