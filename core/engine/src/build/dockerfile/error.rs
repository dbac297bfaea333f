//! What is wrong with a Dockerfile, and where.

use std::error::Error;
use std::fmt;

use wharf_model::{Diagnostic, Severity, Span};

use crate::build::words::WordError;

use super::keyword::{Keywords, nearest};

/// Something is wrong with a Dockerfile at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileError {
    /// Where.
    pub span: Span,
    /// What.
    pub problem: Box<Problem>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing but comments.
    #[error("file with no instructions")]
    Empty,
    /// Nobody knows the keyword.
    #[error("unknown instruction: {written}")]
    UnknownKeyword {
        /// As it was written.
        written: String,
        /// One that looks like it.
        meant: Option<String>,
    },
    /// Not in a comment, where it would not matter.
    #[error("line {line} is no UTF-8: it holds the byte 0x{byte:02x}")]
    NotUtf8 {
        /// The first such byte of the line.
        byte: u8,
        /// Which line.
        line: u32,
    },
    /// `# escape` twice.
    #[error("only one {0} parser directive can be used")]
    RepeatedDirective(String),
    /// `# escape=x`.
    #[error("invalid escape token `{0}`: expected ` or \\")]
    EscapeCharacter(String),
    /// `RUN [1]`.
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    NotStrings,
    /// `ENV x`.
    #[error("{0} must have two arguments")]
    OneArgument(String),
    /// `ENV a=b c`.
    #[error("cannot find = in `{0}`: expected the form name=value")]
    NotAPair(String),
    /// `<<EOF` and no line `EOF`.
    #[error("unterminated heredoc `{0}`")]
    UnterminatedHeredoc(String),
    /// The keyword does not know the flag.
    #[error("unknown flag: --{flag}")]
    UnknownFlag {
        /// Its name.
        flag: String,
        /// One that looks like it.
        meant: Option<String>,
    },
    /// The same flag twice.
    #[error("duplicate flag specified: --{0}")]
    RepeatedFlag(String),
    /// `--name` where `--name=value` is expected.
    #[error("missing a value on flag: --{0}")]
    FlagWithoutValue(String),
    /// Neither `true` nor `false`.
    #[error("expecting boolean value for flag --{flag}, not: {value}")]
    NotBoolean {
        /// Its name.
        flag: String,
        /// What was written.
        value: String,
    },
    /// Quotes, braces, substitutions.
    #[error("cannot expand `{text}`")]
    Word {
        /// What was written.
        text: String,
        /// Why not.
        source: WordError,
    },
}

impl Problem {
    pub(super) fn at(self, span: &Span) -> DockerfileError {
        DockerfileError { span: span.clone(), problem: Box::new(self) }
    }

    pub(super) fn unknown_keyword(written: &str, keywords: &Keywords) -> Self {
        let meant = nearest(written, keywords.names()).map(str::to_owned);
        Self::UnknownKeyword { written: written.to_owned(), meant }
    }

    pub(super) fn word(text: &str, source: WordError) -> Self {
        Self::Word { text: text.to_owned(), source }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::UnknownKeyword { meant: Some(meant), .. } => format!("did you mean {meant}?"),
            Self::UnknownFlag { meant: Some(meant), .. } => format!("did you mean --{meant}?"),
            Self::Empty => "begin with a line such as `FROM image`".into(),
            Self::NotUtf8 { .. } => {
                "save the file as UTF-8, for example with `iconv -f latin1 -t utf8`".into()
            }
            Self::NotStrings => "put every word in double quotes: [\"a\", \"b\"]".into(),
            Self::UnterminatedHeredoc(name) => {
                format!("end it with a line that holds `{name}` and nothing else")
            }
            Self::FlagWithoutValue(flag) => format!("write --{flag}=VALUE"),
            Self::NotBoolean { flag, .. } => format!("write --{flag} or --{flag}=false"),
            Self::OneArgument(keyword) => format!("write `{keyword} NAME=VALUE`"),
            Self::NotAPair(_) => "put a value with blanks into quotes: NAME=\"a b\"".into(),
            Self::RepeatedFlag(flag) => format!("keep one --{flag}"),
            Self::RepeatedDirective(name) => format!("keep one `# {name}=` line"),
            Self::EscapeCharacter(_) => "write `# escape=` and a backslash or a backtick".into(),
            Self::Word { source: WordError::Modifier(_), .. } => {
                "the forms are ${x:-word}, ${x:+word}, ${x:?word}, ${x#pattern}, ${x%pattern} and ${x/pattern/word}"
                    .into()
            }
            Self::Word { source: WordError::Refused { name, .. }, .. } => {
                format!("give it a value: --build-arg {name}=VALUE, with an ARG {name} above this line")
            }
            Self::Word { source: WordError::Unclosed(_), .. } => {
                "close it, or put \\ before the quote or the $ to take it as it is".into()
            }
            _ => return None,
        };
        Some(hint)
    }
}

impl DockerfileError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        self.problem.hint()
    }

    /// The same as a diagnostic.
    pub fn diagnostic(&self) -> Diagnostic {
        let message = match self.problem.source() {
            Some(cause) => format!("{}: {cause}", self.problem),
            None => self.problem.to_string(),
        };
        let mut diagnostic = Diagnostic::new(Severity::Error, "DockerfileSyntax", message);
        diagnostic.span = Some(self.span.clone());
        diagnostic.help = self.hint();
        diagnostic
    }
}

impl fmt::Display for DockerfileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.span.file, self.span.line, self.problem)
    }
}

impl Error for DockerfileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.problem.source()
    }
}
