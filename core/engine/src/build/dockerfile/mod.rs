//! The Dockerfile parser: the grammar, and no keyword.
//!
//! What a keyword's line looks like comes from its [`KeywordSpec`]; which keywords there are, from
//! the plugins. Reading a file has two stages:
//!
//! ```text
//! text            --parse-->  Statement   continuations joined, comments dropped, body split
//! Statement+Scope --read--->  Invocation  flags checked, variables expanded
//! ```
//!
//! Both are pure. [`parse`] takes any file that is well-formed, so that tools can look at files
//! with unknown keywords; [`Dockerfile::check`] refuses those before anything runs.
//!
//! What holds as in BuildKit: a `#` line is a comment even inside a continued command; an escape
//! character at the end of a line continues it unless another one stands before it; directives
//! come before everything else; `[...]` is JSON or it is text, but JSON with anything else than
//! strings is an error.

mod body;
mod directive;
mod error;
mod excerpt;
mod flag;
mod heredoc;
mod keyword;
mod line;
mod read;
mod split;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use wharf_model::statement::{Body, BodyKind, Heredoc, KeywordSpec};
use wharf_model::{Diagnostic, Keyword, Reference, Severity, Span};

pub use directive::Directive;
pub use error::{DockerfileError, Problem};
pub use excerpt::{excerpt, printable};
pub use keyword::{Keywords, nearest};
pub use read::{Reading, read};

use directive::Directives;
use line::{Lines, Logical};

/// The rule that speaks of a frontend that is not run.
pub(super) const FOREIGN_FRONTEND: &str = "UnknownSyntax";
/// BuildKit's name of the language that needs no frontend of its own.
const BUILT_IN: &str = "dockerfile.v0";
/// The escape character of a file without an `escape` directive.
pub const DEFAULT_ESCAPE: char = '\\';

/// A parsed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dockerfile {
    /// Its name as the person gave it.
    pub file: String,
    /// `# name=value` lines at its top, and a `syntax` in any form that BuildKit detects.
    pub directives: Vec<Directive>,
    /// The escape character.
    pub escape: char,
    /// In order.
    pub statements: Vec<Statement>,
    /// What is odd but allowed.
    pub warnings: Vec<Diagnostic>,
}

/// One instruction, its variables not yet expanded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The keyword; `None` when what is written cannot be one.
    pub keyword: Option<Keyword>,
    /// The keyword as it was written.
    pub written: String,
    /// `--name` and `--name=value`, quotes removed.
    pub flags: Vec<String>,
    /// The rest of the line, read as the keyword asks; text for a keyword nobody knows.
    pub body: Body,
    /// The line with its continuations joined.
    pub original: String,
    /// Its here-documents.
    pub heredocs: Vec<Heredoc>,
    /// The statement that its body is (`ONBUILD RUN ...`, `HEALTHCHECK CMD ...`); the here-documents are
    /// in both.
    pub inner: Option<Box<Statement>>,
    /// The comment lines right above.
    pub comments: Vec<String>,
    /// Where it stands, here-documents included.
    pub span: Span,
}

impl Statement {
    /// The body as a list of words: a text is one word, a pair is key and value, a statement is its
    /// keyword and its words.
    pub fn words(&self) -> Vec<String> {
        if let Some(inner) = &self.inner {
            return [vec![inner.written.clone()], inner.words()].concat();
        }
        match &self.body {
            Body::Words(words) | Body::Json(words) => words.clone(),
            Body::Pairs { items, .. } => {
                items.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect()
            }
            Body::Assignments(items) => items
                .iter()
                .map(|(key, value)| match value {
                    Some(value) => format!("{key}={value}"),
                    None => key.clone(),
                })
                .collect(),
            Body::Text(text) if text.is_empty() => Vec::new(),
            Body::Text(text) => vec![text.clone()],
        }
    }
}

impl Dockerfile {
    /// The value of a directive.
    pub fn directive(&self, name: &str) -> Option<&str> {
        self.directives.iter().find(|directive| directive.name == name).map(|found| found.value.as_str())
    }

    /// Refuses unknown keywords and flags.
    ///
    /// # Errors
    /// The first such statement.
    pub fn check(&self, keywords: &Keywords) -> Result<(), DockerfileError> {
        self.statements.iter().try_for_each(|statement| statement.check(keywords).map(drop))
    }
}

impl Statement {
    /// The spec of its keyword, once its flags are known to fit.
    ///
    /// # Errors
    /// When the keyword or a flag is unknown.
    pub fn check<'a>(&self, keywords: &'a Keywords) -> Result<&'a KeywordSpec, DockerfileError> {
        let spec = self
            .keyword
            .as_ref()
            .and_then(|keyword| keywords.get(keyword))
            .ok_or_else(|| Problem::unknown_keyword(&self.written, keywords).at(&self.span))?;
        flag::parse(&self.flags, &spec.flags).map_err(|problem| problem.at(&self.span))?;
        Ok(spec)
    }
}

/// Parses a file. Keywords and flags are checked by [`Dockerfile::check`].
///
/// # Errors
/// When it has no instruction, a directive or a body is malformed, or a here-document never ends.
pub fn parse(file: &str, text: &[u8], keywords: &Keywords) -> Result<Dockerfile, DockerfileError> {
    let broken = broken_lines(text);
    let text = decode(text);
    let mut parser = Parser {
        file,
        at: None,
        lines: Lines::new(&text, broken),
        directives: Directives::default(),
        keywords,
        warnings: Vec::new(),
    };
    let statements = parser.statements()?;
    if statements.is_empty() {
        return Err(Problem::Empty.at(&parser.span(1)));
    }
    let directives = directive::everywhere(&text, file);
    parser.warn_of_another_language(&directives);
    Ok(Dockerfile {
        file: file.to_owned(),
        escape: parser.directives.escape(),
        directives,
        statements,
        warnings: parser.warnings,
    })
}

/// Parses lines that stand in for the statement at `at`: ONBUILD triggers, a plugin's macros.
/// They have no directives, and every span is `at`; but when the first line is
/// `#line NUMBER "FILE"`, the lines after it are those of that file from that number on.
///
/// # Errors
/// As [`parse`]; no lines are no statements.
pub fn parse_lines(
    lines: &[String],
    at: &Span,
    escape: char,
    keywords: &Keywords,
) -> Result<Vec<Statement>, DockerfileError> {
    let origin = lines.first().and_then(|line| origin(line));
    let text = if origin.is_some() { lines[1..].join("\n") } else { lines.join("\n") };
    let mut parser = Parser {
        file: origin.as_ref().map_or(&at.file, |(_, file)| file),
        at: origin.is_none().then_some(at),
        lines: Lines::after(origin.as_ref().map_or(0, |(first, _)| first - 1), &text),
        directives: Directives::none(escape),
        keywords,
        warnings: Vec::new(),
    };
    parser.statements()
}

/// `#line 3 "FILE"`, as C's preprocessor has it.
fn origin(line: &str) -> Option<(u32, String)> {
    let (number, file) = line.strip_prefix("#line ")?.split_once(' ')?;
    let file: String = serde_json::from_str(file).ok()?;
    let number = number.parse().ok().filter(|number| *number > 0)?;
    (!file.is_empty()).then_some((number, file))
}

/// The directives of a file, as [`Dockerfile::directives`] has them.
pub fn directives(file: &str, text: &[u8]) -> Vec<Directive> {
    directive::everywhere(&decode(text), file)
}

/// `docker/dockerfile`, also from another registry, as mirrors have it.
fn is_docker_s(frontend: &str) -> bool {
    let name = frontend.split('@').next().unwrap_or_default();
    name.parse::<Reference>().is_ok_and(|name| {
        let path = format!("/{}", name.path());
        path.ends_with("/docker/dockerfile") || path.ends_with("/docker/dockerfile-upstream")
    })
}

fn decode(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))
}

/// The lines that are no UTF-8, by their numbers, with the first such byte of each.
fn broken_lines(text: &[u8]) -> BTreeMap<u32, u8> {
    let broken = |line: &[u8]| {
        let valid = std::str::from_utf8(line).err()?.valid_up_to();
        line.get(valid).copied()
    };
    let lines = text.split(|byte| *byte == b'\n').zip(1..);
    lines.filter_map(|(line, number)| Some((number, broken(line)?))).collect()
}

/// What is to be said of a frontend that is asked for. Docker's own language is the one that is spoken here,
/// whatever its version; a frontend is a program that is not run.
pub(super) fn foreign_frontend(frontend: &str) -> Option<Diagnostic> {
    if is_docker_s(frontend) || frontend == BUILT_IN {
        return None;
    }
    let message = format!("the frontend {frontend} is not used: the file is read as a Dockerfile");
    let mut warning = Diagnostic::new(Severity::Warning, FOREIGN_FRONTEND, message);
    warning.help = Some("an instruction plugin adds what a frontend of your own did".into());
    Some(warning)
}

struct Parser<'a> {
    file: &'a str,
    /// Where everything is said to stand, when it is not in the file itself.
    at: Option<&'a Span>,
    lines: Lines<'a>,
    directives: Directives,
    keywords: &'a Keywords,
    warnings: Vec<Diagnostic>,
}

impl Parser<'_> {
    fn statements(&mut self) -> Result<Vec<Statement>, DockerfileError> {
        let mut statements = Vec::new();
        while let Some(logical) = self.next_logical()? {
            self.warn_of_empty_lines(&logical);
            statements.push(self.statement(logical)?);
        }
        Ok(statements)
    }

    fn next_logical(&mut self) -> Result<Option<Logical>, DockerfileError> {
        let logical = self.lines.logical(&mut self.directives, self.file);
        logical.map_err(|problem| problem.at(&self.span(self.lines.number())))
    }

    fn statement(&mut self, logical: Logical) -> Result<Statement, DockerfileError> {
        let located = |parser: &Self, problem: Problem| problem.at(&parser.span(logical.first));
        let parts = split::command(&logical.text, self.directives.escape());
        let keyword: Option<Keyword> = parts.keyword.parse().ok();
        let spec = keyword.as_ref().and_then(|keyword| self.keywords.get(keyword));
        let kind = spec.map_or(BodyKind::Text, |spec| spec.body);
        let body = body::parse(&parts.keyword, &parts.rest, kind, self.directives.escape())
            .map_err(|problem| located(self, problem))?;
        let heredocs = self.heredocs(spec, &body, &logical.text).map_err(|problem| located(self, problem))?;
        let span = self.span(logical.first);
        let inner = self.inner_statement(spec, &body, &heredocs, &span);
        Ok(Statement {
            keyword,
            written: parts.keyword,
            flags: parts.flags,
            body,
            heredocs,
            inner: inner.map_err(|problem| problem.at(&span))?,
            comments: logical.comments,
            span,
            original: logical.text,
        })
    }

    /// A text behind flags or with here-documents that begins with a keyword is a statement in a statement.
    fn inner<'s>(&'s self, spec: &KeywordSpec, body: &Body) -> Option<(split::Parts, &'s KeywordSpec)> {
        let Body::Text(text) = body else { return None };
        if spec.body != BodyKind::Text || (!spec.heredocs && spec.flags.is_empty()) {
            return None;
        }
        let parts = split::command(text, self.directives.escape());
        let spec = self.keywords.get(&parts.keyword.parse().ok()?)?;
        Some((parts, spec))
    }

    fn inner_statement(
        &self,
        spec: Option<&KeywordSpec>,
        body: &Body,
        heredocs: &[Heredoc],
        span: &Span,
    ) -> Result<Option<Box<Statement>>, Problem> {
        let (Some(spec), Body::Text(text)) = (spec, body) else { return Ok(None) };
        let Some((parts, spec)) = self.inner(spec, body) else { return Ok(None) };
        let body = body::parse(&parts.keyword, &parts.rest, spec.body, self.directives.escape())?;
        Ok(Some(Box::new(Statement {
            keyword: Some(spec.keyword.clone()),
            written: parts.keyword,
            flags: parts.flags,
            body,
            heredocs: heredocs.to_vec(),
            inner: None,
            comments: Vec::new(),
            span: span.clone(),
            original: text.clone(),
        })))
    }

    /// Takes the lines of the here-documents that `line` announces.
    fn heredocs(
        &mut self,
        spec: Option<&KeywordSpec>,
        body: &Body,
        line: &str,
    ) -> Result<Vec<Heredoc>, Problem> {
        if !line.contains("<<") || !spec.is_some_and(|spec| self.takes_heredocs(spec, body)) {
            return Ok(Vec::new());
        }
        heredoc::announced(line)?.into_iter().map(|announced| self.lines.heredoc(announced)).collect()
    }

    /// A JSON body takes none. Of a statement in a statement, the inner one decides.
    fn takes_heredocs(&self, spec: &KeywordSpec, body: &Body) -> bool {
        match self.inner(spec, body) {
            Some((inner, inner_spec)) => inner_spec.heredocs && !body::is_json(&inner.rest),
            None => spec.heredocs && !matches!(body, Body::Json(_)),
        }
    }

    fn warn_of_another_language(&mut self, directives: &[Directive]) {
        let syntax = directives.iter().find(|directive| directive.name == "syntax");
        let warning = syntax.and_then(|syntax| {
            let warning = foreign_frontend(syntax.frontend())?;
            Some(Diagnostic { span: Some(syntax.span.clone()), ..warning })
        });
        self.warnings.extend(warning);
    }

    fn warn_of_empty_lines(&mut self, logical: &Logical) {
        if logical.has_empty_lines {
            let mut warning =
                Diagnostic::new(Severity::Warning, "NoEmptyContinuation", "Empty continuation line");
            warning.span = Some(self.span(self.lines.number()));
            warning.help = Some("remove the empty line, or write a comment on it".into());
            self.warnings.push(warning);
        }
    }

    /// From `first` to the line read last.
    fn span(&self, first: u32) -> Span {
        self.at.cloned().unwrap_or_else(|| Span {
            file: self.file.to_owned(),
            line: first,
            column: 1,
            end_line: self.lines.number().max(first),
            end_column: self.lines.last_column(),
        })
    }
}

#[cfg(test)]
mod tests;
