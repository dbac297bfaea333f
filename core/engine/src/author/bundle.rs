//! A record of calls as a file.
//!
//! JSON, one object a line. The first says what the file is:
//!
//! ```text
//! {"wharf-bundle":1,"contract":"wharf:plugin@0.1.0"}
//! {"statement":"APT curl","plugin":"apt","digest":"sha256:...", ..., "reads":[...],"answer":{"Ok":...}}
//! ```
//!
//! Each line after it is a [`Call`]. A reader refuses a higher number than it knows, and ignores
//! fields that it does not. **Contents of files that a plugin read are in it whole**, as text or as
//! hex; build secrets are not, as no planner can ask for one. Values of build arguments are in it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::CONTRACT;
use crate::build::record::Call;

/// The form that this program writes, and the highest it reads.
pub const FORMAT: u32 = 1;
/// Bytes of one line at most.
const LINE: u64 = 256 << 20;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    #[serde(rename = "wharf-bundle")]
    format: u32,
    contract: String,
}

/// Why a bundle can not be read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file.
    #[error("cannot read the bundle")]
    Read(#[from] io::Error),
    /// The first line is not a bundle's.
    #[error("this is not a bundle: its first line should be {{\"wharf-bundle\":{FORMAT},...}}")]
    NotABundle,
    /// A later program wrote it.
    #[error("the bundle has format {found}, and this program reads formats up to {FORMAT}")]
    Format {
        /// Its format.
        found: u32,
    },
    /// A line is no call.
    #[error("line {line} of the bundle is damaged")]
    Line {
        /// Counted from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

/// Writes calls to a file that appears whole or not at all; only its owner may read it.
///
/// # Errors
/// When the disk refuses.
pub fn write(path: &Path, calls: &[Call]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    let mut out = BufWriter::new(&mut file);
    let head = Head { format: FORMAT, contract: CONTRACT.to_owned() };
    line(&mut out, &head)?;
    calls.iter().try_for_each(|call| line(&mut out, call))?;
    out.flush()?;
    drop(out);
    file.persist(path)?;
    Ok(())
}

fn line<T: Serialize>(out: &mut impl Write, value: &T) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Reads a bundle.
///
/// # Errors
/// When it is none, or damaged.
pub fn read(path: &Path) -> Result<Vec<Call>, BundleError> {
    let mut lines = Lines { input: BufReader::new(File::open(path)?), number: 0 };
    let head: Head = match lines.next() {
        Some(Ok(text)) => serde_json::from_slice(&text).map_err(|_| BundleError::NotABundle)?,
        Some(Err(error)) => return Err(error.into()),
        None => return Err(BundleError::NotABundle),
    };
    if head.format > FORMAT {
        return Err(BundleError::Format { found: head.format });
    }
    let mut calls = Vec::new();
    while let Some(text) = lines.next() {
        let call = serde_json::from_slice(&text?);
        calls.push(call.map_err(|source| BundleError::Line { line: lines.number, source })?);
    }
    Ok(calls)
}

/// Lines of bounded length.
struct Lines {
    input: BufReader<File>,
    number: usize,
}

impl Lines {
    fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        let mut text = Vec::new();
        self.number += 1;
        match (&mut self.input).take(LINE).read_until(b'\n', &mut text) {
            Ok(0) => None,
            Ok(_) => Some(Ok(text)),
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use wharf_model::build::{Input, Outcome, Plan};
    use wharf_model::grant::Grants;
    use wharf_model::statement::{Body, Invocation};
    use wharf_model::{Digest, Span};
    use wharf_plugin::Root;
    use wharf_plugin::trace::{Answer, Content, Question};

    use super::*;

    fn call() -> Call {
        let plan = Plan { ops: vec![], rootfs: Input::Stage, config: vec![], diagnostics: vec![] };
        let content = Answer::Content(Ok(Some(Content(b"text\n".to_vec()))));
        Call {
            statement: "APT curl".into(),
            plugin: "apt".into(),
            digest: Digest::of("apt"),
            settings: vec![],
            grants: Grants::default(),
            fuel: 1,
            memory: 2,
            keywords: vec![],
            invocation: Invocation {
                keyword: "APT".parse().unwrap(),
                flags: vec![],
                body: Body::Words(vec!["curl".into()]),
                heredocs: vec![],
                span: Span::default(),
                stage: None,
            },
            reads: vec![(Question::Read(Root::Local, "a".into(), 9), content)],
            answer: Ok(Outcome::Plan(plan)),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bundle");
        write(&path, &[call(), call()]).unwrap();
        assert_eq!(read(&path).unwrap(), [call(), call()]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\"wharf-bundle\":1,\"contract\":\"wharf:plugin@0.1.0\"}\n"), "{text}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_is_no_bundle_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bundle");
        for (text, words) in [
            ("", "not a bundle"),
            ("hello\n", "not a bundle"),
            (
                "{\"wharf-bundle\":2,\"contract\":\"x\"}\n",
                "has format 2, and this program reads formats up to 1",
            ),
            ("{\"wharf-bundle\":1,\"contract\":\"x\"}\n{}\n", "line 2 of the bundle is damaged"),
        ] {
            std::fs::write(&path, text).unwrap();
            let said = read(&path).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }
}
