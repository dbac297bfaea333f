//! Build arguments that BuildKit reads itself, and what they ask for here.
//!
//! | argument | asks for |
//! |---|---|
//! | `BUILDKIT_INLINE_CACHE=1` | what `--cache-to type=inline` does |
//! | `BUILDKIT_SANDBOX_HOSTNAME=NAME` | the name of the host that programs run on |
//! | `BUILDKIT_DOCKERFILE_CHECK=...` | the build's checks, instead of the file's `# check=...` |
//! | `BUILDKIT_CONTEXT_KEEP_GIT_DIR=1` | the `.git` of a build context that is a repository |
//! | `BUILDKIT_CACHE_MOUNT_NS=NAME` | directories of `RUN --mount=type=cache` that other builds do not share |
//! | `BUILDKIT_SYNTAX=...` | what `# syntax=...` does: a word about it |
//! | others | nothing, and no word about it: there is no list of builds to name one in, and one image is built |
//!
//! They are arguments like others as well: an ARG of that name has the value.

use super::dockerfile;
use super::request::BuildOptions;
use super::share::CacheTo;

/// What the names of these arguments begin with.
pub(super) const BUILT_IN: &str = "BUILDKIT_";

/// Such an argument has a value that can not be meant.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("BUILDKIT_SANDBOX_HOSTNAME: `{0}` is no name of a host")]
pub struct ArgumentError(String);

impl BuildOptions {
    /// The same with what the build arguments ask for.
    ///
    /// # Errors
    /// When the name of the host is none.
    pub fn heeding_arguments(mut self) -> Result<Self, ArgumentError> {
        let given = |name: &str| {
            let value = self.build_args.get(&format!("{BUILT_IN}{name}"))?;
            Some(value.clone()).filter(|value| !value.is_empty())
        };
        let is_on = |name: &str| given(name).is_some_and(|value| is_true(&value));
        let (inline, keep_git_dir) = (is_on("INLINE_CACHE"), is_on("CONTEXT_KEEP_GIT_DIR"));
        let (hostname, namespace) = (given("SANDBOX_HOSTNAME"), given("CACHE_MOUNT_NS"));
        let (check, syntax) = (given("DOCKERFILE_CHECK"), given("SYNTAX"));
        if inline && !self.cache_to.iter().any(|cache| matches!(cache, CacheTo::Inline)) {
            self.cache_to.push(CacheTo::Inline);
        }
        self.keep_git_dir |= keep_git_dir;
        self.programs.hostname = hostname.map(host).transpose()?.or(self.programs.hostname);
        self.programs.cache_namespace = namespace.or(self.programs.cache_namespace);
        self.check = check.or(self.check);
        let frontend = syntax.as_deref().and_then(|syntax| syntax.split_whitespace().next());
        self.frontend = frontend.map(str::to_owned).or(self.frontend);
        Ok(self)
    }

    /// The frontend that a Dockerfile or whoever builds it names. None is run.
    pub(super) fn frontend_of(&self, text: &[u8]) -> Option<String> {
        let of_file = || {
            let directives = dockerfile::directives("", text);
            let syntax = directives.iter().find(|directive| directive.name == "syntax");
            syntax.map(|syntax| syntax.frontend().to_owned())
        };
        self.frontend.clone().or_else(of_file)
    }
}

/// As Go's `strconv.ParseBool` reads it; anything else is no.
fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// One word, as it stands in lines of `/etc/hosts`; the kernel takes 64 bytes.
fn host(name: String) -> Result<String, ArgumentError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if name.len() <= 64 && name.bytes().all(plain) { Ok(name) } else { Err(ArgumentError(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heeding(arguments: &[(&str, &str)]) -> Result<BuildOptions, ArgumentError> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let build_args = arguments.iter().map(pair).collect();
        BuildOptions { build_args, ..BuildOptions::default() }.heeding_arguments()
    }

    #[test]
    fn arguments_ask_for_what_they_ask_for_in_buildkit() {
        let heeded = heeding(&[
            ("BUILDKIT_INLINE_CACHE", "1"),
            ("BUILDKIT_SANDBOX_HOSTNAME", "builder"),
            ("BUILDKIT_DOCKERFILE_CHECK", "error=true"),
            ("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "true"),
            ("BUILDKIT_CACHE_MOUNT_NS", "mine"),
            ("BUILDKIT_SYNTAX", "own/frontend:1 --option"),
        ])
        .unwrap();
        assert!(matches!(heeded.cache_to[..], [CacheTo::Inline]) && heeded.keep_git_dir);
        assert_eq!(heeded.programs.hostname.as_deref(), Some("builder"));
        assert_eq!(heeded.programs.cache_namespace.as_deref(), Some("mine"));
        assert_eq!(heeded.check.as_deref(), Some("error=true"));
        assert_eq!(heeded.frontend.as_deref(), Some("own/frontend:1"));
        assert_eq!(heeded.frontend_of(b"# syntax=other\n"), Some("own/frontend:1".to_owned()));
    }

    #[test]
    fn what_says_no_asks_for_nothing() {
        let heeded = heeding(&[
            ("BUILDKIT_INLINE_CACHE", "0"),
            ("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "perhaps"),
            ("BUILDKIT_SANDBOX_HOSTNAME", ""),
        ])
        .unwrap();
        assert!(heeded.cache_to.is_empty() && !heeded.keep_git_dir && heeded.programs.hostname.is_none());
        assert_eq!(heeded.frontend_of(b"# syntax=other x\n"), Some("other".to_owned()));
        let two = "a\n1.2.3.4 b";
        assert_eq!(heeding(&[("BUILDKIT_SANDBOX_HOSTNAME", two)]).unwrap_err(), ArgumentError(two.into()));
    }
}
