//! Changing config files: comments and order stay, and a change happens whole or not at all.
//!
//! An [`Edit`] is a file's text with what is to be changed in it; nothing is written until
//! [`write()`]. That looks again whether the files are what they were when they were read, under a
//! lock on their directory, so that of two commands at once the second says that it has to be run
//! again. A symbolic link stays one: what it points to is changed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use toml::{Table, Value};
use wharf_model::Digest;

use super::document::quote;
use super::statements::{Statement, statements};
use super::{PluginConfig, Trust};
use crate::rights;

/// Why a config file can not be changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It can not be read.
    #[error("cannot read {path}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not TOML, or has something else where tables belong.
    #[error("cannot change {path}: {what}", path = .path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// What is in the way.
        what: String,
    },
    /// It can not be written.
    #[error("cannot write {path}", path = .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else changed it at the same time.
    #[error("{path} was changed by somebody else meanwhile", path = .path.display())]
    Meanwhile {
        /// Which.
        path: PathBuf,
    },
}

impl EditError {
    /// What would get the user past this.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Meanwhile { .. } => Some("run the command again".into()),
            Self::Read { .. } | Self::Form { .. } | Self::Write { .. } => None,
        }
    }
}

/// A new text for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: PathBuf,
    /// What it was; `None` when there was none.
    pub before: Option<String>,
    /// What it becomes.
    pub after: String,
}

/// A config file that is about to be changed.
#[derive(Debug)]
pub struct Edit {
    path: PathBuf,
    before: Option<String>,
    text: String,
}

impl Edit {
    /// Reads a file; one that is not there is an empty one.
    ///
    /// # Errors
    /// When it can not be read or is not TOML.
    pub fn open(path: &Path) -> Result<Self, EditError> {
        let before = text_of(path)?;
        let edit = Self { path: path.into(), text: before.clone().unwrap_or_default(), before };
        edit.tree()?;
        Ok(edit)
    }

    /// The change so far.
    pub fn change(&self) -> Change {
        Change { path: self.path.clone(), before: self.before.clone(), after: self.text.clone() }
    }

    /// Whether the file says anything about a plugin.
    pub fn names(&self, plugin: &str) -> bool {
        statements(&self.text).iter().any(|statement| statement.is_below(&["plugin", plugin]))
    }

    /// Writes a new definition in the place of what the file says of that plugin.
    ///
    /// # Errors
    /// When the file can not be understood afterwards.
    pub fn define(&mut self, plugin: &PluginConfig) -> Result<(), EditError> {
        self.forget(&["plugin", &plugin.name]);
        let mut lines = vec![format!("source = {}", text(&plugin.source.to_string()))];
        lines.extend(plugin.digest.map(|digest| format!("digest = \"{digest}\"")));
        lines.push(format!("world = \"{}\"", plugin.world));
        if plugin.trust == Trust::NativeFull {
            lines.push("trust = \"native-full\"".to_owned());
        }
        let keywords =
            plugin.keywords.iter().map(|(own, here)| format!("{own} = \"{here}\"")).collect::<Vec<_>>();
        if !keywords.is_empty() {
            lines.push(format!("keywords = {{ {} }}", keywords.join(", ")));
        }
        let words = rights::words(&plugin.grants);
        let grants = by_key(&words);
        let grants =
            grants.iter().map(|(key, values)| format!("{key} = {}", list(values))).collect::<Vec<_>>();
        if !grants.is_empty() {
            lines.push(format!("grants = {{ {} }}", grants.join(", ")));
        }
        self.append(&format!("plugin.{}", quote(&plugin.name)), &lines)
    }

    /// Points a definition at other code.
    ///
    /// # Errors
    /// When the file can not be understood afterwards.
    pub fn set_code(&mut self, plugin: &str, source: &str, digest: Digest) -> Result<(), EditError> {
        self.set(plugin, &["source"], &text(source))?;
        self.set(plugin, &["digest"], &text(&digest.to_string()))
    }

    /// Sets one list of a plugin's grants.
    ///
    /// # Errors
    /// When the file can not be understood afterwards.
    pub fn set_grants(&mut self, plugin: &str, key: &str, values: &[String]) -> Result<(), EditError> {
        self.set(plugin, &["grants", key], &list(values))
    }

    /// Forgets all that the file says of a plugin; the answer is whether it said anything.
    ///
    /// # Errors
    /// When the file can not be understood afterwards.
    pub fn remove(&mut self, plugin: &str) -> Result<bool, EditError> {
        let gone = self.forget(&["plugin", plugin]);
        self.tree().map(|_| gone)
    }

    /// Writes what a project may have.
    ///
    /// # Errors
    /// When the file can not be understood afterwards.
    pub fn approve(&mut self, project: &Path, digest: Digest, lines: &[String]) -> Result<(), EditError> {
        let project = project.to_string_lossy();
        self.forget(&["project", &project]);
        let approved: Vec<String> = lines.iter().map(|line| format!("    {},\n", text(line))).collect();
        let lines = [format!("digest = \"{digest}\""), format!("approved = [\n{}]", approved.concat())];
        self.append(&format!("project.{}", quote(&project)), &lines)
    }

    /// Takes it back; the answer is whether there was anything.
    ///
    /// # Errors
    /// When the file can not be understood afterwards.
    pub fn disapprove(&mut self, project: &Path) -> Result<bool, EditError> {
        let gone = self.forget(&["project", &project.to_string_lossy()]);
        self.tree().map(|_| gone)
    }

    /// A table at the end.
    fn append(&mut self, head: &str, lines: &[String]) -> Result<(), EditError> {
        if !self.text.is_empty() {
            let end = if self.text.ends_with('\n') { "\n" } else { "\n\n" };
            self.text += end;
        }
        self.text += &format!("[{head}]\n{}\n", lines.join("\n"));
        self.tree().map(drop)
    }

    /// Sets one value of a plugin where it stands, or below the head that fits best.
    fn set(&mut self, plugin: &str, keys: &[&str], value: &str) -> Result<(), EditError> {
        let path: Vec<&str> = ["plugin", plugin].iter().chain(keys).copied().collect();
        let found = statements(&self.text);
        let exactly = found.iter().find(|it| it.path == path).and_then(|it| it.value.clone());
        if let Some(range) = exactly {
            self.text.replace_range(range, value);
            return self.tree().map(drop);
        }
        let around = |it: &&Statement| it.path.len() < path.len() && it.is_below(&path[..it.path.len()]);
        if let Some(outer) = found.iter().find(|it| !it.is_head() && around(it)) {
            return self.set_inside(outer, &path[outer.path.len()..], value);
        }
        let heads = found.iter().filter(|it| it.is_head() && it.path.len() >= 2 && around(it));
        let Some(head) = heads.max_by_key(|it| it.path.len()) else {
            let line = format!("{} = {value}", keys.join("."));
            return self.append(&format!("plugin.{}", quote(plugin)), &[line]);
        };
        let key: Vec<String> = path[head.path.len()..].iter().map(|key| quote(key)).collect();
        let at = section(&found, head).end;
        let start = if self.text[..at].ends_with('\n') { "" } else { "\n" };
        self.text.insert_str(at, &format!("{start}{} = {value}\n", key.join(".")));
        self.tree().map(drop)
    }

    /// Sets a value inside of an inline table.
    fn set_inside(&mut self, outer: &Statement, keys: &[&str], value: &str) -> Result<(), EditError> {
        let Some(range) = outer.value.clone() else { return Ok(()) };
        let read = |text: &str| toml::from_str::<Table>(&format!("x = {text}"));
        let mut inline = read(&self.text[range.clone()]).map_err(|error| self.form(error.message()))?;
        let mut new = read(value).map_err(|error| self.form(error.message()))?;
        let new = new.remove("x").unwrap_or(Value::Boolean(false));
        let mut inner = inline.get_mut("x").and_then(Value::as_table_mut);
        let (last, between) = keys.split_last().ok_or_else(|| self.form("no key"))?;
        for key in between {
            let fresh = || Value::Table(Table::new());
            let next = inner.map(|table| table.entry(*key).or_insert_with(fresh));
            inner = next.and_then(Value::as_table_mut);
        }
        let inner = inner.ok_or_else(|| self.form(&format!("`{}` is not a table", outer.path.join("."))))?;
        inner.insert((*last).to_owned(), new);
        let written = inline.get("x").map(ToString::to_string).unwrap_or_default();
        self.text.replace_range(range, &written);
        self.tree().map(drop)
    }

    /// Takes away every statement below a path: tables with the comment above them and what is in
    /// them, and single lines.
    fn forget(&mut self, path: &[&str]) -> bool {
        let found = statements(&self.text);
        let mut gone: Vec<Range<usize>> = Vec::new();
        for statement in found.iter().filter(|statement| statement.is_below(path)) {
            if statement.is_head() {
                let end = section(&found, statement).end;
                gone.push(self.with_comment(statement.lines.start)..end);
            } else {
                gone.push(statement.lines.clone());
            }
        }
        let some = !gone.is_empty();
        gone.sort_by_key(|range| range.start);
        let mut left = String::new();
        let mut at = 0;
        for range in gone {
            left += self.text.get(at..range.start).unwrap_or_default();
            at = at.max(range.end);
        }
        left += self.text.get(at..).unwrap_or_default();
        self.text = left;
        if self.text.trim().is_empty() {
            self.text.clear();
        }
        some
    }

    /// Where the comment right above a line begins, with one empty line before it.
    fn with_comment(&self, line: usize) -> usize {
        let mut start = line;
        for above in self.text[..line].split_inclusive('\n').rev() {
            let is_comment = above.trim_start().starts_with('#');
            if !is_comment && !above.trim().is_empty() {
                break;
            }
            start -= above.len();
            if !is_comment {
                break;
            }
        }
        start
    }

    /// What the text says, if it is TOML.
    fn tree(&self) -> Result<Table, EditError> {
        toml::from_str(&self.text).map_err(|error: toml::de::Error| self.form(error.message()))
    }

    fn form(&self, what: &str) -> EditError {
        let what = what.lines().collect::<Vec<_>>().join(", ");
        EditError::Form { path: self.path.clone(), what }
    }
}

/// From a head to the last line that says something below it.
fn section(found: &[Statement], head: &Statement) -> Range<usize> {
    let after = found.iter().skip_while(|it| it.lines != head.lines).skip(1);
    let last = after.take_while(|it| !it.is_head()).last();
    head.lines.start..last.map_or(head.lines.end, |last| last.lines.end)
}

fn text(value: &str) -> String {
    Value::String(value.to_owned()).to_string()
}

fn list<T: AsRef<str>>(values: &[T]) -> String {
    format!("[{}]", values.iter().map(|value| text(value.as_ref())).collect::<Vec<_>>().join(", "))
}

/// `ops:exec` as a list below `ops`.
fn by_key(words: &std::collections::BTreeSet<String>) -> BTreeMap<&str, Vec<&str>> {
    let mut keys = BTreeMap::<&str, Vec<&str>>::new();
    for (key, value) in words.iter().filter_map(|word| word.split_once(':')) {
        keys.entry(key).or_default().push(value);
    }
    keys
}

fn text_of(path: &Path) -> Result<Option<String>, EditError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(EditError::Read { path: path.into(), source }),
    }
}

/// Writes all changes, which are files of one directory, or none.
///
/// # Errors
/// When a file is not what it was any more, or can not be written.
pub fn write(changes: &[Change]) -> Result<(), EditError> {
    let Some(first) = changes.first() else { return Ok(()) };
    let _one_at_a_time = lock(first.path.parent().unwrap_or(Path::new(".")))?;
    for change in changes {
        if text_of(&change.path)? != change.before {
            return Err(EditError::Meanwhile { path: change.path.clone() });
        }
    }
    for (index, change) in changes.iter().enumerate() {
        if let Err(error) = replace(&change.path, &change.after) {
            changes.iter().take(index).for_each(put_back);
            return Err(error);
        }
    }
    Ok(())
}

/// Held until it is dropped.
fn lock(directory: &Path) -> Result<File, EditError> {
    let cannot = |source| EditError::Write { path: directory.into(), source };
    fs::create_dir_all(directory).map_err(cannot)?;
    let file = File::open(directory).map_err(cannot)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|error| cannot(error.into()))?;
    Ok(file)
}

fn put_back(change: &Change) {
    let _as_far_as_possible = match &change.before {
        Some(before) => replace(&change.path, before).is_ok(),
        None => fs::remove_file(&change.path).is_ok(),
    };
}

/// Puts a text where a file was, by rename.
fn replace(path: &Path, text: &str) -> Result<(), EditError> {
    let cannot = |source| EditError::Write { path: path.into(), source };
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut aside = real.clone().into_os_string();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let written = write_aside(&real, &aside, text).and_then(|()| fs::rename(&aside, &real));
    written.map_err(|error| {
        let _gone_already = fs::remove_file(&aside);
        cannot(error)
    })?;
    let directory = real.parent().map_or(Ok(()), |folder| File::open(folder).and_then(|it| it.sync_all()));
    directory.map_err(cannot)
}

fn write_aside(real: &Path, aside: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(aside)?;
    if let Ok(old) = fs::metadata(real) {
        file.set_permissions(old.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Level, Source};

    const FILE: &str = "# mine\n[engine]\nstorage = \"overlay\" # fast\n\n# for packages\n[plugin.apt]\n\
        source = \"file:/a.wasm\" # old\nworld = \"instruction\"\ngrants = { ops = [\"exec\"] }\n\n[network.back]\ndriver = \"bridge\"\n";

    fn edit(text: &str) -> (tempfile::TempDir, Edit) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("wharf.toml");
        fs::write(&path, text).unwrap();
        let edit = Edit::open(&path).unwrap();
        (temp, edit)
    }

    fn config(text: &str) -> Config {
        Config::load(&[Source { path: "user.toml".into(), text: text.into(), level: Level::User }]).unwrap()
    }

    #[test]
    fn what_is_not_touched_stays_as_it_is() {
        let (_temp, mut edit) = edit(FILE);
        edit.set_grants("apt", "ops", &["exec".into(), "write".into()]).unwrap();
        edit.set_grants("apt", "net", &["sandbox".into()]).unwrap();
        edit.set_code("apt", "file:/b.wasm", Digest::of("b")).unwrap();
        let after = edit.change().after;
        for kept in
            ["# mine\n[engine]\nstorage = \"overlay\" # fast\n\n# for packages\n[plugin.apt]\n", "# old\n"]
        {
            assert!(after.contains(kept), "{after}");
        }
        let config = config(&after);
        let apt = config.plugin("apt").unwrap();
        assert_eq!(
            rights::words(&apt.grants).into_iter().collect::<Vec<_>>(),
            ["net:sandbox", "ops:exec", "ops:write"]
        );
        assert_eq!((apt.source.to_string(), apt.digest), ("file:/b.wasm".into(), Some(Digest::of("b"))));
    }

    #[test]
    fn a_plugin_comes_and_goes() {
        let (_temp, mut edit) = edit(FILE);
        let mut plugin = config(FILE).plugin("apt").unwrap().clone();
        plugin.name = "pip".into();
        plugin.keywords = [("APT".parse().unwrap(), "PIP".parse().unwrap())].into();
        edit.define(&plugin).unwrap();
        let after = edit.change().after;
        let pip = config(&after).plugin("pip").unwrap().clone();
        assert_eq!((pip.source, pip.keywords, pip.grants), (plugin.source, plugin.keywords, plugin.grants));
        assert!(after.contains("\n\n[plugin.pip]\nsource = "), "{after}");
        assert!(edit.remove("pip").unwrap());
        assert!(!edit.remove("pip").unwrap());
        assert_eq!(edit.change().after, FILE);
    }

    #[test]
    fn an_amendment_makes_a_table_of_its_own() {
        let (_temp, mut edit) = edit("");
        edit.set_grants("run", "net", &["sandbox".into(), "host".into()]).unwrap();
        assert_eq!(edit.change().after, "[plugin.run]\ngrants.net = [\"sandbox\", \"host\"]\n");
    }

    #[test]
    fn values_are_found_however_they_are_written() {
        for (before, after) in [
            ("[plugin.a]\ngrants.net = []\n", "[plugin.a]\ngrants.net = [\"host\"]\n"),
            (
                "[plugin.a]\n# why\ngrants = { ops = [\"exec\"] } # so\n",
                "[plugin.a]\n# why\ngrants = { net = [\"host\"], ops = [\"exec\"] } # so\n",
            ),
            (
                "[plugin.a.grants]\nops = []\n\n# b\n[plugin.b]\n",
                "[plugin.a.grants]\nops = []\nnet = [\"host\"]\n\n# b\n[plugin.b]\n",
            ),
            ("plugin.a.enabled = true\n", "plugin.a.enabled = true\n\n[plugin.a]\ngrants.net = [\"host\"]\n"),
            (
                "[plugin]\na = { enabled = true }",
                "[plugin]\na = { enabled = true, grants = { net = [\"host\"] } }",
            ),
            ("[plugin.a]", "[plugin.a]\ngrants.net = [\"host\"]\n"),
        ] {
            let (_temp, mut edit) = edit(before);
            match edit.set_grants("a", "net", &["host".into()]) {
                Ok(()) => assert_eq!(edit.change().after, after),
                // What TOML does not let be added to is left as it is.
                Err(error) => assert!(before.starts_with("plugin.a"), "{error}\nfor {before}"),
            }
        }
    }

    #[test]
    fn removing_leaves_the_neighbours() {
        let (_temp, mut edit) = edit(
            "# top\n\n# a's\n[plugin.a] # it\nx = 1\n\n[plugin.a.settings]\n# inside\ny = 2\n\n# b's\n[plugin.b]\nz = 1\n# end\n",
        );
        assert!(edit.remove("a").unwrap());
        assert_eq!(edit.change().after, "# top\n\n# b's\n[plugin.b]\nz = 1\n# end\n");
    }

    #[test]
    fn an_approval_is_read_again() {
        let (_temp, mut edit) = edit(FILE);
        let lines =
            vec!["plugin.apt.grants.ops = [\"exec\"]".to_owned(), "engine.storage = \"x\"".to_owned()];
        edit.approve(Path::new("/home/u/a b"), Digest::of("x"), &lines).unwrap();
        let config = config(&edit.change().after);
        let approval = config.approvals.first().unwrap();
        assert_eq!((&*approval.project, approval.digest), (Path::new("/home/u/a b"), Digest::of("x")));
        assert_eq!(approval.lines, lines);
        assert!(edit.disapprove(Path::new("/home/u/a b")).unwrap());
        assert_eq!(edit.change().after, FILE);
    }

    #[test]
    fn two_files_change_together_or_not_at_all() {
        let (temp, mut edit) = edit(FILE);
        edit.remove("apt").unwrap();
        let lock = temp.path().join("wharf.lock");
        let change = |before: Option<&str>| Change {
            path: lock.clone(),
            before: before.map(str::to_owned),
            after: "version = 1\n".into(),
        };
        assert!(matches!(write(&[edit.change(), change(Some("other"))]), Err(EditError::Meanwhile { .. })));
        assert_eq!(fs::read_to_string(temp.path().join("wharf.toml")).unwrap(), FILE);
        fs::create_dir(temp.path().join("wharf.lock.x")).unwrap();
        write(&[edit.change(), change(None)]).unwrap();
        assert_eq!(fs::read_to_string(&lock).unwrap(), "version = 1\n");
        assert!(!fs::read_to_string(temp.path().join("wharf.toml")).unwrap().contains("apt"));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_link_to_the_file_stays_one() {
        let (temp, edit) = edit(FILE);
        let link = temp.path().join("link.toml");
        std::os::unix::fs::symlink(temp.path().join("wharf.toml"), &link).unwrap();
        write(&[Change { path: link.clone(), before: Some(FILE.into()), after: "".into() }]).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&edit.path).unwrap(), "");
    }

    #[test]
    fn what_can_not_be_changed_says_why() {
        let (_temp, mut edit) = edit("plugin = 3\n");
        assert!(!edit.remove("x").unwrap() && !edit.names("x"));
        let error = edit.set_grants("run", "net", &[]).unwrap_err();
        assert!(error.to_string().contains("wharf.toml: "), "{error}");
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("a"), "= 1").unwrap();
        assert!(matches!(Edit::open(&temp.path().join("a")), Err(EditError::Form { .. })));
    }
}
