//! COPY and ADD: the flags they share, and what their words become.
//!
//! ```text
//! COPY a b <<EOF /dest/     copy a, b from the context; write EOF on nothing; copy EOF from there
//! ```
//!
//! A here-document is written onto an empty file system and copied from it, so that owner, mode
//! and the question whether the destination is a directory are settled as for any other file.

mod git;
mod web;

use wharf_sdk::instruction::{
    Body, CopyFiles, FlagSpec, GitSource, Heredoc, HttpSource, Input, Invocation, ModeChange, Outcome, Owner,
    Plan, Write,
};
use wharf_sdk::{Diagnostic, Failure, path, refuse};

/// What both keywords say about the files they put into the image.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Files, patterns or addresses, without here-documents.
    pub sources: Vec<String>,
    /// Where they go.
    pub dest: String,
    /// From which file system.
    pub from: Input,
    /// Archives among files are extracted.
    pub unpack_files: bool,
    /// Archives from the web are extracted.
    pub unpack_remote: bool,
    /// What the one remote file must hash to, or the one repository's commit begin with.
    pub checksum: Option<String>,
    /// `.git` of a repository is copied, too; `None` leaves that to its address.
    pub keep_git_dir: Option<bool>,
    owner: Option<Owner>,
    mode: Option<ModeChange>,
    excludes: Vec<String>,
    parents: bool,
    link: bool,
    heredocs: Vec<Heredoc>,
    label: String,
}

/// The flags that COPY and ADD share.
pub fn flags() -> [FlagSpec; 4] {
    [
        FlagSpec::value("chown", "owner of the copies: user[:group], names or numbers").expanding(),
        FlagSpec::value("chmod", "permissions of the copies: octal, or as in u=rwX,go=rX").expanding(),
        FlagSpec::switch("link", "copy onto an empty layer of its own, whatever is below"),
        FlagSpec::value("exclude", "leave out what matches this pattern").repeatable().expanding(),
    ]
}

impl Transfer {
    /// Reads the words and the shared flags of a statement.
    ///
    /// # Errors
    /// When there is no destination, or it cannot hold all sources.
    pub fn read(call: &Invocation) -> Result<Self, Failure> {
        let (dest, words) = split(call)?;
        let (heredocs, sources): (Vec<_>, Vec<_>) = words.iter().partition(|word| is_heredoc(call, word));
        if sources.len() + heredocs.len() > 1 && !path::names_directory(dest) {
            let message = format!(
                "When using {} with more than one source file, the destination must be a directory and end with a /",
                call.keyword
            );
            return Err(refuse(message).help(format!("write `{dest}/`")));
        }
        if is_heredoc(call, dest) {
            let message = format!("{} cannot accept a heredoc as a destination", call.keyword);
            return Err(refuse(message).help("write the destination behind it: `<<NAME /path`"));
        }
        // As a variable that nobody set gives it.
        let given = |flag: &str| call.flag(flag).filter(|value| !value.is_empty());
        Ok(Self {
            sources: sources.into_iter().map(|source| whole_if_empty(source)).collect(),
            // A variable that nobody set leads to the working directory, as in BuildKit.
            dest: if dest.is_empty() { ".".to_owned() } else { dest.clone() },
            from: Input::Local,
            unpack_files: false,
            unpack_remote: false,
            checksum: None,
            keep_git_dir: None,
            owner: given("chown").map(owner).transpose()?,
            mode: given("chmod").map(mode).transpose()?,
            excludes: call.values("exclude").map(Into::into).collect(),
            parents: call.switch("parents", false)?,
            link: call.switch("link", false)?,
            heredocs: call.heredocs.clone(),
            label: format!("{} {}", call.keyword, call.words().join(" ")),
        })
    }

    /// The ops: first the files, then the remote ones, then the here-documents.
    ///
    /// # Errors
    /// When a remote source cannot be fetched or checked.
    pub fn plan(&self) -> Result<Outcome, Failure> {
        let (remote, files): (Vec<_>, Vec<_>) =
            self.sources.iter().partition(|source| web::is_remote(source));
        self.check_remote(remote.len())?;
        let mut plan = Plan::default();
        if !files.is_empty() {
            let paths = files.into_iter().cloned().collect();
            let unpack = self.unpack_files;
            plan.then(&*self.label, |base| CopyFiles { unpack, ..self.copy(base, self.from.clone(), paths) });
        }
        for url in remote {
            self.fetch(&mut plan, url)?;
        }
        self.write_heredocs(&mut plan)?;
        Ok(plan.into())
    }

    fn check_remote(&self, remote: usize) -> Result<(), Failure> {
        if self.checksum.is_none() {
            return Ok(());
        }
        if self.sources.len() > 1 {
            return Err(refuse("checksum can't be specified for multiple sources"));
        }
        if remote == 0 {
            return Err(refuse("checksum can't be specified for non-HTTP(S) sources"));
        }
        Ok(())
    }

    fn fetch(&self, plan: &mut Plan, url: &str) -> Result<(), Failure> {
        if web::is_git(url) {
            return self.clone_repository(plan, url);
        }
        let named = web::file_name(url)?;
        if named.is_default {
            let message = format!("{url} names no file: it is written as `{}`", named.name);
            plan.diagnostics.push(Diagnostic::info("AddUnnamedUrl", message));
        }
        let http =
            HttpSource { url: url.into(), checksum: self.checksum.clone(), filename: named.name.clone() };
        let source = plan.op(format!("fetch {url}"), http);
        let unpack = self.unpack_remote;
        plan.then(&*self.label, |base| CopyFiles {
            unpack,
            excludes: vec![],
            parents: false,
            ..self.copy(base, source, vec![literal(&named.name)])
        });
        Ok(())
    }

    /// The contents of the repository, or of the directory of it that the address names.
    fn clone_repository(&self, plan: &mut Plan, address: &str) -> Result<(), Failure> {
        let repository = git::Repository::parse(address)?;
        let checksum = match (&self.checksum, repository.checksum) {
            (Some(flag), Some(query)) if *flag != query => {
                return Err(refuse(format!("{address} and --checksum name different commits")));
            }
            (flag, query) => flag.clone().or(query),
        };
        let keep_git_dir = match (self.keep_git_dir, repository.keep_git_dir) {
            (Some(flag), Some(query)) if flag != query => {
                let help = format!("leave `--keep-git-dir` or the `keep-git-dir` of {address} out");
                return Err(refuse("inconsistent keep-git-dir configuration").help(help));
            }
            (flag, query) => flag.or(query).unwrap_or(false),
        };
        let source =
            GitSource { url: repository.url, reference: repository.reference, checksum, keep_git_dir };
        let files = plan.op(format!("fetch {address}"), source);
        let paths = vec![format!("/{}", literal(&repository.directory))];
        plan.then(&*self.label, |base| CopyFiles { parents: false, ..self.copy(base, files, paths) });
        Ok(())
    }

    fn write_heredocs(&self, plan: &mut Plan) -> Result<(), Failure> {
        let mut files = Input::Scratch;
        for heredoc in &self.heredocs {
            let name = path::file_name(&heredoc.name).filter(|name| *name == heredoc.name);
            let name = name.ok_or_else(|| {
                refuse(format!("`{}` is not a file name", heredoc.name))
                    .help("name the here-document as the file")
            })?;
            files =
                plan.op(format!("write {name}"), Write::new(files, format!("/{name}"), &*heredoc.content));
        }
        if !self.heredocs.is_empty() {
            let paths = self.heredocs.iter().map(|heredoc| literal(&heredoc.name)).collect();
            plan.then(&*self.label, |base| CopyFiles {
                excludes: vec![],
                parents: false,
                ..self.copy(base, files, paths)
            });
        }
        Ok(())
    }

    fn copy(&self, base: Input, source: Input, paths: Vec<String>) -> CopyFiles {
        CopyFiles {
            excludes: self.excludes.clone(),
            owner: self.owner.clone(),
            mode: self.mode.clone(),
            parents: self.parents,
            link: self.link,
            ..CopyFiles::new(base, source, paths, &*self.dest)
        }
    }
}

/// An empty word, `COPY "" /dest/`, is the whole of where files come from.
fn whole_if_empty(source: &str) -> String {
    if source.is_empty() { "/".into() } else { source.into() }
}

/// The destination and what comes before it.
fn split(call: &Invocation) -> Result<(&String, &[String]), Failure> {
    let keyword = &call.keyword;
    match call.words().split_last() {
        None => Err(refuse(format!("{keyword} requires at least two arguments"))),
        Some((_, [])) => Err(refuse(format!(
            "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        ))
        .help(format!("write `{keyword} SOURCE... DESTINATION`"))),
        Some(found) => Ok(found),
    }
}

/// Whether a word begins one of the statement's here-documents. A JSON array has none.
fn is_heredoc(call: &Invocation, word: &str) -> bool {
    let written = |heredoc: &Heredoc| {
        let opened = word.trim_start_matches(|letter: char| letter.is_ascii_digit()).strip_prefix("<<");
        let name = opened.map(|rest| rest.strip_prefix('-').unwrap_or(rest));
        name.is_some_and(|name| name.replace(['"', '\'', '\\'], "") == heredoc.name)
    };
    matches!(call.body, Body::Words(_)) && call.heredocs.iter().any(written)
}

/// Reads `--chown`; a group alone leaves the user as root.
fn owner(text: &str) -> Result<Owner, Failure> {
    match text.strip_prefix(':') {
        Some(group) if !group.is_empty() => Ok(Owner { user: String::new(), group: Some(group.into()) }),
        _ => text.parse(),
    }
}

/// Reads `--chmod`.
fn mode(text: &str) -> Result<ModeChange, Failure> {
    let octal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if octal {
        let bits = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o7777);
        return bits.map(ModeChange::Bits).ok_or_else(|| wrong_mode(text));
    }
    if !text.is_empty() && text.split(',').all(is_symbolic) {
        return Ok(ModeChange::Symbolic(text.into()));
    }
    Err(wrong_mode(text))
}

fn wrong_mode(text: &str) -> Failure {
    let message =
        format!("invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777");
    refuse(message).help("write `--chmod=755` or `--chmod=u=rwX,go=rX`")
}

/// One clause of chmod's language: `u=rwX`, `go-w`, `+x`.
fn is_symbolic(clause: &str) -> bool {
    let who = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    let actions: Vec<&str> = who.split(['+', '-', '=']).collect();
    let allowed = |letters: &str| {
        letters.len() <= 1 && "ugo".contains(letters)
            || letters.chars().all(|letter| "rwxXst".contains(letter))
    };
    matches!(actions.as_slice(), ["", rest @ ..] if !rest.is_empty() && rest.iter().all(|part| allowed(part)))
}

/// A name as a pattern that matches nothing else.
fn literal(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for letter in name.chars() {
        if matches!(letter, '*' | '?' | '[' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// Whether a source is an address on the web, of a file or a git repository.
pub fn is_remote(source: &str) -> bool {
    web::is_remote(source)
}

/// Whether a source is the address of a git repository.
pub fn is_git(source: &str) -> bool {
    web::is_git(source)
}

/// The beginning of a commit's name, as `--checksum` takes it for a repository.
///
/// # Errors
/// When it is not one.
pub fn commit(text: &str) -> Result<String, Failure> {
    git::commit(text)
}

#[cfg(test)]
mod tests;
