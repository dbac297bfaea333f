//! What a plugin asked while it planned, in order, with the digest of each answer.
//!
//! An absent file, an unset argument and the listing of a glob are answers like any other. When
//! every question of a trace still has the same answer, the plan that came of it is still right,
//! and the plugin need not be started. A failure is an answer too.
//!
//! [`Traced::keeping`] keeps the answers themselves, too, and [`Recorded`] gives them again: that
//! is a record of a call, which can be repeated without the context. Files that were read are in
//! it whole; a secret is in none, as no question answers with one.

mod answer;
mod recorded;

use std::fmt;

use serde::{Deserialize, Serialize};
use wharf_model::{Digest, Failure, Hasher, Platform};

pub use self::answer::{Answer, Content};
use self::answer::{content, of};
pub use self::recorded::Recorded;
use crate::kind::{BuildContext, Entry, ResolvedImage, Root};

/// One thing a plugin may ask.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// The platform that is built for.
    TargetPlatform,
    /// A build argument.
    Arg(String),
    /// A variable of the image.
    Env(String),
    /// The WORKDIR.
    WorkingDir,
    /// The USER.
    User,
    /// The SHELL.
    Shell,
    /// One file.
    Stat(Root, String),
    /// A file's content, up to a number of bytes.
    Read(Root, String, u64),
    /// Files by pattern, up to a number of them.
    Glob(Root, Vec<String>, u32),
    /// An image of the local store.
    ResolveImage(String, Option<Platform>),
}

/// A question with the digest of its answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Answered {
    /// What was asked.
    pub question: Question,
    /// What was answered.
    pub answer: Digest,
}

/// Everything asked during one plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Trace {
    /// In order; a question that was asked before is not repeated.
    pub entries: Vec<Answered>,
}

/// The first question whose answer is another one now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{question} has another answer now")]
pub struct Changed {
    /// What was asked.
    pub question: Question,
}

impl Trace {
    /// Asks everything again, until an answer differs.
    ///
    /// # Errors
    /// Names the question whose answer is different now.
    pub fn replay(&self, context: &mut dyn BuildContext) -> Result<(), Changed> {
        for entry in &self.entries {
            if entry.question.ask(context).digest() != entry.answer {
                return Err(Changed { question: entry.question.clone() });
            }
        }
        Ok(())
    }

    /// The digest of all questions and answers.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new();
        for entry in &self.entries {
            hasher.field(json(&entry.question));
            hasher.field(entry.answer.hex());
        }
        hasher.finish()
    }
}

impl Question {
    fn ask(&self, context: &mut dyn BuildContext) -> Answer {
        match self {
            Self::TargetPlatform => Answer::Platform(context.target_platform()),
            Self::Arg(name) => Answer::Value(context.arg(name)),
            Self::Env(name) => Answer::Value(context.env(name)),
            Self::WorkingDir => Answer::Text(context.working_dir()),
            Self::User => Answer::Text(context.user()),
            Self::Shell => Answer::Words(context.shell()),
            Self::Stat(root, path) => Answer::Entry(context.stat(root, path)),
            Self::Read(root, path, limit) => Answer::content(context.read(root, path, *limit)),
            Self::Glob(root, patterns, limit) => Answer::Entries(context.glob(root, patterns, *limit)),
            Self::ResolveImage(reference, platform) => {
                Answer::Image(context.resolve_image(reference, platform.as_ref()))
            }
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TargetPlatform => out.write_str("target platform"),
            Self::Arg(name) => write!(out, "arg {name}"),
            Self::Env(name) => write!(out, "env {name}"),
            Self::WorkingDir => out.write_str("working directory"),
            Self::User => out.write_str("user"),
            Self::Shell => out.write_str("shell"),
            Self::Stat(root, path) => write!(out, "stat {}", Place(root, path)),
            Self::Read(root, path, _) => write!(out, "read {}", Place(root, path)),
            Self::Glob(root, patterns, _) => write!(out, "glob {}", Place(root, &patterns.join(" "))),
            Self::ResolveImage(reference, None) => write!(out, "image {reference}"),
            Self::ResolveImage(reference, Some(platform)) => write!(out, "image {reference} ({platform})"),
        }
    }
}

struct Place<'a>(&'a Root, &'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.1.is_empty() { "." } else { self.1 };
        match self.0 {
            Root::Local => out.write_str(path),
            Root::Named(name) => write!(out, "{name}:{path}"),
        }
    }
}

/// A context that writes down what is asked of it.
pub struct Traced<'a> {
    inner: &'a mut dyn BuildContext,
    trace: Trace,
    answers: Option<Vec<(Question, Answer)>>,
}

impl<'a> Traced<'a> {
    /// Answers as `inner` does.
    pub fn new(inner: &'a mut dyn BuildContext) -> Self {
        Self { inner, trace: Trace::default(), answers: None }
    }

    /// The same, and keeps every answer.
    pub fn keeping(inner: &'a mut dyn BuildContext) -> Self {
        Self { answers: Some(Vec::new()), ..Self::new(inner) }
    }

    /// What was asked.
    pub fn finish(self) -> Trace {
        self.trace
    }

    /// What was asked and answered; no answers without [`Traced::keeping`].
    pub fn finish_with_answers(self) -> (Trace, Vec<(Question, Answer)>) {
        (self.trace, self.answers.unwrap_or_default())
    }

    fn record<T: Clone>(&mut self, question: Question, answer: &T, digest: Digest, keep: fn(T) -> Answer) {
        let entry = Answered { question, answer: digest };
        if self.trace.entries.contains(&entry) {
            return;
        }
        if let Some(answers) = &mut self.answers {
            answers.push((entry.question.clone(), keep(answer.clone())));
        }
        self.trace.entries.push(entry);
    }
}

impl fmt::Debug for Traced<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace.fmt(out)
    }
}

impl BuildContext for Traced<'_> {
    fn target_platform(&mut self) -> Platform {
        let answer = self.inner.target_platform();
        self.record(Question::TargetPlatform, &answer, of(&answer), Answer::Platform);
        answer
    }

    fn arg(&mut self, name: &str) -> Option<String> {
        let answer = self.inner.arg(name);
        self.record(Question::Arg(name.into()), &answer, of(&answer), Answer::Value);
        answer
    }

    fn env(&mut self, name: &str) -> Option<String> {
        let answer = self.inner.env(name);
        self.record(Question::Env(name.into()), &answer, of(&answer), Answer::Value);
        answer
    }

    fn working_dir(&mut self) -> String {
        let answer = self.inner.working_dir();
        self.record(Question::WorkingDir, &answer, of(&answer), Answer::Text);
        answer
    }

    fn user(&mut self) -> String {
        let answer = self.inner.user();
        self.record(Question::User, &answer, of(&answer), Answer::Text);
        answer
    }

    fn shell(&mut self) -> Vec<String> {
        let answer = self.inner.shell();
        self.record(Question::Shell, &answer, of(&answer), Answer::Words);
        answer
    }

    fn stat(&mut self, root: &Root, path: &str) -> Result<Option<Entry>, Failure> {
        let answer = self.inner.stat(root, path);
        self.record(Question::Stat(root.clone(), path.into()), &answer, of(&answer), Answer::Entry);
        answer
    }

    fn read(&mut self, root: &Root, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        let answer = self.inner.read(root, path, limit);
        let question = Question::Read(root.clone(), path.into(), limit);
        self.record(question, &answer, content(&answer), Answer::content);
        answer
    }

    fn glob(&mut self, root: &Root, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure> {
        let answer = self.inner.glob(root, patterns, limit);
        let question = Question::Glob(root.clone(), patterns.to_vec(), limit);
        self.record(question, &answer, of(&answer), Answer::Entries);
        answer
    }

    fn resolve_image(
        &mut self,
        reference: &str,
        platform: Option<&Platform>,
    ) -> Result<ResolvedImage, Failure> {
        let answer = self.inner.resolve_image(reference, platform);
        let question = Question::ResolveImage(reference.into(), platform.cloned());
        self.record(question, &answer, of(&answer), Answer::Image);
        answer
    }
}

/// JSON of our own types; they have string keys only, so there is nothing that could fail.
fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fixed;

    fn asked() -> Trace {
        let mut fixed = Fixed::default();
        fixed.args.insert("VERSION".into(), "1".into());
        fixed.files.insert("a.txt".into(), b"one".to_vec());
        let mut traced = Traced::new(&mut fixed);
        traced.arg("VERSION");
        traced.arg("VERSION");
        traced.read(&Root::Local, "a.txt", 100).unwrap();
        traced.stat(&Root::Local, "missing").unwrap();
        traced.glob(&Root::Local, &["*.txt".into()], 10).unwrap();
        traced.finish()
    }

    #[test]
    fn a_trace_names_each_question_once() {
        let words: Vec<String> = asked().entries.iter().map(|entry| entry.question.to_string()).collect();
        assert_eq!(words, ["arg VERSION", "read a.txt", "stat missing", "glob *.txt"]);
    }

    #[test]
    fn replay_finds_the_first_answer_that_changed() {
        let trace: Trace = serde_json::from_slice(&json(&asked())).unwrap();
        let mut fixed = Fixed::default();
        fixed.args.insert("VERSION".into(), "1".into());
        fixed.files.insert("a.txt".into(), b"one".to_vec());
        assert_eq!(trace.replay(&mut fixed), Ok(()));

        fixed.files.insert("missing".into(), b"here now".to_vec());
        assert_eq!(trace.replay(&mut fixed).unwrap_err().to_string(), "stat missing has another answer now");
        fixed.files.insert("a.txt".into(), b"two".to_vec());
        assert_eq!(trace.replay(&mut fixed).unwrap_err().to_string(), "read a.txt has another answer now");
    }
}
