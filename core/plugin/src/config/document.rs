//! TOML in which every value knows its line and its dotted key.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Level, Place, Source};

/// The file a value is in.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    path: &'a Path,
    text: &'a str,
    level: Level,
    lines: &'a [usize],
}

/// Where each line of a text begins.
pub(super) fn lines(text: &str) -> Vec<usize> {
    let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
}

/// A value.
#[derive(Clone)]
pub(super) struct Node<'a> {
    file: File<'a>,
    /// The dotted key of the table that it is in.
    above: Rc<str>,
    name: &'a str,
    start: usize,
    value: &'a DeValue<'a>,
}

/// A table, its entries in the order written.
#[derive(Clone)]
pub(super) struct Table<'a> {
    entries: Vec<(&'a str, Node<'a>)>,
    file: File<'a>,
    key: Rc<str>,
    start: usize,
}

impl<'a> File<'a> {
    /// `lines` are those of its text.
    pub(super) fn new(source: &'a Source, lines: &'a [usize]) -> Self {
        Self { path: &source.path, text: &source.text, level: source.level, lines }
    }

    pub(super) fn parse(self) -> Result<Spanned<DeTable<'a>>, ConfigError> {
        DeTable::parse(self.text).map_err(|error| ConfigError::Syntax {
            place: self.place(error.span().map_or(0, |span| span.start)),
            message: error.message().lines().collect::<Vec<_>>().join(", "),
        })
    }

    pub(super) fn table(self, key: Rc<str>, start: usize, table: &'a DeTable<'a>) -> Table<'a> {
        let node = |(name, value): (&'a Spanned<Cow<'a, str>>, &'a Spanned<DeValue<'a>>)| {
            let above = Rc::clone(&key);
            let (start, value) = (name.span().start, value.get_ref());
            let name: &str = name.get_ref();
            (name, Node { file: self, above, name, start, value })
        };
        let mut entries: Vec<_> = table.iter().map(node).collect();
        entries.sort_by_key(|(_, node)| node.start);
        Table { entries, file: self, key, start }
    }

    fn place(self, offset: usize) -> Place {
        Place { file: self.path.into(), line: self.lines.partition_point(|start| *start <= offset) }
    }
}

impl<'a> Table<'a> {
    /// All entries, in the order written.
    pub(super) fn entries(&self) -> &[(&'a str, Node<'a>)] {
        &self.entries
    }

    /// One entry.
    pub(super) fn get(&self, name: &str) -> Option<&Node<'a>> {
        self.entries.iter().find(|(key, _)| *key == name).map(|(_, node)| node)
    }

    /// Refuses every key that is not in `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ConfigError> {
        match self.entries.iter().find(|(name, _)| !known.contains(name)) {
            None => Ok(()),
            Some((name, node)) => Err(node.wrong("unknown key", suggest(name, known))),
        }
    }

    /// An error about the table itself.
    pub(super) fn wrong(&self, what: impl Into<String>, help: Option<String>) -> ConfigError {
        ConfigError::Key { place: self.place(), key: (*self.key).into(), what: what.into(), help }
    }

    pub(super) fn place(&self) -> Place {
        self.file.place(self.start)
    }
}

impl<'a> Node<'a> {
    /// The dotted key.
    pub(super) fn key(&self) -> String {
        let name = quote(self.name);
        if self.above.is_empty() { name } else { format!("{}.{name}", self.above) }
    }

    pub(super) fn place(&self) -> Place {
        self.file.place(self.start)
    }

    pub(super) fn wrong(&self, what: impl Into<String>, help: Option<String>) -> ConfigError {
        ConfigError::Key { place: self.place(), key: self.key(), what: what.into(), help }
    }

    /// A path that is relative to the directory of the file.
    pub(super) fn beside(&self, path: &Path) -> PathBuf {
        let folder = self.file.path.parent().unwrap_or(Path::new(""));
        let clean: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
        std::path::absolute(folder.join(&clean)).unwrap_or(clean)
    }

    fn expected(&self, what: &str) -> ConfigError {
        self.wrong(format!("expected {what}, found {}", self.value.type_str()), None)
    }

    /// Whose words these are.
    pub(super) fn level(&self) -> Level {
        self.file.level
    }

    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value
    }

    pub(super) fn table(&self) -> Result<Table<'a>, ConfigError> {
        let table = self.value.as_table().ok_or_else(|| self.expected("a table"))?;
        Ok(self.file.table(self.key().into(), self.start, table))
    }

    pub(super) fn text(&self) -> Result<&'a str, ConfigError> {
        self.value.as_str().ok_or_else(|| self.expected("a string"))
    }

    pub(super) fn boolean(&self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.expected("true or false"))
    }

    pub(super) fn integer(&self) -> Result<i64, ConfigError> {
        let integer = self.value.as_integer().ok_or_else(|| self.expected("a whole number"))?;
        i64::from_str_radix(integer.as_str(), integer.radix())
            .map_err(|_| self.wrong("the number is too large", None))
    }

    pub(super) fn positive(&self) -> Result<u64, ConfigError> {
        u64::try_from(self.integer()?)
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| self.wrong("expected a number above 0", None))
    }

    /// A string that `T` understands.
    pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(&self) -> Result<T, ConfigError> {
        self.text()?.parse().map_err(|error: T::Err| self.wrong(error.to_string(), None))
    }

    /// One of a few words.
    pub(super) fn word<T: std::marker::Copy>(&self, words: &[(&str, T)]) -> Result<T, ConfigError> {
        one_of(self, self.text()?, words)
    }

    /// A list of tables, where the first item is one; each has its number for a key.
    pub(super) fn tables(&self) -> Option<Result<Vec<Table<'a>>, ConfigError>> {
        let list = self
            .value
            .as_array()
            .filter(|list| list.first().is_some_and(|item| item.get_ref().is_table()))?;
        let table = |(number, item): (usize, &'a Spanned<DeValue<'a>>)| {
            let inside = Node { start: item.span().start, value: item.get_ref(), ..self.clone() };
            let table = inside.value.as_table().ok_or_else(|| inside.expected("a table"))?;
            Ok(self.file.table(format!("{}.{number}", self.key()).into(), inside.start, table))
        };
        Some(list.iter().enumerate().map(table).collect())
    }

    /// A list of strings.
    pub(super) fn texts(&self) -> Result<Vec<&'a str>, ConfigError> {
        let list = self.value.as_array().ok_or_else(|| self.expected("a list of strings"))?;
        list.iter()
            .map(|item| {
                let inside = Node { start: item.span().start, value: item.get_ref(), ..self.clone() };
                inside.text()
            })
            .collect()
    }
}

/// Finds `text` among `words`, or says which it could have been.
pub(super) fn one_of<T: std::marker::Copy>(
    node: &Node<'_>,
    text: &str,
    words: &[(&str, T)],
) -> Result<T, ConfigError> {
    if let Some((_, found)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*found);
    }
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    Err(node.wrong(format!("`{text}` is not known"), suggest(text, &names)))
}

/// `did you mean`, when something is close; all that is known otherwise.
fn suggest(wrong: &str, known: &[&str]) -> Option<String> {
    let closest = known.iter().map(|word| (strsim::damerau_levenshtein(wrong, word), word)).min()?;
    if closest.0 <= 1 + wrong.len() / 4 {
        return Some(format!("did you mean `{}`?", closest.1));
    }
    Some(format!("known here: {}", known.join(", ")))
}

/// A key as TOML writes it.
pub(super) fn quote(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(bare) { name.into() } else { format!("{name:?}") }
}
