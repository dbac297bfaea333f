//! A statement and the variables in scope to an invocation.

use std::collections::BTreeSet;

use wharf_model::statement::{Body, BodyKind, Heredoc, Invocation, KeywordSpec};

use crate::build::words::{Expanded, Lexer, Nothing, Quotes, Scope, Unset};

use super::error::{DockerfileError, Problem};
use super::{Statement, flag, heredoc};

/// A statement, ready to be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What a plugin is asked.
    pub invocation: Invocation,
    /// The variables that were looked up and set.
    pub used: BTreeSet<String>,
    /// The variables that nobody set.
    pub unset: BTreeSet<String>,
}

/// Checks the flags and expands the variables of `statement`, as `spec` asks.
///
/// Words are expanded and then split again, unless the keyword starts a stage or the body may be
/// JSON: those keep their number. What a stage is called, behind the first word of its statement, is
/// taken as it is written. Words that only announce a here-document are left out. All
/// pairs of a line see the variables from before the line; each assignment sees those before it.
///
/// # Errors
/// When a flag is unknown or a word cannot be expanded.
pub fn read(
    statement: &Statement,
    spec: &KeywordSpec,
    escape: char,
    scope: &dyn Scope,
    stage: Option<&str>,
) -> Result<Reading, DockerfileError> {
    let mut reader = Reader { spec, escape, scope, used: BTreeSet::new(), unset: BTreeSet::new() };
    let invocation = reader.invocation(statement, stage).map_err(|problem| problem.at(&statement.span))?;
    Ok(Reading { invocation, used: reader.used, unset: reader.unset })
}

struct Reader<'a> {
    spec: &'a KeywordSpec,
    escape: char,
    scope: &'a dyn Scope,
    used: BTreeSet<String>,
    unset: BTreeSet<String>,
}

impl Reader<'_> {
    fn invocation(&mut self, statement: &Statement, stage: Option<&str>) -> Result<Invocation, Problem> {
        Ok(Invocation {
            keyword: self.spec.keyword.clone(),
            flags: self.flags(&statement.flags)?,
            body: self.body(&statement.body)?,
            heredocs: self.heredocs(&statement.heredocs)?,
            span: statement.span.clone(),
            stage: stage.map(str::to_owned),
        })
    }

    fn flags(&mut self, written: &[String]) -> Result<Vec<(String, Option<String>)>, Problem> {
        let mut flags = Vec::new();
        for flag in flag::parse(written, &self.spec.flags)? {
            let value = match flag.value {
                Some(value) if flag.spec.expands_variables => Some(self.word(&value)?),
                as_written => as_written,
            };
            flags.push((flag.spec.name.clone(), value));
        }
        Ok(flags)
    }

    fn body(&mut self, body: &Body) -> Result<Body, Problem> {
        match body {
            Body::Pairs { items, legacy } => Ok(Body::Pairs { items: self.pairs(items)?, legacy: *legacy }),
            Body::Assignments(items) => self.assignments(items).map(Body::Assignments),
            Body::Words(words) => self.words(words).map(Body::Words),
            _ if !self.spec.expands_variables => Ok(body.clone()),
            Body::Json(words) => {
                words.iter().map(|word| self.word(word)).collect::<Result<_, _>>().map(Body::Json)
            }
            Body::Text(text) => self.word(text).map(Body::Text),
        }
    }

    fn words(&mut self, words: &[String]) -> Result<Vec<String>, Problem> {
        let is_split_again = self.spec.body == BodyKind::Words && !self.spec.starts_stage;
        let mut read = Vec::new();
        for (number, word) in words.iter().enumerate() {
            let is_name = self.spec.starts_stage && number > 0;
            if is_name || (self.spec.heredocs && heredoc::is_mark(word)) {
                read.push(word.clone());
                continue;
            }
            match (self.spec.expands_variables, is_split_again) {
                (false, _) => read.push(word.clone()),
                (true, true) => read.extend(self.expand(word)?.words),
                (true, false) => read.push(self.word(word)?),
            }
        }
        Ok(read)
    }

    fn pairs(&mut self, items: &[(String, String)]) -> Result<Vec<(String, String)>, Problem> {
        items.iter().map(|(key, value)| Ok((self.unquoted(key)?, self.unquoted(value)?))).collect()
    }

    fn assignments(
        &mut self,
        items: &[(String, Option<String>)],
    ) -> Result<Vec<(String, Option<String>)>, Problem> {
        let outer = self.scope;
        let mut assigned: Vec<(String, Option<String>)> = Vec::new();
        let mut read = Vec::new();
        for (key, value) in items {
            let scope = Line { outer, assigned: &assigned };
            let mut inner = Reader { scope: &scope, used: BTreeSet::new(), unset: BTreeSet::new(), ..*self };
            let key = inner.unquoted(key)?;
            let value = value.as_deref().map(|value| inner.unquoted(value)).transpose()?;
            let (used, unset) = (inner.used, inner.unset);
            self.used.extend(used);
            self.unset.extend(unset);
            assigned.push((key.clone(), outer.assigned(&key, value.as_deref())));
            read.push((key, value));
        }
        Ok(read)
    }

    fn heredocs(&mut self, heredocs: &[Heredoc]) -> Result<Vec<Heredoc>, Problem> {
        let lexer = Lexer { quotes: Quotes::Ignore, ..Lexer::new('\\') };
        let mut read = heredocs.to_vec();
        for heredoc in read.iter_mut().filter(|heredoc| heredoc.expand && self.spec.expands_variables) {
            heredoc.content = self.expand_with(lexer, &heredoc.content)?.text;
        }
        Ok(read)
    }

    /// Without quotes; with its variables expanded only where the keyword asks for it.
    fn unquoted(&mut self, text: &str) -> Result<String, Problem> {
        if self.spec.expands_variables {
            return self.word(text);
        }
        let lexer = Lexer { unset: Unset::Keep, ..Lexer::new(self.escape) };
        let expanded = lexer.word(text, &Nothing);
        expanded.map(|expanded| expanded.text).map_err(|source| Problem::word(text, source))
    }

    fn word(&mut self, text: &str) -> Result<String, Problem> {
        self.expand(text).map(|expanded| expanded.text)
    }

    fn expand(&mut self, text: &str) -> Result<Expanded, Problem> {
        self.expand_with(Lexer::new(self.escape), text)
    }

    fn expand_with(&mut self, lexer: Lexer, text: &str) -> Result<Expanded, Problem> {
        let mut expanded = lexer.word(text, self.scope).map_err(|source| Problem::word(text, source))?;
        self.used.append(&mut expanded.used);
        self.unset.append(&mut expanded.unset);
        Ok(expanded)
    }
}

/// A scope with what the line has assigned so far on top.
struct Line<'a> {
    outer: &'a dyn Scope,
    assigned: &'a [(String, Option<String>)],
}

impl Scope for Line<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let here = self.assigned.iter().rev().find(|(key, _)| key == name);
        here.and_then(|(_, value)| value.clone()).or_else(|| self.outer.get(name))
    }
}
