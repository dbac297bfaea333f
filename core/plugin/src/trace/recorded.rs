//! A context that gives the answers of a record, for asking a plugin again without what it read.

use wharf_model::{Diagnostic, Failure, FailureKind, Platform, Severity};

use super::Question;
use super::answer::{Answer, Content};
use crate::kind::{BuildContext, Entry, ResolvedImage, Root};

/// Answers from a list. What is not in it is answered as if it were not there, and remembered.
#[derive(Debug)]
pub struct Recorded<'a> {
    known: &'a [(Question, Answer)],
    unknown: Vec<Question>,
}

impl<'a> Recorded<'a> {
    /// Knows these answers.
    pub fn new(known: &'a [(Question, Answer)]) -> Self {
        Self { known, unknown: Vec::new() }
    }

    /// What was asked and is not in the record.
    pub fn unknown(self) -> Vec<Question> {
        self.unknown
    }

    fn find(&mut self, question: Question) -> Option<&'a Answer> {
        let found = self.known.iter().find(|(known, _)| *known == question);
        if found.is_none() && !self.unknown.contains(&question) {
            self.unknown.push(question);
        }
        found.map(|(_, answer)| answer)
    }

    fn value(&mut self, question: Question) -> Option<String> {
        match self.find(question) {
            Some(Answer::Value(value)) => value.clone(),
            _ => None,
        }
    }

    fn text(&mut self, question: Question) -> Option<String> {
        match self.find(question) {
            Some(Answer::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }
}

fn not_recorded<T>() -> Result<T, Failure> {
    let diagnostic =
        Diagnostic::new(Severity::Error, "wharf/not-recorded", "this was not asked when it was recorded");
    Err(Failure { kind: FailureKind::NotFound, diagnostics: vec![diagnostic] })
}

impl BuildContext for Recorded<'_> {
    fn target_platform(&mut self) -> Platform {
        match self.find(Question::TargetPlatform) {
            Some(Answer::Platform(platform)) => platform.clone(),
            _ => Platform::host(),
        }
    }

    fn arg(&mut self, name: &str) -> Option<String> {
        self.value(Question::Arg(name.into()))
    }

    fn env(&mut self, name: &str) -> Option<String> {
        self.value(Question::Env(name.into()))
    }

    fn working_dir(&mut self) -> String {
        self.text(Question::WorkingDir).unwrap_or_else(|| "/".into())
    }

    fn user(&mut self) -> String {
        self.text(Question::User).unwrap_or_default()
    }

    fn shell(&mut self) -> Vec<String> {
        match self.find(Question::Shell) {
            Some(Answer::Words(words)) => words.clone(),
            _ => vec!["/bin/sh".into(), "-c".into()],
        }
    }

    fn stat(&mut self, root: &Root, path: &str) -> Result<Option<Entry>, Failure> {
        match self.find(Question::Stat(root.clone(), path.into())) {
            Some(Answer::Entry(answer)) => answer.clone(),
            _ => not_recorded(),
        }
    }

    fn read(&mut self, root: &Root, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        match self.find(Question::Read(root.clone(), path.into(), limit)) {
            Some(Answer::Content(answer)) => {
                answer.clone().map(|content| content.map(|Content(bytes)| bytes))
            }
            _ => not_recorded(),
        }
    }

    fn glob(&mut self, root: &Root, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure> {
        match self.find(Question::Glob(root.clone(), patterns.to_vec(), limit)) {
            Some(Answer::Entries(answer)) => answer.clone(),
            _ => not_recorded(),
        }
    }

    fn resolve_image(
        &mut self,
        reference: &str,
        platform: Option<&Platform>,
    ) -> Result<ResolvedImage, Failure> {
        match self.find(Question::ResolveImage(reference.into(), platform.cloned())) {
            Some(Answer::Image(answer)) => answer.clone(),
            _ => not_recorded(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fixed;
    use crate::trace::Traced;

    fn ask(context: &mut dyn BuildContext) -> (Option<String>, Option<Vec<u8>>, usize, bool) {
        let image = context.resolve_image("busybox", None).is_ok();
        let files = context.glob(&Root::Local, &["*.txt".into()], 9).unwrap().len();
        let content = context.read(&Root::Local, "a.txt", 100).unwrap();
        (context.arg("VERSION"), content, files, image)
    }

    #[test]
    fn a_record_answers_as_the_context_did() {
        let mut fixed = Fixed::default();
        fixed.args.insert("VERSION".into(), "1".into());
        fixed.files.insert("a.txt".into(), vec![0, 255]);
        let mut traced = Traced::keeping(&mut fixed);
        let before = ask(&mut traced);
        let (_, answers) = traced.finish_with_answers();
        let text = serde_json::to_string(&answers).unwrap();
        let answers: Vec<(Question, Answer)> = serde_json::from_str(&text).unwrap();

        let mut recorded = Recorded::new(&answers);
        assert_eq!(ask(&mut recorded), before);
        assert_eq!(recorded.unknown(), []);
    }

    #[test]
    fn what_was_not_recorded_is_named() {
        let mut recorded = Recorded::new(&[]);
        assert_eq!(recorded.arg("NEW"), None);
        assert!(recorded.stat(&Root::Local, "new").is_err());
        recorded.arg("NEW");
        let words: Vec<String> = recorded.unknown().iter().map(Question::to_string).collect();
        assert_eq!(words, ["arg NEW", "stat new"]);
    }
}
