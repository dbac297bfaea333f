//! What a test run found.

use std::time::Duration;

use serde::Serialize;

/// All checks of one plugin.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tested {
    /// The plugin.
    pub plugin: String,
    /// Its contract.
    pub kind: &'static str,
    /// Its code.
    pub digest: String,
    /// In order.
    pub checks: Vec<Checked>,
    /// Worth a word, and no failure.
    pub notes: Vec<String>,
}

impl Tested {
    /// How many ended so.
    pub fn count(&self, ended: impl Fn(&Ended) -> bool) -> usize {
        self.checks.iter().filter(|check| ended(&check.result)).count()
    }

    /// No check failed.
    pub fn passed(&self) -> bool {
        self.count(|result| matches!(result, Ended::Failed { .. })) == 0
    }
}

/// One check.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Checked {
    /// What was checked.
    pub name: String,
    /// What came of it.
    #[serde(flatten)]
    pub result: Ended,
    /// In milliseconds.
    #[serde(rename = "ms", serialize_with = "milliseconds")]
    pub took: Duration,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum Ended {
    /// As expected.
    Passed,
    /// What came out is now expected.
    Blessed,
    /// Not done.
    Skipped {
        /// Why.
        why: String,
    },
    /// Not as expected.
    Failed {
        /// What is wrong, line by line.
        why: Vec<String>,
    },
}

impl Ended {
    /// Failed when there is something to say.
    pub(crate) fn of(why: Vec<String>) -> Self {
        if why.is_empty() { Self::Passed } else { Self::Failed { why } }
    }

    /// Failed for one reason.
    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self::Failed { why: vec![why.into()] }
    }
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

fn milliseconds<S: serde::Serializer>(took: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64((took.as_secs_f64() * 1e6).round() / 1e3)
}
