//! Builds plans: ops one after the other, each on what was there before.

use super::{
    Action, Command, ConfigChange, CopyFiles, Exec, GitSource, HttpSource, Input, Mkdir, NetAccess, Op,
    Outcome, Owner, Plan, Security, StageStart, Symlink, Write,
};
use crate::{Diagnostic, Failure, refuse};

impl Default for Plan {
    /// Nothing changes.
    fn default() -> Self {
        Self { ops: vec![], rootfs: Input::Stage, config: vec![], diagnostics: vec![] }
    }
}

impl Plan {
    /// Only the image's config changes.
    pub fn config(changes: impl IntoIterator<Item = ConfigChange>) -> Self {
        Self { config: changes.into_iter().collect(), ..Self::default() }
    }

    /// Adds an op that others can refer to by the input this returns.
    pub fn op(&mut self, label: impl Into<String>, action: impl Into<Action>) -> Input {
        let index = u32::try_from(self.ops.len()).unwrap_or(u32::MAX);
        self.ops.push(Op { action: action.into(), label: label.into() });
        Input::Op(index)
    }

    /// Adds an op on the stage's file system as it is by now; its result is what the stage has
    /// afterwards.
    pub fn then<A: Into<Action>>(&mut self, label: impl Into<String>, action: impl FnOnce(Input) -> A) {
        let base = self.rootfs.clone();
        self.rootfs = self.op(label, action(base));
    }

    /// Adds something to tell the person.
    #[must_use]
    pub fn diagnostic(mut self, diagnostic: Diagnostic) -> Self {
        self.diagnostics.push(diagnostic);
        self
    }
}

impl Outcome {
    /// The lines of a file, to stand in place of the statement. The first one tells the engine where
    /// they are from, so that what it says about one of them names that file and its line.
    pub fn lines_of(file: &str, text: &str) -> Self {
        let origin = format!("#line 1 {file:?}");
        Self::Expand([origin].into_iter().chain(text.lines().map(Into::into)).collect())
    }
}

impl From<Plan> for Outcome {
    fn from(plan: Plan) -> Self {
        Self::Plan(plan)
    }
}

impl From<StageStart> for Outcome {
    fn from(stage: StageStart) -> Self {
        Self::Stage(stage)
    }
}

macro_rules! actions {
    ($($variant:ident($record:ty)),* $(,)?) => {
        $(impl From<$record> for Action {
            fn from(record: $record) -> Self {
                Self::$variant(record)
            }
        })*
    };
}

actions!(
    Exec(Exec),
    Copy(CopyFiles),
    Write(Write),
    Mkdir(Mkdir),
    Symlink(Symlink),
    Http(HttpSource),
    Git(GitSource),
    Remove(super::Remove),
    Image(super::ImageSource),
);

impl Exec {
    /// Runs a command as the stage's user in its working directory, on the build's own network.
    pub fn new(base: Input, command: Command) -> Self {
        Self {
            base,
            command,
            env: vec![],
            cwd: None,
            user: None,
            mounts: vec![],
            net: NetAccess::Sandbox,
            security: Security::Sandbox,
        }
    }
}

impl CopyFiles {
    /// Copies files as they are, owned by root.
    pub fn new(base: Input, source: Input, paths: Vec<String>, dest: impl Into<String>) -> Self {
        Self {
            base,
            source,
            paths,
            excludes: vec![],
            dest: dest.into(),
            owner: None,
            mode: None,
            unpack: false,
            parents: false,
            link: false,
        }
    }
}

impl Write {
    /// A file that belongs to root and that all may read.
    pub fn new(base: Input, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { base, path: path.into(), content: content.into(), owner: None, mode: 0o644 }
    }
}

impl std::str::FromStr for Owner {
    type Err = Failure;

    /// Reads `user[:group]`, names or numbers.
    fn from_str(text: &str) -> Result<Self, Failure> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let wrong = user.is_empty() || group.is_some_and(|group| group.is_empty() || group.contains(':'));
        if wrong {
            let help = "write `user`, `user:group`, `uid` or `uid:gid`";
            return Err(refuse(format!("`{text}` is not an owner")).help(help));
        }
        Ok(Self { user: user.into(), group: group.map(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_stand_on_each_other() {
        let mut plan = Plan::default();
        plan.then("first", |base| Write::new(base, "/a", "a"));
        plan.then("second", |base| Write::new(base, "/b", "b"));
        let bases = plan.ops.iter().map(|op| match &op.action {
            Action::Write(write) => write.base.clone(),
            other => panic!("not a write: {other:?}"),
        });
        assert_eq!(bases.collect::<Vec<_>>(), [Input::Stage, Input::Op(0)]);
        assert_eq!(plan.rootfs, Input::Op(1));
    }

    #[test]
    fn lines_say_which_file_they_are_from() {
        let Outcome::Expand(lines) = Outcome::lines_of("a \"b\"\n", "RUN a\n\nRUN b") else {
            panic!("not lines");
        };
        assert_eq!(lines, ["#line 1 \"a \\\"b\\\"\\n\"", "RUN a", "", "RUN b"]);
    }

    #[test]
    fn owners_are_users_with_or_without_a_group() {
        let owner =
            |user: &str, group: Option<&str>| Owner { user: user.into(), group: group.map(Into::into) };
        for (text, read) in [
            ("app", Some(owner("app", None))),
            ("1000:1000", Some(owner("1000", Some("1000")))),
            ("", None),
            (":staff", None),
            ("app:", None),
            ("a:b:c", None),
        ] {
            assert_eq!(text.parse().ok(), read, "for {text:?}");
        }
    }
}
