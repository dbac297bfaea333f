//! Words of a Dockerfile: quotes, escapes and variables, as BuildKit reads them.
//!
//! ```text
//! $name ${name}            empty when nobody set it
//! ${name-w} ${name:-w}     w when unset (or, with the colon, empty)
//! ${name+w} ${name:+w}     w when set (and not empty)
//! ${name?w} ${name:?w}     an error that says w when unset (or empty)
//! ${name#p} ${name##p}     without the shortest (longest) prefix that matches p
//! ${name%p} ${name%%p}     the same for suffixes
//! ${name/p/w} ${name//p/w} the first (every) match of p replaced
//! 'x'                      x as it is
//! "x"                      variables are expanded; the escape works before " $ and itself
//! \x                       x as it is; the escape character is the Dockerfile's
//! ```
//!
//! `$1`, `$@`, `$$` and the like are names that nobody sets; `$.` is not a variable.
//! Splitting happens after expansion: blanks that come from a variable part words, blanks inside
//! quotes do not.

use std::collections::{BTreeMap, BTreeSet};

use super::pattern::{Glob, PatternError};

/// What `$x` stands for.
pub trait Scope {
    /// The value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<String>;

    /// Every variable's name, to suggest one for a misspelt name.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    /// What `ARG name` or `ARG name=default` would make of `name`.
    fn assigned(&self, name: &str, default: Option<&str>) -> Option<String> {
        let _ = name;
        default.map(str::to_owned)
    }
}

/// No variables.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

impl Scope for Nothing {
    fn get(&self, _name: &str) -> Option<String> {
        None
    }
}

impl Scope for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// What becomes of quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// They delimit and disappear.
    Remove,
    /// They delimit and stay.
    Keep,
    /// They are characters like any other.
    Ignore,
}

/// What becomes of a variable that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unset {
    /// Nothing.
    Empty,
    /// It stays as it was written.
    Keep,
}

/// How words are read.
#[derive(Debug, Clone, Copy)]
pub struct Lexer {
    /// `\`, or what the `escape` directive says.
    pub escape: char,
    /// Quotes.
    pub quotes: Quotes,
    /// The escape character stays.
    pub keep_escapes: bool,
    /// Variables that are not set.
    pub unset: Unset,
}

/// A text after expansion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// As one word.
    pub text: String,
    /// Split on blanks outside quotes.
    pub words: Vec<String>,
    /// The variables that were looked up and set.
    pub used: BTreeSet<String>,
    /// The variables that were looked up and not set.
    pub unset: BTreeSet<String>,
}

/// Why a word cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// A quote or `${` is not closed.
    #[error("unexpected end of statement while looking for matching {0}")]
    Unclosed(&'static str),
    /// `${}`, `${{x}` or `${:x}`.
    #[error("bad substitution: expected a name after `${{`")]
    NoName,
    /// `${x=y}` and the like.
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    /// `${x?message}`.
    #[error("{name}: {message}")]
    Refused {
        /// The variable.
        name: String,
        /// What the Dockerfile says about it.
        message: String,
    },
    /// The pattern of `${x#pattern}`.
    #[error("invalid pattern in substitution")]
    Pattern(#[from] PatternError),
    /// Substitutions inside substitutions.
    #[error("more than {MAX_DEPTH} substitutions inside each other")]
    Depth,
}

const MAX_DEPTH: usize = 64;

impl Lexer {
    /// Quotes and escapes removed, unset variables empty.
    pub fn new(escape: char) -> Self {
        Self { escape, quotes: Quotes::Remove, keep_escapes: false, unset: Unset::Empty }
    }

    /// Expands `text`.
    ///
    /// # Errors
    /// When quotes or braces do not match, or a substitution is not one.
    pub fn word(&self, text: &str, scope: &dyn Scope) -> Result<Expanded, WordError> {
        let mut scan = Scan {
            lexer: self,
            scope,
            text: text.chars().collect(),
            at: 0,
            depth: 0,
            keep_escapes: self.keep_escapes,
            used: BTreeSet::new(),
            unset: BTreeSet::new(),
        };
        let (text, words) = scan.until(None)?;
        Ok(Expanded { text, words, used: scan.used, unset: scan.unset })
    }
}

/// Collects the text and, on the side, its words.
#[derive(Default)]
struct Output {
    text: String,
    words: Vec<String>,
    word: String,
}

impl Output {
    /// A character that may part words.
    fn plain(&mut self, letter: char) {
        self.text.push(letter);
        if !letter.is_whitespace() {
            self.word.push(letter);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    /// Characters that part no words.
    fn quoted(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.word.push_str(piece);
    }

    fn finish(mut self) -> (String, Vec<String>) {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        (self.text, self.words)
    }
}

struct Scan<'a> {
    lexer: &'a Lexer,
    scope: &'a dyn Scope,
    text: Vec<char>,
    at: usize,
    depth: usize,
    keep_escapes: bool,
    used: BTreeSet<String>,
    unset: BTreeSet<String>,
}

impl Scan<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += 1;
        Some(letter)
    }

    fn next_if(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Reads up to `stop`, which is taken too, or to the end when there is none.
    fn until(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), WordError> {
        let mut output = Output::default();
        while let Some(letter) = self.next() {
            match letter {
                _ if Some(letter) == stop => return Ok(output.finish()),
                '$' => self.dollar()?.chars().for_each(|letter| output.plain(letter)),
                '<' => output.quoted(&self.heredoc_mark()),
                '\'' if self.lexer.quotes != Quotes::Ignore => output.quoted(&self.single_quoted()?),
                '"' if self.lexer.quotes != Quotes::Ignore => output.quoted(&self.double_quoted()?),
                _ if letter == self.lexer.escape => output.quoted(&self.escaped(letter)),
                _ => output.plain(letter),
            }
        }
        match stop {
            None => Ok(output.finish()),
            Some('/') => Err(WordError::Unclosed("'/'")),
            Some(_) => Err(WordError::Unclosed("'}'")),
        }
    }

    /// Behind an escape character outside quotes; at the end of the text it escapes nothing.
    fn escaped(&mut self, escape: char) -> String {
        let kept = self.keep_escapes.then_some(escape);
        kept.into_iter().chain(self.next()).collect()
    }

    /// Behind a `<`: the blanks of `<< EOF` belong to the word.
    fn heredoc_mark(&mut self) -> String {
        let mut mark = String::from("<");
        if self.next_if('<') {
            mark.push('<');
            while let Some(blank @ (' ' | '\t' | '\r')) = self.peek() {
                self.at += 1;
                mark.push(blank);
            }
        }
        mark
    }

    fn quote_mark(&self, mark: char) -> Option<char> {
        (self.lexer.quotes == Quotes::Keep).then_some(mark)
    }

    fn single_quoted(&mut self) -> Result<String, WordError> {
        let rest = &self.text[self.at..];
        let length =
            rest.iter().position(|letter| *letter == '\'').ok_or(WordError::Unclosed("single-quote"))?;
        let mark = self.quote_mark('\'');
        let piece = mark.into_iter().chain(rest[..length].iter().copied()).chain(mark).collect();
        self.at += length + 1;
        Ok(piece)
    }

    fn double_quoted(&mut self) -> Result<String, WordError> {
        let mark = self.quote_mark('"');
        let mut piece: String = mark.into_iter().collect();
        while let Some(letter) = self.next() {
            match letter {
                '"' => {
                    piece.extend(mark);
                    return Ok(piece);
                }
                '$' => piece.push_str(&self.dollar()?),
                _ if letter == self.lexer.escape => self.escaped_in_quotes(&mut piece),
                _ => piece.push(letter),
            }
        }
        Err(WordError::Unclosed("double-quote"))
    }

    /// Inside double quotes the escape works only before `"`, `$` and itself.
    fn escaped_in_quotes(&mut self, piece: &mut String) {
        let escape = self.lexer.escape;
        match self.peek() {
            Some(letter) if letter == '"' || letter == '$' || letter == escape => {
                self.at += 1;
                piece.extend(self.keep_escapes.then_some(escape));
                piece.push(letter);
            }
            Some(_) => {
                piece.extend(self.keep_escapes.then_some(escape));
                piece.push(escape);
            }
            None => {}
        }
    }

    /// Behind a `$`.
    fn dollar(&mut self) -> Result<String, WordError> {
        if self.next_if('{') {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(WordError::Depth);
            }
            let value = self.braced();
            self.depth -= 1;
            return value;
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".into());
        }
        Ok(self.look_up(&name).unwrap_or_else(|| self.unset_text(|| format!("${name}"))))
    }

    /// Behind `${`.
    fn braced(&mut self) -> Result<String, WordError> {
        match self.peek() {
            None => return Err(WordError::Unclosed("'}'")),
            Some('{' | '}' | ':') => return Err(WordError::NoName),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            None => Err(WordError::Unclosed("'}'")),
            Some('}') => {
                Ok(self.look_up(&name).unwrap_or_else(|| self.unset_text(|| format!("${{{name}}}"))))
            }
            Some(':') => self.with_default(&name, true),
            Some('-' | '+' | '?') => {
                self.at -= 1;
                self.with_default(&name, false)
            }
            Some(side @ ('#' | '%')) => self.trimmed(&name, side),
            Some('/') => self.replaced(&name),
            Some(other) => Err(WordError::Modifier(other.into())),
        }
    }

    /// `-`, `+` or `?`. With `empty_too` an empty value counts as none.
    fn with_default(&mut self, name: &str, empty_too: bool) -> Result<String, WordError> {
        let colon = if empty_too { ":" } else { "" };
        let modifier = self.next().ok_or(WordError::Unclosed("'}'"))?;
        if !matches!(modifier, '-' | '+' | '?') {
            return Err(WordError::Modifier(format!("{colon}{modifier}")));
        }
        let (word, _) = self.inner('}', false)?;
        let value = self.look_up(name);
        if value.is_none() && self.lexer.unset == Unset::Keep {
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        }
        let was_set = value.is_some();
        match (modifier, value.filter(|value| !(empty_too && value.is_empty()))) {
            ('+', Some(_)) | ('-', None) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            (_, None) => Err(refused(name, word, was_set)),
        }
    }

    /// `#`, `##`, `%` or `%%`.
    fn trimmed(&mut self, name: &str, side: char) -> Result<String, WordError> {
        let (word, _) = self.inner('}', true)?;
        let Some(value) = self.look_up(name) else {
            return Ok(self.unset_text(|| format!("${{{name}{side}{word}}}")));
        };
        let (pattern, longest) = match word.strip_prefix(side) {
            Some(pattern) => (pattern, true),
            None => (word.as_str(), false),
        };
        let glob = Glob::shell(pattern)?;
        let cut = |glob: &Glob, text: &[char]| {
            let length = if longest { glob.longest(text) } else { glob.shortest(text) };
            length.unwrap_or_default()
        };
        let mut text: Vec<char> = value.chars().collect();
        if side == '#' {
            return Ok(text[cut(&glob, &text)..].iter().collect());
        }
        text.reverse();
        let cut = cut(&glob.reversed(), &text);
        Ok(text[cut..].iter().rev().collect())
    }

    /// `/` or `//`.
    fn replaced(&mut self, name: &str) -> Result<String, WordError> {
        let every = self.next_if('/');
        let (pattern, _) = self.inner('/', true)?;
        let (replacement, _) = self.inner('}', true)?;
        let Some(value) = self.look_up(name) else {
            let mark = if every { "//" } else { "/" };
            return Ok(self.unset_text(|| format!("${{{name}{mark}{pattern}/{replacement}}}")));
        };
        Ok(replace(&Glob::shell(&pattern)?, &value, &replacement, every))
    }

    /// The text of a substitution, with escapes kept where it is a pattern.
    fn inner(&mut self, stop: char, keep_escapes: bool) -> Result<(String, Vec<String>), WordError> {
        let before = std::mem::replace(&mut self.keep_escapes, keep_escapes);
        let inner = self.until(Some(stop));
        self.keep_escapes = before;
        inner
    }

    /// Letters, digits and `_`; or digits alone; or one special character.
    fn name(&mut self) -> String {
        let rest = &self.text[self.at..];
        let run = |fits: fn(&char) -> bool| rest.iter().take_while(|letter| fits(letter)).count();
        let length = match rest.first() {
            Some(first) if first.is_numeric() => run(|letter| letter.is_numeric()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => run(|letter| letter.is_alphanumeric() || *letter == '_'),
        };
        let name = rest[..length].iter().collect();
        self.at += length;
        name
    }

    fn look_up(&mut self, name: &str) -> Option<String> {
        let value = self.scope.get(name);
        let list = if value.is_some() { &mut self.used } else { &mut self.unset };
        list.insert(name.to_owned());
        value
    }

    fn unset_text(&self, written: impl FnOnce() -> String) -> String {
        match self.lexer.unset {
            Unset::Empty => String::new(),
            Unset::Keep => written(),
        }
    }
}

fn refused(name: &str, word: String, was_set: bool) -> WordError {
    let message = match (word.is_empty(), was_set) {
        (false, _) => word,
        (true, false) => "is not allowed to be unset".into(),
        (true, true) => "is not allowed to be empty".into(),
    };
    WordError::Refused { name: name.to_owned(), message }
}

fn replace(glob: &Glob, value: &str, replacement: &str, every: bool) -> String {
    let text: Vec<char> = value.chars().collect();
    let mut replaced = String::new();
    let mut at = 0;
    while at < text.len() {
        match glob.longest(&text[at..]).filter(|length| *length > 0) {
            Some(length) => {
                replaced.push_str(replacement);
                at += length;
                if !every {
                    break;
                }
            }
            None => {
                replaced.push(text[at]);
                at += 1;
            }
        }
    }
    replaced.extend(&text[at..]);
    replaced
}

#[cfg(test)]
mod tests;
